"""Walk a model through time in stretches, with checkpoints or with the gradient cut between."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from amphid.learning.gradients.objective import Activity, Ear, Objective
from amphid.learning.gradients.sections import Sections, sections
from amphid.learning.gradients.start import detached

Stretch = tuple[Any, Any, dict[str, Activity]]


def walked(
    objective: Objective,
    params: Mapping[str, Tensor],
    *,
    checkpointed: bool | int,
    truncate: int | None,
    clipping: tuple[float, int] | None = None,
) -> Tensor:
    """The loss of an objective whose model goes through time bit by bit.

    checkpointed: steps between the states that are kept; what lies between is computed again for
        the gradient. True takes the square root of all steps, False keeps everything.
    truncate: steps after which the gradient is cut.
    clipping: how far from zero an entry of what passes back through the state may be, and steps
        after which it is looked at.
    """
    parts = check_runs(objective)
    ear, sequence = objective.listening().ear, objective.inputs
    if parts.before is not None:
        sequence = _whole(objective, params, parts.before, sequence, ear)
    stretch = _stretch(len(sequence), checkpointed, truncate)
    every = clipping[1] if clipping else truncate
    state, outputs = None, []
    moving: Collection[str] | None = None  # names of the buffers that a stretch changes, once known
    for start, stop in _bounds(len(sequence), stretch, every):
        if clipping and start % clipping[1] == 0:
            state = clipped(state, clipping[0])
        if truncate and start % truncate == 0:
            state = detached(state)
        part = replace(objective, inputs=sequence[start:stop])
        going = _Going(part, parts.through, params, moving)
        if stretch is None:
            given, state, heard = going(state)
        else:
            given, state, heard = checkpoint(going, state, use_reentrant=False)
        moving = going.buffers
        outputs.append(given)
        _hear(ear, heard)
    joined = pytree.tree_map(_joined, *outputs)
    if parts.after is not None:
        joined = _whole(objective, params, parts.after, joined, ear)
    return objective.judged(joined, params, ear)


def _whole(
    objective: Objective, params: Mapping[str, Tensor], part: nn.Module, x: Any, ear: Ear
) -> Any:
    """What a part of the model makes of all of time at once."""
    with objective.listening() as own:
        given = objective.within(params, lambda: part(x, **objective.timing))
    _hear(ear, own.heard)
    return given


def _hear(ear: Ear, heard: Mapping[str, Activity]) -> None:
    for name, activity in heard.items():
        ear.take(name, Activity(*activity))


def check_runs(objective: Objective) -> Sections:
    """The sections of the model; TypeError unless it can be walked through time."""
    found = sections(objective.model)
    if not callable(getattr(found.through, "run", None)):
        raise TypeError(
            "walking through time in stretches needs a model with run(x, state, dt) -> (y, state), "
            f"such as models.Sequential; got {type(objective.model).__name__}."
        )
    if not isinstance(objective.inputs, Tensor):
        raise TypeError(
            "walking through time in stretches needs inputs in one tensor [T, *B, N], got "
            f"{type(objective.inputs).__name__}."
        )
    return found


def clipped(state: Any, limit: float) -> Any:
    """The same state; no entry of the gradient that passes back through it is beyond the limit."""

    def one(x: Any) -> Any:
        learned = isinstance(x, Tensor) and x.requires_grad
        return _Clipped.apply(x, limit) if learned else x  # type: ignore[no-untyped-call]

    return pytree.tree_map(one, state)


class _Clipped(torch.autograd.Function):
    """The identity, whose gradient is clipped entry by entry."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float) -> Tensor:
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return slopes[0].clamp(-ctx.limit, ctx.limit), None


class _Going:
    """One stretch: from a state to outputs, a state and what was heard; the same when repeated."""

    def __init__(
        self,
        part: Objective,
        through: Any,
        params: Mapping[str, Tensor],
        moving: Collection[str] | None,
    ) -> None:
        self.part, self.through, self.params, self.moving = part, through, params, moving
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
        after: tuple[Any, Any] = self.through.run(self.part.inputs, state, **self.part.timing)
        return after

    def _go(self, state: Any, buffers: dict[str, Tensor]) -> Stretch:
        part = self.part
        with part.listening() as ear:
            held = {**buffers, **self.params}
            given, state = part.within(held, self._run, state)
        return given, state, ear.heard


def _stretch(steps: int, checkpointed: bool | int, truncate: int | None) -> int | None:  # noqa: FBT001
    if checkpointed is True:
        root = max(math.isqrt(steps), 1)
        return min(root, truncate or root)
    return checkpointed or None


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
