"""From one number for each owner to what an estimator gets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Reduction = Callable[[Tensor], Tensor] | None
"""Such as `torch.mean` or `torch.sum`; None keeps an entry for each owner."""


def reduced(value: Tensor, reduction: Reduction) -> Tensor:
    """The value, reduced where that is asked for."""
    return value if reduction is None else reduction(value)


def check_sequence(outputs: Tensor, targets: Tensor, shape: torch.Size, what: str) -> None:
    """Raise ValueError unless outputs are [T, *B, N] and targets have that shape."""
    if outputs.dim() < 2 or not len(outputs) or targets.shape != shape:
        raise ValueError(
            f"outputs must be [T, *B, N] and targets {what}: got shapes {list(outputs.shape)} and "
            f"{list(targets.shape)}."
        )
