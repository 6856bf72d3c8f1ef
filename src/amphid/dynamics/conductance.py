"""Cells whose spikes come from their conductances: no threshold, no reset.

The literature gives these cells per area, in uF/cm2, mS/cm2 and uA/cm2. A whole cell is that times
its area, so every ratio stays: with a capacitance of 1 pF per uF/cm2, 1 mS/cm2 is 1 nS and 1 uA/cm2
is 1 pA. A cell of 100 pF has 100 times those numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.gating import ExponentialRate, Gate, LinearRate, SigmoidRate
from amphid.dynamics.neuron import Membrane, NonlinearMembraneNeuron
from amphid.dynamics.rest import resting_voltage
from amphid.dynamics.terminal import Crossing, Terminal, TerminalNeuron
from amphid.dynamics.values import Value, decay, filled, is_number

SQUID_M = Gate(LinearRate(1.0, -40.0, 10.0), ExponentialRate(4.0, -65.0, -18.0))
SQUID_H = Gate(ExponentialRate(0.07, -65.0, -20.0), SigmoidRate(1.0, -35.0, 10.0))
SQUID_N = Gate(LinearRate(0.1, -55.0, 10.0), ExponentialRate(0.125, -65.0, -80.0))

CORTICAL_M = Gate(LinearRate(1.638, -35.0, 9.0), LinearRate(1.116, -35.0, -9.0))
CORTICAL_H = Gate(ExponentialRate(0.25, -90.0, -12.0), ExponentialRate(0.25, -34.0, 12.0))
CORTICAL_N = Gate(LinearRate(0.18, 25.0, 9.0), LinearRate(0.018, 25.0, -9.0))


class HodgkinHuxleyState(NamedTuple):
    """State of Hodgkin-Huxley cells."""

    v: Tensor  # membrane potential, mV
    m: Tensor  # activation of sodium, 0 to 1
    h: Tensor  # what is left of sodium's inactivation, 0 to 1
    n: Tensor  # activation of potassium, 0 to 1


class HodgkinHuxley(TerminalNeuron[HodgkinHuxleyState]):
    r"""Sodium and potassium channels with gates, and a leak.

    .. math:: C \dot v = -g_\text{Na} m^3 h (v - E_\text{Na}) - g_\text{K} n^4 (v - E_\text{K})
              - g_\text{leak} (v - E_\text{leak}) + I, \qquad
              \dot x = \alpha_x(v) (1 - x) - \beta_x(v) x, \quad x \in \{m, h, n\}

    Gates are exact at the present voltage, then the voltage is at the present gates: from rest, of
    second order in dt. It starts at its fixed point.

    capacitance: C in pF. g_sodium, g_potassium, g_leak: nS. v_sodium, v_potassium, v_leak: mV.
    m, h, n: the gates, with rates that may be any functions of the voltage. terminal: what the
    voltage turns into, spikes where it rises above 0 mV unless given. The defaults are the axon of
    the squid at 6.3 degrees Celsius, 100 pF of it, resting at -65 mV.
    Reference: Hodgkin & Huxley 1952, doi 10.1113/jphysiol.1952.sp004764.
    """

    capacitance: Value
    g_sodium: Value
    g_potassium: Value
    g_leak: Value
    v_sodium: Value
    v_potassium: Value
    v_leak: Value

    def __init__(
        self,
        *,
        capacitance: Value = 100.0,
        g_sodium: Value = 12000.0,
        g_potassium: Value = 3600.0,
        g_leak: Value = 30.0,
        v_sodium: Value = 50.0,
        v_potassium: Value = -77.0,
        v_leak: Value = -54.387,
        m: Gate = SQUID_M,
        h: Gate = SQUID_H,
        n: Gate = SQUID_N,
        terminal: Terminal | None = None,
    ) -> None:
        super().__init__()
        self.hold_positive(capacitance=capacitance, g_sodium=g_sodium, g_potassium=g_potassium)
        self.hold_positive(g_leak=g_leak)
        self.hold(v_sodium=v_sodium, v_potassium=v_potassium, v_leak=v_leak)
        for name, gate in (("m", m), ("h", h), ("n", n)):
            if not isinstance(gate, Gate):
                raise TypeError(f"HodgkinHuxley: {name} must be a Gate, got {gate!r}.")
        self.m, self.h, self.n = m, h, n
        self._values += ("m", "h", "n")
        self.ends_in(Crossing() if terminal is None else terminal)

    @classmethod
    def squid(cls, *, capacitance: Value = 100.0, **changes: Any) -> HodgkinHuxley:
        """The axon of the squid, so large that it has that capacitance in pF."""
        cell = _conductances(capacitance, sodium=120.0, potassium=36.0, leak=0.3)
        return cls(capacitance=capacitance, **{**cell, **changes})

    @classmethod
    def cortical(cls, *, capacitance: Value = 100.0, **changes: Any) -> HodgkinHuxley:
        """A cell of the mammalian cortex, so large that it has that capacitance in pF.

        Between 0.5 and 2.1 uA/cm2 it fires at 13 to 42 Hz; from 2.2 on it is blocked after one
        spike or two.
        Constants: J. Hazelden, code and article on loss landscapes of biological neural networks,
        github.com/meeree/LossLandscapesBNN.
        """
        cell = _conductances(capacitance, sodium=40.0, potassium=35.0, leak=0.3)
        cell |= {"v_sodium": 55.0, "v_potassium": -77.0, "v_leak": -65.0}
        cell |= {"m": CORTICAL_M, "h": CORTICAL_H, "n": CORTICAL_N}
        return cls(capacitance=capacitance, **{**cell, **changes})

    def init(self, like: Tensor) -> HodgkinHuxleyState:
        """At rest."""
        nothing = like.new_zeros(())
        ends = [nothing + v for v in (self.v_sodium, self.v_potassium, self.v_leak)]
        ends = list(torch.broadcast_tensors(*ends))
        low, high = torch.stack(ends).amin(0), torch.stack(ends).amax(0)
        v = filled(like, resting_voltage(self._net_current, low, high))
        return self._resting_at(v)

    def settle(self, state: HodgkinHuxleyState, v: Tensor) -> HodgkinHuxleyState:
        """At v, with the gates where they come to rest there."""
        return self._resting_at(v)

    def gates(self, state: HodgkinHuxleyState, dt: float) -> HodgkinHuxleyState:
        """The gates after dt ms, exact at the present voltage."""
        v = state.v
        return HodgkinHuxleyState(
            v,
            self.m.after(state.m, v, dt),
            self.h.after(state.h, v, dt),
            self.n.after(state.n, v, dt),
        )

    def membrane(self, state: HodgkinHuxleyState) -> Membrane:
        """The three conductances as open as the gates leave them."""
        sodium = self.g_sodium * state.m**3 * state.h
        potassium = self.g_potassium * state.n**4
        drive = sodium * self.v_sodium + potassium * self.v_potassium + self.g_leak * self.v_leak
        return Membrane(self.capacitance, sodium + potassium + self.g_leak, drive)

    def _resting_at(self, v: Tensor) -> HodgkinHuxleyState:
        return HodgkinHuxleyState(v, self.m.limit(v), self.h.limit(v), self.n.limit(v))

    def _net_current(self, v: Tensor) -> Tensor:
        membrane = self.membrane(self._resting_at(v))
        return membrane.drive - membrane.conductance * v


class MorrisLecarState(NamedTuple):
    """State of Morris-Lecar cells."""

    v: Tensor  # membrane potential, mV
    n: Tensor  # activation of potassium, 0 to 1


class MorrisLecar(NonlinearMembraneNeuron[MorrisLecarState], TerminalNeuron[MorrisLecarState]):
    r"""Calcium channels that open at once, potassium channels that open slowly, and a leak.

    .. math:: C \dot v = -g_\text{Ca} m_\infty(v) (v - E_\text{Ca}) - g_\text{K} n (v - E_\text{K})
              - g_\text{leak} (v - E_\text{leak}) + I, \qquad
              \dot n = \phi \cosh\frac{v - v_3}{2 v_4} [n_\infty(v) - n]

    with :math:`m_\infty = \frac{1}{2} (1 + \tanh\frac{v - v_1}{v_2})` and :math:`n_\infty` alike
    of :math:`v_3, v_4`. n is exact at the present voltage; v steps by the exponential midpoint
    rule: from rest, of second order in dt. It starts at its lowest fixed point.

    capacitance: C in pF. g_leak, g_calcium, g_potassium: nS. v_leak, v_calcium, v_potassium, v_1 to
    v_4: mV. phi: per ms. terminal: what the voltage turns into, spikes where it rises above 0 mV
    unless given. The defaults are the usual set that starts to oscillate by a Hopf bifurcation
    (Rinzel & Ermentrout), for a cell of 20 pF, so that 1 uA/cm2 is 1 pA: it rests at -60.9 mV and
    fires for good at 100 pA.
    Reference: Morris & Lecar 1981, doi 10.1016/S0006-3495(81)84782-0.
    """

    capacitance: Value
    g_leak: Value
    g_calcium: Value
    g_potassium: Value
    v_leak: Value
    v_calcium: Value
    v_potassium: Value
    v_1: Value
    v_2: Value
    v_3: Value
    v_4: Value
    phi: Value

    def __init__(
        self,
        *,
        capacitance: Value = 20.0,
        g_leak: Value = 2.0,
        g_calcium: Value = 4.4,
        g_potassium: Value = 8.0,
        v_leak: Value = -60.0,
        v_calcium: Value = 120.0,
        v_potassium: Value = -84.0,
        v_1: Value = -1.2,
        v_2: Value = 18.0,
        v_3: Value = 2.0,
        v_4: Value = 30.0,
        phi: Value = 0.04,
        terminal: Terminal | None = None,
    ) -> None:
        super().__init__()
        self.hold_positive(capacitance=capacitance, g_leak=g_leak, g_calcium=g_calcium)
        self.hold_positive(g_potassium=g_potassium)
        self.hold(v_leak=v_leak, v_calcium=v_calcium, v_potassium=v_potassium, v_1=v_1)
        self.hold_positive(v_2=v_2)
        self.hold(v_3=v_3)
        self.hold_positive(v_4=v_4, phi=phi)
        self.ends_in(Crossing() if terminal is None else terminal)

    def init(self, like: Tensor) -> MorrisLecarState:
        """At rest."""
        nothing = like.new_zeros(())
        ends = [nothing + v for v in (self.v_calcium, self.v_potassium, self.v_leak)]
        ends = list(torch.broadcast_tensors(*ends))
        low, high = torch.stack(ends).amin(0), torch.stack(ends).amax(0)
        v = filled(like, resting_voltage(self._net_current, low, high))
        return MorrisLecarState(v, self._n_limit(v))

    def settle(self, state: MorrisLecarState, v: Tensor) -> MorrisLecarState:
        """At v, with the potassium channels where they come to rest there."""
        return MorrisLecarState(v, self._n_limit(v))

    def gates(self, state: MorrisLecarState, dt: float) -> MorrisLecarState:
        """The potassium channels after dt ms, exact at the present voltage."""
        far = ((state.v - self.v_3) / (2 * self.v_4)).clamp(-60.0, 60.0)
        limit = self._n_limit(state.v)
        left = torch.exp(-dt * self.phi * torch.cosh(far))
        return state._replace(n=limit + (state.n - limit) * left)

    def membrane(self, state: MorrisLecarState) -> Membrane:
        """The three conductances, calcium's as its voltage has it."""
        calcium = self.g_calcium * _half_tanh((state.v - self.v_1) / self.v_2)
        potassium = self.g_potassium * state.n
        drive = calcium * self.v_calcium + potassium * self.v_potassium + self.g_leak * self.v_leak
        return Membrane(self.capacitance, calcium + potassium + self.g_leak, drive)

    def _n_limit(self, v: Tensor) -> Tensor:
        return _half_tanh((v - self.v_3) / self.v_4)

    def _net_current(self, v: Tensor) -> Tensor:
        membrane = self.membrane(MorrisLecarState(v, self._n_limit(v)))
        return membrane.drive - membrane.conductance * v


