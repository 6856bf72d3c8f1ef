"""Niches: what is best among those who do alike, and what nobody did before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.learning.evolution.individuals import Aging
from amphid.learning.evolution.pooled import Pool, Pooled, best
from amphid.learning.evolution.scheme import Brood, Scheme, Told, check_counts, whole


@dataclass(frozen=True)
class MapElites(Pooled):
    """Behavior space is a grid, and in each cell of it the best lives; any of them is a parent.

    `tell` needs the behavior of the candidates [S, D].
    low, high: of behavior along each axis; what is beyond belongs to the outermost cell. cells:
    along each axis. mates: parents of each child; every gene comes of one of them. samples:
    candidates of a generation. spread: standard deviation of mutations, in units of each gene, or a
    function of the generation. The answer is the best of all cells.
    Reference: Mouret & Clune 2015, doi 10.48550/arXiv.1504.04909.
    """

    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0
    cells: int = 10
    mates: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(1, cells=self.cells, mates=self.mates)
        gap = torch.as_tensor(self.high) - torch.as_tensor(self.low)
        if not bool((gap > 0).all()):
            raise ValueError(f"low must be below high, got {self.low!r} and {self.high!r}.")

    def breeders(self, pool: Pool, generator: torch.Generator) -> Tensor:
        """Any of those who live."""
        return whole(len(pool.genes), (self.samples, self.mates), pool.genes, generator)

    def survivors(self, pool: Pool, born: int) -> Tensor:
        """The best of each cell."""
        order = pool.losses.argsort(stable=True)
        order = order[pool.losses[order].isfinite()]
        _, place = self._cell(pool.behavior[order]).unique(return_inverse=True)
        ranks = torch.arange(len(order), device=order.device)
        first = ranks.new_full((int(place.max()) + 1,), len(order))
        return order[first.scatter_reduce(0, place, ranks, "amin").sort().values]

    def answer(self, state: Pool) -> Tensor:
        """The best of all cells."""
        return state.genes[best(state.losses, 1)[0]]

    def _cell(self, behavior: Tensor) -> Tensor:
        """The cell of each behavior [M, D]."""
        low, high = (torch.as_tensor(end).to(behavior) for end in (self.low, self.high))
        axes = behavior.shape[1]
        if not axes or axes not in (len(low.expand(axes)), len(high.expand(axes))):
            raise ValueError("MapElites needs to be told the behavior [S, D] of the candidates.")
        place = ((behavior - low) / (high - low) * self.cells).floor().long()
        place = place.clamp(0, self.cells - 1)
        steps = self.cells ** torch.arange(axes, device=place.device)
        return (place * steps).sum(1)


class Known(NamedTuple):
    """What a scheme has done, and what it knows."""

    inner: Any
    archive: Tensor  # [A, D], behavior that was new once


@dataclass(frozen=True)
class Novelty(Scheme):
    r"""Another scheme, to which the novelty of what candidates do counts as much as their losses.

    .. math:: (1 - w) \, \text{rank of the loss} + w \, \text{rank of the novelty}

    ranks from 0 to 1. Novelty is the mean distance of a behavior to its nearest `neighbors`, among
    this generation and an archive; the behavior is what `tell` was told, otherwise the genes.
    scheme: what is told the sum instead of the losses. weight: w. added: how many of a generation,
    the most novel, go into the archive. memory: behaviors that it holds at most.
    Reference: Lehman & Stanley 2011, doi 10.1162/EVCO_a_00025.
    """

    scheme: Scheme = Aging()  # noqa: RUF009  frozen
    weight: float = 0.3
    neighbors: int = 10
    added: int = 3
    memory: int = 300

    def __post_init__(self) -> None:
        counts = {"neighbors": self.neighbors, "added": self.added, "memory": self.memory}
        check_counts(1, **counts)
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be from 0 to 1, got {self.weight!r}.")

    @property
    def samples(self) -> int:
        """Candidates of a generation."""
        return self.scheme.samples

    def begin(self, start: Tensor) -> Known:
        """The state before the first generation."""
        return Known(self.scheme.begin(start), start.new_empty(0, 0))

    def ask(self, state: Known, generator: torch.Generator) -> Brood:
        """The candidates of the scheme."""
        return self.scheme.ask(state.inner, generator)

    def founded(self, state: Known, founders: Tensor) -> Brood:
        """A first generation of given genes."""
        return self.scheme.founded(state.inner, founders)

    def tell(self, state: Known, brood: Brood, told: Told) -> tuple[Known, Tensor]:
        """Those who survive by loss and novelty."""
        behavior = brood.genes if told.behavior is None else told.behavior
        novel = self._novelty(behavior, state.archive)
        mixed = (1 - self.weight) * _rank(told.losses) + self.weight * _rank(-novel)
        mixed = mixed.to(told.losses).masked_fill(told.losses.isinf(), float("inf"))
        inner, kept = self.scheme.tell(state.inner, brood, Told(mixed, told.behavior))
        held = behavior[best(-novel, self.added)]
        held = torch.cat([state.archive, held])[-self.memory :] if len(state.archive) else held
        return Known(inner, held), kept

    def answer(self, state: Known) -> Tensor:
        """That of the scheme."""
        return self.scheme.answer(state.inner)

    def saved(self, state: Known) -> Any:
        """The state as a tree of tensors and plain values."""
        return self.scheme.saved(state.inner), state.archive

    def restored(self, saved: Any) -> Known:
        """The state that was saved."""
        inner, archive = saved
        return Known(self.scheme.restored(inner), archive)

    def _novelty(self, behavior: Tensor, archive: Tensor) -> Tensor:
        others = torch.cat([behavior, archive]) if len(archive) else behavior
        near = torch.cdist(behavior, others).sort(1).values
        return near[:, 1 : self.neighbors + 1].mean(1)  # the first is its distance to itself


def _rank(values: Tensor) -> Tensor:
    """Ranks from 0 for the smallest to 1 for the largest."""
    return values.argsort(stable=True).argsort().double() / max(len(values) - 1, 1)
