"""A cell whose membrane remembers all of its past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.fractional.exponentials import ExponentialMemory
from amphid.dynamics.fractional.memory import Memory
from amphid.dynamics.fractional.weights import check_order
from amphid.dynamics.neuron import (
    Membrane,
    MembraneNeuron,
    Neuron,
    NonlinearMembraneNeuron,
    relaxed,
)
from amphid.dynamics.values import Value


class FractionalState(NamedTuple):
    """State of cells with a membrane of fractional order."""

    neuron: Any  # state of the cell inside
    start: Tensor  # voltage from which all voltages are counted, mV
    memory: Any  # what is kept of past voltages
    drift: Tensor  # what the past alone would make of the voltage, mV per ms
    grain: Tensor  # dt^(1 - order) within a step, 1 between steps

    @property
    def v(self) -> Tensor:
        """Membrane potential [*B, N] in mV."""
        v: Tensor = self.neuron.v
        return v


class Fractional(MembraneNeuron[FractionalState]):
    r"""A cell whose voltage has a derivative of fractional order, and so remembers all its past.

    .. math:: C \frac{d^p v}{dt^p} = \text{drive} - g v + I, \qquad
              \frac{d^p v}{dt^p} = \frac{1}{\Gamma(1 - p)} \int_0^t \frac{\dot v(s)}{(t - s)^p} ds

    The derivative is Caputo's, from the voltage at which the cell starts, by the differences of
    Grünwald and Letnikov. A step is that of exponential Euler on the membrane that they come to:
    one with the capacitance :math:`C \Delta t^{1-p}` and a current from the past. So it is of
    first order in dt, a network may solve for its voltages as for any others, and at order 1 it is
    the cell inside (Izhikevich's, which has a method of its own, to first order). Gates,
    thresholds and releases keep the equations that they have. Time counts in ms: C is in
    pF ms^(p - 1), and a relaxation is :math:`E_p(-(g / C) t^p)`.

    A reset stays in the memory as part of the voltage trace, which is what makes such cells adapt
    (Teka et al., their figure 9). The past pulls back at once what a reset takes away, the more of
    it the shorter the step; where the voltage is held for a while, as in
    `Refractory(Fractional(LIF(), order=0.8), period=5.0)`, spikes do not hang on the step.

    neuron: the cell, one with a membrane. order: p, above 0 and at most 1, the same for all cells.
    memory: what is kept of the past; `ExponentialMemory` costs the same in every step and is
    compiled; memories that grow are run step by step by torch.
    Reference: Teka, Marinov & Santamaria 2014, doi 10.1371/journal.pcbi.1003526, who integrate by
    another first-order scheme (L1).
    """

    neuron: MembraneNeuron[Any]
    order: float
    memory: Memory

    def __init__(
        self,
        neuron: Neuron[Any],
        *,
        order: float,
        memory: Memory = ExponentialMemory(),  # noqa: B008  frozen
    ) -> None:
        super().__init__()
        self.neuron = _checked(neuron)
        self.output = neuron.output
        self.order = check_order("Fractional", order)
        if not isinstance(memory, Memory):
            raise TypeError(
                f"Fractional: memory must be one such as ExponentialMemory(), got {memory!r}."
            )
        self.memory = memory

    @property
    def unsteady(self) -> str:  # type: ignore[override]
        """Why no machine code can step such cells, where the memory grows."""
        if not self.memory.grows:
            return ""
        return (
            f"what {type(self.memory).__name__} keeps grows with the past, which only torch can "
            "step. Give memory=ExponentialMemory(), or run it by Torch()."
        )

    def extra_repr(self) -> str:
        """The order and the memory."""
        return f"order={self.order:g}, memory={self.memory!r}"

    def bound(self, select: Callable[[str], NDArray[np.int64]], cells: int) -> Fractional:
        """The same around the cell inside, bound to that network."""
        inside = self.neuron.bound(select, cells)
        same = inside is self.neuron
        return self if same else Fractional(inside, order=self.order, memory=self.memory)

    def init(self, like: Tensor) -> FractionalState:
        """As the cell inside starts, without a past."""
        return self._without_past(self.neuron.init(like))

    def step(
        self, state: FractionalState, current: Tensor, dt: float
    ) -> tuple[FractionalState, Tensor]:
        """One step of exponential Euler; currents that follow v at once are taken halfway."""
        state = self.gates(state, dt)
        membrane = self.membrane(state)
        if isinstance(self.neuron, NonlinearMembraneNeuron):
            halfway = relaxed(membrane, state.v, current, dt / 2)
            membrane = self.membrane(self.at(state, halfway))
        return self.emit(state, _moved(membrane, state.v, current, dt), dt)

    def at(self, state: FractionalState, v: Tensor) -> FractionalState:
        """The same state at another membrane potential."""
        return state._replace(neuron=self.neuron.at(state.neuron, v))

    def midpoint(self) -> Value | None:
        """That of the cell inside."""
        return self.neuron.midpoint()

    def settle(self, state: FractionalState, v: Tensor) -> FractionalState:
        """The cell inside settled at v, as if it had always been there."""
        return self._without_past(self.neuron.settle(state.neuron, v))

    def given(self, state: FractionalState) -> Tensor:
        """What the cell inside gives out."""
        return self.neuron.given(state.neuron)

    def read(self, state: FractionalState, field: str) -> Tensor:
        """One variable of the cell inside, or "drift": mV per ms that the past alone would make."""
        return state.drift if field == "drift" else self.neuron.read(state.neuron, field)

    def gates(self, state: FractionalState, dt: float) -> FractionalState:
        """Those of the cell inside; and the voltage that was reached becomes part of the past."""
        reached = state.v - state.start
        memory, above = self.memory.step(state.memory, reached, self.order)
        return state._replace(
            neuron=self.neuron.gates(state.neuron, dt),
            memory=memory,
            drift=above * (-1 / dt),
            grain=torch.ones_like(reached) * dt ** (1 - self.order),
        )

    def membrane(self, state: FractionalState) -> Membrane:
        """That of the cell inside, its capacitance that of a step, with the pull of the past."""
        inside = self.neuron.membrane(state.neuron)
        capacitance = inside.capacitance * state.grain
        return Membrane(capacitance, inside.conductance, inside.drive + capacitance * state.drift)

    def emit(self, state: FractionalState, v: Tensor, dt: float) -> tuple[FractionalState, Tensor]:
        """What the cell inside makes of v."""
        inside, given = self.neuron.emit(state.neuron, v, dt)
        return state._replace(neuron=inside, grain=torch.ones_like(state.grain)), given

    def _without_past(self, inside: Any) -> FractionalState:
        v = inside.v
        memory = self.memory.init(v, self.order)
        return FractionalState(inside, v, memory, torch.zeros_like(v), torch.ones_like(v))


def _moved(membrane: Membrane, v: Tensor, current: Tensor, dt: float) -> Tensor:
    """v after a step, also on a membrane that does not leak."""
    if isinstance(membrane.conductance, float) and membrane.conductance == 0.0:
        return v + (membrane.drive + current) * (dt / membrane.capacitance)
    return relaxed(membrane, v, current, dt)


def _checked(neuron: object) -> MembraneNeuron[Any]:
    """The neuron; TypeError for one without a membrane, or with an order already."""
    if not isinstance(neuron, Neuron):
        raise TypeError(f"Fractional: neuron must be a Neuron such as LIF(), got {neuron!r}.")
    if not isinstance(neuron, MembraneNeuron) or not neuron.solvable:
        raise TypeError(
            f"Fractional: {type(neuron).__name__} has no membrane, whose derivative could have "
            "another order; LIF, Graded or HodgkinHuxley have one."
        )
    if any(isinstance(part, Fractional) for part in neuron.modules()):
        raise TypeError(
            f"Fractional: {type(neuron).__name__} holds cells that have an order already."
        )
    return neuron