class FitzHughNagumoState(NamedTuple):
    """State of FitzHugh-Nagumo cells."""

    v: Tensor  # membrane potential, mV
    recovery: Tensor  # recovery variable, without a unit


class FitzHughNagumo(
    NonlinearMembraneNeuron[FitzHughNagumoState], TerminalNeuron[FitzHughNagumoState]
):
    r"""The simplest cell with an excitable membrane: a cubic nullcline and a linear recovery.

    .. math:: \dot x = x - x^3 / 3 - w + i, \qquad \dot w = \phi (x + a - b w)

    The original has no units. Here :math:`x = (v - v_\text{mid}) / v_\text{scale}`, time is counted
    in :math:`C / g` and current in :math:`g v_\text{scale}`:

    .. math:: C \dot v = g v_\text{scale} (x - x^3 / 3 - w) + I, \qquad
              \frac{C}{g} \dot w = \phi (x + a - b w)

    With the defaults one unit of time is 1 ms, one unit of current 100 pA, rest -65 mV (x = -1.2)
    and the spike's peak about 15 mV. w is exact at the present voltage; v steps by the exponential
    midpoint rule: from rest, of second order in dt. It starts at its lowest fixed point.

    capacitance: C in pF. conductance: g in nS. v_mid, v_scale: mV. a, b, phi: as above. terminal:
    what the voltage turns into, spikes where it rises above v_mid unless given.
    Reference: FitzHugh 1961, doi 10.1016/S0006-3495(61)86902-6.
    """

    capacitance: Value
    conductance: Value
    v_mid: Value
    v_scale: Value
    a: Value
    b: Value
    phi: Value

    def __init__(
        self,
        *,
        capacitance: Value = 4.0,
        conductance: Value = 4.0,
        v_mid: Value = -35.0,
        v_scale: Value = 25.0,
        a: Value = 0.7,
        b: Value = 0.8,
        phi: Value = 0.08,
        terminal: Terminal | None = None,
    ) -> None:
        super().__init__()
        self.hold_positive(capacitance=capacitance, conductance=conductance)
        self.hold(v_mid=v_mid)
        self.hold_positive(v_scale=v_scale)
        self.hold(a=a)
        self.hold_positive(b=b, phi=phi)
        self.ends_in(Crossing(threshold=v_mid) if terminal is None else terminal)

    def init(self, like: Tensor) -> FitzHughNagumoState:
        """At rest."""
        nothing = like.new_zeros(()) + self.v_mid
        low, high = torch.broadcast_tensors(nothing - 5 * self.v_scale, nothing + 5 * self.v_scale)
        v = filled(like, resting_voltage(self._net_current, low, high))
        return FitzHughNagumoState(v, self._recovery_limit(v))

    def settle(self, state: FitzHughNagumoState, v: Tensor) -> FitzHughNagumoState:
        """At v, with the recovery that belongs to it."""
        return FitzHughNagumoState(v, self._recovery_limit(v))

    def gates(self, state: FitzHughNagumoState, dt: float) -> FitzHughNagumoState:
        """The recovery after dt ms, exact at the present voltage."""
        limit = self._recovery_limit(state.v)
        left = decay(dt, self.capacitance / (self.conductance * self.phi * self.b))
        return state._replace(recovery=limit + (state.recovery - limit) * left)

    def membrane(self, state: FitzHughNagumoState) -> Membrane:
        """A leak that grows with the square of x, and twice the height as a current."""
        height = state.v - self.v_mid
        leak = self.conductance * (1 + (height / self.v_scale) ** 2 / 3)
        current = self.conductance * (2 * height - self.v_scale * state.recovery)
        return Membrane(self.capacitance, leak, leak * self.v_mid + current)

    def _recovery_limit(self, v: Tensor) -> Tensor:
        return ((v - self.v_mid) / self.v_scale + self.a) / self.b

    def _net_current(self, v: Tensor) -> Tensor:
        membrane = self.membrane(FitzHughNagumoState(v, self._recovery_limit(v)))
        return membrane.drive - membrane.conductance * v


def _conductances(capacitance: Value, **ratios: float) -> dict[str, Any]:
    """Conductances in nS from mS/cm2 at 1 uF/cm2, for a cell of that capacitance in pF."""
    if isinstance(capacitance, Tensor):
        capacitance = capacitance.detach()
    elif not is_number(capacitance):
        raise TypeError(f"HodgkinHuxley: capacitance must be a finite number, got {capacitance!r}.")
    return {f"g_{name}": ratio * capacitance for name, ratio in ratios.items()}


def _half_tanh(x: Tensor) -> Tensor:
    """(1 + tanh x) / 2."""
    return torch.sigmoid(2 * x)
