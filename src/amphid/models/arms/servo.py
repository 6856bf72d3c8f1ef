"""Velocity commands to joint steps, with limits that no command can cross."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from amphid.models.arms.arm import Arm, check_last
from amphid.models.arms.least_squares import turns
from amphid.wiring import checks

SHORTER = 0.98  # of the step that would just keep the limit, had the hand moved in a line
TRIES = 4


class ServoState(NamedTuple):
    """Where the joints of an arm are."""

    angles: Tensor  # [*B, J], rad


@dataclass(frozen=True)
class Servo:
    """Moves a hand at the velocity that it is told, as far as the arm's limits let it.

    arm: what is moved. speed: the most that the hand moves, mm/ms (which is m/s). joint_speed: the
    most that a joint turns, rad/ms. return_time: in which joints that the hand leaves free return
    to the posture while the hand is at full speed, ms; the slower the hand, the slower they.

    Whatever comes as a command, joints stay within their limits and the hand moves by at most
    `speed * dt` in a step. A command of zero, or one that is not finite, moves no joint.
    """

    arm: Arm
    speed: float = 0.6
    joint_speed: float = 0.005
    return_time: float = 1000.0

    def __post_init__(self) -> None:
        for name in ("speed", "joint_speed", "return_time"):
            checks.positive(name, getattr(self, name))
        checks.instance("arm", self.arm, Arm, "an arm such as PlanarArm()")

    def init(self, like: Tensor) -> ServoState:
        """The arm at its posture, for commands like [*B, D]."""
        check_last("like", like, self.arm.dimensions, "coordinates")
        joints = len(self.arm.posture)
        return ServoState(like.new_tensor(self.arm.posture).expand(*like.shape[:-1], joints))

    def position(self, state: ServoState) -> Tensor:
        """Where the hand is [*B, D], mm."""
        checks.instance("state", state, ServoState, "the state that `init` or `step` gives")
        return self.arm.forward(state.angles)

    def step(self, state: ServoState, velocity: Tensor, dt: float) -> tuple[ServoState, Tensor]:
        """Follow a velocity [*B, D], mm/ms, for dt ms; also returns where the hand is [*B, D]."""
        check_last("velocity", velocity, self.arm.dimensions, "coordinates")
        checks.positive("dt, in ms,", dt)
        checks.instance("state", state, ServoState, "the state that `init` or `step` gives")
        wanted = _held(velocity, self.speed) * dt
        angles = state.angles
        rest = angles.new_tensor(self.arm.posture)
        share = wanted.norm(dim=-1, keepdim=True) / (self.speed * dt)
        wish = share * (rest - angles) * -math.expm1(-dt / self.return_time)
        start, jacobian = self.arm.tangent(angles)
        turn = turns(self.arm, angles, jacobian, wanted, wish)
        return self._moved(angles, start, _held_each(turn, self.joint_speed * dt), self.speed * dt)

    def _moved(
        self, angles: Tensor, start: Tensor, turn: Tensor, longest: float
    ) -> tuple[ServoState, Tensor]:
        """After a turn within the limits, shortened until the hand goes at most so far, mm."""
        low, high = angles.new_tensor(self.arm.low), angles.new_tensor(self.arm.high)
        turn = torch.minimum(torch.maximum(angles + turn, low), high) - angles
        for _ in range(TRIES):
            after = ServoState((angles + turn).clamp(low, high))
            place = self.position(after)
            gone = (place - start).norm(dim=-1, keepdim=True)
            if not bool((gone > longest).any()):
                return after, place
            turn = turn * torch.where(gone > longest, SHORTER * longest / gone, 1.0)
        kept = gone <= longest
        return (
            ServoState(torch.where(kept, after.angles, angles)),
            torch.where(kept, place, start),
        )


def _held(velocity: Tensor, speed: float) -> Tensor:
    """The velocity [*B, D], no faster than a speed; zero where it is not finite."""
    finite = velocity.isfinite().all(-1, keepdim=True)
    known = torch.where(finite, velocity, torch.zeros_like(velocity))
    largest = known.abs().amax(-1, keepdim=True).clamp(min=speed)  # so that squares stay finite
    norm = (known / largest).norm(dim=-1, keepdim=True) * largest
    return torch.where(norm > speed, known / largest * (speed / (norm / largest)), known)


def _held_each(turn: Tensor, most: float) -> Tensor:
    """Turns [*B, J] scaled together, so that no joint turns by more."""
    return turn * (most / turn.abs().amax(-1, keepdim=True).clamp(min=most))
