"""Walk a model through time in stretches, with checkpoints or with the gradient cut between."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from amphid.learning.gradients.objective import Activity, Objective, within

Stretch = tuple[Any, Any, dict[str, Activity]]


def walked(
    objective: Objective,
    params: Mapping[str, Tensor],
    *,
    stretch: int | None,
    truncate: int | None,
) -> Tensor:
    """The loss of an objective whose model goes through time bit by bit.

    stretch: steps between the states that are kept; what lies between is computed again for the
        gradient. None keeps everything. truncate: steps after which the gradient is cut.
    """
    check_runs(objective)
    state, outputs, ear = None, [], objective.listening().ear
    moving: Collection[str] | None = None  # names of the buffers that a stretch changes, once known
    for start, stop in _bounds(len(objective.inputs), stretch, truncate):
        if truncate and start % truncate == 0:
            state = detached(state)
        part = replace(objective, inputs=objective.inputs[start:stop])
        going = _Going(part, params, moving)
        if stretch is None:
            given, state, heard = going(state)
        else:
            given, state, heard = checkpoint(going, state, use_reentrant=False)
        moving = going.buffers
        outputs.append(given)
        for name, activity in heard.items():
            ear.take(name, Activity(*activity))
    return objective.judged(pytree.tree_map(_joined, *outputs), params, ear)


def check_runs(objective: Objective) -> None:
    """Raise TypeError unless the objective's model can be walked through time."""
    if not isinstance(objective, Objective):
        raise TypeError(
            "walking through time in stretches needs an Objective(model, inputs, targets, loss), "
            f"as fit makes it; got {type(objective).__name__}."
        )
    if not callable(getattr(objective.model, "run", None)):
        raise TypeError(
            "walking through time in stretches needs a model with run(x, state, dt) -> (y, state), "
            f"such as models.Sequential; got {type(objective.model).__name__}."
        )
    if not isinstance(objective.inputs, Tensor):
        raise TypeError(
            "walking through time in stretches needs inputs in one tensor [T, *B, N], got "
            f"{type(objective.inputs).__name__}."
        )


def detached(state: Any) -> Any:
    """The same state, through which no gradient passes."""
    return pytree.tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, state)


class _Going:
    """One stretch: from a state to outputs, a state and what was heard; the same when repeated."""

    def __init__(
        self, part: Objective, params: Mapping[str, Tensor], moving: Collection[str] | None
    ) -> None:
        self.part, self.params, self.moving = part, params, moving
        self.generators = list(_generators(part.model))
        self.drawn = [generator.get_state() for generator in self.generators]
        self.buffers: dict[str, Tensor] = {}
        self.gone = False

    def __call__(self, state: Any) -> Stretch:
        if not self.gone:
            self.gone = True
            return self._first(state)
        now = [generator.get_state() for generator in self.generators]
        try:
            self._draw_again(self.drawn)
            # on copies, so that running averages do not take the same stretch in twice
            return self._go(state, {name: held.clone() for name, held in self.buffers.items()})
        finally:
            self._draw_again(now)

    def _first(self, state: Any) -> Stretch:
        held = dict(self.part.model.named_buffers())
        before = {
            name: (buffer._version, buffer.clone())
            for name, buffer in held.items()
            if self.moving is None or name in self.moving
        }
        result = self._go(state, {})
        self.buffers = {
            name: value
            for name, (version, value) in before.items()
            if held[name]._version != version
        }
        return result

    def _draw_again(self, states: list[Tensor]) -> None:
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)

    def _run(self, state: Any) -> tuple[Any, Any]:
        run: Any = self.part.model.run
        return run(self.part.inputs, state, **self.part.timing)

    def _go(self, state: Any, buffers: dict[str, Tensor]) -> Stretch:
        part = self.part
        with part.listening() as ear:
            held = {**buffers, **self.params}
            given, state = within(part.model, held, self._run, state)
        return given, state, ear.heard


def _bounds(steps: int, stretch: int | None, truncate: int | None) -> Iterator[tuple[int, int]]:
    block = truncate or steps
    for start in range(0, steps, block):
        end = min(start + block, steps)
        for first in range(start, end, stretch or block):
            yield first, min(first + (stretch or block), end)


def _generators(model: nn.Module) -> Iterator[torch.Generator]:
    for module in model.modules():
        for held in vars(module).values():
            if isinstance(held, torch.Generator):
                yield held


def _joined(*parts: Any) -> Any:
    return torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0]
