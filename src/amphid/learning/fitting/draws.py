"""The random numbers of a fit: which generators take part, and where each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

States = dict[str, Any]


class Draws:
    """The generators that a fit draws from, torch's own among them.

    given: generators that the caller named. owners: objects, modules with all their parts, data
    loaders and their samplers, whose attributes may be generators.
    """

    def __init__(self, given: Iterable[torch.Generator], owners: Iterable[object]) -> None:
        found = [*given, *(held for owner in owners for held in _generators(owner))]
        self.generators = list({id(held): held for held in found}.values())
        self.used = False
        self._first = _global()

    def now(self) -> States:
        """Where all of them are."""
        return {"own": [held.get_state() for held in self.generators], **_global()}

    def drawn(self) -> bool:
        """Whether anything drew from torch's own generators since the fit began."""
        now = _global()
        same = len(now["cuda"]) == len(self._first["cuda"]) and all(
            torch.equal(a, b)
            for a, b in zip(
                [now["cpu"], *now["cuda"]], [self._first["cpu"], *self._first["cuda"]], strict=True
            )
        )
        self.used = self.used or not same
        return self.used

    def put(self, states: States) -> None:
        """Put all of them where they were; torch's own only where something draws from them.

        Raises ValueError when there are other generators than there were.
        """
        if len(states["own"]) != len(self.generators):
            raise ValueError(
                f"the checkpoint is of a fit with {len(states['own'])} generators, this one has "
                f"{len(self.generators)}: build model, batches and estimator as they were, and "
                "give the same generator=."
            )
        for held, state in zip(self.generators, states["own"], strict=True):
            held.set_state(state)
        if self.used:
            torch.set_rng_state(states["cpu"])
            if states["cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(states["cuda"])


def _global() -> States:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _generators(owner: object) -> Iterator[torch.Generator]:
    if isinstance(owner, torch.Generator):
        yield owner
        return
    parts = list(owner.modules()) if isinstance(owner, nn.Module) else [owner]
    parts += [getattr(owner, name) for name in ("sampler", "batch_sampler") if hasattr(owner, name)]
    for part in parts:
        for held in getattr(part, "__dict__", {}).values():
            if isinstance(held, torch.Generator):
                yield held
