"""Long sequences in stretches, with an update after each: truncated backpropagation as it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.learning.gradients.objective import Objective
from amphid.learning.gradients.start import Start, detached
from amphid.models.sequential import makes_time


@dataclass(frozen=True)
class Stretches:
    """Cut sequences in stretches: an update after each, from the state that the last one left.

    The state is carried on, the gradient is not. The model needs `run(x, state, dt) -> (y, state)`;
    a readout such as `SpikeCount` gives its value of the sequence so far.

    steps: of a stretch; the last one of a sequence may have fewer. whole_targets: whether targets
        are of the whole sequence, such as classes [*B], by which every stretch is judged; otherwise
        they are [T, ...] and cut as the inputs are.
    Reference: Williams & Peng 1990, doi 10.1162/neco.1990.2.4.490.
    """

    steps: int
    whole_targets: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or self.steps < 1:
            raise ValueError(f"steps must be a number of steps, at least 1, got {self.steps!r}.")

    def check(self, model: nn.Module) -> None:
        """Raise TypeError for a model that cannot go on from a state."""
        if not callable(getattr(model, "run", None)):
            raise TypeError(
                "stretches need a model with run(x, state, dt) -> (y, state), such as "
                f"amphid.Sequential; got {type(model).__name__}."
            )
        if makes_time(model):
            raise TypeError(
                "stretches need a model that takes a sequence, but this one has an encoder that "
                "makes one of a still input: encode before, in the batches."
            )

    def cut(self, whole: Objective) -> list[Objective]:
        """The loss of a batch as those of its stretches."""
        inputs = whole.inputs
        if not isinstance(inputs, Tensor) or not inputs.dim():
            raise TypeError(
                f"stretches need inputs in one tensor [T, *B, N], got {type(inputs).__name__}."
            )
        return [
            replace(whole, inputs=inputs[start:stop], targets=self._targets(whole, start, stop))
            for start in range(0, len(inputs), self.steps)
            for stop in (min(start + self.steps, len(inputs)),)
        ]

    def _targets(self, whole: Objective, start: int, stop: int) -> Any:
        if self.whole_targets:
            return whole.targets

        def part(held: Tensor) -> Tensor:
            if not held.dim() or len(held) != len(whole.inputs):
                raise ValueError(
                    "targets are cut along time as the inputs are, [T, ...], but inputs have "
                    f"{len(whole.inputs)} steps and targets shape {list(held.shape)}. Targets of a "
                    "whole sequence need Stretches(..., whole_targets=True)."
                )
            return held[start:stop]

        return pytree.tree_map_only(Tensor, part, whole.targets)


def filled(first: Objective, leaves: Sequence[Any]) -> Any:
    """A state of which only the leaves are known, as a tree of a model that starts like this."""
    step = replace(first, inputs=first.inputs[:1])
    held, tree = pytree.tree_flatten(ended(step))
    if len(held) != len(leaves):
        raise ValueError(
            f"the checkpoint holds a state of {len(leaves)} parts, this model has one of "
            f"{len(held)}: it belongs to another fit."
        )
    moved = [  # copies, since the bits of a product can depend on how memory is aligned
        leaf.to(like.device, copy=True) if isinstance(like, Tensor) else leaf
        for leaf, like in zip(leaves, held, strict=True)
    ]
    return pytree.tree_unflatten(moved, tree)


def ended(stretch: Objective) -> Any:
    """The state after a stretch.

    It is remembered from the loss at the model's own parameters; where an estimator asked for
    others only, the stretch is run once more, and leaves no trace in the buffers of the model.
    """
    if stretch.start and stretch.start.ended:
        return stretch.start.ended[0]
    buffers = {name: held.clone() for name, held in stretch.model.named_buffers()}
    with torch.no_grad():
        return detached(stretch.within(buffers, stretch.run)[1])


class Passing:
    """A group of batches on its way through time, all of them one stretch at a time."""

    def __init__(self, cut: Sequence[Sequence[Objective]], start: int, states: list[Any]) -> None:
        self.cut, self.place, self.states = cut, start, states

    def __len__(self) -> int:
        """How many stretches the longest has."""
        return max(len(stretches) for stretches in self.cut)

    def parts(self) -> tuple[Objective, ...]:
        """The present stretches of those that are not through yet."""
        return tuple(
            replace(self.cut[k][self.place], start=Start(self.states[k])) for k in self._going()
        )

    def passed(self, parts: Sequence[Objective]) -> None:
        """Go on to the next stretches, from the states that these end in."""
        for k, part in zip(list(self._going()), parts, strict=True):
            self.states[k] = pytree.tree_map_only(Tensor, Tensor.contiguous, ended(part))
        self.place += 1

    def _going(self) -> Iterator[int]:
        return (k for k, held in enumerate(self.cut) if self.place < len(held))
