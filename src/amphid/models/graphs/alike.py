"""Edges from cells that rise when the listener does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.models.graphs.graph import SMALL, Graph, check_asked, shares
from amphid.wiring import checks


@dataclass(frozen=True)
class Alike:
    r"""Edges from cells whose rises went along with those of the listener.

    .. math:: a_j \propto \max(0, \mathrm{corr}(\Delta x_j, \Delta x_i))^\text{power}

    over the frames up to now, the first `early` at least; the strongest `neighbors` cells keep
    their edge, all of them when None. Messages: now. Cells need no names.

    rise: frames over which a rise is taken.
    """

    rise: int = 4
    power: float = 4.0
    neighbors: int | None = 10
    early: int = 240

    def __post_init__(self) -> None:
        checks.whole("rise", self.rise)
        checks.whole("early", self.early)
        checks.positive("power", self.power)
        if self.neighbors is not None:
            checks.whole("neighbors", self.neighbors)

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """One graph, anew at every frame."""
        check_asked(signals, cells, horizon, pool)
        own = [[place] for place in range(len(cells))] if pool is None else [list(pool)]
        weights = [self._towards(signals, one) for one in own]
        return [Graph(torch.stack(weights, -1), range(len(signals)))]

    def _towards(self, signals: Tensor, own: list[int]) -> Tensor:
        """Weights [T, N] of messages to the mean of some cells."""
        along = correlation_so_far(
            rises(signals, self.rise), rises(signals[:, own].mean(1), self.rise), self.early
        )
        along[:, own] = 0.0
        strength = along.clamp_min(0.0) ** self.power
        if self.neighbors is not None:
            kept = min(self.neighbors, strength.shape[1])
            least = strength.topk(kept, dim=1).values[:, -1:]
            strength = torch.where(strength >= least, strength, 0.0)
        return shares(strength[..., None])[..., 0]


def rises(signals: Tensor, frames: int) -> Tensor:
    """By how much signals [T, ...] rose within the last `frames` frames."""
    return signals - signals[(torch.arange(len(signals)) - frames).clamp_min(0)]


def correlation_so_far(signals: Tensor, seed: Tensor, least: int) -> Tensor:
    """Correlation [T, N] of signals [T, N] with a seed [T] over all frames up to each.

    least: frames that are taken together at the start, which share one value.
    """
    values, other = signals.double(), seed.double()[:, None]
    count = torch.arange(1, len(values) + 1)[:, None]

    def mean(of: Tensor) -> Tensor:
        return of.cumsum(0) / count

    here, there = mean(values), mean(other)
    together = mean(values * other) - here * there
    spread = (mean(values**2) - here**2) * (mean(other**2) - there**2)
    along = together / spread.clamp_min(SMALL).sqrt()
    along[:least] = along[min(least, len(along)) - 1]
    return along.to(signals.dtype)
