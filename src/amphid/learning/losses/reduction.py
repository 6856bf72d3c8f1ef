"""From one number for each owner to what an estimator gets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from amphid.dynamics.values import is_number

Reduction = Callable[[Tensor], Tensor] | None
"""Such as `torch.mean` or `torch.sum`; None keeps an entry for each owner."""


def reduced(value: Tensor, reduction: Reduction) -> Tensor:
    """The value, reduced where that is asked for."""
    return value if reduction is None else reduction(value)


def check_settings(loss: object, *positive: str) -> None:
    """Raise ValueError for settings that must be above zero, TypeError for a reduction."""
    name = type(loss).__name__
    for setting in positive:
        value = getattr(loss, setting)
        if not (is_number(value) and value > 0):
            raise ValueError(f"{name}: {setting} must be a positive number, got {value!r}.")
    reduction = getattr(loss, "reduction", None)
    if not (reduction is None or callable(reduction)):
        raise TypeError(
            f"{name}: reduction must be a function such as torch.mean, or None, got {reduction!r}."
        )


def check_sequence(outputs: Tensor, targets: Tensor, shape: torch.Size, what: str) -> None:
    """Raise ValueError unless outputs are [T, *B, N] and targets have that shape."""
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets must be a tensor, {what}; got {type(targets).__name__}.")
    if outputs.dim() < 2 or not len(outputs) or targets.shape != shape:
        raise ValueError(
            f"outputs must be [T, *B, N] and targets {what}: got shapes {list(outputs.shape)} and "
            f"{list(targets.shape)}."
        )
