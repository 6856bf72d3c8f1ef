"""A split as pairs (inputs, targets)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.wiring import checks


def _as_it_is(inputs: Tensor) -> Tensor:
    return inputs


@dataclass(frozen=True, eq=False)
class Batches:
    """Pairs (inputs [B, ...], targets [B]) that can be walked through again and again.

    size: examples in a batch; the last one may be smaller. generator: draws a new order for every
    walk; the order is that of the examples when None. prepared: what is done to the inputs of a
    batch before they are handed out.
    """

    inputs: Tensor
    targets: Tensor
    size: int = 64
    generator: torch.Generator | None = None
    prepared: Callable[[Tensor], Tensor] = _as_it_is

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"inputs and targets must be as many, got {len(self.inputs)} and "
                f"{len(self.targets)}."
            )
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 1:
            raise ValueError(f"size must be a number of examples, at least 1, got {self.size!r}.")
        if self.generator is not None:
            checks.drawing(self.generator)

    def __len__(self) -> int:
        return -(-len(self.targets) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.targets)
        order = (
            torch.arange(count)
            if self.generator is None
            else torch.randperm(count, generator=self.generator, device=self.generator.device).cpu()
        )
        for chosen in order.split(self.size):
            yield self.prepared(self.inputs[chosen]), self.targets[chosen]
