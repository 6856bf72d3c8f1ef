"""Spike-timing-dependent plasticity of pairs of spikes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.values import Value
from amphid.learning.rule import Rule, all_spikes, check_exponent, nearest_spike, power
from amphid.simulation.plasticity import Selection


class PairState(NamedTuple):
    """Traces of spikes."""

    before: Tensor  # of spikes that a later one at the other end may follow: tau_plus
    after: Tensor  # of spikes that a later one at the other end may come after: tau_minus


class STDP(Rule[PairState]):
    r"""Pair rule: what fires before its target grows, what fires after it shrinks.

    .. math:: \Delta w = A_+ f_+(w) \, e^{-(t_\text{post} - t_\text{pre}) / \tau_+}
        \quad\text{or}\quad -A_- f_-(w) \, e^{-(t_\text{pre} - t_\text{post}) / \tau_-}

    for the pair's later spike, summed over pairs; two spikes in one step are no pair. With
    exponent mu, :math:`f_+ = (1 - w / w_\max)^\mu` and :math:`f_- = (w / w_\max)^\mu`: 0 is the
    additive rule with hard bounds, 1 the multiplicative one with soft bounds, and a power law lies
    between.

    potentiation, depression: A+ and A-, in units of weight (for a pair of spikes at once).
    tau_plus, tau_minus: ms. greatest: w_max; weights stay between 0 and that. exponent: mu.
    nearest: pair each spike with the last one at the other end only, not with all before it.
    connections: which ones; all chemical connections when None.
    Reference: Song, Miller, Abbott 2000, doi 10.1038/78829 (additive); Guetig et al. 2003,
    doi 10.1523/JNEUROSCI.23-09-03697.2003 (exponent); Morrison, Diesmann, Gerstner 2008,
    doi 10.1007/s00422-008-0233-1 (pairings).
    """

    potentiation: Value
    depression: Value
    tau_plus: Value
    tau_minus: Value
    exponent: Value

    def __init__(
        self,
        *,
        potentiation: Value = 0.005,
        depression: Value = 0.00525,
        tau_plus: Value = 20.0,
        tau_minus: Value = 20.0,
        greatest: float = 1.0,
        exponent: Value = 0.0,
        nearest: bool = False,
        connections: Selection = None,
    ) -> None:
        super().__init__()
        self.hold(potentiation=potentiation, depression=depression)
        self.hold_positive(tau_plus=tau_plus, tau_minus=tau_minus)
        self.hold(exponent=exponent)
        check_exponent(self, exponent)
        self.govern(connections, 0.0, greatest)
        self.greatest, self.nearest = float(greatest), nearest
        self._values += ("greatest", "nearest")

    def init(self, like: Tensor) -> PairState:
        """No spikes so far."""
        return PairState(torch.zeros_like(like), torch.zeros_like(like))

    def step(self, state: PairState, spike: Tensor, dt: float) -> PairState:
        """Traces after a step of dt ms."""
        trace = nearest_spike if self.nearest else all_spikes
        return PairState(
            trace(state.before, spike, self.tau_plus, dt),
            trace(state.after, spike, self.tau_minus, dt),
        )

    def change(
        self,
        weight: Tensor,
        pre: PairState,
        post: PairState,
        pre_spike: Tensor,
        post_spike: Tensor,
    ) -> Tensor:
        """Weights after the spikes of a step."""
        share = weight / self.greatest
        up = self.potentiation * power(1 - share, self.exponent) * pre.before * post_spike
        down = self.depression * power(share, self.exponent) * post.after * pre_spike
        return weight + up - down
