"""An integrate-and-fire cell whose spike also clears what its synapses left behind."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.neuron import Neuron
from amphid.dynamics.surrogate import FastSigmoid, Surrogate, reset
from amphid.dynamics.values import Value, decay, filled


class ClearingLIFState(NamedTuple):
    """State of integrate-and-fire cells that clear their synapses."""

    v: Tensor  # membrane potential, mV
    synaptic: Tensor  # current that decays, pA
    deaf: Tensor  # steps for which nothing reaches the cell [*B, N]


class ClearingLIF(Neuron[ClearingLIFState]):
    r"""Leaky integrate-and-fire cell with the current of its synapses inside; a spike clears both.

    .. math:: \tau \dot v = v_\text{rest} - v + R J, \qquad \tau_s \dot J = -J + I, \qquad
              v > v_\text{threshold} \Rightarrow v \leftarrow v_\text{reset}, \ J \leftarrow 0

    All that enters is a charge that leaves as J: give its synapses as `Delta`, whose charge q makes
    J jump by :math:`q / \tau_s`. Charges arrive at the start of a step; below threshold v and J are
    exact in dt. For `period` after a spike, R steps, the cell is refractory: v stands still, as in
    `Refractory`, and what arrives is lost. The last of these R steps v moves again, for it begins
    R - 1 steps after the spike and ends after R.

    tau, tau_synapse, period: ms. resistance: R in GOhm. v_rest, v_threshold, v_reset: mV.
    surrogate: the gradient of a spike. reset_gradient: whether it passes through the reset.
    Reference: Shiu et al. 2024, doi 10.1038/s41586-024-07763-9.
    """

    tau: Value
    tau_synapse: Value
    resistance: Value
    v_rest: Value
    v_threshold: Value
    v_reset: Value
    period: Value

    def __init__(
        self,
        *,
        tau: Value = 20.0,
        tau_synapse: Value = 5.0,
        resistance: Value = 0.1,
        v_rest: Value = -65.0,
        v_threshold: Value = -50.0,
        v_reset: Value = -65.0,
        period: Value = 2.0,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.hold_positive(tau=tau, tau_synapse=tau_synapse, resistance=resistance)
        self.hold(v_rest=v_rest, v_threshold=v_threshold, v_reset=v_reset, period=period)
        if not bool((torch.as_tensor(period).detach() >= 0).all()):
            raise ValueError(f"ClearingLIF: period must not be negative, got {period}.")
        way = (v_rest, v_threshold)
        self.convention(surrogate, reset_gradient=reset_gradient, way=way)

    def init(self, like: Tensor) -> ClearingLIFState:
        """At rest, without a current, not refractory."""
        none = torch.zeros_like(like)
        return ClearingLIFState(filled(like, self.v_rest), none, torch.zeros_like(like))

    def step(
        self, state: ClearingLIFState, current: Tensor, dt: float
    ) -> tuple[ClearingLIFState, Tensor]:
        """One step; the charge of the current arrives at its start."""
        heard = torch.where(state.deaf > 0, 0.0, current)
        charged = state.synaptic + heard * (dt / self.tau_synapse)
        moved = (state.v - self.v_rest) * decay(dt, self.tau) + charged * self.lift(dt)
        held = state.deaf > 1
        v = torch.where(held, state.v, self.v_rest + moved)
        spike = torch.where(held, 0.0, self.surrogate(v - self.v_threshold))
        v = reset(v, spike, self.v_reset, gradient=self.reset_gradient)
        left = charged * decay(dt, self.tau_synapse)
        synaptic = reset(left, spike, 0.0, gradient=self.reset_gradient)
        fewer = (state.deaf - 1).clamp(min=0)
        count = torch.where(spike.detach() > 0, self._steps(dt), fewer)
        return ClearingLIFState(v, synaptic, count), spike

    def lift(self, dt: float) -> Value:
        r"""mV by which 1 pA of J at the start of a step has raised v at its end.

        .. math:: R \, \frac{\tau_s}{\tau_s - \tau} (e^{-\Delta t / \tau_s} - e^{-\Delta t / \tau})
        """
        apart = dt / self.tau - dt / self.tau_synapse
        left = decay(dt, self.tau)
        return self.resistance * left * _growth(apart) * (dt / self.tau)

    def _steps(self, dt: float) -> Value:
        """For how many steps a spike makes the cell refractory."""
        if isinstance(self.period, Tensor):
            return torch.round(self.period.detach() / dt)
        return float(round(self.period / dt))


def _growth(x: Value) -> Value:
    """(e^x - 1) / x, which is 1 at zero."""
    if isinstance(x, Tensor):
        small = x.abs() < 1e-7
        safe = torch.where(small, 1.0, x)
        return torch.where(small, 1 + x / 2, torch.expm1(safe) / safe)
    return math.expm1(x) / x if abs(x) > 1e-7 else 1 + x / 2
