"""Which part of a loss a parameter answers for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.learning.gradients.objective import Criterion, Objective, Params
from amphid.models import Gain
from amphid.models.layer import Readout

Credit = Mapping[str, int]
"""For parameters by name, the axis whose entry j is to blame for owner j of the last axis alone."""


@dataclass(frozen=True)
class Credited:
    """A criterion asked apart for each output cell, example or block of time: each is an owner.

    criterion: `criterion(outputs, targets)`, which it is given with an axis of size 1 where it is
        asked apart; the mean of what it gives counts.
    outputs: apart for each cell of the last axis. examples: apart for each example of the batch,
        all axes of *B as one. steps: apart for every so many time steps, each block judged by
        itself; the last may be shorter.
    sequence: whether outputs are [T, *B, N]; False where a readout has made them [*B, N].

    The value is [blocks, examples, outputs], without the axes that are not asked for; its mean is
    the loss. Targets have the shape of the outputs, or lack their time axis, or their cells too.
    Of an `Objective` with this loss, estimators that perturb know that the rows of the last
    `Linear`, and what comes after it cell by cell, answer only for their own output.
    """

    criterion: Criterion
    outputs: bool = False
    examples: bool = False
    steps: int | None = None
    sequence: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.criterion, type) or not callable(self.criterion):
            raise TypeError(f"criterion must be such as VanRossum(), got {self.criterion!r}.")
        if self.steps is not None and (self.steps != int(self.steps) or self.steps < 1):
            raise ValueError(f"steps must be a number of time steps, got {self.steps!r}.")
        if self.steps is not None and not self.sequence:
            raise ValueError("steps needs outputs [T, *B, N]: leave it out, or sequence=False.")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each owner [blocks, examples, outputs], as far as these were asked for."""
        least = 2 if self.sequence else 1
        if outputs.dim() < least or targets.dim() > outputs.dim():
            raise ValueError(
                f"outputs must be {'[T, *B, N]' if self.sequence else '[*B, N]'} and targets no "
                f"more than that: got shapes {list(outputs.shape)} and {list(targets.shape)}."
            )
        if self.steps is None:
            return self._block(outputs, targets)
        size = int(self.steps)
        timed = targets.dim() == outputs.dim()
        blocks = outputs.split(size)
        wanted = targets.split(size) if timed else [targets] * len(blocks)
        return torch.stack([self._block(*pair) for pair in zip(blocks, wanted, strict=True)])

    def _block(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each owner [examples, outputs]."""
        criterion: Any = self.criterion
        if getattr(criterion, "reduction", None) is not torch.mean:
            return self._examples(outputs, targets)
        # what the losses of this package average they can give for each owner at once
        each: Tensor = replace(criterion, reduction=None)(outputs, targets)
        cells = each.dim() == outputs.dim() - self.sequence
        if self.outputs and not cells:
            return self._examples(outputs, targets)  # which says why not
        each = each.reshape(-1, outputs.shape[-1] if cells else 1)  # [examples, cells]
        kept = [0] * (not self.examples) + [1] * (not self.outputs)
        return each.mean(kept) if kept else each

    def _examples(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if not self.examples:
            return self._outputs(outputs, targets)
        first = int(self.sequence)
        own = _one_batch_axis(outputs, first, outputs.dim() - 1)
        missing = outputs.dim() - targets.dim()
        axis = 0 if missing else first
        end = targets.dim() if missing == 1 + first else targets.dim() - 1
        return _apart(self._outputs, own, _one_batch_axis(targets, axis, end), first, axis)

    def _outputs(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if not self.outputs:
            return self._whole(outputs, targets)
        if targets.shape[-1:] != outputs.shape[-1:]:
            raise ValueError(
                "a loss apart for each output needs a target for each: outputs have shape "
                f"{list(outputs.shape)}, targets {list(targets.shape)}."
            )
        return _apart(self._whole, outputs, targets, -1, -1)

    def _whole(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.criterion(outputs, targets).mean()


def _one_batch_axis(x: Tensor, start: int, stop: int) -> Tensor:
    """The same with the axes from start to stop as one."""
    shape = x.shape
    return x.reshape(*shape[:start], -1, *shape[stop:])


def _apart(criterion: Criterion, outputs: Tensor, targets: Tensor, axis: int, other: int) -> Tensor:
    """A criterion of each slice along an axis of the outputs, and one of the targets."""

    def one(own: Tensor, wanted: Tensor) -> Tensor:
        return criterion(own.unsqueeze(axis), wanted.unsqueeze(other))

    try:
        return torch.func.vmap(one, (axis, other), randomness="same")(outputs, targets)
    except RuntimeError:  # what it computes depends on values, as distances of trains may
        pairs = zip(outputs.unbind(axis), targets.unbind(other), strict=True)
        return torch.stack([one(*pair) for pair in pairs])


def credit_of(loss: Any, params: Params, given: Credit | None = None) -> dict[str, int]:
    """The credit that was given, else what the model of an `Objective` tells, or a loss itself.

    Raises ValueError for a parameter or an axis that is not there.
    """
    if given is None:
        first = getattr(loss, "parts", (loss,))[0]
        return dict(first.credit(params) if hasattr(first, "credit") else _told(first, params))
    for name, axis in given.items():
        if name not in params or not -params[name].dim() <= axis < params[name].dim():
            shapes = {name: list(held.shape) for name, held in params.items()}
            raise ValueError(
                f"credit must name a parameter and one of its axes, got {name!r} and {axis!r} "
                f"where there are {shapes}."
            )
    return {name: axis % params[name].dim() for name, axis in given.items()}


def _told(loss: Any, params: Params) -> Iterator[tuple[str, int]]:
    # a penalty is added to every owner alike, so that no owner answers for its own share alone
    if not isinstance(loss, Objective) or loss.penalties:
        return
    if not isinstance(loss.loss, Credited) or not loss.loss.outputs:
        return
    for prefix, layer in backwards(loss.model):
        linear = isinstance(layer, nn.Linear)
        if not linear and not isinstance(layer, Neuron | Readout | Gain):
            return
        for name, held in layer.named_parameters(prefix):
            if name in params and held.dim() == (2 if name.endswith("weight") and linear else 1):
                yield name, 0
        if linear:
            return


def backwards(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers of a stack by name, the last first."""
    if not isinstance(model, nn.Sequential):
        yield prefix, model
        return
    for key, child in reversed(list(model.named_children())):
        yield from backwards(child, f"{prefix}.{key}" if prefix else key)
