"""Find where a number that is not finite comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amphid.learning.gradients.objective import Objective
from amphid.learning.watching import overheard, tensors_in


def finite(value: Tensor, gradients: Mapping[str, Tensor]) -> bool:
    """Whether a loss and all its gradients are finite."""
    largest = torch._foreach_norm(list(gradients.values()), float("inf"))
    together = torch.stack([value, *(norm.to(value) for norm in largest)])
    return bool(together.isfinite().all())


def diagnosis(
    parts: Sequence[Objective],
    value: Tensor,
    params: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
) -> str:
    """What is not finite first: a parameter, an input, a layer, the loss or a gradient."""
    if bad := [name for name, held in params.items() if not held.isfinite().all()]:
        return f"the parameter {bad[0]!r} is not finite"
    for part in parts:
        if any(not held.numel() for held in tensors_in(part.inputs)):
            return "the batch is empty"
        if any(not held.isfinite().all() for held in tensors_in(part.inputs)):
            return "the inputs of the batch are not finite"
        if place := _first_part(part, params):
            return f"the first layer whose output is not finite is {place}"
    if not value.isfinite().all():
        return "all layers give out finite numbers, but the loss of them is not finite"
    bad = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
    return (
        f"the loss is finite, but the gradient of {bad[0]!r} is not"
        + (f", nor that of {len(bad) - 1} more" if bad[1:] else "")
        + ": clip it, or look for a square root, a logarithm or a division at zero"
    )


def _first_part(objective: Objective, params: Mapping[str, Tensor]) -> str | None:
    """Where, in words, going through the model once more."""
    found: list[str] = []

    def hear(name: str, module: nn.Module, given: Any) -> None:
        for held in tensors_in(given):
            if not found and not (finite := held.isfinite()).all():
                step = int((~finite).flatten(1).any(1).nonzero()[0]) if held.dim() > 1 else None
                at = "" if step is None else f", in row {step} of its output"
                label = repr(name) if name else "the model itself"
                found.append(f"{label} ({type(module).__name__}{at})")

    buffers = {name: held.clone() for name, held in objective.model.named_buffers()}
    with torch.no_grad(), overheard(objective.model.named_modules(), hear):
        objective({**buffers, **params})
    return found[0] if found else None
