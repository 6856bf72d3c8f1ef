"""An arm of turning joints in a chain, in space: a product of rotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.models.arms.arm import Arm, check_last, check_limits, check_position
from amphid.models.arms.least_squares import turns
from amphid.wiring import checks

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
        for name in ("axes", "links"):  # lists would not do as a key of what is remembered
            triples = tuple(_numbers(name, triple) for triple in _listed(name, getattr(self, name)))
            object.__setattr__(self, name, triples)
        for name in ("low", "high", "posture"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        check_limits(self.low, self.posture, self.high)
        if not len(self.axes) == len(self.links) == len(self.low):
            raise ValueError(
                f"axes and links must hold one vector for each of {len(self.low)} joints, got "
                f"{len(self.axes)} and {len(self.links)}."
            )
        for joint, axis in enumerate(self.axes):
            if (
                len(axis) != 3
                or len(self.links[joint]) != 3
                or not math.isclose(math.hypot(*axis), 1.0, rel_tol=1e-6)
            ):
                raise ValueError(
                    f"axis {joint} must be three numbers of length 1, and its link three, got "
                    f"{axis} and {self.links[joint]}."
                )

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
        check_last("angles", angles, len(self.low), "joints")
        fixed = _fixed(self, angles.dtype, angles.device)
        return (self._turned(angles)[..., 1:, :, :] @ fixed.links[..., None])[..., 0].sum(-2)

    def tangent(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Where the hand is [*B, 3], and how each joint moves it [*B, 3, J]: axis x (hand - joint).

        In mm, and mm per rad.
        """
        check_last("angles", angles, len(self.low), "joints")
        fixed, turned = _fixed(self, angles.dtype, angles.device), self._turned(angles)
        reached = (turned[..., 1:, :, :] @ fixed.links[..., None])[..., 0].cumsum(-2)
        hand = reached[..., -1, :]
        start = torch.zeros_like(reached[..., :1, :])
        joints = torch.cat((start, reached[..., :-1, :]), -2)
        axes = (turned[..., :-1, :, :] @ fixed.axes[..., None])[..., 0]
        return hand, torch.linalg.cross(axes, hand[..., None, :] - joints).mT

    def inverse(self, position: Tensor) -> Tensor:
        """Angles [*B, J] that bring the hand to a position [*B, 3], from the posture at rest.

        By damped least squares within the limits, in short straight steps. A position that cannot
        be reached that way gives angles at which the hand is near.
        """
        check_position(position, 3)
        angles = position.new_tensor(self.posture).expand(*position.shape[:-1], len(self.low))
        for _ in range(ROUNDS):
            hand, jacobian = self.tangent(angles)
            gap = position - hand
            away = gap.norm(dim=-1, keepdim=True)
            if bool((away <= NEAR * self.reach).all()):
                break
            gap = gap * (LONGEST / away.clamp(min=LONGEST))
            angles = angles + turns(self, angles, jacobian, gap, torch.zeros_like(angles))
            angles = angles.clamp(position.new_tensor(self.low), position.new_tensor(self.high))
        return angles

    def _turned(self, angles: Tensor) -> Tensor:
        """What the frame before each joint, and that of the hand, have turned [*B, J + 1, 3, 3]."""
        fixed, own = _fixed(self, angles.dtype, angles.device), angles[..., None, None]
        rotations = fixed.whole + own.sin() * fixed.cross + (1 - own.cos()) * fixed.square
        turned = [fixed.whole.expand(*angles.shape[:-1], 3, 3)]
        for rotation in rotations.unbind(-3):
            turned.append(turned[-1] @ rotation)
        return torch.stack(turned, -3)


def _listed(name: str, values: object) -> Sequence[Any]:
    """A list or tuple of values."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name} must be a tuple with an entry for each joint, got {values!r:.60}.")
    return values


def _numbers(name: str, values: object) -> tuple[float, ...]:
    """Numbers as floats, in a tuple."""
    return tuple(checks.real(f"each number of {name}", value) for value in _listed(name, values))


class Fixed(NamedTuple):
    """What of an arm does not move."""

    axes: Tensor  # [J, 3]
    links: Tensor  # [J, 3]
    cross: Tensor  # of each axis, the matrix that takes a vector to axis x vector [J, 3, 3]
    square: Tensor  # of that matrix
    whole: Tensor  # one on the diagonal [3, 3]


@lru_cache(maxsize=16)
def _fixed(arm: SerialArm, dtype: torch.dtype, device: torch.device) -> Fixed:
    """Rotations by the formula of Rodrigues are 1 + sin q K + (1 - cos q) K^2, K for the axis."""
    axes = torch.tensor(arm.axes, dtype=dtype, device=device)
    x, y, z = axes.unbind(-1)
    none = torch.zeros_like(x)
    cross = torch.stack((none, -z, y, z, none, -x, -y, x, none), -1).unflatten(-1, (3, 3))
    links = torch.tensor(arm.links, dtype=dtype, device=device)
    return Fixed(axes, links, cross, cross @ cross, torch.eye(3, dtype=dtype, device=device))


def seven_joint_arm(
    *, upper: float = 300.0, forearm: float = 260.0, hand: float = 80.0
) -> SerialArm:
    """A right arm of seven joints whose shoulder is at the origin; x is ahead, y left, z up.

    The joints, in order: flexion, abduction and rotation of the shoulder, flexion of the elbow,
    rotation of the forearm, flexion and deviation of the wrist. With all angles at zero the arm
    hangs down. Lengths in mm; they and the limits are round figures of the size of a human arm.
    """
    for name, length in (("upper", upper), ("forearm", forearm), ("hand", hand)):
        checks.positive(f"{name}, a length in mm,", length)
    bend, turn, none = (0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)
    return SerialArm(
        axes=(bend, (-1.0, 0.0, 0.0), turn, bend, turn, bend, (1.0, 0.0, 0.0)),
        links=(none, none, (0.0, 0.0, -upper), none, (0.0, 0.0, -forearm), none, (0, 0, -hand)),
        low=(-1.0, -0.3, -1.2, 0.05, -1.4, -1.0, -0.4),
        high=(2.6, 2.4, 1.2, 2.5, 1.4, 1.0, 0.4),
        posture=(0.5, 0.3, 0.0, 1.5, 0.0, 0.0, 0.0),
    )
