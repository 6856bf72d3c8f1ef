"""Counting along the connections of any graph: exactly without cycles, by length with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.measures.emerging import counts
from amphid.measures.emerging.found import Emerged

if TYPE_CHECKING:
    import scipy.sparse

Indices = NDArray[np.int64]


def wired(
    pre: NDArray[Any], post: NDArray[Any], active: NDArray[np.bool_], longest: int | None
) -> Emerged:
    """Emergence of N units of which some are active [N], with connections from pre to post [E].

    Parallel connections count once. longest: the most connections of a path, which may then pass a
    unit again; of any length when None, and then a cycle is a ValueError.
    """
    after = _matrix(pre, post, len(active))
    on = torch.from_numpy(active.astype(np.float64))
    ahead = _by_height(after, on) if longest is None else _by_length(after, on, longest)
    silent = ahead[..., torch.from_numpy(~active)]
    inside, through = (counts.whole(silent[:, form]) for form in (0, 1))
    return Emerged(inside, through, len(active), int(active.sum()), after.nnz)


def through_connections(
    pre: NDArray[Any], post: NDArray[Any], active: NDArray[np.bool_], longest: int
) -> NDArray[np.float64]:
    """How many of the paths within the active part go along each connection [E], rounded.

    Paths have up to `longest` connections; one that passes a connection twice counts twice.
    """
    after = _matrix(pre, post, len(active))
    on, before = active.astype(np.float64), after.T.tocsr()
    leading = [1.0 - on]  # paths of k connections that stand at a unit and are to go on
    ending = [on]  # paths of up to k connections that start at a unit and stay active
    for _ in range(longest - 1):
        leading.append(on * (before @ leading[-1]))
        ending.append(on * (1.0 + after @ ending[-1]))
    pairs = zip(leading, ending[::-1], strict=True)
    return np.sum([lead[pre] * end[post] for lead, end in pairs], axis=0)


def emitted(ahead: Tensor, on: Tensor) -> Tensor:
    """What a unit adds to those before it, of paths ahead of it [K, 2, *N], both forms."""
    inside, through = ahead[:, :1] * on, ahead[:, 1:]
    own = torch.zeros_like(ahead)
    own[:1] = on  # the path that ends here
    return torch.cat((inside, through), 1) + own


def _by_length(after: scipy.sparse.csr_array, on: Tensor, longest: int) -> Tensor:
    """Paths of up to so many connections ahead of every unit [K, 2, N]."""
    ahead = counts.zeros(2, len(on))
    for _ in range(longest):
        ahead = _summed(after, emitted(ahead, on))
    return ahead


def _by_height(after: scipy.sparse.csr_array, on: Tensor) -> Tensor:
    """All paths ahead of every unit [K, 2, N], units without any first."""
    ahead = counts.zeros(2, len(on))
    rows_given = _rows(emitted(ahead, on))  # kept by rows, so that a level costs what it holds
    for level in _heights(after):
        own, place = _summed_rows(after[level], rows_given), torch.from_numpy(level)
        more = len(own) - len(ahead)
        if more > 0:
            ahead = torch.cat((ahead, torch.zeros(more, *ahead.shape[1:], dtype=torch.float64)))
            rows_given = np.pad(rows_given, ((0, 0), (0, 2 * more)))
        ahead[: len(own), :, place] = own
        rows_given[level, : 2 * len(own)] = _rows(emitted(own, on[place]))
    return ahead


def _summed(after: scipy.sparse.csr_array, given: Tensor) -> Tensor:
    """Sums [K, 2, N] over those behind each unit of what they give [K, 2, N]."""
    return _summed_rows(after, _rows(given))


def _summed_rows(after: scipy.sparse.csr_array, rows: NDArray[np.float64]) -> Tensor:
    total = torch.from_numpy(after @ rows).T
    return counts.carried(total.unflatten(0, (-1, 2)))


def _rows(count: Tensor) -> NDArray[np.float64]:
    """Counts [K, 2, N] by unit [N, 2 K]."""
    return np.ascontiguousarray(count.flatten(0, 1).T.numpy())


def _heights(after: scipy.sparse.csr_array) -> Iterator[Indices]:
    """Units by the most connections ahead of them, those with one first; all must have a number."""
    before = after.T.tocsr()
    left = np.diff(after.indptr)
    ready, seen = np.flatnonzero(left == 0), 0
    while len(ready):
        seen += len(ready)
        found = before[ready].indices
        np.subtract.at(left, found, 1)
        candidates = np.unique(found)
        ready = candidates[left[candidates] == 0]
        if len(ready):
            yield ready
    if seen < len(left):
        raise ValueError(
            f"{len(left) - seen:,} of {len(left):,} units stand on cycles or before them, and "
            "along a cycle a path never ends: give longest=, the most connections of a path."
        )


def _matrix(pre: NDArray[Any], post: NDArray[Any], size: int) -> scipy.sparse.csr_array:
    import scipy.sparse

    ones = np.ones(len(pre))
    after = scipy.sparse.csr_array((ones, (pre, post)), shape=(size, size))
    after.sum_duplicates()
    after.data[:] = 1.0
    return after
