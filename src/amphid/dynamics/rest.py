"""Where a cell rests: the lowest voltage at which no net current flows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PARTS = 64  # of a range, looked through for the first change of sign
ROUNDS = 6  # each looks through the part that the last one found
STENCIL = 1e-4  # of the range: the slope is then known to about 1e-10


def resting_voltage(net_current: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Lowest v in [low, high] mV where the current turns from inward to outward; `low` if none.

    net_current: inward current in pA at v, everything else at rest there. Its result carries the
    gradient of the rest with respect to whatever the current depends on.
    """
    with torch.no_grad():
        low, high, _ = torch.broadcast_tensors(low, high, net_current(low))
        step = (high - low) * STENCIL
        left, right, found = _first_part(net_current, low, high)
        for _ in range(ROUNDS - 1):
            left, right, _ = _first_part(net_current, left, right)
        near = (left + right) / 2
        slope = torch.where(found, _slope(net_current, near, step), 1.0)
        near = near - net_current(near) / slope
    # one more step of Newton's: its value is nothing, its gradient that of the rest
    rest = near - net_current(near) / slope
    return torch.where(found, rest, low)


def _first_part(
    net_current: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ends of the first part of a range where the current turns outward; whether there is one."""
    part = (high - low) / PARTS
    steps = torch.arange(PARTS + 1, device=low.device).reshape(-1, *[1] * low.dim())
    outward = net_current(low + part * steps) <= 0
    left = low + part * (outward.to(torch.uint8).argmax(0) - 1).clamp(min=0)
    return left, left + part, outward.any(0)


def _slope(function: Callable[[Tensor], Tensor], v: Tensor, h: Tensor) -> Tensor:
    """Derivative by five points, whose error goes with h to the fourth."""
    near = function(v + h) - function(v - h)
    return (8 * near - function(v + 2 * h) + function(v - 2 * h)) / (12 * h)
