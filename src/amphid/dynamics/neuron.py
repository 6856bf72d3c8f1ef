"""What one cell does in one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.sequence import run_sequence
from amphid.dynamics.surrogate import Surrogate, surrogate_of
from amphid.dynamics.values import Equation, Value, check_dt, decay


class HasVoltage(Protocol):
    """A state: a NamedTuple of tensors [*B, N] that can tell the membrane potential."""

    @property
    def v(self) -> Tensor:
        """Membrane potential [*B, N] in mV."""


S = TypeVar("S", bound=HasVoltage)


class Neuron(Equation, ABC, Generic[S]):
    """A cell: where it starts, and what it does in a step. Abstract: concrete cells are final.

    `step` is tensor arithmetic without branches on data, so that it can be differentiated, batched
    and compiled. As a module it maps a whole sequence of currents [T, *B, N] in pA, from rest, to
    what the cells give out [T, *B, N]; nothing is kept between calls.
    """

    output: str = "spike"
    """What the cell gives out: "spike" in {0, 1}, "release" in [0, 1] or "v" in mV; "output" where
    cells of several kinds stand side by side."""

    unsteady: str = ""
    """Why no machine code can step such cells, where a state grows from step to step."""

    surrogate: Surrogate
    reset_gradient: bool

    def convention(
        self,
        surrogate: Surrogate,
        *,
        reset_gradient: bool,
        way: tuple[Value, Value] | None = None,
    ) -> None:
        """Name the gradient of a spike: its surrogate, and whether the reset is differentiated.

        way: the voltages in mV between which the membrane moves, for widths relative to them.
        """
        self.surrogate = surrogate_of(self, surrogate, way)
        self.reset_gradient = reset_gradient
        self._values += ("surrogate", "reset_gradient")

    @abstractmethod
    def init(self, like: Tensor) -> S:
        """State at rest of cells shaped as `like` [*B, N]."""

    @abstractmethod
    def step(self, state: S, current: Tensor, dt: float) -> tuple[S, Tensor]:
        """State and output [*B, N] after dt ms under a constant current [*B, N] in pA."""

    def at(self, state: S, v: Tensor) -> S:
        """The same state at another membrane potential v [*B, N] in mV."""
        moved: S = state._replace(v=v)  # type: ignore[attr-defined]
        return moved

    def midpoint(self) -> Value | None:
        """Output at rest of cells whose threshold is their own rest in the network, else None."""
        return None

    def settle(self, state: S, v: Tensor) -> S:
        """The state of cells that a network holds at rest at v [*B, N] in mV."""
        return self.at(state, v)

    def given(self, state: S) -> Tensor:
        """What cells in that state give out [*B, N] before their first step."""
        return (
            torch.zeros_like(state.v) if self.output == "spike" else self.read(state, self.output)
        )

    def read(self, state: S, field: str) -> Tensor:
        """One variable of the state [*B, N] by its name, such as "v".

        Raises KeyError naming the variables there are.
        """
        named = {**state._asdict(), "v": state.v}  # type: ignore[attr-defined]
        if not isinstance(value := named.get(field), Tensor):
            known = ", ".join(name for name, held in named.items() if isinstance(held, Tensor))
            raise KeyError(f"{type(self).__name__} has no variable {field!r}; it has {known}.")
        return value

    def bound(self, select: Callable[[str], NDArray[np.int64]], cells: int) -> Neuron[Any]:
        """The neuron for a network of that many cells; `select` finds cells by name or pattern."""
        return self

    def run(self, current: Tensor, state: S | None = None, dt: float = 1.0) -> tuple[Tensor, S]:
        """Output [T, *B, N] under a current [T, *B, N] in pA, and the state after it.

        state: where to start; at rest when None. dt: ms. Under autocast a current in half precision
        becomes float32 here: a membrane adds up many small steps.
        Raises ValueError when the current has no time axis or the state another shape.
        """
        current = in_full(tensor(self, current))
        _check_sequence(current, state)
        check_dt(dt)
        now = self.init(current[0]) if state is None else state
        return self.follow(current, now, dt)

    def follow(self, current: Tensor, state: S, dt: float) -> tuple[Tensor, S]:
        """What `run` does once its arguments are known to fit; a wrapper may know a faster way."""
        return run_sequence(self, current, state, dt)

    def forward(self, current: Tensor, dt: float = 1.0) -> Tensor:
        """Output [T, *B, N] from rest under a current [T, *B, N] in pA."""
        return self.run(current, dt=dt)[0]


class Membrane(NamedTuple):
    """A membrane that is linear in its voltage: C dv/dt = drive - conductance v + current."""

    capacitance: Value  # pF
    conductance: Value  # nS
    drive: Value  # pA


class MembraneNeuron(Neuron[S]):
    """A cell whose membrane is linear in v while its gates stand still. Abstract.

    Alone it steps exactly for constant gates and current (exponential Euler). A network with gap
    junctions may instead take `gates`, `membrane` and `emit` apart and solve all voltages at once.
    Gates move before v does, at the present v, so they stand half a step ahead of it: from rest the
    pair is of second order in dt.
    """

    @property
    def solvable(self) -> bool:
        """Whether a network may solve its voltages; wrappers ask the cell inside."""
        return True

    @abstractmethod
    def membrane(self, state: S) -> Membrane:
        """The membrane at the present gates."""

    def gates(self, state: S, dt: float) -> S:
        """The state with everything but v advanced by dt ms at the present v."""
        return state

    @abstractmethod
    def emit(self, state: S, v: Tensor, dt: float) -> tuple[S, Tensor]:
        """State and output once v [*B, N] is reached: threshold and reset."""

    def step(self, state: S, current: Tensor, dt: float) -> tuple[S, Tensor]:
        """One step of exponential Euler, exact while gates and current are constant."""
        state = self.gates(state, dt)
        return self.emit(state, relaxed(self.membrane(state), state.v, current, dt), dt)


class NonlinearMembraneNeuron(MembraneNeuron[S]):
    """A cell with currents that follow v at once, such as an instant sodium current. Abstract.

    `membrane` takes those currents at the v of its state. Alone the cell then steps by the
    exponential midpoint rule, of second order in dt. Where a network solves the voltages together
    they are taken at the start of the step, which is of first order.
    """

    def step(self, state: S, current: Tensor, dt: float) -> tuple[S, Tensor]:
        """One step with the membrane as it is at the voltage that half a step leads to."""
        state = self.gates(state, dt)
        halfway = relaxed(self.membrane(state), state.v, current, dt / 2)
        membrane = self.membrane(self.at(state, halfway))
        return self.emit(state, relaxed(membrane, state.v, current, dt), dt)


def relaxed(membrane: Membrane, v: Tensor, current: Tensor, dt: float) -> Tensor:
    """v [*B, N] after dt ms on a membrane with a conductance above zero; exact."""
    v_inf = (membrane.drive + current) / membrane.conductance
    return v_inf + (v - v_inf) * decay(dt, membrane.capacitance / membrane.conductance)


def tensor(layer: object, x: object) -> Tensor:
    """The input of a layer; TypeError, naming the layer, where it is no tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{type(layer).__name__} takes a tensor [T, *B, N], got {type(x).__name__}: "
            "torch.as_tensor makes one of arrays and lists."
        )
    return x


