"""Long sequences in stretches, with an update after each: truncated backpropagation as it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.learning.gradients.objective import Objective, Params, within
from amphid.learning.gradients.walking import detached
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


@dataclass(frozen=True, eq=False)
class Stretch:
    """The loss of a model on a stretch, from a state, as a function of parameters by name.

    objective: with inputs and targets of the stretch. state: where it starts; at rest when None.
    """

    objective: Objective
    state: Any
    _after: list[Any] = field(default_factory=list)

    def __call__(self, params: Mapping[str, Tensor]) -> Tensor:
        """The loss at these parameters."""
        named = dict(self.model.named_parameters())
        own = all(held is named.get(name) for name, held in params.items())
        with self.objective.listening() as ear:
            outputs, after = within(self.model, params, self._run)
        if own:
            self._after[:] = [detached(after)]
        return self.objective.judged(outputs, params, ear)

    @property
    def model(self) -> nn.Module:
        """That of the objective."""
        return self.objective.model

    @property
    def inputs(self) -> Any:
        """Those of the stretch."""
        return self.objective.inputs

    @property
    def parts(self) -> tuple[Stretch, ...]:
        """Losses whose mean it is."""
        return (self,)

    def after(self, params: Params) -> Any:
        """The state in which the stretch ends at the model's own parameters.

        It is remembered from the loss at these; where an estimator asked for others only, the
        stretch is run once more.
        """
        return self._after[0] if self._after else _apart(self.model, params, self._run)

    def filled(self, leaves: Sequence[Any], params: Params) -> Stretch:
        """The same from a state of which only the leaves are known."""

        def first() -> tuple[Any, Any]:
            begun: tuple[Any, Any] = self.model.run(self.inputs[:1], None, **self.objective.timing)  # type: ignore[operator]
            return begun

        held, tree = pytree.tree_flatten(_apart(self.model, params, first))
        if len(held) != len(leaves):
            raise ValueError(
                f"the checkpoint holds a state of {len(leaves)} parts, this model has one of "
                f"{len(held)}: it belongs to another fit."
            )
        moved = [  # copies, since the bits of a product can depend on how memory is aligned
            leaf.to(like.device, copy=True) if isinstance(like, Tensor) else leaf
            for leaf, like in zip(leaves, held, strict=True)
        ]
        return replace(self, state=pytree.tree_unflatten(moved, tree))

    def _run(self) -> tuple[Any, Any]:
        timing = self.objective.timing
        ended: tuple[Any, Any] = self.model.run(self.inputs, self.state, **timing)  # type: ignore[operator]
        return ended


def _apart(model: nn.Module, params: Params, run: Any) -> Any:
    """The state after a run that leaves no trace in the buffers of the model."""
    buffers = {name: held.clone() for name, held in model.named_buffers()}
    with torch.no_grad():
        return detached(within(model, {**buffers, **params}, run)[1])


class Passing:
    """A group of batches on its way through time, all of them one stretch at a time."""

    def __init__(self, cut: Sequence[Sequence[Objective]], start: int, states: list[Any]) -> None:
        self.cut, self.place, self.states = cut, start, states

    def __len__(self) -> int:
        """How many stretches the longest has."""
        return max(len(stretches) for stretches in self.cut)

    def parts(self) -> tuple[Stretch, ...]:
        """The present stretches of those that are not through yet."""
        return tuple(Stretch(self.cut[k][self.place], self.states[k]) for k in self._going())

    def passed(self, parts: Sequence[Stretch], params: Params) -> None:
        """Go on to the next stretches, from the states that these end in."""
        for k, part in zip(list(self._going()), parts, strict=True):
            self.states[k] = pytree.tree_map_only(Tensor, Tensor.contiguous, part.after(params))
        self.place += 1

    def _going(self) -> Iterator[int]:
        return (k for k, held in enumerate(self.cut) if self.place < len(held))
