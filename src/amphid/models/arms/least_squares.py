"""Small turns of joints that move a hand as wanted: least squares, damped where they must be."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.models.arms.arm import Arm

SINGULAR = 40.0  # mm per rad: a direction in which joints move the hand by less is damped
PASSES = 3


def turns(arm: Arm, angles: Tensor, jacobian: Tensor, moved: Tensor, wish: Tensor) -> Tensor:
    """Turns [*B, J], rad, that move the hand by `moved` [*B, D], mm, to first order.

    jacobian: of the arm at its angles [*B, D, J]. wish: turns [*B, J] that the joints make as far
    as the hand is not moved by them. A joint that would cross its limit stands still and the others
    are asked again; what is left of the crossings after three passes is the caller's to clamp.
    """
    low, high = angles.new_tensor(arm.low), angles.new_tensor(arm.high)
    free = torch.ones_like(angles)
    for _ in range(PASSES):
        found = _solved(jacobian * free[..., None, :], moved, wish * free)
        after = angles + found
        crossing = (after < low) | (after > high)
        if not bool(crossing.any()):
            break
        free = free * (~crossing).to(free)
    return found


def _solved(jacobian: Tensor, moved: Tensor, wish: Tensor) -> Tensor:
    r"""Turns :math:`w + J^T (J J^T + \lambda^2)^{-1} (x - J w)`.

    The damping grows from zero where the least singular value of J falls below a limit s:
    :math:`\lambda^2 = s^2 - \sigma^2`. Damped least squares are by Nakamura & Hanafusa 1986,
    doi 10.1115/1.3143764.
    """
    square = jacobian @ jacobian.mT
    least = torch.linalg.eigvalsh(square)[..., :1]
    damping = (SINGULAR**2 - least).clamp(min=0.0)
    square = square + torch.diag_embed(damping.expand_as(moved))
    left = moved - (jacobian @ wish[..., None])[..., 0]
    return wish + (jacobian.mT @ torch.linalg.solve(square, left[..., None]))[..., 0]
