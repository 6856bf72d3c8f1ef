"""Arms that follow velocity commands: two joints in a plane, seven joints in space."""

from amphid.models.arms.arm import Arm
from amphid.models.arms.driven import DrivenArm, DrivenState
from amphid.models.arms.planar import PlanarArm
from amphid.models.arms.serial import SerialArm, seven_joint_arm
from amphid.models.arms.servo import Servo, ServoState

__all__ = [
    "Arm",
    "DrivenArm",
    "DrivenState",
    "PlanarArm",
    "SerialArm",
    "Servo",
    "ServoState",
    "seven_joint_arm",
]
