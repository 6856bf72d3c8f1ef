"""How well bins came: how many were lost, and how evenly they were sent and arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from amphid.tasks.live.source import Bin, check_time


@dataclass(frozen=True)
class Traffic:
    """What became of the bins of a stream.

    bins: that came. dropped: that were sent in between and never came. jitter: standard deviation
    of the time between two bins that were sent one after the other, ms. delay: median ms between
    sending and reading beyond the quickest bin, and late: 99 of 100 bins are below. gap: longest
    time between two bins that were read, ms.
    """

    bins: int
    dropped: int
    jitter: float
    delay: float
    late: float
    gap: float

    @property
    def share_dropped(self) -> float:
        """Bins that never came, of all that were sent from the first to the last that came."""
        return self.dropped / max(self.bins + self.dropped, 1)


def traffic(bins: Sequence[Bin], *, interval: float = 20.0) -> Traffic:
    """How bins came, in the order in which they were read; interval: ms between bins as planned.

    Bins without numbers are counted by their stamps: a gap of k intervals is k - 1 dropped bins.
    Clocks of sender and reader need not agree. Without two bins there is nothing to measure: zeros.
    """
    check_time("interval", interval)
    if len(bins) < 2:
        return Traffic(len(bins), 0, 0.0, 0.0, 0.0, 0.0)
    stamps = torch.tensor([one.stamp for one in bins], dtype=torch.float64)
    arrived = torch.tensor([one.arrived for one in bins], dtype=torch.float64)
    steps = _steps(bins, stamps, interval)
    delays = arrived - stamps
    delays = delays - delays.min()
    apart = stamps.diff()[steps == 1]
    return Traffic(
        bins=len(bins),
        dropped=int((steps - 1).clamp(min=0).sum()),
        jitter=float(apart.std()) if len(apart) > 1 else 0.0,
        delay=median(delays.tolist()),
        late=float(delays.quantile(0.99)),
        gap=float(arrived.diff().max()),
    )


def _steps(bins: Sequence[Bin], stamps: torch.Tensor, interval: float) -> torch.Tensor:
    """By how many places each bin follows the one before [K - 1]; a sender that restarts: 1."""
    told = [one.number for one in bins]
    if any(number is None for number in told):
        return (stamps.diff() / interval).round().clamp(min=1)
    steps = torch.tensor(told, dtype=torch.float64).diff()
    return torch.where(steps < 1, 1.0, steps)
