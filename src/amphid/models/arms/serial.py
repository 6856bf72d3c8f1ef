"""An arm of turning joints in a chain, in space: a product of rotations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.models.arms.arm import Arm, check_last, check_limits
from amphid.models.arms.least_squares import turns

Triple = tuple[float, float, float]

ROUNDS = 80  # of the inverse, each at most LONGEST
LONGEST = 40.0  # mm, of one round
NEAR = 1e-9  # of the reach: where rounds stop


@dataclass(frozen=True)
class SerialArm(Arm):
    r"""Joints that turn about axes, each followed by a rigid link, the first at the origin.

    .. math:: x = \sum_{j=1}^{J} R_1 \cdots R_j \, l_j, \qquad R_j = \exp(q_j [a_j]_\times)

    axes: of each joint, unit vectors in the frame of what it turns, with all angles at zero.
    links: from each joint to the next, the last to the hand, mm, with all angles at zero.
    low, high: limits in rad. posture: what it rests at, and what its free joints return to.
    """

    axes: tuple[Triple, ...]
    links: tuple[Triple, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    posture: tuple[float, ...]

    def __post_init__(self) -> None:
        check_limits(self.low, self.posture, self.high)
        if not len(self.axes) == len(self.links) == len(self.low):
            raise ValueError(
                f"axes and links must hold one vector for each of {len(self.low)} joints, got "
                f"{len(self.axes)} and {len(self.links)}."
            )
        for joint, axis in enumerate(self.axes):
            if not math.isclose(math.hypot(*axis), 1.0, rel_tol=1e-6):
                raise ValueError(f"axis {joint} must have length 1, got {axis}.")

    @property
    def dimensions(self) -> int:
        """Three."""
        return 3

    @property
    def reach(self) -> float:
        """How far from the shoulder the hand would be if all links were in line, mm."""
        return sum(math.hypot(*link) for link in self.links)

    def forward(self, angles: Tensor) -> Tensor:
        """Where the hand is [*B, 3], mm, with the joints at angles [*B, J], rad."""
        return self._chain(angles)[0][-1]

    def jacobian(self, angles: Tensor) -> Tensor:
        """How the hand moves with each joint [*B, 3, J]: axis x (hand - joint), mm per rad."""
        places, axes = self._chain(angles)
        arms = places[-1][..., None] - torch.stack(places[:-1], -1)
        return torch.linalg.cross(torch.stack(axes, -1), arms, dim=-2)

    def inverse(self, position: Tensor) -> Tensor:
        """Angles [*B, J] that bring the hand to a position [*B, 3], from the posture at rest.

        By damped least squares within the limits, in short straight steps. A position that cannot
        be reached that way gives angles at which the hand is near.
        """
        check_last("position", position, 3, "coordinates")
        angles = position.new_tensor(self.posture).expand(*position.shape[:-1], len(self.low))
        for _ in range(ROUNDS):
            gap = position - self.forward(angles)
            away = gap.norm(dim=-1, keepdim=True)
            if bool((away <= NEAR * self.reach).all()):
                break
            gap = gap * (LONGEST / away.clamp(min=LONGEST))
            angles = angles + turns(self, angles, gap, torch.zeros_like(angles))
            angles = angles.clamp(position.new_tensor(self.low), position.new_tensor(self.high))
        return angles

    def _chain(self, angles: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Places of the joints and of the hand, J + 1 times [*B, 3], and the turned axes."""
        check_last("angles", angles, len(self.low), "joints")
        turned = torch.eye(3, dtype=angles.dtype, device=angles.device)
        place = angles.new_zeros(*angles.shape[:-1], 3)
        places, axes = [place], []
        own = angles.new_tensor((self.axes, self.links))
        for axis, link, length, rotation in zip(
            *own, self.links, self._rotations(angles, own[0]).unbind(-3), strict=True
        ):
            axes.append((turned @ axis).expand_as(place))
            turned = turned @ rotation
            place = place + turned @ link if any(length) else place
            places.append(place)
        return places, axes

    def _rotations(self, angles: Tensor, axes: Tensor) -> Tensor:
        """Rotation of each joint about its axis [*B, J, 3, 3], by the formula of Rodrigues."""
        x, y, z = axes.unbind(-1)
        none = torch.zeros_like(x)
        cross = torch.stack((none, -z, y, z, none, -x, -y, x, none), -1).unflatten(-1, (3, 3))
        own = angles[..., None, None]
        unit = torch.eye(3, dtype=angles.dtype, device=angles.device)
        return unit + own.sin() * cross + (1 - own.cos()) * (cross @ cross)


def seven_joint_arm(
    *, upper: float = 300.0, forearm: float = 260.0, hand: float = 80.0
) -> SerialArm:
    """A right arm of seven joints whose shoulder is at the origin; x is ahead, y left, z up.

    The joints, in order: flexion, abduction and rotation of the shoulder, flexion of the elbow,
    rotation of the forearm, flexion and deviation of the wrist. With all angles at zero the arm
    hangs down. Lengths in mm; they and the limits are round figures of the size of a human arm.
    """
    for name, length in (("upper", upper), ("forearm", forearm), ("hand", hand)):
        if not 0 < length < math.inf:
            raise ValueError(f"{name} must be a positive length in mm, got {length}.")
    bend, turn, none = (0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)
    return SerialArm(
        axes=(bend, (-1.0, 0.0, 0.0), turn, bend, turn, bend, (1.0, 0.0, 0.0)),
        links=(none, none, (0.0, 0.0, -upper), none, (0.0, 0.0, -forearm), none, (0, 0, -hand)),
        low=(-1.0, -0.3, -1.2, 0.05, -1.4, -1.0, -0.4),
        high=(2.6, 2.4, 1.2, 2.5, 1.4, 1.0, 0.4),
        posture=(0.5, 0.3, 0.0, 1.5, 0.0, 0.0, 0.0),
    )
