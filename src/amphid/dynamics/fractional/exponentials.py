"""A memory of a few exponentials: what a step costs does not grow with the past."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.fractional.memory import Memory, check_count
from amphid.dynamics.fractional.weights import falling
from amphid.dynamics.values import is_number

FASTEST = 4.0  # rate per step of the fastest exponential
SLOWEST = 0.25  # of the slowest, per order and horizon
DENSE, SPREAD, CHECKED = 32, 400, 20_000  # lags at which weights are fitted, and checked
MOST = 96  # exponentials
FARTHEST = 100_000_000  # steps of a horizon: its table takes 8 bytes of each


class ExponentialState(NamedTuple):
    """What a sum of exponentials remembers."""

    last: Tensor  # the newest value
    lingering: tuple[Tensor, ...]  # the changes so far, each decayed since by its own rate


class Exponentials(NamedTuple):
    """b_k for k = 1, 2... as a sum of weights times shares to the power of k - 1."""

    weights: tuple[float, ...]
    shares: tuple[float, ...]  # what is left after a step
    error: float  # the largest, of b_k, up to the horizon


@dataclass(frozen=True)
class ExponentialMemory(Memory):
    r"""The changes of the past, decaying by a few exponentials instead of by a power of time.

    .. math:: b_k \approx \sum_j w_j e^{-s_j (k - 1)}, \qquad
              b_k = \prod_{j=1}^k (1 - p/j) \sim k^{-p} / \Gamma(1 - p)

    Each exponential is one number per cell, so a step costs the same whatever is past; and it is
    arithmetic on cells, so it is compiled, differentiated and batched as any other step. Rates s
    lie at equal ratios from 1 / (4 horizon), times the order, to 4 per step; the weights w are the
    best ones that are not negative, by the relative error of b at lags ever farther apart. There
    are as few of them as keep that error below `error` at all lags up to the horizon, which is
    checked at 20,000 of them. Beyond it the past fades faster than it should.

    error: of each b_k, and so the most by which the fractional difference is off, relative to the
    sum of the sizes of its terms. horizon: steps, at most 100,000,000.
    Reference: for sums of exponentials in general Jiang et al. 2017, doi
    10.4208/cicp.OA-2016-0136; the choice of rates and weights is our own.
    """

    grows: ClassVar[bool] = False
    error: float = 1e-6
    horizon: int = 1_000_000

    def __post_init__(self) -> None:
        check_count("ExponentialMemory", "horizon", self.horizon, 2)
        if self.horizon > FARTHEST:
            raise ValueError(
                f"ExponentialMemory: horizon must be at most {FARTHEST:,} steps, got "
                f"{self.horizon:,}."
            )
        if not (is_number(self.error) and 1e-9 <= self.error < 1):
            raise ValueError(
                "ExponentialMemory: error must be a number of at least 1e-9 and below 1, got "
                f"{self.error!r}."
            )

    def exponentials(self, order: float) -> Exponentials:
        """The weights and rates for a derivative of that order."""
        return _fewest(order, self.error, self.horizon)

    def init(self, like: Tensor, order: float) -> ExponentialState:
        """Nothing lingers."""
        count = len(self.exponentials(order).shares)
        nothing = torch.zeros_like(like)
        return ExponentialState(nothing, tuple(torch.zeros_like(like) for _ in range(count)))

    def step(
        self, state: ExponentialState, x: Tensor, order: float
    ) -> tuple[ExponentialState, Tensor]:
        """All changes so far, weighted."""
        own, change = self.exponentials(order), x - state.last
        pairs = zip(own.shares, state.lingering, strict=True)
        lingering = tuple(share * left + change for share, left in pairs)
        above = torch.zeros_like(x)
        for weight, left in zip(own.weights, lingering, strict=True):
            above = above + weight * left
        return ExponentialState(x, lingering), above

    def after(self, like: Tensor, steps: int, order: float) -> ExponentialState:
        """As at the start."""
        return self.init(like, order)

    def reads(self, steps: int, order: float) -> int:
        """One number for each exponential, and the newest value."""
        return len(self.exponentials(order).shares) + 1


@lru_cache(maxsize=64)
def _fewest(order: float, error: float, horizon: int) -> Exponentials:
    """As few exponentials as keep the error, by halving."""
    if order == 1:
        return Exponentials((), (), 0.0)  # the past is forgotten in a step
    low, high = 0, MOST
    found = fitted(order, horizon, high)
    if found.error > error:
        raise ValueError(
            f"ExponentialMemory: {MOST} exponentials leave an error of {found.error:.1e} at order "
            f"{order:g}, more than {error:g}. Ask for less, or for a shorter horizon."
        )
    while high - low > 1:
        middle = (low + high) // 2
        tried = fitted(order, horizon, middle)
        if tried.error <= error:
            high, found = middle, tried
        else:
            low = middle
    return found


def fitted(order: float, horizon: int, count: int) -> Exponentials:
    """At most so many exponentials, with weights that are not negative."""
    from scipy.optimize import nnls

    b = falling(order, horizon)
    rates = np.geomspace(SLOWEST * order / horizon, FASTEST, count)
    near, far = _lags(horizon, DENSE, SPREAD), _lags(horizon, horizon, CHECKED)
    own, _ = nnls(_decays(near, rates) / b[near][:, None], np.ones(len(near)), maxiter=100 * count)
    error = float(np.abs(_decays(far, rates) @ own / b[far] - 1).max())
    kept = own > 0
    return Exponentials(tuple(own[kept].tolist()), tuple(np.exp(-rates[kept]).tolist()), error)


def _decays(lags: NDArray[np.int64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left after such lags, [lags, rates]."""
    decays: NDArray[np.float64] = np.exp(-np.outer(lags - 1, rates))
    return decays


def _lags(horizon: int, dense: int, spread: int) -> NDArray[np.int64]:
    """The first lags, and others up to the horizon, ever farther apart."""
    first = np.arange(1, min(horizon, dense, spread) + 1)
    others = np.geomspace(1, horizon, spread).round().astype(np.int64)
    return np.union1d(first, others)
