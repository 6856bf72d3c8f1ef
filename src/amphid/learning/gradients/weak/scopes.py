"""Which parameters are perturbed at a call: all at once, or block by block in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Scope(Protocol):
    """Chooses what is perturbed; the gradients of all else are zero at that call."""

    def __call__(self, params: Mapping[str, Tensor], call: int) -> list[str]:
        """Names of the parameters at a call; the first is 0."""


@dataclass(frozen=True)
class Everything:
    """All parameters at every call."""

    def __call__(self, params: Mapping[str, Tensor], call: int) -> list[str]:
        """Names of all parameters."""
        return list(params)


@dataclass(frozen=True)
class Alternating:
    """One block at each call, in turn.

    blocks: names of the parameters of each block; each module by itself when None, so that a layer
    is one block with its bias. What is below the block need not be computed again for each sample.
    An optimizer with momentum still moves the blocks whose turn it is not.
    """

    blocks: Sequence[Sequence[str]] | None = None

    def __call__(self, params: Mapping[str, Tensor], call: int) -> list[str]:
        """Names of the block whose turn it is. Raises ValueError for one that is not there."""
        blocks = _modules(params) if self.blocks is None else self.blocks
        block = list(blocks[call % len(blocks)])
        if lost := [name for name in block if name not in params]:
            raise ValueError(
                f"blocks must be of parameters that are trained: {', '.join(lost)} is not among "
                f"{', '.join(params)}."
            )
        return block


def _modules(params: Mapping[str, Tensor]) -> list[list[str]]:
    """Names of the parameters of each module."""
    blocks: dict[str, list[str]] = {}
    for name in params:
        blocks.setdefault(name.rpartition(".")[0], []).append(name)
    return list(blocks.values())
