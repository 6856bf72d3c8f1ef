"""Integrate-and-fire cells that make the upstroke of the spike themselves, and adapt."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.neuron import Membrane, MembraneNeuron, NonlinearMembraneNeuron
from amphid.dynamics.rest import resting_voltage
from amphid.dynamics.surrogate import FastSigmoid, Surrogate, reset
from amphid.dynamics.values import Value, decay, filled, is_number

STEEP = 20.0  # sharpnesses above threshold beyond which the sodium current no longer grows
BLOW_UP = 0.01  # share of a step left before the voltage would pass infinity


class IzhikevichState(NamedTuple):
    """State of Izhikevich cells."""

    v: Tensor  # membrane potential, mV
    u: Tensor  # recovery current, pA


class Izhikevich(MembraneNeuron[IzhikevichState]):
    r"""Quadratic integrate-and-fire cell with a recovery current.

    .. math:: C \dot v = k (v - v_r)(v - v_t) - u + I, \qquad
              \dot u = a [b (v - v_r) - u], \qquad
              v > v_\text{peak} \Rightarrow v \leftarrow c, \ u \leftarrow u + d

    Stepped by Kahan's method for both equations at once: of second order in dt between spikes, and
    the upstroke is never missed, however long the step. A network that solves the voltages together
    takes the current beyond the slope at rest from the start of the step, which is of first order.

    capacitance: C in pF. k: nS/mV. v_r, v_t, v_peak: mV. a: per ms. b: nS. c: mV. d: pA. The
    defaults are those of `regular_spiking`. It rests at v_r with u = 0.
    surrogate: the gradient of a spike, by the distance to v_peak. reset_gradient: whether it passes
    through the reset of v; it does pass through the jump of u.
    Reference: Izhikevich 2007, Dynamical Systems in Neuroscience,
    doi 10.7551/mitpress/2526.001.0001, chapter 8. Method: Celledoni et al. 2013,
    doi 10.1088/1751-8113/46/2/025201.
    """

    capacitance: Value
    k: Value
    v_r: Value
    v_t: Value
    v_peak: Value
    a: Value
    b: Value
    c: Value
    d: Value

    def __init__(
        self,
        *,
        capacitance: Value = 100.0,
        k: Value = 0.7,
        v_r: Value = -60.0,
        v_t: Value = -40.0,
        v_peak: Value = 35.0,
        a: Value = 0.03,
        b: Value = -2.0,
        c: Value = -50.0,
        d: Value = 100.0,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.hold_positive(capacitance=capacitance, k=k)
        self.hold(v_r=v_r, v_t=v_t, v_peak=v_peak)
        self.hold_positive(a=a)
        self.hold(b=b, c=c, d=d)
        way = (v_r, v_peak)
        self.convention(surrogate, reset_gradient=reset_gradient, way=way)

    @classmethod
    def regular_spiking(cls, **changes: Any) -> Izhikevich:
        """Pyramidal cell of layer 5 that fires regularly and adapts."""
        return cls(**changes)

    @classmethod
    def intrinsically_bursting(cls, **changes: Any) -> Izhikevich:
        """Pyramidal cell of layer 5 that starts with a burst."""
        cell = {"capacitance": 150.0, "k": 1.2, "v_r": -75.0, "v_t": -45.0, "v_peak": 50.0}
        return cls(**{**cell, "a": 0.01, "b": 5.0, "c": -56.0, "d": 130.0, **changes})

    @classmethod
    def chattering(cls, **changes: Any) -> Izhikevich:
        """Cell of the visual cortex that fires burst after burst."""
        cell = {"capacitance": 50.0, "k": 1.5, "v_r": -60.0, "v_t": -40.0, "v_peak": 25.0}
        return cls(**{**cell, "a": 0.03, "b": 1.0, "c": -40.0, "d": 150.0, **changes})

    @classmethod
    def of_2003(
        cls,
        *,
        a: float = 0.02,
        b: float = 0.2,
        c: float = -65.0,
        d: float = 8.0,
        capacitance: float = 1.0,
        **changes: Any,
    ) -> Izhikevich:
        r"""The same cell in the form of 2003, which is exactly a special case.

        .. math:: \dot v = 0.04 v^2 + 5 v + 140 - u + I, \qquad \dot u = a (b v - u)

        Its v_r and v_t are the roots of the v nullcline on the line u = b v; its u is counted from
        the u at rest, :math:`b v_r`. One unit of its I is `capacitance` in pA: with 1 pF, 1 pA.
        The defaults are its regular spiking cell; fast spiking is a=0.1, d=2; chattering c=-50,
        d=2; intrinsically bursting c=-55, d=4; low-threshold spiking b=0.25, d=2.

        Raises ValueError for a b above 5 - sqrt(22.4), about 0.267: such a cell has no rest.
        Reference: Izhikevich 2003, doi 10.1109/TNN.2003.820440.
        """
        for name, value in (("a", a), ("b", b), ("c", c), ("d", d), ("capacitance", capacitance)):
            if not is_number(value):
                raise TypeError(
                    f"Izhikevich.of_2003: {name} must be a finite number, got {value!r}."
                )
        beneath = (5 - b) ** 2 - 22.4
        if beneath < 0 or b > 5:
            raise ValueError(
                f"Izhikevich.of_2003: b must be at most 5 - sqrt(22.4), about 0.267, for the cell "
                f"to have a rest to start from, got {b!r}."
            )
        v_r = -(5 - b + math.sqrt(beneath)) / 0.08
        form = {"k": 0.04 * capacitance, "v_r": v_r, "v_t": -125 - v_r, "v_peak": 30.0}
        jumps = {"a": a, "b": b * capacitance, "c": c, "d": d * capacitance}
        return cls(capacitance=capacitance, **{**form, **jumps, **changes})

    def init(self, like: Tensor) -> IzhikevichState:
        """At rest."""
        return IzhikevichState(filled(like, self.v_r), torch.zeros_like(like))

    def settle(self, state: IzhikevichState, v: Tensor) -> IzhikevichState:
        """At v, with the recovery current that belongs to it."""
        return IzhikevichState(v, self.b * (v - self.v_r))

    def gates(self, state: IzhikevichState, dt: float) -> IzhikevichState:
        """The recovery current after dt ms, exact at the present voltage."""
        goal = self.b * (state.v - self.v_r)
        return state._replace(u=goal + (state.u - goal) * decay(dt, 1 / self.a))

    def membrane(self, state: IzhikevichState) -> Membrane:
        """The slope at rest as a leak, all that is beyond it as a current."""
        leak = self.k * (self.v_t - self.v_r)
        beyond = self.k * (state.v - self.v_r) ** 2
        return Membrane(self.capacitance, leak, leak * self.v_r + beyond - state.u)

    def emit(self, state: IzhikevichState, v: Tensor, dt: float) -> tuple[IzhikevichState, Tensor]:
        """A spike above the peak, the reset and the jump of the recovery current."""
        spike = self.surrogate(v - self.v_peak)
        v = reset(v, spike, self.c, gradient=self.reset_gradient)
        return IzhikevichState(v, state.u + self.d * spike), spike

    def step(
        self, state: IzhikevichState, current: Tensor, dt: float
    ) -> tuple[IzhikevichState, Tensor]:
        """One step of Kahan's method: products of two variables are taken half at either end."""
        height, peak = state.v - self.v_r, self.v_peak - self.v_r
        share, half = dt / self.capacitance, self.a * dt / 2
        slope = share * (self.k * (self.v_t - self.v_r) + half * self.b / (1 + half)) / 2
        left = 1 + slope - share * self.k * height
        push = height * (1 - slope) + share * (current - state.u / (1 + half))
        passed = left < BLOW_UP
        reached = torch.where(passed, peak + 1.0, push / torch.where(passed, 1.0, left))
        mean = height + torch.where(reached > peak, peak, reached)
        u = (state.u * (1 - half) + half * self.b * mean) / (1 + half)
        return self.emit(state._replace(u=u), self.v_r + reached, dt)


