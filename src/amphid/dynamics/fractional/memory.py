"""What a derivative of fractional order remembers of the past, and what that costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.fractional.weights import weights

RECENT = 256  # values; so rarely all older ones are copied


class Memory(ABC):
    r"""What is kept of past values :math:`x_0, x_1, \dots` of cells [*B, N]. Abstract.

    From it follows how far the newest value stands above the past,
    :math:`x_{n-1} - \sum_{k \ge 1} a_k x_{n-k}`, which is what a difference of fractional order
    adds to :math:`x_n - x_{n-1}`; `a` as in `FullMemory`. Before :math:`x_0` all was zero.
    """

    grows: ClassVar[bool] = True
    """Whether what is kept grows from step to step, so that only torch can step it."""

    @abstractmethod
    def init(self, like: Tensor, order: float) -> Any:
        """The memory of cells shaped as `like` [*B, N] whose past is zero."""

    @abstractmethod
    def step(self, state: Any, x: Tensor, order: float) -> tuple[Any, Tensor]:
        """The memory with x [*B, N] as the newest value, and how far x stands above the past."""

    @abstractmethod
    def after(self, like: Tensor, steps: int, order: float) -> Any:
        """The memory after so many steps in which all was zero, as large as after any others."""

    @abstractmethod
    def reads(self, steps: int, order: float) -> int:
        """How many numbers a cell reads in a step once so many steps are past."""


class Past(NamedTuple):
    """All values that are kept, latest first, K of them one after another in the last axis.

    The last of each is a zero that was never given; so no tensor is ever empty.
    """

    recent: Tensor  # [*B, K * N]
    older: Tensor  # [*B, K * N]

    @staticmethod
    def of(like: Tensor, steps: int = 0) -> Past:
        """So many values that are zero."""
        nothing = torch.zeros_like(like)
        return Past(nothing, like.new_zeros(*like.shape[:-1], (steps + 1) * like.shape[-1]))

    def with_newest(self, x: Tensor) -> Past:
        """The same and x [*B, N]."""
        recent = torch.cat((x, self.recent), -1)
        if recent.shape[-1] <= RECENT * x.shape[-1]:
            return Past(recent, self.older)
        given = recent[..., : -x.shape[-1]]
        return Past(torch.zeros_like(x), torch.cat((given, self.older), -1))

    def parts(self, cells: int) -> tuple[Tensor, Tensor]:
        """The values that were given, latest first, [*B, K, N] each, the recent and the older."""
        recent, older = (part.unflatten(-1, (-1, cells)) for part in self)
        return recent[..., :-1, :], older[..., :-1, :]


@dataclass(frozen=True)
class FullMemory(Memory):
    r"""All of the past, each value with its own weight: exact, and dearer with every step.

    .. math:: a_k = (-1)^{k+1} \binom{p}{k}, \qquad \sum_{k \ge 1} a_k = 1
    """

    def init(self, like: Tensor, order: float) -> Past:
        """Nothing yet."""
        return Past.of(like)

    def step(self, state: Past, x: Tensor, order: float) -> tuple[Past, Tensor]:
        """All values so far, weighted."""
        state = state.with_newest(x)
        recent, older = state.parts(x.shape[-1])
        first, rest = recent.shape[-2], older.shape[-2]
        own = weights(order, first + rest, x)
        return state, x - (own[:first] @ recent + own[first:] @ older)

    def after(self, like: Tensor, steps: int, order: float) -> Past:
        """So many zeros."""
        return Past.of(like, steps)

    def reads(self, steps: int, order: float) -> int:
        """All."""
        return steps


@dataclass(frozen=True)
class ShortMemory(Memory):
    """The latest values only, all that is older being taken for zero.

    steps: how many. Reference: Podlubny 1999, Fractional Differential Equations, section 7.3.
    """

    steps: int

    def __post_init__(self) -> None:
        check_count("ShortMemory", "steps", self.steps, 1)

    def init(self, like: Tensor, order: float) -> Tensor:
        """A zero, which is what was before the first value."""
        return torch.zeros_like(like)

    def step(self, state: Tensor, x: Tensor, order: float) -> tuple[Tensor, Tensor]:
        """The latest values, weighted."""
        cells = x.shape[-1]
        state = torch.cat((x, state), -1)[..., : self.steps * cells]
        kept = state.unflatten(-1, (-1, cells))
        return state, x - weights(order, kept.shape[-2], x) @ kept

    def after(self, like: Tensor, steps: int, order: float) -> Tensor:
        """So many zeros, at most as many as are kept."""
        return like.new_zeros(*like.shape[:-1], min(steps + 1, self.steps) * like.shape[-1])

    def reads(self, steps: int, order: float) -> int:
        """The latest."""
        return min(steps, self.steps)


def check_count(owner: str, name: str, count: object, least: int) -> None:
    """Raise ValueError for what is no whole number of at least that."""
    if not (isinstance(count, int) and not isinstance(count, bool) and count >= least):
        raise ValueError(f"{owner}: {name} must be a whole number >= {least}, got {count!r}.")
