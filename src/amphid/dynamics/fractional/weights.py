r"""Weights of a difference of fractional order, by Grünwald and Letnikov.

.. math:: \Delta t^p D^p x(t_n) \approx x_n - \sum_{k \ge 1} a_k x_{n-k}
          = \sum_{k \ge 0} b_k (x_{n-k} - x_{n-k-1}),

.. math:: a_k = (-1)^{k+1} \binom{p}{k}, \qquad
          b_k = \prod_{j=1}^k (1 - p/j) = 1 - \sum_{j \le k} a_j

For 0 < p < 1 all weights are positive and fall: a like :math:`k^{-1-p}`, b like :math:`k^{-p}`.
Reference: Podlubny 1999, Fractional Differential Equations, chapter 7.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.values import is_number

FEWEST = 1024  # entries of a table


def check_order(owner: str, order: object) -> float:
    """The order of a derivative; ValueError for what is none from above 0 to 1."""
    if not (is_number(order) and 0 < order <= 1):  # type: ignore[operator]
        raise ValueError(
            f"{owner}: order must be a number above 0 and at most 1, the same for all cells, got "
            f"{order!r}. Cells of several orders stand side by side in Mixed."
        )
    return float(order)  # type: ignore[arg-type]


def falling(order: float, count: int) -> NDArray[np.float64]:
    """b_0 to b_count, from 1 down."""
    return _falling(order, _size(count))[: count + 1]


def weights(order: float, count: int, like: Tensor) -> Tensor:
    """a_1 to a_count, in the type and on the device of `like`."""
    return _weights(order, _size(count), like.dtype, like.device)[:count]


def _size(count: int) -> int:
    """As many or more, so that few tables are made while the past grows."""
    return max(FEWEST, 1 << (count - 1).bit_length())


@lru_cache(maxsize=32)
def _falling(order: float, size: int) -> NDArray[np.float64]:
    k = np.arange(1, size + 1)
    return np.concatenate(([1.0], np.cumprod(1 - order / k)))


@lru_cache(maxsize=32)
def _weights(order: float, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    k = np.arange(1, size + 1)
    own = _falling(order, size)[:-1] * (order / k)  # not a difference of two near numbers
    return torch.from_numpy(own).to(device, dtype)
