"""A memory of sums over blocks that double in length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics.fractional.memory import Memory, check_count
from amphid.dynamics.fractional.weights import falling

Levels = tuple[Tensor, ...]
"""A zero [*B, N], for what was before the first value, then the sums over blocks of 1, 2, 4...
values, latest first, [*B, K * N] each."""


@dataclass(frozen=True)
class BlockMemory(Memory):
    """Sums over blocks of the past of 1, 2, 4... values, each with the mean weight of its block.

    What is kept and what a step costs grow with the logarithm of the past.

    blocks: how many there are of each length, at least; one more before two of them become one of
    twice the length. The error falls with its square.
    """

    blocks: int = 32

    def __post_init__(self) -> None:
        check_count("BlockMemory", "blocks", self.blocks, 1)

    def init(self, like: Tensor, order: float) -> Levels:
        """No sums yet."""
        return (torch.zeros_like(like),)

    def step(self, state: Levels, x: Tensor, order: float) -> tuple[Levels, Tensor]:
        """All sums, weighted."""
        cells = x.shape[-1]
        state = self._with_newest(state, x)
        counts = [level.shape[-1] // cells for level in state[1:]]
        own = torch.from_numpy(mean_weights(counts, order)).to(x)
        return state, x - own @ torch.cat(state[1:], -1).unflatten(-1, (-1, cells))

    def after(self, like: Tensor, steps: int, order: float) -> Levels:
        """As many sums as there would be, all zero."""
        lead, cells = like.shape[:-1], like.shape[-1]
        levels = (like.new_zeros(*lead, count * cells) for count in self._counts(steps))
        return (torch.zeros_like(like), *levels)

    def reads(self, steps: int, order: float) -> int:
        """One sum for each block."""
        return sum(self._counts(steps))

    def _with_newest(self, state: Levels, x: Tensor) -> Levels:
        cells, fresh = x.shape[-1], x
        after = [state[0]]
        for number, held in enumerate(state[1:]):
            level = torch.cat((fresh, held), -1)
            if level.shape[-1] <= (self.blocks + 1) * cells:
                return (*after, level, *state[number + 2 :])
            after.append(level[..., : -2 * cells])
            fresh = level[..., -2 * cells : -cells] + level[..., -cells:]
        return (*after, fresh)

    def _counts(self, steps: int) -> list[int]:
        """How many blocks there are of each length."""
        counts = []
        while steps > self.blocks + 1:
            longer = (steps - self.blocks) // 2
            counts.append(steps - 2 * longer)
            steps = longer
        return [*counts, steps] if steps else counts


def mean_weights(
    counts: Sequence[int], order: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The mean weight of every block, where there are so many of 1, 2, 4... values."""
    lengths = np.repeat(1 << np.arange(len(counts)), counts)
    ends = np.cumsum(lengths)
    own = falling(order, int(ends[-1]))
    return (own[ends - lengths] - own[ends]) / lengths
