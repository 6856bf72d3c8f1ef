"""Cells that are dead in some trials of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.neuron import Membrane, MembraneNeuron, Neuron
from amphid.dynamics.values import Value


class Ablated(MembraneNeuron[Any]):
    """A cell that gives out nothing, takes no current and keeps its voltage where it is dead.

    It is made for batches in which each trial lacks other cells: `alive` costs one number per cell
    and trial, while weights would cost one per connection and trial. Its state is that of the cell
    inside. Gap junctions act whatever a cell gives out; a `Network` cuts them, see
    `Network.lesioned`.

    neuron: the cell. alive: [*B, N], 1 where it lives, 0 where it is dead.
    """

    neuron: Neuron[Any]
    alive: Tensor

    def __init__(self, neuron: Neuron[Any], *, alive: Tensor) -> None:
        super().__init__()
        _check_ablated(neuron, alive)
        self.neuron, self.output = neuron, neuron.output
        typed = alive if alive.is_floating_point() else alive.to(torch.get_default_dtype())
        self.hold(alive=typed)

    @property
    def solvable(self) -> bool:
        """Whether a network may solve the voltages of the cell inside."""
        return isinstance(self.neuron, MembraneNeuron) and self.neuron.solvable

    def bound(self, select: Callable[[str], NDArray[np.int64]], cells: int) -> Neuron[Any]:
        """The same around the cell inside, bound to that network."""
        inside = self.neuron.bound(select, cells)
        return self if inside is self.neuron else Ablated(inside, alive=self.alive)

    def init(self, like: Tensor) -> Any:
        """As the cell inside starts."""
        return self.neuron.init(like)

    def step(self, state: Any, current: Tensor, dt: float) -> tuple[Any, Tensor]:
        """One step of the cell inside, where it lives."""
        return self._held(state, *self.neuron.step(state, self._living(current), dt))

    def at(self, state: Any, v: Tensor) -> Any:
        """The same state at another membrane potential."""
        return self.neuron.at(state, v)

    def midpoint(self) -> Value | None:
        """That of the cell inside, zero where it is dead."""
        value = self.neuron.midpoint()
        return None if value is None else self.alive * value

    def settle(self, state: Any, v: Tensor) -> Any:
        """The cell inside settled at v, where it lives; elsewhere as it starts."""
        return self.neuron.settle(state, torch.where(self.alive > 0, v, state.v))

    def given(self, state: Any) -> Tensor:
        """What the cell inside gives out, nothing where it is dead."""
        return self._living(self.neuron.given(state))

    def read(self, state: Any, field: str) -> Tensor:
        """One variable of the cell inside; what a dead cell releases reads as zero."""
        value = self.neuron.read(state, field)
        return self._living(value) if field == "release" else value

    def gates(self, state: Any, dt: float) -> Any:
        """Those of the cell inside."""
        return self._membrane_neuron().gates(state, dt)

    def membrane(self, state: Any) -> Membrane:
        """That of the cell inside."""
        return self._membrane_neuron().membrane(state)

    def emit(self, state: Any, v: Tensor, dt: float) -> tuple[Any, Tensor]:
        """The cell inside at v, where it lives."""
        v = torch.where(self.alive > 0, v, state.v)
        return self._held(state, *self._membrane_neuron().emit(state, v, dt))

    def _held(self, before: Any, after: Any, given: Tensor) -> tuple[Any, Tensor]:
        """What became of the cell inside: its voltage put back, and silence, where it is dead."""
        v = torch.where(self.alive > 0, after.v, before.v)
        return self.neuron.at(after, v), self._living(given)

    def _living(self, value: Tensor) -> Tensor:
        return torch.where(self.alive > 0, value, 0.0)

    def _membrane_neuron(self) -> MembraneNeuron[Any]:
        if not isinstance(self.neuron, MembraneNeuron):
            raise TypeError(
                f"{type(self.neuron).__name__} has no membrane that a network could solve for."
            )
        return self.neuron


def _check_ablated(neuron: object, alive: object) -> None:
    if not isinstance(neuron, Neuron):
        raise TypeError(f"Ablated: neuron must be a Neuron such as LIF(), got {neuron!r}.")
    if not isinstance(alive, Tensor) or not alive.dim():
        raise TypeError(f"Ablated: alive must be a tensor [*B, N] of 0 and 1, got {alive!r}.")
    if not bool(((alive == 0) | (alive == 1)).all()):
        raise ValueError("Ablated: alive must hold nothing but 0 and 1.")
