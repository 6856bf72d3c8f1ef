"""Spike-timing-dependent plasticity of pairs and triplets of spikes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.values import Value
from amphid.learning.rule import Rule, all_spikes, nearest_spike
from amphid.simulation.plasticity import Selection


class TripletState(NamedTuple):
    """Traces of spikes, named as in the paper."""

    r1: Tensor  # of a presynaptic cell: tau_plus
    r2: Tensor  # of a presynaptic cell, slow: tau_x
    o1: Tensor  # of a postsynaptic cell: tau_minus
    o2: Tensor  # of a postsynaptic cell, slow: tau_y


class TripletSTDP(Rule[TripletState]):
    r"""Triplet rule: pairs count more, the more often an end has fired of late.

    .. math::
        w &\leftarrow w + r_1 (A_2^+ + A_3^+ o_2) \quad\text{at a postsynaptic spike} \\
        w &\leftarrow w - o_1 (A_2^- + A_3^- r_2) \quad\text{at a presynaptic spike}

    with traces r of the presynaptic and o of the postsynaptic spikes before this one. It accounts
    for the dependence of plasticity on firing rate that pairs alone do not show. The defaults are
    those fitted to visual cortex, all spikes interacting, for weights of about 1.

    pair_potentiation, pair_depression: A2+ and A2-. triplet_potentiation, triplet_depression: A3+
    and A3-. All are in units of weight. tau_plus, tau_minus, tau_x, tau_y: ms.
    greatest: weights stay between 0 and that. nearest: every trace remembers the last spike only.
    connections: which ones; all chemical connections when None.
    Reference: Pfister & Gerstner 2006, doi 10.1523/JNEUROSCI.1425-06.2006.
    """

    pair_potentiation: Value
    pair_depression: Value
    triplet_potentiation: Value
    triplet_depression: Value
    tau_plus: Value
    tau_minus: Value
    tau_x: Value
    tau_y: Value

    def __init__(
        self,
        *,
        pair_potentiation: Value = 5e-10,
        pair_depression: Value = 7e-3,
        triplet_potentiation: Value = 6.2e-3,
        triplet_depression: Value = 2.3e-4,
        tau_plus: Value = 16.8,
        tau_minus: Value = 33.7,
        tau_x: Value = 101.0,
        tau_y: Value = 125.0,
        greatest: float = 1.0,
        nearest: bool = False,
        connections: Selection = None,
    ) -> None:
        super().__init__()
        self.hold(pair_potentiation=pair_potentiation, pair_depression=pair_depression)
        self.hold(triplet_potentiation=triplet_potentiation, triplet_depression=triplet_depression)
        self.hold_positive(tau_plus=tau_plus, tau_minus=tau_minus, tau_x=tau_x, tau_y=tau_y)
        self.govern(connections, 0.0, greatest)
        self.greatest, self.nearest = float(greatest), nearest
        self._values += ("greatest", "nearest")

    def init(self, like: Tensor) -> TripletState:
        """No spikes so far."""
        return TripletState(*(torch.zeros_like(like) for _ in range(4)))

    def step(self, state: TripletState, spike: Tensor, dt: float) -> TripletState:
        """Traces after a step of dt ms."""
        trace = nearest_spike if self.nearest else all_spikes
        times = (self.tau_plus, self.tau_x, self.tau_minus, self.tau_y)
        return TripletState(
            *(trace(old, spike, tau, dt) for old, tau in zip(state, times, strict=True))
        )

    def change(
        self,
        weight: Tensor,
        pre: TripletState,
        post: TripletState,
        pre_spike: Tensor,
        post_spike: Tensor,
    ) -> Tensor:
        """Weights after the spikes of a step."""
        grown = self.pair_potentiation + self.triplet_potentiation * post.o2
        shrunk = self.pair_depression + self.triplet_depression * pre.r2
        return weight + pre.r1 * grown * post_spike - post.o1 * shrunk * pre_spike
