"""What NIR has and nothing else here is: elementwise layers, and cells behind a filter."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics import LIF, FastSigmoid, LeakyIntegrator
from amphid.dynamics.neuron import Neuron
from amphid.dynamics.surrogate import Surrogate, surrogate_of
from amphid.dynamics.values import Equation, Value


class Scale(Equation):
    """Multiplies what passes, entry by entry. scale: [N], or what broadcasts to it."""

    scale: Value

    def __init__(self, scale: Value) -> None:
        super().__init__()
        self.hold(scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        """[*B, N]."""
        return x * self.scale


class Threshold(Equation):
    """One where the input is above a threshold, else zero. surrogate: its gradient."""

    threshold: Value
    surrogate: Surrogate

    def __init__(self, threshold: Value, *, surrogate: Surrogate = FastSigmoid()) -> None:  # noqa: B008
        super().__init__()
        self.hold(threshold=threshold)
        self.surrogate = surrogate_of(self, surrogate)
        self._values += ("surrogate",)

    def forward(self, x: Tensor) -> Tensor:
        """[*B, N] in {0, 1}."""
        return self.surrogate(x - self.threshold)


class IntegralState(NamedTuple):
    """State of integrals."""

    v: Tensor  # what was gathered


class Integral(Neuron[IntegralState]):
    r"""Gathers its input for ever and gives out the sum: :math:`\dot v = R I`.

    rate: R, per ms.
    """

    output = "v"
    rate: Value

    def __init__(self, *, rate: Value) -> None:
        super().__init__()
        self.hold(rate=rate)

    def init(self, like: Tensor) -> IntegralState:
        """Nothing yet."""
        return IntegralState(torch.zeros_like(like))

    def step(
        self, state: IntegralState, current: Tensor, dt: float
    ) -> tuple[IntegralState, Tensor]:
        """One step, exact for a constant input."""
        v = state.v + self.rate * current * dt
        return IntegralState(v), v


class CubaState(NamedTuple):
    """State of cells behind a filter."""

    neuron: Any  # state of the cells
    current: Tensor  # what the filter holds

    @property
    def v(self) -> Tensor:
        """Membrane potential [*B, N]."""
        v: Tensor = self.neuron.v
        return v


class Cuba(Neuron[CubaState]):
    r"""Cells that receive their input through a synapse, a leaky filter.

    .. math:: \tau \dot I = -I + w S

    The filter moves first, and the cell sees where it has come to. It is exact for an input that
    stands still within a step, as in `LeakyIntegrator`.

    neuron: LIF or LeakyIntegrator. tau: ms. weight: w.
    """

    tau: Value
    weight: Value

    def __init__(self, neuron: LIF | LeakyIntegrator, *, tau: Value, weight: Value) -> None:
        super().__init__()
        if not isinstance(neuron, (LIF, LeakyIntegrator)):
            raise TypeError(f"Cuba: neuron must be LIF or LeakyIntegrator, got {neuron!r}.")
        self.neuron, self.output = neuron, neuron.output
        self.hold_positive(tau=tau)
        self.hold(weight=weight)

    def init(self, like: Tensor) -> CubaState:
        """At rest, without a current."""
        return CubaState(self.neuron.init(like), torch.zeros_like(like))

    def at(self, state: CubaState, v: Tensor) -> CubaState:
        """The same state at another membrane potential."""
        return state._replace(neuron=self.neuron.at(state.neuron, v))

    def step(self, state: CubaState, current: Tensor, dt: float) -> tuple[CubaState, Tensor]:
        """One step of the filter, then of the cell."""
        left = torch.exp(-dt / torch.as_tensor(self.tau, dtype=current.dtype))
        limit = self.weight * current
        present = limit + (state.current - limit) * left
        inside, given = self.neuron.step(state.neuron, present, dt)
        return CubaState(inside, present), given
