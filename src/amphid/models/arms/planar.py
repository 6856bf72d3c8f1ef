"""An arm of two joints in a plane, whose inverse is a formula."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.models.arms.arm import Arm, check_last, check_limits, check_position
from amphid.wiring import checks


@dataclass(frozen=True)
class PlanarArm(Arm):
    r"""Shoulder and elbow in a plane, the shoulder at the origin.

    .. math:: x = l_1 \cos q_1 + l_2 \cos(q_1 + q_2), \qquad
              y = l_1 \sin q_1 + l_2 \sin(q_1 + q_2)

    upper, lower: lengths of the upper arm and of forearm with hand, mm; the defaults are round
    figures of the size of a human arm. The elbow bends to one side only: its limits are 0 to pi.
    """

    upper: float = 300.0
    lower: float = 330.0
    low: tuple[float, ...] = (-0.6, 0.0)
    high: tuple[float, ...] = (2.6, 2.7)
    posture: tuple[float, ...] = (0.7, 1.6)

    def __post_init__(self) -> None:
        for name, length in (("upper", self.upper), ("lower", self.lower)):
            checks.positive(f"{name}, a length in mm,", length)
        check_limits(self.low, self.posture, self.high)
        if len(self.low) != 2 or self.low[1] < 0 or self.high[1] > math.pi:
            raise ValueError(
                "low and high must hold a shoulder and an elbow, the elbow within 0 to pi, got "
                f"{self.low} and {self.high}."
            )

    @property
    def dimensions(self) -> int:
        """Two."""
        return 2

    def forward(self, angles: Tensor) -> Tensor:
        """Where the hand is [*B, 2], mm, with the joints at angles [*B, 2], rad."""
        check_last("angles", angles, 2, "joints")
        first, second = angles[..., 0], angles.sum(-1)
        x = self.upper * first.cos() + self.lower * second.cos()
        return torch.stack((x, self.upper * first.sin() + self.lower * second.sin()), -1)

    def tangent(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Where the hand is [*B, 2], mm, and how each joint moves it [*B, 2, 2], mm per rad."""
        hand, second = self.forward(angles), angles.sum(-1)
        x, y = hand.unbind(-1)
        both = (-y, -self.lower * second.sin(), x, self.lower * second.cos())
        return hand, torch.stack(both, -1).unflatten(-1, (2, 2))

    def inverse(self, position: Tensor) -> Tensor:
        r"""Angles [*B, 2] that bring the hand to a position [*B, 2], by the law of cosines.

        .. math:: \cos q_2 = \frac{r^2 - l_1^2 - l_2^2}{2 l_1 l_2}

        Out of reach, the hand comes as near as the elbow lets it; then the limits hold.
        """
        check_position(position, 2)
        square = position.square().sum(-1)
        cosine = (square - self.upper**2 - self.lower**2) / (2 * self.upper * self.lower)
        elbow = cosine.clamp(-1.0, 1.0).acos().clamp(self.low[1], self.high[1])
        beside = self.lower * elbow.sin()
        ahead = self.upper + self.lower * elbow.cos()
        turned = torch.atan2(position[..., 1], position[..., 0]) - torch.atan2(beside, ahead)
        middle = (self.low[0] + self.high[0]) / 2
        shoulder = middle + torch.remainder(turned - middle + math.pi, 2 * math.pi) - math.pi
        return torch.stack((shoulder.clamp(self.low[0], self.high[0]), elbow), -1)
