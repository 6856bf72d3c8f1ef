"""What a scheme of evolution is: how candidates come of those who live, and who lives on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.values import is_number

Spread = float | Callable[[int], float]
"""A standard deviation of mutations, or a function of the generation that gives one."""


class Brood(NamedTuple):
    """The candidates of one generation, and of whom they come."""

    genes: Tensor  # [S, P]
    descent: Tensor  # [S, M]: which share of a candidate comes of each who lives; rows add up to 1


class Told(NamedTuple):
    """What was found out about the candidates of a generation."""

    losses: Tensor  # [S], infinite for a candidate that failed
    behavior: Tensor | None  # [S, D]: what candidates do, where somebody described it


class Scheme(ABC):
    """How a population evolves. Abstract: concrete schemes are final, and are settings alone.

    What lives from generation to generation is a state, a value that `begin` makes and `tell`
    replaces; nothing is changed. Losses are to be small. Genes are [P], one axis for all
    parameters, each in units that make a spread of 1 large.
    """

    @property
    @abstractmethod
    def samples(self) -> int:
        """Candidates of a generation."""

    @abstractmethod
    def begin(self, start: Tensor) -> Any:
        """The state before the first generation, in which one lives: the start [P]."""

    @abstractmethod
    def ask(self, state: Any, generator: torch.Generator) -> Brood:
        """The candidates of the next generation. Changes nothing but the generator."""

    @abstractmethod
    def tell(self, state: Any, brood: Brood, told: Told) -> tuple[Any, Tensor]:
        """The next state, and who lives in it: places among the candidates, then the living."""

    @abstractmethod
    def answer(self, state: Any) -> Tensor:
        """The genes [P] that the scheme would settle for."""

    def founded(self, state: Any, founders: Tensor) -> Brood:
        """A first generation of given genes [S, P]. Raises TypeError where there can be none."""
        raise TypeError(
            f"founders cannot be given to {type(self).__name__}, which keeps no individuals but "
            "what they are drawn from: give start and spread, or take another scheme."
        )

    def saved(self, state: Any) -> Any:
        """The state as a tree of tensors and plain values."""
        return state

    @abstractmethod
    def restored(self, saved: Any) -> Any:
        """The state that was saved."""


def spread_at(spread: Spread, generation: int) -> float:
    """The standard deviation of mutations in a generation; the first is 0."""
    return float(spread(generation)) if callable(spread) else float(spread)


def check_spread(spread: Spread) -> None:
    """Raise ValueError for a spread that cannot be."""
    if not callable(spread) and not (is_number(spread) and spread > 0):
        raise ValueError(
            f"spread must be above zero, or a function of the generation, got {spread!r}."
        )


def check_counts(least: int, **counts: Any) -> None:
    """Raise ValueError for a count that is no whole number or too small."""
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < least:
            raise ValueError(f"{name} must be a whole number, at least {least}, got {count!r}.")


def normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the type and on the device of a tensor."""
    drawn = torch.randn(shape, generator=generator, dtype=like.dtype, device=generator.device)
    return drawn.to(like.device)


def whole(high: int, shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers below `high`, all alike, on the device of a tensor."""
    drawn = torch.randint(high, shape, generator=generator, device=generator.device)
    return drawn.to(like.device)
