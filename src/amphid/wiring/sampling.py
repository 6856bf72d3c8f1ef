"""Random choices whose cost follows what is chosen, not what it is chosen from.

The same state of the generator gives the same choices; the global seed is never touched.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from amphid.wiring.connectome import Indices

_PIECE = 1 << 20  # numbers drawn at once: bounds the memory beyond what is chosen


def chosen(pairs: int, probability: float, generator: torch.Generator | None) -> Iterator[Indices]:
    """The numbers below `pairs`, each kept with that probability, ascending, piece by piece.

    The gap from one that is kept to the next is geometric, so those left out cost nothing
    (Batagelj & Brandes 2005, doi 10.1103/PhysRevE.71.036113).
    """
    if generator is None or probability in (0.0, 1.0):
        for start in range(0, pairs if probability else 0, _PIECE):
            yield np.arange(start, min(start + _PIECE, pairs))
        return
    at_once = min(_PIECE, int(1.1 * pairs * probability) + 16)
    last = -1
    while last < pairs - 1:
        with np.errstate(over="ignore"):
            skipped = np.log1p(-uniform(at_once, generator)) / np.log1p(-probability)
        found = last + np.cumsum(np.minimum(skipped, pairs).astype(np.int64) + 1)
        yield found[found < pairs]
        last = int(found[-1])


def pieces(begin: int, end: int, columns: int) -> Iterator[Indices]:
    """The cells from `begin` to `end` in pieces that hold a bounded number of connections."""
    rows = max(1, _PIECE // max(1, columns))
    for start in range(begin, end, rows):
        yield np.arange(start, min(start + rows, end))


def distinct(fixed: Indices, choices: int, generator: torch.Generator) -> Indices:
    """Rows [R, K] of different numbers below `choices`: as given, or uniform where negative.

    The given ones of a row differ; the order within a row has no meaning.
    """
    if not fixed.size:
        return fixed
    if 2 * fixed.shape[1] > choices:
        return _distinct_among_few(fixed, choices, generator)
    values = fixed.copy()
    values[fixed < 0] = integers(choices, int((fixed < 0).sum()), generator)
    rows = np.arange(len(values))
    while len(rows):
        part = np.sort(values[rows], axis=1)
        repeated = np.zeros(part.shape, dtype=bool)
        repeated[:, 1:] = part[:, 1:] == part[:, :-1]
        part[repeated] = integers(choices, int(repeated.sum()), generator)
        values[rows] = part
        rows = rows[repeated.any(1)]
    return values


def _distinct_among_few(fixed: Indices, choices: int, generator: torch.Generator) -> Indices:
    """The same by ranking all choices, which does not slow down when nearly all are taken."""
    count = fixed.shape[1]
    rank = uniform((len(fixed), choices), generator)
    row, column = np.nonzero(fixed >= 0)
    rank[row, fixed[row, column]] = -1.0
    return np.sort(np.argpartition(rank, count - 1, axis=1)[:, :count], axis=1)


def uniform(shape: int | tuple[int, ...], generator: torch.Generator) -> NDArray[np.float64]:
    """Numbers of that shape, uniform in [0, 1)."""
    drawn = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return drawn.cpu().numpy()


def normal(size: int, generator: torch.Generator) -> NDArray[np.float64]:
    """Numbers [size] of the standard normal distribution."""
    drawn = torch.randn(size, generator=generator, device=generator.device, dtype=torch.float64)
    return drawn.cpu().numpy()


def counts(mean: NDArray[np.float64], generator: torch.Generator) -> Indices:
    """Poisson numbers of those means, entry by entry."""
    drawn = torch.poisson(torch.from_numpy(mean).to(generator.device), generator=generator)
    return drawn.cpu().numpy().astype(np.int64)


def integers(below: int, count: int, generator: torch.Generator) -> Indices:
    """Whole numbers [count], uniform from 0 up to but not including `below`."""
    drawn = torch.randint(below, (count,), generator=generator, device=generator.device)
    return drawn.cpu().numpy()
