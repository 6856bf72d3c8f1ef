"""Plasticity of inhibition: near spikes strengthen it, whatever their order."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.values import Value
from amphid.learning.rule import Rule, all_spikes
from amphid.simulation.plasticity import Selection


class SymmetricState(NamedTuple):
    """A trace of spikes."""

    trace: Tensor


class InhibitorySTDP(Rule[SymmetricState]):
    r"""Inhibition that grows until the cell behind it fires at a target rate.

    .. math::
        w &\leftarrow w + \eta \, x_\text{pre} \quad\text{at a postsynaptic spike} \\
        w &\leftarrow w + \eta \, (x_\text{post} - 2 \rho_0 \tau) \quad\text{at a presynaptic spike}

    with traces x of time constant tau. On average w stands still where the postsynaptic cell fires
    at rho_0, which balances excitation in detail.

    rate: eta, in units of weight. target: rho_0 in spikes per ms (0.005 is 5 Hz). tau: ms.
    greatest: weights stay between 0 and that.
    connections: which ones; the group "inhibitory" unless told.
    Reference: Vogels, Sprekeler, Zenke, Clopath, Gerstner 2011, doi 10.1126/science.1211095.
    """

    rate: Value
    target: Value
    tau: Value

    def __init__(
        self,
        *,
        rate: Value = 0.005,
        target: Value = 0.005,
        tau: Value = 20.0,
        greatest: float = 1.0,
        connections: Selection = "inhibitory",
    ) -> None:
        super().__init__()
        self.hold(rate=rate, target=target)
        self.hold_positive(tau=tau)
        if isinstance(tau, Tensor) and tau.numel() > 1:
            raise ValueError(
                f"InhibitorySTDP: tau is the same for both ends, so it must be one value; got a "
                f"tensor {list(tau.shape)}."
            )
        self.govern(connections, 0.0, greatest)
        self.greatest = float(greatest)
        self._values += ("greatest",)

    def init(self, like: Tensor) -> SymmetricState:
        """No spikes so far."""
        return SymmetricState(torch.zeros_like(like))

    def step(self, state: SymmetricState, spike: Tensor, dt: float) -> SymmetricState:
        """The trace after a step of dt ms."""
        return SymmetricState(all_spikes(state.trace, spike, self.tau, dt))

    def change(
        self,
        weight: Tensor,
        pre: SymmetricState,
        post: SymmetricState,
        pre_spike: Tensor,
        post_spike: Tensor,
    ) -> Tensor:
        """Weights after the spikes of a step."""
        less = 2 * self.target * self.tau
        moved = pre.trace * post_spike + (post.trace - less) * pre_spike
        return weight + self.rate * moved
