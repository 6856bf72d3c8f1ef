"""The law of Poisson numbers as thresholds of a random number of 32 bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST = 1_000_000
"""The largest mean number in a step; a count beyond is a current rather than spikes."""

_HALF = 1 << 31
_ROOM = 1 << 22  # chances worked out at once


@dataclass(frozen=True, eq=False)
class CountTable:
    """How many events a random number u, uniform over all int32, stands for.

    The count is least[r] plus how many of the thresholds [r] are smaller than u; r is the row of
    the train.

    threshold: [R, W] int32, growing along each row, W a power of two; the last of a row is never
    passed. least: [R] int64. row: [*B, K] int64, or None where there is a single row.
    """

    threshold: Tensor
    least: Tensor
    row: Tensor | None

    @staticmethod
    def of(mean: Tensor) -> CountTable:
        """The table of Poisson numbers with means [*B, K], at most MOST."""
        means, row = torch.unique(mean, return_inverse=True)
        found = [_rows(some) for some in _pieces(means.cpu().numpy())]
        width = max(kept.shape[1] for _, kept in found)
        width = max(8, 1 << width.bit_length())  # at least one that is never passed
        threshold = np.full((len(means), width), _HALF - 1, np.int32)
        least = np.concatenate([least for least, _ in found])
        first = 0
        for _, kept in found:
            threshold[first : first + len(kept), : kept.shape[1]] = kept
            first += len(kept)
        place = mean.device
        return CountTable(
            torch.from_numpy(threshold).to(place),
            torch.from_numpy(least).to(place),
            row if len(means) > 1 else None,
        )

    def look_up(self, word: Tensor) -> Tensor:
        """The counts [S, *B, K] of random numbers [S, *B, K] that lie in the range of int32."""
        if self.row is None:
            return torch.bucketize(word, self.threshold[0].long()) + self.least[0]
        rows, width = self.threshold.shape
        apart = torch.arange(rows, device=word.device) << 33  # rows one after another, in order
        flat = (self.threshold.long() + apart[:, None]).reshape(-1)
        passed = torch.bucketize(word + apart[self.row], flat) - self.row * width
        return passed + self.least[self.row]


def _pieces(means: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Growing means in pieces, for each of which a rectangle of chances is small."""
    low, high = _window(means)
    if len(means) > 1 and len(means) * (high - low) > _ROOM:
        half = len(means) // 2
        yield from _pieces(means[:half])
        yield from _pieces(means[half:])
    else:
        yield means


def _window(means: NDArray[np.float64]) -> tuple[int, int]:
    """The counts outside of which lies less than 2^-40 of each law."""
    low, high = float(means[0]), float(means[-1])
    return max(0, int(low - 8 * low**0.5 - 30)), int(high + 8 * high**0.5 + 40)


def _rows(means: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The smallest count [R] and the thresholds [R, W] of each mean."""
    low, high = _window(means)
    with np.errstate(divide="ignore"):
        ratio = np.log(means[:, None] / np.arange(low + 1, high, dtype=np.float64))
    log = np.concatenate((np.zeros((len(means), 1)), np.cumsum(ratio, 1)), 1)
    chance = np.exp(log - log.max(1, keepdims=True))
    below = np.cumsum(chance, 1)
    edge = np.rint(below / below[:, -1:] * 2.0**32).astype(np.int64)  # count > k where u >= edge[k]
    always = (edge == 0).sum(1)
    width = int((edge < 1 << 32).sum(1).max() - always.min())
    place = always[:, None] + np.arange(max(width, 1))
    kept = np.take_along_axis(edge, np.minimum(place, edge.shape[1] - 1), 1)
    return low + always, (kept - 1 - _HALF).astype(np.int32)
