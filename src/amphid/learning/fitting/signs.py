"""Signs that can be seen without a step: of a loss, of penalties, of learning rates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from amphid.learning.fitting.tally import apart
from amphid.learning.gradients.objective import Criterion, Objective, Params, Penalty

SMALL = 0.1  # of the spread of the outputs
WAY_OUT = "If this is meant, fit with guard=DirectionGuard(signs=False)."


def check_steps(optimizer: Optimizer) -> None:
    """Raise ValueError for an optimizer that goes up."""
    for group in optimizer.param_groups:
        if group.get("maximize"):
            raise ValueError(
                "optimizer has maximize=True, so it would raise the loss and all penalties: leave "
                "that out, and give what should go up as learning.Reward(criterion). guard=None "
                "fits without this check."
            )
        if isinstance(group["lr"], float) and group["lr"] < 0:
            raise ValueError(
                f"the learning rate is {group['lr']:g}, so updates would raise the loss and all "
                "penalties: see the schedule. guard=None fits without this check."
            )


def check_penalty(penalty: Penalty, value: float) -> None:
    """Raise ValueError for a penalty that pays."""
    if value < 0:
        raise ValueError(
            f"the penalty {penalty!r} is {value:.4g}, below zero: what is to be kept small is "
            f"rewarded for growing, so its sign is flipped. {WAY_OUT}"
        )


def check_loss(objective: Objective, params: Params) -> None:
    """Raise ValueError for a loss that grows as outputs go towards their targets.

    Where outputs and targets have shapes that tell what the targets are: the same shape, or the
    number of a class for each row of outputs.
    """
    outputs, _ = objective.outputs(params)
    wanted = towards(outputs, objective.targets)
    if wanted is None:
        return
    spread = float(outputs.double().std()) or 1.0
    step = SMALL * spread * wanted.to(outputs)
    flat = torch.full_like(outputs, float(outputs.double().mean()))
    near, far = (_asked(objective.loss, flat + way, objective.targets) for way in (step, -step))
    if near is not None and far is not None and apart(near, far) and near > far:
        raise ValueError(
            f"the loss is {near:.4g} for outputs that go a little towards the targets and "
            f"{far:.4g} for such that go away from them: its sign is flipped. fit lowers its loss; "
            f"what should go up is learning.Reward(criterion). {WAY_OUT}"
        )


def towards(outputs: Any, targets: Any) -> Tensor | None:
    """The direction from no preference towards the targets, of spread 1; None where none shows."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return None
    if not outputs.is_floating_point() or not outputs.isfinite().all():
        return None
    if targets.shape == outputs.shape:
        wanted = targets.double()
    elif _are_classes(outputs, targets):
        wanted = nn.functional.one_hot(targets.long(), outputs.shape[-1]).double()
        wanted = wanted.expand(outputs.shape)
    else:
        return None
    spread = wanted.std(correction=0)
    return (wanted - wanted.mean()) / spread if spread > 0 else None


def _are_classes(outputs: Tensor, targets: Tensor) -> bool:
    """Whether targets [*B] number the classes of outputs [..., *B, C], and no other axis fits."""
    whole = not targets.is_floating_point() and targets.dtype != torch.bool
    rows, classes = outputs.shape[:-1], outputs.shape[-1]
    if not whole or not targets.numel() or classes < 2 or targets.dim() > len(rows):
        return False
    if outputs.dim() > 2 and targets.shape == outputs.shape[:1] + outputs.shape[2:]:
        return False  # torch counts classes along the second axis
    fits = targets.shape == rows[len(rows) - targets.dim() :]
    return fits and bool(((targets >= 0) & (targets < classes)).all())


def _asked(loss: Criterion, outputs: Tensor, targets: Any) -> float | None:
    try:
        return float(loss(outputs, targets).mean())
    except Exception:  # a loss need not take outputs that no model gave
        return None