class AdExState(NamedTuple):
    """State of adaptive exponential integrate-and-fire cells."""

    v: Tensor  # membrane potential, mV
    w: Tensor  # adaptation current, pA


class AdEx(NonlinearMembraneNeuron[AdExState]):
    r"""Exponential integrate-and-fire cell with an adaptation current.

    .. math:: C \dot v = -g_\text{leak} (v - E_\text{leak})
              + g_\text{leak} \Delta e^{(v - v_\text{threshold}) / \Delta} - w + I, \qquad
              \tau_w \dot w = a (v - E_\text{leak}) - w, \qquad
              v > v_\text{peak} \Rightarrow v \leftarrow v_\text{reset}, \ w \leftarrow w + b

    w is exact at the present voltage; v steps by the exponential midpoint rule. From rest, between
    spikes, this is of second order in dt. The exponent is held at 20: from there the cell fires
    within any step, and no number overflows. It starts at its fixed point, a little above v_leak.

    capacitance: C in pF. g_leak: nS. v_leak, v_threshold, v_reset, v_peak: mV. sharpness: Delta in
    mV. tau_w: ms. a: nS. b: pA. The defaults are the published ones.
    surrogate: the gradient of a spike, by the distance to v_peak. reset_gradient: whether it passes
    through the reset of v; it does pass through the jump of w.
    Reference: Brette & Gerstner 2005, doi 10.1152/jn.00686.2005.
    """

    capacitance: Value
    g_leak: Value
    v_leak: Value
    v_threshold: Value
    sharpness: Value
    v_reset: Value
    v_peak: Value
    tau_w: Value
    a: Value
    b: Value

    def __init__(
        self,
        *,
        capacitance: Value = 281.0,
        g_leak: Value = 30.0,
        v_leak: Value = -70.6,
        v_threshold: Value = -50.4,
        sharpness: Value = 2.0,
        v_reset: Value = -70.6,
        v_peak: Value = 20.0,
        tau_w: Value = 144.0,
        a: Value = 4.0,
        b: Value = 80.5,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.hold_positive(capacitance=capacitance, g_leak=g_leak)
        self.hold(v_leak=v_leak, v_threshold=v_threshold)
        self.hold_positive(sharpness=sharpness)
        self.hold(v_reset=v_reset, v_peak=v_peak)
        self.hold_positive(tau_w=tau_w)
        self.hold(a=a, b=b)
        way = (v_leak, v_peak)
        self.convention(surrogate, reset_gradient=reset_gradient, way=way)

    def init(self, like: Tensor) -> AdExState:
        """At rest."""
        nothing = like.new_zeros(())
        low, high = nothing + self.v_leak, nothing + self.v_threshold
        v = filled(like, resting_voltage(self._net_current, *torch.broadcast_tensors(low, high)))
        return self.settle(AdExState(v, v), v)

    def settle(self, state: AdExState, v: Tensor) -> AdExState:
        """At v, with the adaptation current that belongs to it."""
        return AdExState(v, self.a * (v - self.v_leak))

    def gates(self, state: AdExState, dt: float) -> AdExState:
        """The adaptation current after dt ms, exact at the present voltage."""
        goal = self.a * (state.v - self.v_leak)
        return state._replace(w=goal + (state.w - goal) * decay(dt, self.tau_w))

    def membrane(self, state: AdExState) -> Membrane:
        """The leak, the upstroke's current and the adaptation."""
        drive = self.g_leak * self.v_leak + self._upstroke(state.v) - state.w
        return Membrane(self.capacitance, self.g_leak, drive)

    def emit(self, state: AdExState, v: Tensor, dt: float) -> tuple[AdExState, Tensor]:
        """A spike above the peak, the reset and the jump of the adaptation current."""
        spike = self.surrogate(v - self.v_peak)
        v = reset(v, spike, self.v_reset, gradient=self.reset_gradient)
        return AdExState(v, state.w + self.b * spike), spike

    def _upstroke(self, v: Tensor) -> Tensor:
        exponent = ((v - self.v_threshold) / self.sharpness).clamp(max=STEEP)
        return self.g_leak * self.sharpness * torch.exp(exponent)

    def _net_current(self, v: Tensor) -> Tensor:
        return self._upstroke(v) - (self.g_leak + self.a) * (v - self.v_leak)
