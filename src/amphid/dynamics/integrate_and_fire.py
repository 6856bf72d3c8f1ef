"""Integrate-and-fire cells: sub-threshold motion is exact in dt for a constant current."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from amphid.dynamics.neuron import Membrane, MembraneNeuron
from amphid.dynamics.surrogate import FastSigmoid, Surrogate, reset
from amphid.dynamics.values import Value, filled


class LIFState(NamedTuple):
    """State of leaky integrate-and-fire cells."""

    v: Tensor  # membrane potential, mV


class LIF(MembraneNeuron[LIFState]):
    r"""Leaky integrate-and-fire cell.

    .. math:: \tau \dot v = v_\text{rest} - v + R I, \qquad
              v > v_\text{threshold} \Rightarrow v \leftarrow v_\text{reset}

    tau: ms. resistance: R in GOhm. v_rest, v_threshold, v_reset: mV.
    surrogate: the gradient of a spike. reset_gradient: whether it passes through the reset.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 1.
    """

    tau: Value
    resistance: Value
    v_rest: Value
    v_threshold: Value
    v_reset: Value

    def __init__(
        self,
        *,
        tau: Value = 20.0,
        resistance: Value = 0.1,
        v_rest: Value = -65.0,
        v_threshold: Value = -50.0,
        v_reset: Value = -65.0,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.hold_positive(tau=tau, resistance=resistance)
        self.hold(v_rest=v_rest, v_threshold=v_threshold, v_reset=v_reset)
        self.convention(surrogate, reset_gradient=reset_gradient)

    def init(self, like: Tensor) -> LIFState:
        """At rest."""
        return LIFState(v=filled(like, self.v_rest))

    def membrane(self, state: LIFState) -> Membrane:
        """The leak."""
        leak = 1 / self.resistance
        return Membrane(capacitance=self.tau * leak, conductance=leak, drive=self.v_rest * leak)

    def emit(self, state: LIFState, v: Tensor, dt: float) -> tuple[LIFState, Tensor]:
        """A spike above threshold, and the reset."""
        spike = self.surrogate(v - self.v_threshold)
        v = reset(v, spike, self.v_reset, gradient=self.reset_gradient)
        return LIFState(v=v), spike
