"""Cells that hear one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.dynamics.neuron import in_full
from amphid.dynamics.values import check_dt
from amphid.kernels import copy_by_copy, is_mapped
from amphid.models.connections import Connections
from amphid.models.folding import Leading, check_cells, check_ordinary, check_type, folded, has_time
from amphid.models.layer import Layer, Stepping, check_sequence, check_state
from amphid.models.recurrent_sequence import run_recurrent
from amphid.models.sequential import stepping
from amphid.wiring import Connectome


class RecurrentState(NamedTuple):
    """State of recurrent cells."""

    neuron: Any  # state of the cells
    given: Tensor  # what they gave out in the last step [*B, N]
    projection: Any  # state of what carries it back, () where it has none


class Recurrent(Layer):
    """Cells that receive, on top of the input, what they themselves gave out one step before.

    neuron: the cells. projection: from what they give out [*B, N] to a current [*B, N] in pA: any
    module, such as `nn.Linear(n, n, bias=False)` or a convolution that keeps its maps in size; a
    layer with a state, such as `DelayedLinear`, whose delays come on top of the one step; or a
    `Connectome`, whose connections learn a weight each, see `Connections`.
    """

    def __init__(self, neuron: Neuron[Any], projection: nn.Module | Connectome) -> None:
        super().__init__()
        if not isinstance(neuron, Neuron):
            raise TypeError(f"Recurrent: neuron must be a Neuron such as LIF(), got {neuron!r}.")
        if isinstance(projection, Connectome):
            size = len(projection)
            neuron, projection = neuron.bound(projection.select, size), Connections(projection)
        if not isinstance(projection, nn.Module):
            raise TypeError(
                "Recurrent: projection must be a module such as nn.Linear(n, n), or a Connectome, "
                f"got {projection!r}."
            )
        check_ordinary("projection", projection)
        self.neuron, self.projection = neuron, projection

    def init(self, like: Tensor) -> RecurrentState:
        """At rest, for cells shaped as `like` [*B, N]."""
        state = self.neuron.init(like)
        return RecurrentState(state, self.neuron.given(state), ())

    def run(
        self, x: Tensor, state: RecurrentState | None = None, dt: float = 1.0
    ) -> tuple[Tensor, RecurrentState]:
        """Output [T, *B, N] under a current [T, *B, N] in pA on top of their own."""
        check_sequence(self, x)
        check_dt(dt)
        x = in_full(x)
        _check_projection(self.projection, x)
        check_cells("neuron", self.neuron, x.shape[1:])
        now = self.init(x[0]) if state is None else state
        check_state(self, now.given, x.shape[1:], "cells")
        if is_mapped(x) and not torch.is_grad_enabled():
            result: tuple[Tensor, RecurrentState] = copy_by_copy(
                self, lambda x, now: self.run(x, now, dt), x, now
            )
            return result
        found = run_recurrent(self, self.neuron, self.projection, x, now, dt)
        if found is not None:
            return found[0], RecurrentState(*found[1])
        return self.run_plainly(x, now, dt)

    def run_plainly(
        self, x: Tensor, state: RecurrentState, dt: float
    ) -> tuple[Tensor, RecurrentState]:
        """The same, one step after another in torch: the reference, and what transforms see."""
        outputs, step, now = [], self.stepping(dt), state
        for present in x.unbind(0):
            now, given = step(now, present)
            outputs.append(given)
        return torch.stack(outputs), now

    def stepping(self, dt: float) -> Stepping:
        """One step at that dt in ms, with all that no step changes computed once."""
        back = self._carrying(dt)

        def step(state: RecurrentState | None, x: Tensor) -> tuple[RecurrentState, Tensor]:
            now = state or self.init(x)
            carrier, arriving = back(now.projection, now.given)
            _check_arriving(self.projection, arriving, x)
            inside, given = self.neuron.step(now.neuron, x + arriving, dt)
            return RecurrentState(inside, given, carrier), given

        return step

    def _carrying(self, dt: float) -> Callable[[Any, Tensor], tuple[Any, Tensor]]:
        """What carries the output back, in one step."""
        module = self.projection
        if has_time(module):
            return stepping(module, dt)
        if isinstance(module, nn.Linear):
            return lambda state, given: ((), module(given))
        return lambda state, given: ((), folded("projection", module, given[None], Leading())[0])


def _check_projection(module: nn.Module, x: Tensor) -> None:
    """Raise ValueError or TypeError for a linear map that does not take what the cells give."""
    if isinstance(module, nn.Linear) and module.in_features != x.shape[-1]:
        raise ValueError(
            f"Recurrent: projection (Linear) takes {module.in_features} cells, but there are "
            f"{x.shape[-1]}: the input has shape {list(x.shape)}."
        )
    if x.is_floating_point() and isinstance(module, nn.Linear | Connections):
        check_type(f"Recurrent: projection ({type(module).__name__})", module, x)


def _check_arriving(module: nn.Module, arriving: Tensor, x: Tensor) -> None:
    if arriving.shape != x.shape:
        raise ValueError(
            f"Recurrent: projection ({type(module).__name__}) gives [*B, N] = "
            f"{list(arriving.shape)}, but the cells are {list(x.shape)}: it must keep their shape."
        )
