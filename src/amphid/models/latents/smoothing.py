"""Rates by smoothing counts, and those of hidden cells by regression on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor

from amphid.models.latents.model import LatentModel, check_shown, check_trials
from amphid.models.latents.poisson import PoissonReadout
from amphid.wiring import checks

LEAST = 1e-3  # spikes per bin, below which a smoothed rate is not believed


def smoothed(counts: Tensor, width: float) -> Tensor:
    """Counts [T, N] smoothed by a Gaussian; at the ends the part of it that is there counts as all.

    width: standard deviation in bins.
    """
    checks.positive("width", width)
    if checks.reals("counts", counts).dim() != 2:
        raise ValueError(f"counts must be [T, N], got shape {list(counts.shape)}.")
    if not counts.is_floating_point():
        counts = counts.to(torch.get_default_dtype())
    place = torch.arange(len(counts), dtype=counts.dtype, device=counts.device)
    kernel = (-0.5 * ((place[:, None] - place) / width) ** 2).exp()
    return (kernel / kernel.sum(1, keepdim=True)) @ counts


@final
class SmoothedRates(LatentModel):
    """Smoothed counts are the rates of shown cells, and tell those of hidden ones.

    The logarithms of smoothed counts are the features of a Poisson regression of the hidden cells.
    ahead: the last rates go on. width: of the Gaussian, ms. bin: ms. penalty: of the squared
    weights. offset: spikes per bin that are added before the logarithm.
    """

    def __init__(
        self, width: float = 70.0, *, bin: float = 50.0, penalty: float = 30.0, offset: float = 0.1
    ) -> None:
        for name, value in {"width": width, "bin": bin, "offset": offset}.items():
            checks.positive(name, value)
        checks.least("penalty", penalty)
        self.width, self.penalty, self.offset = width / bin, penalty, offset
        self.cells: int | None = None
        self.readout: PoissonReadout | None = None

    def fit(self, shown: Sequence[Tensor], hidden: Sequence[Tensor]) -> Self:
        """Regress the hidden cells on the smoothed shown ones."""
        check_trials(shown, hidden)
        features = torch.cat([self._features(smoothed(trial, self.width)) for trial in shown])
        self.readout = PoissonReadout.fitted(
            features, torch.cat(list(hidden)), penalty=self.penalty
        )
        self.cells = shown[0].shape[1]
        return self

    def rates(self, shown: Tensor, *, ahead: int = 0) -> Tensor:
        """Smoothed counts, and what they tell of the hidden cells, [T + ahead, K + H]."""
        shown = check_shown(shown, self.cells, ahead)
        assert self.readout is not None
        own = smoothed(shown, self.width)
        other = self.readout(self._features(own)).to(own)
        found = torch.cat((own.clamp(min=LEAST), other), 1)
        return torch.cat((found, found[-1:].expand(ahead, -1)))

    def _features(self, rates: Tensor) -> Tensor:
        return (rates + self.offset).log()
