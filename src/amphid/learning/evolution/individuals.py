"""Schemes that differ in who becomes a parent and who survives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.learning.evolution.pooled import Pool, Pooled, best
from amphid.learning.evolution.scheme import check_counts, whole


@dataclass(frozen=True)
class Cloning(Pooled):
    """Every candidate is a mutant of the best one: the scheme that inbreeds.

    samples: candidates of a generation. spread: standard deviation of mutations, in units of each
    gene, or a function of the generation. elitist: the best ever is cloned until it is beaten,
    otherwise the best of each generation is.
    """

    elitist: bool = True

    def breeders(self, pool: Pool, generator: torch.Generator) -> Tensor:
        """The best, of all."""
        return best(pool.losses, 1).expand(self.samples, 1)

    def survivors(self, pool: Pool, born: int) -> Tensor:
        """The best."""
        return best(pool.losses if self.elitist else pool.losses[:born], 1)

    def answer(self, state: Pool) -> Tensor:
        """The one that is cloned."""
        return state.genes[best(state.losses, 1)[0]]


@dataclass(frozen=True)
class Recombination(Pooled):
    r"""The best of each generation are the parents of the next: :math:`(\mu/\rho, \lambda)`.

    Nobody lives for longer than a generation, so a lucky loss is forgotten.
    samples: :math:`\lambda` candidates of a generation. parents: :math:`\mu`, the best of them.
    mates: :math:`\rho` parents of each child, drawn at random; every gene comes of one of them.
    With 1 there is no recombination. spread: standard deviation of mutations, in units of each
    gene, or a function of the generation. The answer is the mean of the parents.
    Reference: Beyer & Schwefel 2002, doi 10.1023/A:1015059928466.
    """

    parents: int = 15
    mates: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(1, parents=self.parents, mates=self.mates)
        if self.parents > self.samples:
            raise ValueError(
                f"parents must not be more than samples, got {self.parents} of {self.samples}."
            )

    def breeders(self, pool: Pool, generator: torch.Generator) -> Tensor:
        """Any of those who live."""
        return whole(len(pool.genes), (self.samples, self.mates), pool.genes, generator)

    def survivors(self, pool: Pool, born: int) -> Tensor:
        """The best of those just born."""
        return best(pool.losses[:born], self.parents)

    def answer(self, state: Pool) -> Tensor:
        """The mean of the parents, in which what is luck of each averages out."""
        return state.genes.mean(0)


@dataclass(frozen=True)
class Aging(Pooled):
    """All live for some generations, good or bad; parents win a tournament among the living.

    What was lucky once dies of age; what is good lives on in its children. This is the default: of
    the schemes here it is the one that loses least on noisy losses and on those with many minima.
    samples: candidates of a generation. lifetime: generations in which one can be a parent.
    tournament: how many are drawn for each parent, the best of whom becomes it: the larger, the
    sharper the selection. mates: parents of each child; every gene comes of one of them. spread:
    standard deviation of mutations, in units of each gene, or a function of the generation.
    averaged: the answer is the mean of so many of the best who live.
    Reference: Real et al. 2019, doi 10.1609/aaai.v33i01.33014780.
    """

    lifetime: int = 5
    tournament: int = 6
    mates: int = 2
    averaged: int = 15

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = {"lifetime": self.lifetime, "tournament": self.tournament}
        check_counts(1, **counts, mates=self.mates, averaged=self.averaged)

    def breeders(self, pool: Pool, generator: torch.Generator) -> Tensor:
        """Winners of tournaments."""
        shape = (self.samples, self.mates, self.tournament)
        drawn = whole(len(pool.genes), shape, pool.genes, generator)
        won = pool.losses[drawn].argmin(-1, keepdim=True)
        return drawn.gather(-1, won).squeeze(-1)

    def survivors(self, pool: Pool, born: int) -> Tensor:
        """The young."""
        return (pool.ages < self.lifetime).nonzero()[:, 0].to(pool.genes.device)

    def answer(self, state: Pool) -> Tensor:
        """The mean of the best who live."""
        return state.genes[best(state.losses, self.averaged)].mean(0)
