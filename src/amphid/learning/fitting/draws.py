"""The random numbers of a fit: which generators take part, and where each of them is."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

States = dict[str, Any]

REACH = 8
"""How deep generators are looked for: an attribute or an entry is one deep, a function two."""


class Draws:
    """The generators that a fit draws from, torch's own among them.

    given: generators that the caller named. owners: where others are looked for: attributes of
    objects and of what these hold, all parts of modules, and what functions refer to.
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
    """The generators that an object holds, or what it holds does; and that a function refers to."""
    reached: dict[int, int] = {}
    waiting = [(owner, REACH)]
    while waiting:
        one, reach = waiting.pop()
        if reach < 0 or reached.get(id(one), -1) >= reach:
            continue
        reached[id(one)] = reach
        if isinstance(one, torch.Generator):
            yield one
        elif not isinstance(one, type | ModuleType | Tensor):
            further = reach - (2 if isinstance(one, FunctionType) else 1)
            waiting += [(held, further) for held in reversed(_held(one))]


def _held(owner: object) -> list[object]:
    if isinstance(owner, nn.Module):
        return [held for module in owner.modules() for held in _drawing(vars(module).values())]
    if isinstance(owner, FunctionType):
        seen = inspect.getclosurevars(owner)
        return [*seen.nonlocals.values(), *seen.globals.values()]
    if isinstance(owner, Mapping):
        return list(owner.values())
    if isinstance(owner, list | tuple):
        return list(owner)
    return list(getattr(owner, "__dict__", {}).values())


def _drawing(held: Iterable[object]) -> list[object]:
    return [one for one in held if isinstance(one, torch.Generator)]
