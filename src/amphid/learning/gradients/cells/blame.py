"""Which part of a loss what arrives at a cell answers for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics import Neuron
from amphid.learning.gradients.cells.arriving import Entry
from amphid.learning.gradients.credit import Credited, backwards
from amphid.learning.gradients.objective import Objective
from amphid.models import Gain
from amphid.models.layer import Readout


class Owners(NamedTuple):
    """What the axes of a loss [blocks?, examples?, outputs?] are."""

    block: int | None = None  # time steps of each entry of the first axis, if that is time
    examples: bool = False
    outputs: bool = False

    @classmethod
    def of(cls, objective: Objective, value: Tensor) -> Owners:
        """Those of an objective; a plain criterion that gives a vector gives one of examples."""
        own = objective.loss
        if isinstance(own, Credited):
            return cls(own.steps, own.examples, own.outputs)
        if value.dim() > 1:
            raise ValueError(
                "loss must give a scalar, or one entry for each example, got shape "
                f"{list(value.shape)}: learning.Credited says what owners of other kinds are."
            )
        return cls(examples=value.dim() == 1)


@dataclass(frozen=True)
class Blame:
    """How much of the losses each entry of the noise at some cells answers for.

    steps: time steps that share a number. window: time steps after these, up to which a loss may be
    their doing; all that come when None.
    """

    owners: Owners
    steps: int
    window: int | None

    def __call__(self, differences: Tensor, entry: Entry, *, alone: bool) -> Tensor:
        """Differences of losses [K, *owners], summed over owners and shaped as noise [K, ...].

        alone: whether each cell gives one of the outputs, and answers for no other.
        """
        whole = self._in_full(differences)  # [K, blocks, examples, outputs]
        whole = whole if alone else whole.sum(3, keepdim=True)
        start, stop = batch_axes(entry, whole.shape[2] if self.owners.examples else None)
        whole = self._in_time(whole, len(entry.arriving)) if start else whole.sum(1, keepdim=True)
        shape = entry.arriving.shape
        batch = shape[start:stop] if self.owners.examples else (1,) * (stop - start)
        rest = (1,) * (len(shape) - stop - 1)
        found = whole.reshape(len(whole), whole.shape[1], *batch, *rest, whole.shape[3])
        return found if start else found[:, 0]

    def _in_full(self, differences: Tensor) -> Tensor:
        blocks, examples, outputs = self.owners
        for axis, there in enumerate((blocks is not None, examples, outputs), 1):
            differences = differences if there else differences.unsqueeze(axis)
        return differences

    def _in_time(self, whole: Tensor, length: int) -> Tensor:
        """Of what each stretch of noise may have caused, the sum [K, stretches, ...]."""
        if (size := self.owners.block) is None:
            return whole
        first = torch.arange(0, length, self.steps, device=whole.device)[:, None]
        begin = size * torch.arange(whole.shape[1], device=whole.device)
        caused = begin + size > first
        if self.window is not None:
            caused &= begin < first + self.steps + self.window
        return torch.einsum("jb,kbeo->kjeo", caused.to(whole), whole)


def batch_axes(entry: Entry, examples: int | None) -> tuple[int, int]:
    """First and last axis of the batch of what arrives at cells, where the losses tell them.

    Raises ValueError where there are not as many examples as losses.
    """
    shape = entry.arriving.shape
    start = int(entry.timed)
    if examples is None:
        return start, len(shape) - 1
    for low in dict.fromkeys((start, 0 if len(shape) == 2 else start)):
        for stop in range(low + 1, len(shape)):
            if shape[low:stop].numel() == examples:
                return low, stop
    raise ValueError(
        f"the loss has an entry for each of {examples} examples, but what arrives at cells "
        f"{entry.name!r} has shape {list(shape)}, in which they are not found: [T, *B, N] for "
        "cells with time, [*B, N] for others."
    )


def one_each(objective: Objective, entry: Entry) -> bool:
    """Whether each of the cells gives one of the outputs of a model and has no part in another."""
    if not isinstance(objective.loss, Credited) or not objective.loss.outputs:
        return False
    for name, layer in backwards(objective.model):
        if layer is entry.cells:
            return name == entry.name and isinstance(layer, Neuron)
        if not isinstance(layer, Neuron | Readout | Gain):
            return False
    return False
