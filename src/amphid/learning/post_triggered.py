"""Plasticity that waits for the postsynaptic spike, as in unsupervised learning of patterns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.values import Value
from amphid.learning.rule import Rule, all_spikes, check_exponent, nearest_spike, power
from amphid.simulation.plasticity import Selection


class PostTriggeredState(NamedTuple):
    """A trace of spikes."""

    trace: Tensor


class PostTriggered(Rule[PostTriggeredState]):
    r"""Weights move when the postsynaptic cell fires, towards inputs that have fired of late.

    .. math:: w \leftarrow w + \eta \, (x_\text{pre} - x_\text{target}) (w_\max - w)^\mu

    with the presynaptic trace x. Inputs whose trace is below the target are unlearned, so that a
    cell keeps the pattern it answers to. A presynaptic spike costs nothing.

    rate: eta. target: the presynaptic trace that leaves a weight as it is. tau: ms.
    greatest: w_max; weights stay between 0 and that. exponent: mu.
    nearest: the trace remembers the last spike only, and is never above one.
    connections: which ones; all chemical connections when None.
    Reference: Diehl & Cook 2015, doi 10.3389/fncom.2015.00099.
    """

    rate: Value
    target: Value
    tau: Value
    exponent: Value

    def __init__(
        self,
        *,
        rate: Value = 0.01,
        target: Value = 0.4,
        tau: Value = 20.0,
        greatest: float = 1.0,
        exponent: Value = 0.2,
        nearest: bool = False,
        connections: Selection = None,
    ) -> None:
        super().__init__()
        self.hold(rate=rate, target=target)
        self.hold_positive(tau=tau)
        self.hold(exponent=exponent)
        check_exponent(self, exponent)
        self.govern(connections, 0.0, greatest)
        self.greatest, self.nearest = float(greatest), nearest
        self._values += ("greatest", "nearest")

    def init(self, like: Tensor) -> PostTriggeredState:
        """No spikes so far."""
        return PostTriggeredState(torch.zeros_like(like))

    def step(self, state: PostTriggeredState, spike: Tensor, dt: float) -> PostTriggeredState:
        """The trace after a step of dt ms."""
        trace = nearest_spike if self.nearest else all_spikes
        return PostTriggeredState(trace(state.trace, spike, self.tau, dt))

    def change(
        self,
        weight: Tensor,
        pre: PostTriggeredState,
        post: PostTriggeredState,
        pre_spike: Tensor,
        post_spike: Tensor,
    ) -> Tensor:
        """Weights after the spikes of a step."""
        room = power(self.greatest - weight, self.exponent)
        return weight + self.rate * (pre.trace - self.target) * room * post_spike
