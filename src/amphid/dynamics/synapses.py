"""Chemical synapses between spiking cells: what spikes that arrive do to the cell behind them.

Spikes arrive at the start of a step. Time courses are exact, and currents are their mean over the
step: a synapse delivers the same charge whatever dt is. Synapses that open a conductance need
weights that are not negative; their reversal decides what they do.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.kinetics import alpha, double_exponential, exponential
from amphid.dynamics.synapse import ConductanceSynapse, Synapse
from amphid.dynamics.values import Equation, Value


class DeltaState(NamedTuple):
    """A pulse is over within its step."""


class Delta(Synapse[DeltaState]):
    r"""A pulse of charge, delivered within one step: :math:`I = q \sum w / \Delta t`.

    It moves a voltage by charge / capacitance, in the limit of small dt; what leaks during the
    step is missing from the jump.

    charge: q in fC (pA ms) per unit of weight.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 1.
    """

    charge: Value

    def __init__(self, *, charge: Value) -> None:
        super().__init__()
        self.hold(charge=charge)

    def init(self, like: Tensor) -> DeltaState:
        """Nothing to start."""
        return DeltaState()

    def step(
        self, state: DeltaState, arriving: Tensor, v_post: Tensor, dt: float
    ) -> tuple[DeltaState, Tensor]:
        """Current [*B, N] in pA."""
        return state, self.charge * arriving / dt


class ExponentialState(NamedTuple):
    """State of exponential synapses."""

    s: Tensor  # current over amplitude, at the end of the step


class Exponential(Synapse[ExponentialState]):
    r"""A current that jumps with every spike and decays: :math:`\tau \dot I = -I`.

    The charge of a spike is weight * amplitude * tau.

    tau: ms. amplitude: height of the jump in pA per unit of weight.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 3.
    """

    tau: Value
    amplitude: Value

    def __init__(self, *, tau: Value, amplitude: Value) -> None:
        super().__init__()
        self.hold_positive(tau=tau)
        self.hold(amplitude=amplitude)

    def init(self, like: Tensor) -> ExponentialState:
        """No current."""
        return ExponentialState(s=torch.zeros_like(like))

    def step(
        self, state: ExponentialState, arriving: Tensor, v_post: Tensor, dt: float
    ) -> tuple[ExponentialState, Tensor]:
        """State and current [*B, N] in pA, mean over dt ms."""
        s, mean = exponential(state.s, arriving, dt, self.tau)
        return ExponentialState(s), self.amplitude * mean


class AlphaState(NamedTuple):
    """State of alpha synapses."""

    s: Tensor  # current over amplitude, at the end of the step
    rising: Tensor  # what drives s


class Alpha(Synapse[AlphaState]):
    r"""A current that follows the alpha function: :math:`I(t) = A \, (t / \tau) e^{1 - t / \tau}`.

    It peaks tau after the spike. The charge of a spike is weight * amplitude * e * tau.

    tau: ms. amplitude: A, height of the peak in pA per unit of weight.
    Reference: Rall 1967, doi 10.1152/jn.1967.30.5.1138.
    """

    tau: Value
    amplitude: Value

    def __init__(self, *, tau: Value, amplitude: Value) -> None:
        super().__init__()
        self.hold_positive(tau=tau)
        self.hold(amplitude=amplitude)

    def init(self, like: Tensor) -> AlphaState:
        """No current."""
        return AlphaState(s=torch.zeros_like(like), rising=torch.zeros_like(like))

    def step(
        self, state: AlphaState, arriving: Tensor, v_post: Tensor, dt: float
    ) -> tuple[AlphaState, Tensor]:
        """State and current [*B, N] in pA, mean over dt ms."""
        s, rising, mean = alpha(state.s, state.rising, arriving, dt, self.tau)
        return AlphaState(s, rising), self.amplitude * mean


class DoubleExponentialState(NamedTuple):
    """State of double exponential synapses: their difference at the end of the step counts."""

    slow: Tensor
    fast: Tensor


class DoubleExponential(Synapse[DoubleExponentialState]):
    r"""A current that rises and decays.

    .. math:: I(t) = A \, (e^{-t / d} - e^{-t / r}) / \text{peak}

    rise, decay: r < d in ms; for r = d there is `Alpha`. amplitude: A, height of the peak in pA per
    unit of weight.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 3.
    """

    rise: Value
    decay: Value
    amplitude: Value

    def __init__(self, *, rise: Value, decay: Value, amplitude: Value) -> None:
        super().__init__()
        _hold_times(self, rise, decay)
        self.hold(amplitude=amplitude)

    def init(self, like: Tensor) -> DoubleExponentialState:
        """No current."""
        return DoubleExponentialState(slow=torch.zeros_like(like), fast=torch.zeros_like(like))

    def step(
        self, state: DoubleExponentialState, arriving: Tensor, v_post: Tensor, dt: float
    ) -> tuple[DoubleExponentialState, Tensor]:
        """State and current [*B, N] in pA, mean over dt ms."""
        slow, fast, mean = double_exponential(*state, arriving, dt, self.rise, self.decay)
        return DoubleExponentialState(slow, fast), self.amplitude * mean


class ConductanceState(NamedTuple):
    """State of exponential conductances."""

    s: Tensor  # conductance over its jump, at the end of the step
    g: Tensor  # conductance, mean over the step, nS


class Conductance(ConductanceSynapse[ConductanceState]):
    r"""A conductance that jumps with every spike and decays.

    .. math:: I = g (E - v), \qquad \tau \dot g = -g

    tau: ms. conductance: height of the jump in nS per unit of weight. reversal: E in mV.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 3.
    """

    tau: Value
    conductance: Value

    def __init__(self, *, tau: Value, conductance: Value, reversal: Value) -> None:
        super().__init__()
        self.hold_positive(tau=tau, conductance=conductance)
        self.hold(reversal=reversal)

    def init(self, like: Tensor) -> ConductanceState:
        """Closed."""
        return ConductanceState(s=torch.zeros_like(like), g=torch.zeros_like(like))

    def advance(self, state: ConductanceState, arriving: Tensor, dt: float) -> ConductanceState:
        """The state dt ms after the spikes."""
        s, mean = exponential(state.s, arriving, dt, self.tau)
        return ConductanceState(s, self.conductance * mean)

    def conductance_of(self, state: ConductanceState, v_post: Tensor, dt: float) -> Tensor:
        """The conductance."""
        return state.g


class AlphaConductanceState(NamedTuple):
    """State of alpha conductances."""

    s: Tensor  # conductance over its peak, at the end of the step
    rising: Tensor  # what drives s
    g: Tensor  # conductance, mean over the step, nS


class AlphaConductance(ConductanceSynapse[AlphaConductanceState]):
    r"""A conductance that follows the alpha function.

    .. math:: I = g (E - v), \qquad g(t) = \bar g \, (t / \tau) e^{1 - t / \tau}

    tau: ms. conductance: height of the peak in nS per unit of weight. reversal: E in mV.
    Reference: Rall 1967, doi 10.1152/jn.1967.30.5.1138.
    """

    tau: Value
    conductance: Value

    def __init__(self, *, tau: Value, conductance: Value, reversal: Value) -> None:
        super().__init__()
        self.hold_positive(tau=tau, conductance=conductance)
        self.hold(reversal=reversal)

    def init(self, like: Tensor) -> AlphaConductanceState:
        """Closed."""
        return AlphaConductanceState(*(torch.zeros_like(like) for _ in range(3)))

    def advance(
        self, state: AlphaConductanceState, arriving: Tensor, dt: float
    ) -> AlphaConductanceState:
        """The state dt ms after the spikes."""
        s, rising, mean = alpha(state.s, state.rising, arriving, dt, self.tau)
        return AlphaConductanceState(s, rising, self.conductance * mean)

    def conductance_of(self, state: AlphaConductanceState, v_post: Tensor, dt: float) -> Tensor:
        """The conductance."""
        return state.g


class DoubleExponentialConductanceState(NamedTuple):
    """State of double exponential conductances: slow - fast counts, at the end of the step."""

    slow: Tensor
    fast: Tensor
    g: Tensor  # conductance without a block, mean over the step, nS


class _Rising(ConductanceSynapse[DoubleExponentialConductanceState]):
    """Conductances that rise and decay. Abstract."""

    rise: Value
    decay: Value
    conductance: Value

    def __init__(self, *, rise: Value, decay: Value, conductance: Value, reversal: Value) -> None:
        super().__init__()
        _hold_times(self, rise, decay)
        self.hold_positive(conductance=conductance)
        self.hold(reversal=reversal)

    def init(self, like: Tensor) -> DoubleExponentialConductanceState:
        """Closed."""
        return DoubleExponentialConductanceState(*(torch.zeros_like(like) for _ in range(3)))

    def advance(
        self, state: DoubleExponentialConductanceState, arriving: Tensor, dt: float
    ) -> DoubleExponentialConductanceState:
        """The state dt ms after the spikes."""
        slow, fast, mean = double_exponential(*state[:2], arriving, dt, self.rise, self.decay)
        return DoubleExponentialConductanceState(slow, fast, self.conductance * mean)


class DoubleExponentialConductance(_Rising):
    r"""A conductance that rises and decays.

    .. math:: I = g (E - v), \qquad g(t) = \bar g \, (e^{-t / d} - e^{-t / r}) / \text{peak}

    rise, decay: r < d in ms; for r = d there is `AlphaConductance`. conductance: height of the peak
    in nS per unit of weight. reversal: E in mV.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 3.
    """

    def conductance_of(
        self, state: DoubleExponentialConductanceState, v_post: Tensor, dt: float
    ) -> Tensor:
        """The conductance."""
        return state.g


class NMDA(_Rising):
    r"""A slow conductance that magnesium blocks at rest and depolarization frees.

    .. math:: I = B(v) \, g (E - v), \qquad
              B(v) = \frac{1}{1 + ([\text{Mg}] / 3.57) \, e^{-0.062 v}}

    with g as in `DoubleExponentialConductance`; it does not saturate.

    conductance: height of the unblocked peak in nS per unit of weight. rise, decay: ms, rise <
    decay. reversal: E in mV. magnesium: outside the cell, mM; 0 is no block.
    Reference: Jahr & Stevens 1990, doi 10.1523/JNEUROSCI.10-09-03178.1990; rise and decay of
    Brunel & Wang 2001, doi 10.1023/A:1011204814320.
    """

    magnesium: Value

    def __init__(
        self,
        *,
        conductance: Value,
        rise: Value = 2.0,
        decay: Value = 100.0,
        reversal: Value = 0.0,
        magnesium: Value = 1.0,
    ) -> None:
        super().__init__(rise=rise, decay=decay, conductance=conductance, reversal=reversal)
        self.hold(magnesium=magnesium)
        if not bool((torch.as_tensor(magnesium) >= 0).all()):
            raise ValueError(
                f"NMDA: magnesium is a concentration in mM and cannot be negative, got {magnesium}."
            )

    def unblocked(self, v: Tensor) -> Tensor:
        """Share B of the conductance that magnesium leaves open at v [*B, N] in mV."""
        return 1 / (1 + self.magnesium / 3.57 * torch.exp(-0.062 * v))

    def conductance_of(
        self, state: DoubleExponentialConductanceState, v_post: Tensor, dt: float
    ) -> Tensor:
        """The conductance that is not blocked at v_post."""
        return state.g * self.unblocked(v_post)


def _hold_times(synapse: Equation, rise: Value, decay: Value) -> None:
    synapse.hold_positive(rise=rise, decay=decay)
    if not bool((torch.as_tensor(rise) < torch.as_tensor(decay)).all()):
        raise ValueError(
            f"{type(synapse).__name__}: rise must be shorter than decay, both in ms; got "
            f"rise={rise}, decay={decay}. Where they are equal, the alpha function is the limit."
        )
