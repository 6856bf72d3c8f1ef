"""Whole numbers of any size in tensors: numbers of paths outgrow every machine word."""

from __future__ import annotations

import torch
from torch import Tensor

BITS = 20
BASE = 2.0**BITS
"""Sums of up to 2^33 digits below this are exact in float64."""


def zeros(*shape: int) -> Tensor:
    """Counts [1, *shape] of nothing: digits to the base 2^20, the lowest first."""
    return torch.zeros(1, *shape, dtype=torch.float64)


def carried(count: Tensor) -> Tensor:
    """The same counts [K, *shape] with all digits below the base, and none of zeros on top."""
    digits, carry = [], torch.zeros_like(count[0])
    for digit in count:
        total = digit + carry
        carry = (total / BASE).floor()
        digits.append(total - carry * BASE)
    while carry.any():
        above = (carry / BASE).floor()
        digits.append(carry - above * BASE)
        carry = above
    return torch.stack(digits)


def added(one: Tensor, other: Tensor) -> Tensor:
    """The sum of counts [K, *shape] and [L, *shape], not yet carried."""
    if len(one) < len(other):
        one, other = other, one
    lower = one[: len(other)] + other
    return torch.cat((lower, one[len(other) :])) if len(one) > len(other) else lower


def whole(count: Tensor) -> int:
    """The sum of all entries of counts [K, *shape], exactly."""
    digits = carried(count).flatten(1).sum(1).tolist()
    return sum(int(digit) << (BITS * place) for place, digit in enumerate(digits))
