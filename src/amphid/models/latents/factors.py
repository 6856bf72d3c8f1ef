"""Few factors that cells share, bin by bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from amphid.models.latents.model import LatentModel, check_shown, check_trials
from amphid.models.latents.poisson import PoissonReadout
from amphid.models.latents.smoothing import smoothed
from amphid.wiring import checks

LEAST = 1e-3  # share of a cell's variance that is its own at least


@dataclass(frozen=True, eq=False)
class Factors:
    r"""Values :math:`y = C x + d + \epsilon` of cells, with independent noise of their own.

    loading: C, [N, L]. level: d, [N]. noise: variance of each cell's own noise [N].
    """

    loading: Tensor
    level: Tensor
    noise: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Expected factors [M, L] of values [M, N] when each is standard normal beforehand."""
        scaled = self.loading / self.noise[:, None]
        precision = torch.eye(self.loading.shape[1]).to(scaled) + self.loading.T @ scaled
        return torch.linalg.solve(precision, scaled.T @ (values - self.level).T).T

    @classmethod
    def fitted(cls, values: Tensor, factors: int, *, steps: int = 100) -> Factors:
        """The factors that make values [M, N] likeliest, by steps of expectation-maximization.

        It starts from the principal directions. Reference: Rubin and Thayer 1982, doi
        10.1007/BF02293851.
        """
        level, apart = values.mean(0), values - values.mean(0)
        spread = apart.T @ apart / len(values)
        size, axes = torch.linalg.eigh(spread)
        rest = size[:-factors].clamp(min=0).mean() if factors < len(size) else size.new_zeros(())
        loading = axes[:, -factors:] * (size[-factors:] - rest).clamp(min=LEAST).sqrt()
        own = spread.diagonal()
        noise = (own - loading.square().sum(1)).clamp(min=LEAST * own.mean())
        for _ in range(steps):
            loading, noise = _improved(spread, loading, noise)
        return cls(loading, level, noise)


def _improved(spread: Tensor, loading: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """One step of expectation-maximization on the covariance of values [N, N]."""
    scaled = loading / noise[:, None]
    identity = torch.eye(loading.shape[1]).to(loading)
    within = torch.linalg.inv(identity + loading.T @ scaled)
    gain = within @ scaled.T
    across = spread @ gain.T
    second = within + gain @ across
    loading = torch.linalg.solve(second, across.T).T
    noise = spread.diagonal() - (loading * across).sum(1)
    return loading, noise.clamp(min=LEAST * spread.diagonal().mean())


@final
class FactorRates(LatentModel):
    """Factor analysis of smoothed square roots of counts; rates are exponential in the factors.

    factors: how many. width: of the Gaussian that smooths, ms. bin: ms. penalty: of the squared
    weights of the Poisson regression of all cells on the factors. ahead: the last rates go on.
    """

    def __init__(
        self, factors: int = 15, *, width: float = 70.0, bin: float = 50.0, penalty: float = 3.0
    ) -> None:
        checks.whole("factors", factors)
        checks.positive("width", width)
        checks.positive("bin", bin)
        checks.least("penalty", penalty)
        self.count, self.width, self.penalty = factors, width / bin, penalty
        self.cells: int | None = None
        self.factors: Factors | None = None
        self.readout: PoissonReadout | None = None

    def fit(self, shown: Sequence[Tensor], hidden: Sequence[Tensor]) -> Self:
        """Find the factors of the shown cells, then regress all cells on them."""
        check_trials(shown, hidden)
        if self.count >= (cells := shown[0].shape[1]):
            raise ValueError(f"factors must be fewer than the {cells} cells, got {self.count}.")
        values = torch.cat([self._values(trial) for trial in shown])
        self.factors = Factors.fitted(values, self.count)
        counts = torch.cat((torch.cat(list(shown)), torch.cat(list(hidden))), 1)
        self.readout = PoissonReadout.fitted(self.factors.of(values), counts, penalty=self.penalty)
        self.cells = cells
        return self

    def latents(self, shown: Tensor) -> Tensor:
        """Factors [T, L] of a trial [T, K]."""
        shown = check_shown(shown, self.cells, 0)
        assert self.factors is not None
        return self.factors.of(self._values(shown))

    def rates(self, shown: Tensor, *, ahead: int = 0) -> Tensor:
        """Expected counts [T + ahead, K + H] of a trial [T, K]."""
        shown = check_shown(shown, self.cells, ahead)
        assert self.readout is not None
        found = self.readout(self.latents(shown)).to(shown)
        return torch.cat((found, found[-1:].expand(ahead, -1)))

    def _values(self, trial: Tensor) -> Tensor:
        return smoothed(trial.double().sqrt(), self.width)
