"""Finding and counting marked cells when nobody knows how many there are, queries counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from amphid.dynamics.values import is_number
from amphid.measures.quantum.circuits import (
    Circuit,
    best_iterations,
    counting,
    grover,
    padded,
)

GROWTH = 1.2  # of the most iterations, from one attempt to the next


@dataclass(frozen=True)
class Search:
    """What a search found: a marked cell, or None; and how many queries that took."""

    cell: int | None
    queries: int


@dataclass(frozen=True)
class Count:
    """How many cells are marked, as estimated, and how many queries that took.

    interval: it holds the true number with probability at least 8/pi^2.
    """

    marks: float
    interval: tuple[float, float]
    queries: int


def search(marked: Tensor, *, failure: float = 1e-6, generator: torch.Generator) -> Search:
    """Grover's search for a marked cell of an unknown number of them, by exponential guessing.

    Each attempt draws a number of iterations below a bound, measures, and asks the oracle whether
    that cell is marked. The bound grows from 1 by a fifth after each attempt, up to one of the
    order of the square root of the entries, where attempts go on until "none" is wrong with
    probability below `failure`. A cell that it names is marked for certain.
    marked: [cells] bool. Raises ValueError for a failure outside (0, 1).
    Reference: Boyer et al. 1998, arXiv quant-ph/9605034.
    """
    check_chances(failure, generator)
    bound, attempts = certifying(len(padded(marked)), failure)
    most, queries = 1.0, 0
    while attempts:
        attempts -= most >= bound
        iterations = int(torch.randint(math.ceil(most), (), generator=generator))
        cell = measured(grover(marked, iterations), generator)
        queries += iterations + 1
        if cell < len(marked) and marked[cell]:
            return Search(cell, queries)
        most = min(GROWTH * most, bound)
    return Search(None, queries)


def search_by_counting(
    marked: Tensor, *, failure: float = 1e-6, generator: torch.Generator
) -> Search:
    """Quantum counting, then Grover's search with the iterations that suit the number counted.

    A count other than zero proves that there is a mark, and is made again where the search that
    follows misses it. Zeros are counted until "none" is wrong with probability below `failure`. A
    cell that it names is marked for certain.
    marked: [cells] bool, at most 4096. Raises ValueError for more, and a failure outside (0, 1).
    Reference: Brassard, Høyer & Tapp 1998, doi 10.1007/BFb0055105.
    """
    check_chances(failure, generator)
    size = len(padded(marked))
    precision = math.ceil(math.log2(2 * math.sqrt(size)))
    circuit, queries = counting(marked, precision), 0
    chances = circuit.probabilities().view(-1, size).sum(1)
    zeros = math.ceil(math.log(failure) / math.log(missing(size, precision)))
    while zeros:
        queries += circuit.queries
        marks = told(_drawn(chances, generator), precision, size)[0]
        if not marks:
            zeros -= 1
            continue
        iterations = best_iterations(max(1, round(marks)), size)
        cell = measured(grover(marked, iterations), generator)
        queries += iterations + 1
        if cell < len(marked) and marked[cell]:
            return Search(cell, queries)
    return Search(None, queries)


def missing(size: int, precision: int) -> float:
    r"""The chance that counting gives zero although some entries are marked, of the worst number.

    .. math:: \frac{\sin^2 P \theta}{P^2 \sin^2 \theta}, \qquad \sin^2 \theta = k / N, P = 2^t
    """
    share = torch.arange(1, size + 1, dtype=torch.float64) / size
    values = 2**precision
    return float(((values * share.sqrt().asin()).sin().square() / share).max()) / values**2


def count(marked: Tensor, *, precision: int, generator: torch.Generator) -> Count:
    """Quantum counting of marked cells, once, with 2^precision - 1 queries.

    marked: [cells] bool. Raises ValueError as `counting` does.
    """
    check_drawn(generator)
    circuit, size = counting(marked, precision), len(padded(marked))
    marks, low, high = told(measured(circuit, generator) // size, precision, size)
    return Count(marks, (low, high), circuit.queries)


def told(outcome: int, precision: int, size: int) -> tuple[float, float, float]:
    """How many of `size` entries an outcome of counting says are marked, at least, at most."""
    values = 2**precision
    place = min(outcome, values - outcome)  # two phases of opposite sign tell of the same number
    places = (place, max(0, place - 1), min(values / 2, place + 1))
    marks, low, high = (size * math.sin(math.pi * at / values) ** 2 for at in places)
    return marks, low, high


def measured(circuit: Circuit, generator: torch.Generator) -> int:
    """The basis state that a measurement at the end of a circuit gives."""
    return _drawn(circuit.probabilities(), generator)


def _drawn(chances: Tensor, generator: torch.Generator) -> int:
    return int(torch.multinomial(chances, 1, generator=generator))


def check_chances(failure: object, generator: object) -> None:
    """Raise ValueError for what is no probability, TypeError for what draws nothing."""
    if not (is_number(failure) and 0 < failure < 1):  # type: ignore[operator]
        raise ValueError(f"failure must be a probability between 0 and 1, got {failure!r}.")
    check_drawn(generator)


def check_drawn(generator: object) -> None:
    """Raise TypeError for what is no generator."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be a torch.Generator, such as torch.Generator().manual_seed(1), got "
            f"{generator!r}."
        )


@lru_cache
def certifying(size: int, failure: float) -> tuple[int, int]:
    """Bound of iterations and number of attempts that surely enough find any number of marks.

    Of bounds up to the root of the size the one is taken that needs the fewest queries.
    """
    root = math.isqrt(size - 1) + 1
    bounds = sorted({math.ceil(root * share / 32) for share in range(8, 33)})
    attempts = {
        bound: math.ceil(math.log(failure) / math.log1p(-worst_chance(size, bound)))
        for bound in bounds
    }
    bound = min(bounds, key=lambda bound: attempts[bound] * (bound + 1))
    return bound, attempts[bound]


def worst_chance(size: int, bound: int) -> float:
    r"""The chance of an attempt with fewer than so many iterations, of the worst number of marks.

    .. math:: \frac12 - \frac{\sin 4 m \theta}{4 m \sin 2 \theta}, \qquad \sin^2 \theta = k / N

    for a number of iterations drawn below m, at its least over k of N marked.
    """
    share = torch.arange(1, size, dtype=torch.float64) / size
    angle = share.sqrt().asin()
    chance = 0.5 - (4 * bound * angle).sin() / (4 * bound * (2 * angle).sin())
    return min(1.0, float(chance.min())) if size > 1 else 1.0
