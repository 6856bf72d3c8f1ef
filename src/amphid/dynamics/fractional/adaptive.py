"""Memories that read the past at longer and longer intervals."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.fractional.memory import Memory, Past, check_count
from amphid.dynamics.fractional.weights import falling, weights

Lags = NDArray[np.int64]


class SampledMemory(Memory):
    r"""Reads one value of each interval of the past, which stands for its neighbors. Abstract.

    The last `base` values are all read. Of those with :math:`base^{i-1} < k \le base^i`, one of
    each 2 i - 1 is read, the one in the middle; what is left at the end is read one by one.
    """

    base: int

    def init(self, like: Tensor, order: float) -> Past:
        """Nothing yet."""
        return Past.of(like)

    def step(self, state: Past, x: Tensor, order: float) -> tuple[Past, Tensor]:
        """The values that are read, weighted."""
        state = state.with_newest(x)
        recent, older = state.parts(x.shape[-1])
        middles, lengths = intervals(recent.shape[-2] + older.shape[-2], self.base)
        own = self.weigh(middles, lengths, order, x)
        first = int(np.searchsorted(middles, recent.shape[-2], side="right"))
        places = torch.from_numpy(middles - 1).to(x.device)
        late = recent.index_select(-2, places[:first])
        early = older.index_select(-2, places[first:] - recent.shape[-2])
        return state, x - (own[:first] @ late + own[first:] @ early)

    @abstractmethod
    def weigh(self, middles: Lags, lengths: Lags, order: float, like: Tensor) -> Tensor:
        """The weights of values that so many steps ago stand in the middle of such intervals."""

    def after(self, like: Tensor, steps: int, order: float) -> Past:
        """So many zeros."""
        return Past.of(like, steps)

    def reads(self, steps: int, order: float) -> int:
        """One value for each interval."""
        return len(intervals(steps, self.base)[0])


@dataclass(frozen=True)
class AdaptiveMemory(SampledMemory):
    """A value stands for its neighbors with its own weight, times as many as they are.

    base: how many values are all read, and how much longer each stretch of the past is than the
    one before it. All values are kept; few are read. Where the weights bend, their sum is missed:
    `SummedMemory` costs the same and does not.
    Reference: MacDonald, Bhattacharya, Sprouse & Silva 2015, doi 10.48550/arXiv.1505.03967, whose
    abstract was read; the rule is given from memory.
    """

    base: int = 8

    def __post_init__(self) -> None:
        check_count("AdaptiveMemory", "base", self.base, 2)

    def weigh(self, middles: Lags, lengths: Lags, order: float, like: Tensor) -> Tensor:
        """As many times the weight in the middle."""
        own = weights(order, int(middles[-1]), like)[torch.from_numpy(middles - 1).to(like.device)]
        return own * torch.from_numpy(lengths).to(own)


@dataclass(frozen=True)
class SummedMemory(SampledMemory):
    """A value stands for its neighbors with the sum of all their weights.

    base: as for `AdaptiveMemory`, with which it shares all but the weights. These are our own.
    """

    base: int = 8

    def __post_init__(self) -> None:
        check_count("SummedMemory", "base", self.base, 2)

    def weigh(self, middles: Lags, lengths: Lags, order: float, like: Tensor) -> Tensor:
        """The weights of each interval, summed up."""
        ends = np.cumsum(lengths)
        own = falling(order, int(ends[-1]))
        return torch.from_numpy(own[ends - lengths] - own[ends]).to(like)


@lru_cache(maxsize=8)
def intervals(steps: int, base: int) -> tuple[Lags, Lags]:
    """How many steps ago the values that are read were given, and how many each stands for."""
    near = np.arange(1, min(steps, base) + 1)
    middles, lengths = [near], [np.ones_like(near)]
    number, low = 2, base
    while low < steps:
        high, length = min(low * base, steps), 2 * number - 1
        whole = (high - low) // length
        left = np.arange(low + whole * length + 1, high + 1)
        middles += [low + number + length * np.arange(whole), left]
        lengths += [np.full(whole, length), np.ones_like(left)]
        number, low = number + 1, low * base
    return np.concatenate(middles), np.concatenate(lengths)
