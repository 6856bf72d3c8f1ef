"""Losses of whole spike trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amphid import measures
from amphid.learning.losses.reduction import Reduction, check_sequence, check_settings, reduced


@dataclass(frozen=True)
class VanRossum:
    """Squared van Rossum distance between trains, as `measures.van_rossum` states it.

    outputs, targets: spikes [T, *B, N]. tau: ms over which spikes count as near. dt: ms.
    A cell that never fires is half a spike away for each spike of its target: less than one that
    fires at wrong times. Where silence must not win, add a loss of rates, or take `Correlation`.
    Without reduction [*B, N].
    Reference: van Rossum 2001, doi 10.1162/089976601300014321.
    """

    tau: float = 10.0
    dt: float = 1.0
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "tau", "dt")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, in spikes."""
        check_sequence(outputs, targets, outputs.shape, "spikes [T, *B, N]")
        distance = measures.van_rossum(outputs, targets.to(outputs), tau=self.tau, dt=self.dt)
        return reduced(distance, self.reduction)


@dataclass(frozen=True)
class Correlation:
    """One minus `measures.train_correlation`: silence does not win.

    It does not see how many spikes there are, only when. A train without any spike, on either side,
    gives 1, as chance does; its gradient still leads towards spikes at the right times.

    outputs, targets: spikes, or releases, [T, *B, N]. tau, dt: ms. floor: least standard deviation
    that counts, in units of the trace of a spike; it bounds the gradient of a train that is nearly
    silent. pooled: of time and batch together. Without reduction [*B, N], or [N] where pooled.
    """

    tau: float = 10.0
    dt: float = 1.0
    floor: float = 1e-3
    pooled: bool = False
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "tau", "dt", "floor")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, from 0 to 2."""
        check_sequence(outputs, targets, outputs.shape, "spikes [T, *B, N]")
        alike = measures.train_correlation(
            outputs, targets.to(outputs), tau=self.tau, dt=self.dt, floor=self.floor,
            pooled=self.pooled,
        )  # fmt: skip
        return reduced(1 - alike, self.reduction)


@dataclass(frozen=True)
class VictorPurpura:
    """Victor-Purpura distance between trains, as `measures.victor_purpura` states it.

    It carries no gradient: it is for estimators that need none. outputs, targets: spikes
    [T, *B, N]. cost: per ms. dt: ms. Without reduction [*B, N].
    Reference: Victor & Purpura 1996, doi 10.1152/jn.1996.76.2.1310.
    """

    cost: float = 0.1
    dt: float = 1.0
    reduction: Reduction = torch.mean

    def __post_init__(self) -> None:
        check_settings(self, "dt")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, in spikes."""
        check_sequence(outputs, targets, outputs.shape, "spikes [T, *B, N]")
        distance = measures.victor_purpura(outputs, targets, cost=self.cost, dt=self.dt)
        return reduced(distance, self.reduction)
