"""Runs of a model with something added to what arrives at its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils import _pytree as pytree

from amphid.learning.fitting.draws import Draws
from amphid.learning.gradients.cells.arriving import Chosen, Entry, Heard, Moved
from amphid.learning.gradients.objective import Activity, Ear, Objective, Params
from amphid.learning.gradients.sections import stack
from amphid.learning.watching import cells_of, surrounded
from amphid.models import Recurrent, Sequential

STACKS = (nn.Sequential.forward, Sequential.forward)
"""What models do that apply their layers one after another and nothing else."""


class Passes:
    """A run of an objective as it is, and then others with something added, of the same numbers.

    Generators and buffers are left where one run leaves them. In a stack of layers what comes
    before the first cells is computed once. cells: chooses the modules that are cells. steps: time
    steps for which an offset stands. estimator: who asks, for errors.
    """

    def __init__(
        self, objective: Objective, params: Params, cells: Chosen, steps: int | None, estimator: str
    ) -> None:
        self.objective, self.params, self.steps = objective, params, steps
        self.named = list(cells_of(objective.model, cells))
        self.draws = Draws((), (objective.model, objective.loss))
        self.before = self.draws.now()
        self.buffers: Params = {}  # those that a run moves, as they were
        self.tail: tuple[nn.Sequential, Tensor] | None = None  # from the first cells on, and theirs
        self.heard_for: dict[str, tuple[int, float]] = {}  # steps and ms per step, by cells
        self.estimator = estimator
        self._check_reached()

    def heard(self) -> tuple[Tensor, list[Entry]]:
        """The loss [*owners] of the objective, cut at its cells, and what happened at each."""
        model, hear = self.objective.model, Heard(self._mark)
        held = dict(model.named_buffers()) if model.training else {}
        before = {name: own.clone() for name, own in held.items()}
        with surrounded(self.named, hear):
            value = self.objective(self.params)
        self.buffers = {name: own for name, own in before.items() if not own.equal(held[name])}
        if not hear.entries:
            raise TypeError(
                f"{self.estimator} needs cells whose input it can move, but none was called in "
                f"{type(self.objective.model).__name__}: choose them, as in "
                "cells=lambda module: isinstance(module, MyCells)."
            )
        self.tail = self._tail(hear.entries[0])
        if self.tail is not None:
            self.before = self.mark
        return value, hear.entries

    def _mark(self) -> None:
        self.draws.drawn()
        self.mark = self.draws.now()

    def _tail(self, first: Entry) -> tuple[nn.Sequential, Tensor] | None:
        """The layers from the first cells on and what these were given, where that is the model."""
        model = self.objective.model
        names = [name for name, _ in model.named_children()]
        if not isinstance(model, nn.Sequential) or type(model).forward not in STACKS:
            return None
        # layers before tell how many axes the batch has; a layer that stands twice has one name
        if first.name not in names or first.fed.dim() > 3 or len(names) < len(model):
            return None
        return stack(model, names.index(first.name), len(names)), first.fed

    def losses(self, offsets: Sequence[Tensor]) -> Tensor:
        """The losses [S, *owners] with offsets, for each call of cells [S, *shape]."""
        after = self.draws.now()
        self.draws.drawn()
        try:
            with torch.no_grad():
                return self._losses(offsets)
        finally:
            self.draws.put(after)

    def _losses(self, offsets: Sequence[Tensor]) -> Tensor:
        count = len(offsets[0])
        moving = {name: own.expand(count, *own.shape).clone() for name, own in self.buffers.items()}
        given = list(offsets), moving
        self.draws.put(self.before)
        try:
            found: tuple[Any, Params] = vmap(self._outputs, randomness="same")(*given)
        except Exception:  # what is wrong with the model itself, the next line tells
            return torch.stack([self._loss(own) for own in _members(given, count)])
        return self._judged(*found)

    def _loss(self, member: Any) -> Tensor:
        self.draws.put(self.before)
        return self._judge(*self._outputs(*member))

    def _outputs(self, offsets: list[Tensor], buffers: Params) -> tuple[Any, Params]:
        """What the model gives out, and how much its cells did in all."""
        with surrounded(self.named, Moved(offsets, self.steps)):
            outputs, ear = self._run({**buffers, **self.params})
        self.heard_for = {name: own[1:] for name, own in ear.heard.items()}
        return outputs, {name: own.total for name, own in ear.heard.items()}

    def _run(self, held: Params) -> tuple[Any, Ear]:
        objective = self.objective
        if self.tail is None:
            return objective.outputs(held)
        layers, fed = self.tail
        with objective.listening() as ear:
            return objective.within(held, lambda: layers(fed, **objective.timing)), ear

    def _judged(self, outputs: Any, totals: Params) -> Tensor:
        """The losses of all runs: at once, or one by one where the criterion wants numbers."""
        after = self.draws.now()
        try:
            found: Tensor = vmap(self._judge, randomness="same")(outputs, totals)
        except Exception:  # what is wrong with the criterion itself, the next lines tell
            losses = []
            for member in _members((outputs, totals), len(pytree.tree_leaves(outputs)[0])):
                self.draws.put(after)
                losses.append(self._judge(*member))
            found = torch.stack(losses)
        return found

    def _judge(self, outputs: Any, totals: Params) -> Tensor:
        ear = Ear(1.0)
        for name, total in totals.items():
            ear.take(name, Activity(total, *self.heard_for[name]))
        return self.objective.judged(outputs, self.params, ear)

    def _check_reached(self) -> None:
        """Raise ValueError for parameters of the cells themselves."""
        inside = [name for name in self.params for own in self.named if _is_inside(name, *own)]
        if inside:
            raise ValueError(
                f"{self.estimator} cannot train {', '.join(inside)}: it learns what leads to cells "
                "and what comes after the last of them, not what is inside. Leave these out of the "
                "optimizer, or give them another estimator."
            )


def _is_inside(name: str, cells: str, module: nn.Module) -> bool:
    """Whether a parameter belongs to cells, other than what carries their output back to them."""
    prefix = f"{cells}." if cells else ""
    if not name.startswith(prefix):
        return False
    back = isinstance(module, Recurrent) and name.startswith(f"{prefix}projection.")
    return not back


def _members(given: Any, count: int) -> Iterator[Any]:
    """What each of the members has in a tree of tensors [S, ...]."""
    for place in range(count):
        yield pytree.tree_map(lambda own: own[place], given)  # noqa: B023
