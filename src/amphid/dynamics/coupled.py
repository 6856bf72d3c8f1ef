"""Cells that send each other signals, over a whole sequence, where that can be machine code."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from amphid.kernels import Coupled, Lanes, Traffic, UnknownOperation

REMEMBERED = 8  # kernels of an owner

_made: weakref.WeakKeyDictionary[nn.Module, dict[Any, Coupled | None]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class CoupledCells:
    """N cells with all that acts between them, at one time step.

    owner: the module that machine code is remembered for; nothing below may hold on to it.
    stepping: a module that takes (state, current, arriving, dt), with what arrives in each of G
        groups, and gives the tensors of the state, the output, and what is let go in each group.
    values: the real numbers that it reads, by their names in it. settings: all else that it is made
        of. traffic: makes the connections of each group.
    """

    owner: nn.Module
    stepping: nn.Module
    values: Sequence[tuple[str, Tensor]]
    settings: Sequence[Any]
    traffic: Callable[[], list[Traffic]]
    dt: float

    def run(
        self, current: Tensor, state: Any, past: Sequence[Tensor], weight: Sequence[Tensor]
    ) -> tuple[Tensor, Any, list[Tensor]] | None:
        """Output [T, B, N], and state and past after it; None where only torch can tell.

        current: [T, B, N] in pA. state: a tree of tensors that broadcast to [B, N]. past: what was
        let go in each group [longest lag, B, N], latest last. weight: [K] of each group.
        """
        lanes = Lanes(*current.shape[1:])
        leaves, structure = pytree.tree_flatten(state)
        coupled = self._coupled(leaves, structure, lanes, current.dtype)
        if coupled is None:
            return None
        output, after, tails = coupled(
            [own for _, own in self.values],
            [lanes.cells(leaf) for leaf in leaves],
            lanes.rows(current),
            [lanes.rows(own) for own in past],
            weight,
        )
        after = [lanes.back(leaf[:, None])[0] for leaf in after]
        tails = [lanes.back(own) for own in tails]
        return lanes.back(output), pytree.tree_unflatten(after, structure), tails

    def _coupled(
        self, leaves: Sequence[Tensor], structure: Any, lanes: Lanes, dtype: torch.dtype
    ) -> Coupled | None:
        """The machine code of these cells as they are now, or None where there can be none."""
        known = _made.setdefault(self.owner, {})
        kinds = [leaf.dtype for leaf in leaves], structure, dtype, lanes.size, lanes.lanes
        values = [(name, own.shape, own.dtype) for name, own in self.values]
        key = (self.dt, *self.settings, str(kinds), str(values))
        if key not in known:
            while len(known) >= REMEMBERED:
                known.pop(next(iter(known)))
            known[key] = self._compiled(leaves, structure, lanes, dtype)
        return known[key]

    def _compiled(
        self, leaves: Sequence[Tensor], structure: Any, lanes: Lanes, dtype: torch.dtype
    ) -> Coupled | None:
        if any(own.shape not in ((), (1,), (lanes.size,)) for _, own in self.values):
            return None
        stepping, dt, count = self.stepping, self.dt, len(leaves)
        names = [name for name, _ in self.values]

        def step(*given: Tensor) -> list[Tensor]:
            values, rest = given[: len(names)], given[len(names) :]
            now = pytree.tree_unflatten(list(rest[:count]), structure)
            arguments = (now, rest[count], rest[count + 1 :], dt)
            named = dict(zip(names, values, strict=True))
            results: list[Tensor] = functional_call(stepping, named, arguments)
            return results

        types, values = [leaf.dtype for leaf in leaves], [own for _, own in self.values]
        try:
            return Coupled(step, values, types, self.traffic(), lanes.lanes, dtype)
        except (UnknownOperation, ModuleNotFoundError):
            return None
