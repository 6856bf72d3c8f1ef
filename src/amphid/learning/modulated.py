"""A third factor: spikes propose, a signal such as reward disposes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from amphid.dynamics.values import Value
from amphid.learning.rule import Rule
from amphid.simulation.plasticity import Factor


class Modulated(Rule[Any]):
    r"""A rule whose changes wait, as an eligibility of their connection, for a signal.

    .. math:: \dot c = -c / \tau + \sum_k \Delta_k \, \delta(t - t_k), \qquad \dot w = M(t) \, c

    with the changes Delta_k that the rule inside would make at once. Between spikes both are
    computed in closed form, so the cost stays with the spikes. A weight is held within the bounds
    of the rule whenever one of its ends fires and at the end of a run.

    The signal is given for a whole run; where it depends on what the network does, run piece by
    piece, each from `recording.state` of the one before, with `rule.with_signal(...)`.

    rule: such as STDP(...). signal: M [T, *B] per ms, one entry for each step. tau: ms.
    Reference: Izhikevich 2007, doi 10.1093/cercor/bhl152; Fremaux & Gerstner 2016,
    doi 10.3389/fncir.2015.00085.
    """

    rule: Rule[Any]
    tau: Value
    signal: Tensor

    def __init__(self, rule: Rule[Any], *, signal: Tensor, tau: Value = 1000.0) -> None:
        super().__init__()
        if not isinstance(rule, Rule) or isinstance(rule, Modulated):
            raise TypeError(f"Modulated: rule must be a rule such as STDP(...), got {rule!r}.")
        if not isinstance(signal, Tensor) or not signal.dim():
            raise TypeError(f"Modulated: signal must be a tensor [T, *B], got {signal!r}.")
        self.rule = rule
        self.hold_positive(tau=tau)
        if torch.as_tensor(tau).numel() > 1:
            raise ValueError("Modulated: tau must be one value, the same for all connections.")
        self.hold(signal=signal)
        self.govern(rule.connections, *rule.bounds)

    @property
    def factor(self) -> Factor:
        """What comes between the changes and the weights."""
        return Factor(self.signal, self.tau)

    def with_signal(self, signal: Tensor) -> Modulated:
        """The same rule under another signal [T, *B]."""
        return Modulated(self.rule, signal=signal, tau=self.tau)

    def init(self, like: Tensor) -> Any:
        """As the rule inside starts."""
        return self.rule.init(like)

    def step(self, state: Any, spike: Tensor, dt: float) -> Any:
        """Traces of the rule inside."""
        return self.rule.step(state, spike, dt)

    def change(
        self, weight: Tensor, pre: Any, post: Any, pre_spike: Tensor, post_spike: Tensor
    ) -> Tensor:
        """Weights as the rule inside would have them."""
        return self.rule.change(weight, pre, post, pre_spike, post_spike)
