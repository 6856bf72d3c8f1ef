"""Schemes in which individuals live: some are parents, some survive."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.learning.evolution.scheme import (
    Brood,
    Scheme,
    Spread,
    Told,
    check_counts,
    check_spread,
    normal,
    spread_at,
    whole,
)


class Pool(NamedTuple):
    """Those who live."""

    genes: Tensor  # [M, P]
    losses: Tensor  # [M], as they were told when each was born
    ages: Tensor  # [M], generations since then
    behavior: Tensor  # [M, D]; D is 0 where nobody described it
    generation: int


@dataclass(frozen=True)
class Pooled(Scheme):
    """A scheme that keeps individuals: children of one or several parents, mutated.

    Abstract. samples: candidates of a generation. spread: standard deviation of mutations, in units
    of each gene, or a function of the generation.
    """

    samples: int = 60
    spread: Spread = 0.1

    def __post_init__(self) -> None:
        check_counts(1, samples=self.samples)
        check_spread(self.spread)

    @abstractmethod
    def breeders(self, pool: Pool, generator: torch.Generator) -> Tensor:
        """Places in the pool of the parents of each child [S, K]."""

    @abstractmethod
    def survivors(self, pool: Pool, born: int) -> Tensor:
        """Places of those who live on; the first are the newly born."""

    def begin(self, start: Tensor) -> Pool:
        """The start alone, of which nothing is known."""
        unknown = start.new_full((1,), float("inf"))
        return Pool(start[None], unknown, torch.zeros(1), start.new_empty(1, 0), 0)

    def ask(self, state: Pool, generator: torch.Generator) -> Brood:
        """Children with mutations."""
        chosen = self.breeders(state, generator)
        genes, descent = crossed(state.genes, chosen, generator)
        step = spread_at(self.spread, state.generation)
        return Brood(genes + step * normal(tuple(genes.shape), genes, generator), descent)

    def founded(self, state: Pool, founders: Tensor) -> Brood:
        """Founders, each of whom is its own ancestor."""
        if len(founders) != self.samples:
            raise ValueError(
                f"founders must be one for each candidate of a generation: {self.samples}, got "
                f"{len(founders)}."
            )
        return Brood(founders, torch.eye(len(founders), dtype=torch.float64))

    def tell(self, state: Pool, brood: Brood, told: Told) -> tuple[Pool, Tensor]:
        """Those who survive."""
        everybody = joined(newborn(brood, told, state.generation), state)
        kept = self.survivors(everybody, len(brood.genes))
        return at(everybody, kept)._replace(generation=state.generation + 1), kept

    def restored(self, saved: Any) -> Pool:
        """The pool that was saved."""
        return Pool(*saved)


def newborn(brood: Brood, told: Told, generation: int) -> Pool:
    """Candidates as individuals of age 0."""
    behavior = told.behavior
    if behavior is None:
        behavior = brood.genes.new_empty(len(brood.genes), 0)
    return Pool(brood.genes, told.losses, torch.zeros(len(brood.genes)), behavior, generation)


def joined(born: Pool, pool: Pool) -> Pool:
    """The newly born, then those who were there, a generation older.

    Those of whom nothing is known do not live to see the next generation.
    """
    if not pool.generation:
        return born
    return together(born, pool._replace(ages=pool.ages + 1))


def together(first: Pool, second: Pool) -> Pool:
    """Those of one pool, then those of another; the generation is that of the first."""
    return Pool(
        torch.cat([first.genes, second.genes]),
        torch.cat([first.losses, second.losses]),
        torch.cat([first.ages, second.ages]),
        torch.cat([first.behavior, second.behavior]),
        first.generation,
    )


def at(pool: Pool, places: Tensor) -> Pool:
    """Some of those who live."""
    return Pool(
        pool.genes[places],
        pool.losses[places],
        pool.ages[places.to(pool.ages.device)],
        pool.behavior[places],
        pool.generation,
    )


def best(losses: Tensor, count: int) -> Tensor:
    """Places of the smallest losses, the smallest first."""
    return losses.argsort(stable=True)[:count]


def crossed(genes: Tensor, parents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Children [S, P] each gene of which comes of one of its parents [S, K], and their descent.

    Parents are places among those who live, whose genes are [M, P]; the descent [S, M] counts the
    genes that were taken.
    """
    children, mates = parents.shape
    descent = torch.zeros(children, len(genes), dtype=torch.float64, device=genes.device)
    if mates == 1:
        return genes[parents[:, 0]], descent.scatter_(1, parents, 1.0)
    pick = whole(mates, (children, genes.shape[1]), genes, generator)
    shares = [(pick == place).double().mean(1) for place in range(mates)]
    descent.scatter_add_(1, parents, torch.stack(shares, dim=1))
    return genes.gather(0, parents.gather(1, pick)), descent
