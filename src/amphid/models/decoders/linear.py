"""Linear filters of counts."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from amphid.dynamics.values import is_number
from amphid.models.decoders.decoder import FittedDecoder, check_positive

Pairs = list[tuple[Tensor, Tensor]]


class HistoryState(NamedTuple):
    """What a filter still remembers."""

    past: Tensor  # counts of the bins before, the oldest first [H - 1, *B, N]


@final
class RidgeDecoder(FittedDecoder):
    r"""A linear filter of the last bins, fitted by ridge regression.

    .. math:: v_t = b + \sum_{h=0}^{H-1} W_h^\top (y_{t-h} - \bar y)

    Before the first bin of a sequence each cell is taken to have fired at its mean.

    cells: N. axes: D. history: H, bins that are looked at, the present one included. penalty: of
    squared weights, beside squared errors summed over bins.
    Reference: Carmena et al. 2003, doi 10.1371/journal.pbio.0000042.
    """

    weight: Tensor  # [H, N, D], the oldest bin first
    bias: Tensor  # [D]
    mean: Tensor  # counts of a bin [N]

    def __init__(self, cells: int, axes: int, *, history: int = 10, penalty: float = 10.0) -> None:
        super().__init__(cells, axes)
        check_positive("RidgeDecoder", history=history)
        if not (is_number(penalty) and penalty > 0):
            raise ValueError(f"RidgeDecoder: penalty must be positive, got {penalty!r}.")
        self.history, self.penalty = history, float(penalty)
        self.register_buffer("weight", torch.zeros(history, cells, axes))
        self.register_buffer("bias", torch.zeros(axes))
        self.register_buffer("mean", torch.zeros(cells))

    def init(self, like: Tensor) -> HistoryState:
        """Each cell at its mean so far."""
        self.check_fitted()
        return HistoryState(self.mean.expand(self.history - 1, *self.taken(like).shape))

    def run(self, counts: Tensor, state: HistoryState | None = None) -> tuple[Tensor, HistoryState]:
        """Velocities [T, *B, D] of counts [T, *B, N], and the last bins."""
        counts, state = self.begin(counts, state)
        known = torch.cat((state.past, counts)) - self.mean
        bins = len(counts)
        seen = (known[h : h + bins] @ self.weight[h] for h in range(self.history))
        velocity = self.bias + sum(seen, torch.zeros_like(self.bias))
        return velocity, HistoryState(known[bins:] + self.mean)

    def _fit(self, trials: Pairs) -> None:
        self.mean.copy_(torch.cat([counts for counts, _ in trials]).mean(0))
        bias = torch.cat([velocity for _, velocity in trials]).mean(0)
        self.bias.copy_(bias)
        gram, product = self._moments(trials, bias)
        gram.diagonal().add_(self.penalty)
        weight = torch.cholesky_solve(product, torch.linalg.cholesky(gram))
        self.weight.copy_(weight.reshape(self.history, self.cells, self.axes))

    def _moments(self, trials: Pairs, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over bins of windows times windows, and of windows times velocities."""
        width, like = self.history * self.cells, trials[0][0]
        gram, product = like.new_zeros(width, width), like.new_zeros(width, self.axes)
        for counts, velocity in trials:
            seen = windows(counts - self.mean, self.history)
            gram.addmm_(seen.T, seen)
            product.addmm_(seen.T, velocity - bias)
        return gram, product

    def extra_repr(self) -> str:
        """Its sizes and settings."""
        return f"{super().extra_repr()}, history={self.history}, penalty={self.penalty:g}"


def windows(values: Tensor, history: int) -> Tensor:
    """The last bins at each bin [T, H N] of values [T, N], zero before the first."""
    early = values.new_zeros(history - 1, values.shape[1])
    seen = torch.cat((early, values)).unfold(0, history, 1)  # [T, N, H]
    return seen.transpose(1, 2).flatten(1)
