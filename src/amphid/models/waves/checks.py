"""What the settings of waves must be, told in sentences."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.dynamics.values import is_number


def check_counts(own: object, *names: str, least: int = 1) -> None:
    """Raise ValueError for settings that are no whole numbers of at least that."""
    for name in names:
        value = getattr(own, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{type(own).__name__}: {name} must be a whole number of at least {least}, got "
                f"{value!r}."
            )


def check_positive(own: object, *names: str) -> None:
    """Raise ValueError for settings that are no positive, finite numbers."""
    for name in names:
        value = getattr(own, name)
        if not (is_number(value) and value > 0):
            raise ValueError(
                f"{type(own).__name__}: {name} must be a positive number, got {value!r}."
            )


def checked_ink(own: object, ink: object, side: int) -> Tensor:
    """The ink [B, side, side] in single precision; TypeError or ValueError for anything else."""
    name = type(own).__name__
    if not isinstance(ink, Tensor) or not ink.is_floating_point():
        raise TypeError(
            f"{name}: ink must be a tensor [B, {side}, {side}] of fractions from 0 to 1, as "
            "WaveEncoder.ink gives it, got "
            f"{ink.dtype if isinstance(ink, Tensor) else type(ink).__name__}."
        )
    if tuple(ink.shape[1:]) != (side, side) or not bool(torch.isfinite(ink).all()):
        raise ValueError(
            f"{name}: ink must be finite and of shape [B, {side}, {side}], got shape "
            f"{list(ink.shape)}."
        )
    return ink.float()
