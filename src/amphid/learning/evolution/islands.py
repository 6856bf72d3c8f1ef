"""Populations apart, between which a few travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.learning.evolution.individuals import Recombination
from amphid.learning.evolution.pooled import Pool, Pooled, at, best, together
from amphid.learning.evolution.scheme import Brood, Scheme, Told, check_counts


class Archipelago(NamedTuple):
    """Those who live on each island; guests, who have just come, are the last of each."""

    pools: tuple[Pool, ...]
    generation: int
    guests: int


def four_islands() -> tuple[Pooled, ...]:
    """Fifteen candidates on each of four islands, whose mutations are of different size."""
    return tuple(
        Recombination(samples=15, parents=5, spread=spread) for spread in (0.05, 0.1, 0.2, 0.4)
    )


@dataclass(frozen=True)
class Islands(Scheme):
    """Schemes side by side; now and then the best of each island also live on the next one.

    schemes: one for each island, such as several with mutations of different size; they must be
    ones in which individuals live. every: generations between travels. migrants: who travel from
    each island to the next, in a ring. The answer is that of the island whose living are best.
    Reference: Whitley et al. 1999, J. Computing and Information Technology 7:33.
    """

    schemes: Sequence[Pooled] = four_islands()
    every: int = 20
    migrants: int = 1

    def __post_init__(self) -> None:
        check_counts(1, every=self.every, migrants=self.migrants)
        if not isinstance(self.schemes, tuple | list):
            raise TypeError(f"schemes must be a tuple of schemes, got {self.schemes!r}.")
        for scheme in self.schemes:
            if not isinstance(scheme, Pooled):
                raise TypeError(
                    "schemes must be ones in which individuals live, such as Recombination(), so "
                    f"that some can travel; got {scheme!r}."
                )
        if len(self.schemes) < 2:
            raise ValueError(f"schemes must be at least two, got {len(self.schemes)}.")

    @property
    def samples(self) -> int:
        """Candidates of a generation, on all islands together."""
        return sum(scheme.samples for scheme in self.schemes)

    def begin(self, start: Tensor) -> Archipelago:
        """The start, on every island."""
        return Archipelago(tuple(scheme.begin(start) for scheme in self.schemes), 0, 0)

    def ask(self, state: Archipelago, generator: torch.Generator) -> Brood:
        """The candidates of one island after the other."""
        pairs = zip(self.schemes, state.pools, strict=True)
        return _beside([scheme.ask(pool, generator) for scheme, pool in pairs])

    def founded(self, state: Archipelago, founders: Tensor) -> Brood:
        """Founders, the first of them on the first island."""
        if len(founders) != self.samples:
            raise ValueError(
                f"founders must be one for each candidate of a generation: {self.samples}, got "
                f"{len(founders)}."
            )
        return Brood(founders, torch.eye(len(founders), dtype=torch.float64))

    def tell(self, state: Archipelago, brood: Brood, told: Told) -> tuple[Archipelago, Tensor]:
        """Those who survive on each island, and who came to it."""
        pools, kept = [], []
        first, living = 0, self.samples
        for scheme, pool in zip(self.schemes, state.pools, strict=True):
            own = slice(first, first + scheme.samples)
            behavior = None if told.behavior is None else told.behavior[own]
            after, places = scheme.tell(
                pool, Brood(brood.genes[own], brood.descent[own]), Told(told.losses[own], behavior)
            )
            born = places < scheme.samples
            kept.append(places + torch.where(born, first, living - scheme.samples))
            pools.append(after)
            first, living = first + scheme.samples, living + len(pool.genes)
        generation = state.generation + 1
        guests = self.migrants if generation % self.every == 0 else 0
        if guests:
            pools, kept = self._traveled(pools, kept)
        return Archipelago(tuple(pools), generation, guests), torch.cat(kept)

    def answer(self, state: Archipelago) -> Tensor:
        """That of the island whose own are best on average; guests have not mixed with them yet."""
        own = [at(pool, torch.arange(len(pool.genes) - state.guests)) for pool in state.pools]
        place = int(torch.stack([pool.losses.mean() for pool in own]).argmin())
        return self.schemes[place].answer(own[place])

    def restored(self, saved: Any) -> Archipelago:
        """The state that was saved."""
        pools, generation, guests = saved
        return Archipelago(tuple(Pool(*pool) for pool in pools), generation, guests)

    def _traveled(self, pools: list[Pool], kept: list[Tensor]) -> tuple[list[Pool], list[Tensor]]:
        """Those who live once the best of every island have also come to the next."""
        chosen = [_travelers(pool.losses, self.migrants) for pool in pools]
        arrived, places = [], []
        for place, pool in enumerate(pools):
            travelers = at(pools[place - 1], chosen[place - 1])
            arrived.append(together(pool, travelers))
            places.append(torch.cat([kept[place], kept[place - 1][chosen[place - 1]]]))
        return arrived, places


def _beside(broods: Sequence[Brood]) -> Brood:
    """Broods of islands as one: nobody descends from those who live elsewhere."""
    return Brood(
        torch.cat([brood.genes for brood in broods]),
        torch.block_diag(*(brood.descent for brood in broods)),
    )


def _travelers(losses: Tensor, count: int) -> Tensor:
    """Places of the best, some of them twice where fewer live."""
    places = best(losses, count)
    return places.repeat(-(-count // len(places)))[:count]
