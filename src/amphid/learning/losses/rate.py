"""Losses of how much a cell fires."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amphid.learning.losses.reduction import Reduction, check_sequence, check_settings, reduced


@dataclass(frozen=True)
class RateError:
    r"""Squared difference between the rate of each cell and its target.

    .. math:: \Bigl(\frac{1}{T dt} \sum_t s_t - r\Bigr)^2

    outputs: spikes [T, *B, N]. targets: r [*B, N] in Hz. dt: ms. Without reduction [*B, N].
    """

    dt: float = 1.0
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "dt")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss in Hz squared."""
        check_sequence(outputs, targets, outputs.shape[1:], "[*B, N] in Hz")
        return reduced((outputs.mean(0) * (1000.0 / self.dt) - targets).square(), self.reduction)


@dataclass(frozen=True)
class CountCrossEntropy:
    """Cross-entropy of classes, a cell for each: the one that gives out most should be right.

    outputs: spikes or voltages [T, *B, N], N classes. targets: class of each example [*B].
    scale: what the sum over time is multiplied by to be a logit; a mean is 1 / T. smoothing: share
    of the target spread over all classes. Without reduction [*B].
    """

    scale: float = 1.0
    smoothing: float = 0.0
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "scale")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss in nats."""
        check_sequence(outputs, targets, outputs.shape[1:-1], "the class of each example [*B]")
        return classified(outputs.sum(0) * self.scale, targets, self.smoothing, self.reduction)


@dataclass(frozen=True)
class PoissonLikelihood:
    r"""Negative log-likelihood of spikes under Poisson processes whose rates the model gives.

    .. math:: \sum_t \lambda_t\, dt - k_t \ln(\lambda_t\, dt) + \ln k_t!

    outputs: rates [T, *B, N] in Hz, or their natural logarithms where `log`. targets: numbers k of
    spikes [T, *B, N]. dt: ms. least: expected spikes a step below which a rate is taken for that
    in the logarithm, so that a spike where none was expected costs much, not everything. The sum
    over time; without reduction [*B, N].
    """

    dt: float = 1.0
    log: bool = False
    least: float = 1e-8
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "dt", "least")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss in nats."""
        check_sequence(outputs, targets, outputs.shape, "the spikes [T, *B, N]")
        unit = self.dt / 1000.0
        if self.log:
            logarithm = outputs + math.log(unit)
            expected = logarithm.exp()
        else:
            expected = outputs * unit
            logarithm = expected.clamp(min=self.least).log()
        surprise = expected - targets * logarithm + torch.lgamma(targets.to(outputs) + 1)
        return reduced(surprise.sum(0), self.reduction)


def classified(logits: Tensor, targets: Tensor, smoothing: float, reduction: Reduction) -> Tensor:
    """Cross-entropy of logits [*B, N] and classes [*B]."""
    each = functional.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), reduction="none", label_smoothing=smoothing
    )
    return reduced(each.view(targets.shape), reduction)
