"""Losses of when a cell first fires."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.learning.losses.rate import classified
from amphid.learning.losses.reduction import Reduction, check_sequence, check_settings, reduced


def first_spike(spikes: Tensor, dt: float = 1.0) -> Tensor:
    r"""Time of the first spike of each cell [*B, N] in ms: the end of its step, as in recordings.

    .. math:: t = dt \Big(1 + \sum_u \prod_{t \le u} (1 - s_t)\Big)

    spikes: [T, *B, N]. Exact where they are 0 or 1: dt in the first step, and one step after the
    last, (T + 1) dt, where there is none. For probabilities it is the expected time. Its gradient
    says what a spike more, or one fewer, would do: a cell that stays silent still learns.
    """
    return dt * (1 + (1 - spikes).cumprod(0).sum(0))


@dataclass(frozen=True)
class FirstSpikeError:
    """Squared difference between the time of a cell's first spike and its target.

    outputs: spikes [T, *B, N]. targets: times [*B, N] in ms, of the end of a step as `first_spike`
    gives them; (T + 1) dt asks for silence. dt: ms. Without reduction [*B, N].
    """

    dt: float = 1.0
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "dt")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss in ms squared."""
        check_sequence(outputs, targets, outputs.shape[1:], "times [*B, N] in ms")
        return reduced((first_spike(outputs, self.dt) - targets).square(), self.reduction)


@dataclass(frozen=True)
class FirstSpikeCrossEntropy:
    r"""Cross-entropy of classes, a cell for each: the one that fires first should be right.

    .. math:: -\ln \frac{e^{-t_y / \tau}}{\sum_k e^{-t_k / \tau}}

    outputs: spikes [T, *B, N], N classes. targets: class of each example [*B]. tau: ms by which
    the first must lead to be e times as likely. dt: ms. Without reduction [*B].
    """

    tau: float = 5.0
    dt: float = 1.0
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "tau", "dt")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss in nats."""
        check_sequence(outputs, targets, outputs.shape[1:-1], "the class of each example [*B]")
        return classified(-first_spike(outputs, self.dt) / self.tau, targets, 0.0, self.reduction)