def in_full(current: Tensor) -> Tensor:
    """The current in float32 where autocast made it half as precise, whole numbers as fractions.

    Raises TypeError for complex ones.
    """
    if current.is_complex():
        raise TypeError(f"current must be real, in pA, got {current.dtype}: give current.real.")
    if not current.is_floating_point():
        return current.to(torch.get_default_dtype())
    if current.dtype not in (torch.float16, torch.bfloat16):
        return current
    kind = current.device.type
    known = torch.amp.is_autocast_available(kind)  # "meta" is not
    return current.float() if known and torch.is_autocast_enabled(kind) else current


def _check_sequence(current: Tensor, state: Any) -> None:
    if current.dim() < 2 or not len(current):
        raise ValueError(
            "current must be [T, *B, N]: time first, cells last, at least one step; got shape "
            f"{list(current.shape)}."
        )
    if state is not None and not isinstance(getattr(state, "v", None), Tensor):
        raise TypeError(
            "state must be one that init or run gave, with tensors such as v, got "
            f"{type(state).__name__}."
        )
    if state is not None and state.v.shape != current.shape[1:]:
        raise ValueError(
            f"state is for cells of shape {list(state.v.shape)}, but current [T, *B, N] has shape "
            f"{list(current.shape)}: axes 1 and on must be the same."
        )
