"""Integrate-and-fire cells: sub-threshold motion is exact in dt for a constant current."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from amphid.dynamics.neuron import Membrane, MembraneNeuron
from amphid.dynamics.surrogate import FastSigmoid, Surrogate, reset
from amphid.dynamics.values import Value, decay, filled


class LIFState(NamedTuple):
    """State of leaky integrate-and-fire cells."""

    v: Tensor  # membrane potential, mV


class LIF(MembraneNeuron[LIFState]):
    r"""Leaky integrate-and-fire cell.

    .. math:: \tau \dot v = v_\text{rest} - v + R I, \qquad
              v > v_\text{threshold} \Rightarrow v \leftarrow v_\text{reset}

    tau: ms. resistance: R in GOhm. v_rest, v_threshold, v_reset: mV. With v_reset=None a spike
    takes v_threshold - v_rest off the voltage, so that what exceeds the threshold is kept.
    surrogate: the gradient of a spike. reset_gradient: whether it passes through the reset.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 1.
    """

    tau: Value
    resistance: Value
    v_rest: Value
    v_threshold: Value
    v_reset: Value | None

    def __init__(
        self,
        *,
        tau: Value = 20.0,
        resistance: Value = 0.1,
        v_rest: Value = -65.0,
        v_threshold: Value = -50.0,
        v_reset: Value | None = -65.0,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.hold_positive(tau=tau, resistance=resistance)
        self.hold(v_rest=v_rest, v_threshold=v_threshold)
        if v_reset is None:
            self.v_reset, self._values = None, (*self._values, "v_reset")
        else:
            self.hold(v_reset=v_reset)
        way = (v_rest, v_threshold)
        self.convention(surrogate, reset_gradient=reset_gradient, way=way)

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
        to = v - (self.v_threshold - self.v_rest) if self.v_reset is None else self.v_reset
        v = reset(v, spike, to, gradient=self.reset_gradient)
        return LIFState(v=v), spike


class ThresholdIntegratorState(NamedTuple):
    """State of threshold integrators."""

    v: Tensor  # what has been gathered, as a membrane potential, mV


class ThresholdIntegrator(MembraneNeuron[ThresholdIntegratorState]):
    r"""Perfect integrator: it gathers all input for ever, fires above threshold and starts anew.

    .. math:: C \dot v = I, \qquad v > v_\text{threshold} \Rightarrow v \leftarrow v_\text{reset}

    With a capacitance of 1 pF and steps of 1 ms, a current of 1 pA adds 1 mV: the counting cell of
    programs that have no units.

    capacitance: C in pF. v_threshold, v_reset: mV; it starts at v_reset.
    surrogate: the gradient of a spike. reset_gradient: whether it passes through the reset.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 1.
    """

    capacitance: Value
    v_threshold: Value
    v_reset: Value

    def __init__(
        self,
        *,
        capacitance: Value = 200.0,
        v_threshold: Value = 15.0,
        v_reset: Value = 0.0,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.hold_positive(capacitance=capacitance)
        self.hold(v_threshold=v_threshold, v_reset=v_reset)
        way = (v_reset, v_threshold)
        self.convention(surrogate, reset_gradient=reset_gradient, way=way)

    def init(self, like: Tensor) -> ThresholdIntegratorState:
        """Just reset."""
        return ThresholdIntegratorState(v=filled(like, self.v_reset))

    def membrane(self, state: ThresholdIntegratorState) -> Membrane:
        """A capacitor."""
        return Membrane(self.capacitance, 0.0, 0.0)

    def step(
        self, state: ThresholdIntegratorState, current: Tensor, dt: float
    ) -> tuple[ThresholdIntegratorState, Tensor]:
        """One step, exact for a constant current."""
        return self.emit(state, state.v + current * (dt / self.capacitance), dt)

    def emit(
        self, state: ThresholdIntegratorState, v: Tensor, dt: float
    ) -> tuple[ThresholdIntegratorState, Tensor]:
        """A spike above threshold, and the reset."""
        spike = self.surrogate(v - self.v_threshold)
        v = reset(v, spike, self.v_reset, gradient=self.reset_gradient)
        return ThresholdIntegratorState(v=v), spike


class LeakyIntegratorState(NamedTuple):
    """State of leaky integrators."""

    v: Tensor  # membrane potential, mV


class LeakyIntegrator(MembraneNeuron[LeakyIntegratorState]):
    r"""Leaky membrane that never spikes: a readout.

    .. math:: \tau \dot v = v_\text{rest} - v + R I

    It gives out its voltage, so `output` is "v": what is recorded under that name and what the next
    layer receives are the same. With v_rest = 0 it gives out nothing at rest.

    tau: ms. resistance: R in GOhm. v_rest: mV.
    """

    output = "v"
    tau: Value
    resistance: Value
    v_rest: Value

    def __init__(self, *, tau: Value = 20.0, resistance: Value = 0.1, v_rest: Value = 0.0) -> None:
        super().__init__()
        self.hold_positive(tau=tau, resistance=resistance)
        self.hold(v_rest=v_rest)

    def init(self, like: Tensor) -> LeakyIntegratorState:
        """At rest."""
        return LeakyIntegratorState(v=filled(like, self.v_rest))

    def membrane(self, state: LeakyIntegratorState) -> Membrane:
        """The leak."""
        leak = 1 / self.resistance
        return Membrane(capacitance=self.tau * leak, conductance=leak, drive=self.v_rest * leak)

    def emit(
        self, state: LeakyIntegratorState, v: Tensor, dt: float
    ) -> tuple[LeakyIntegratorState, Tensor]:
        """The voltage."""
        return LeakyIntegratorState(v=v), v


class ALIFState(NamedTuple):
    """State of adaptive leaky integrate-and-fire cells."""

    v: Tensor  # membrane potential, mV
    threshold: Tensor  # voltage above which the cell fires now, mV


class ALIF(MembraneNeuron[ALIFState]):
    r"""Leaky integrate-and-fire cell whose threshold rises with every spike and falls back.

    .. math:: \tau \dot v = v_\text{rest} - v + R I, \qquad
              \tau_\text{adaptation} \dot\vartheta = v_\text{threshold} - \vartheta, \qquad
              v > \vartheta \Rightarrow v \leftarrow v_\text{reset},
              \ \vartheta \leftarrow \vartheta + \text{jump}

    Both motions are exact in dt; in the step of a spike the threshold falls first, then rises. The
    gradient of a spike passes through the jump, whatever `reset_gradient` is: it is what carries
    credit over long times.

    tau, tau_adaptation: ms. resistance: R in GOhm. v_rest, v_threshold, v_reset, jump: mV.
    surrogate: the gradient of a spike. reset_gradient: whether it passes through the reset.
    Reference: Bellec et al. 2018, doi 10.48550/arXiv.1803.09574.
    """

    tau: Value
    resistance: Value
    v_rest: Value
    v_threshold: Value
    v_reset: Value
    tau_adaptation: Value
    jump: Value

    def __init__(
        self,
        *,
        tau: Value = 20.0,
        resistance: Value = 0.1,
        v_rest: Value = -65.0,
        v_threshold: Value = -50.0,
        v_reset: Value = -65.0,
        tau_adaptation: Value = 200.0,
        jump: Value = 2.0,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.hold_positive(tau=tau, resistance=resistance, tau_adaptation=tau_adaptation)
        self.hold(v_rest=v_rest, v_threshold=v_threshold, v_reset=v_reset, jump=jump)
        way = (v_rest, v_threshold)
        self.convention(surrogate, reset_gradient=reset_gradient, way=way)

    def init(self, like: Tensor) -> ALIFState:
        """At rest, not adapted."""
        return ALIFState(filled(like, self.v_rest), filled(like, self.v_threshold))

    def gates(self, state: ALIFState, dt: float) -> ALIFState:
        """The threshold after dt ms."""
        above = (state.threshold - self.v_threshold) * decay(dt, self.tau_adaptation)
        return state._replace(threshold=self.v_threshold + above)

    def membrane(self, state: ALIFState) -> Membrane:
        """The leak."""
        leak = 1 / self.resistance
        return Membrane(capacitance=self.tau * leak, conductance=leak, drive=self.v_rest * leak)

    def emit(self, state: ALIFState, v: Tensor, dt: float) -> tuple[ALIFState, Tensor]:
        """A spike above the threshold of now, the reset and the rise of the threshold."""
        spike = self.surrogate(v - state.threshold)
        v = reset(v, spike, self.v_reset, gradient=self.reset_gradient)
        return ALIFState(v, state.threshold + self.jump * spike), spike
