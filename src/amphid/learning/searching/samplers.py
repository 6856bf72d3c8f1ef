"""Which settings to try next.

A sampler is a value. What it draws for a trial depends on its seed, on the place of the trial among
all, and on what others found, on nothing else: a search that is interrupted and taken up again
tries what it would have tried, and processes that share a search and a seed do not try the same
settings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from amphid.learning.searching.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Sampler(Protocol):
    """What proposes settings."""

    def made(self, seed: int) -> BaseSampler:
        """The sampler of Optuna that proposes one trial, with that seed."""

    @property
    def seed(self) -> int:
        """Of all its draws."""


@dataclass(frozen=True)
class Random:
    """Draws every setting at random, whatever was found before.

    Reference: Bergstra & Bengio 2012, J. Machine Learning Research 13:281.
    """

    seed: int = 0

    def made(self, seed: int) -> BaseSampler:
        """One draw."""
        return _samplers().RandomSampler(seed=seed)


@dataclass(frozen=True)
class TPE:
    """Prefers settings that are more common among the good trials than among the others.

    The tree-structured Parzen estimator: it takes settings of any kind and costs little.
    It looks at all settings jointly, and keeps away from what other processes are trying.
    startup: trials at random before it starts.
    Reference: Bergstra et al. 2011, Algorithms for hyper-parameter optimization, NeurIPS 24.
    """

    seed: int = 0
    startup: int = 10

    def made(self, seed: int) -> BaseSampler:
        """One proposal."""
        return _samplers().TPESampler(seed=seed, n_startup_trials=self.startup)


@dataclass(frozen=True)
class GP:
    """A Gaussian process of the results; tries where the best is expected to improve most.

    For trials that take long: it needs fewest of them, and about a second for each by itself.
    startup: trials at random before it starts. exact: whether the same settings always give the
    same number, without noise.
    Reference: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, MIT Press;
    expected improvement of Jones et al. 1998, doi 10.1023/A:1008306431147.
    """

    seed: int = 0
    startup: int = 10
    exact: bool = False

    def made(self, seed: int) -> BaseSampler:
        """One proposal."""
        return _samplers().GPSampler(
            seed=seed, n_startup_trials=self.startup, deterministic_objective=self.exact
        )


@dataclass(frozen=True)
class Grid:
    """Every combination once, in an order that is drawn with the seed.

    points: how many values stand for a continuous range, from end to end; of whole numbers and
    options all are tried. The order is shuffled so that a search that is stopped early has still
    looked everywhere.
    """

    points: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ValueError(f"Grid: points must be at least 1, got {self.points}.")

    def made(self, seed: int) -> BaseSampler:
        """A draw, for trials beyond the grid; there are none."""
        return _samplers().RandomSampler(seed=seed)

    def size(self, space: Space) -> int:
        """How many combinations there are."""
        return math.prod(len(dimension.points(self.points)) for dimension in space.values())

    def combinations(self, space: Space) -> list[dict[str, Any]]:
        """All of them as stored values, in the order in which they are tried."""
        axes = [dimension.points(self.points) for dimension in space.values()]
        every = [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]
        order = np.random.default_rng(self.seed).permutation(len(every))
        return [every[place] for place in order]


def seed_of(sampler: Sampler, rank: int) -> int:
    """The seed of the trial in that place."""
    return int(np.random.SeedSequence([sampler.seed, rank]).generate_state(1)[0])


def for_optuna(sampler: Any, rank: Callable[[Any], int], begun: Callable[[Any], None]) -> Any:
    """A sampler of Optuna that starts afresh for every trial, and tells `begun` of each.

    rank: the place of a trial among all. A sampler that already is one of Optuna's is asked as it
    is. Raises TypeError for what is neither.
    """
    from amphid.learning.searching.optuna_samplers import Afresh, Told

    if isinstance(sampler, (Random, TPE, GP, Grid)):
        return Afresh(lambda trial: sampler.made(seed_of(sampler, rank(trial))), begun)
    if isinstance(sampler, _samplers().BaseSampler):
        return Told(sampler, begun)
    raise TypeError(
        f"sampler must be Grid(), Random(), TPE(), GP() or a sampler of Optuna, got {sampler!r}."
    )


def _samplers() -> Any:
    from amphid.learning.searching.optuna_found import optuna

    return optuna.samplers
