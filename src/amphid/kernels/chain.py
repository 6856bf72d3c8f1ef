"""Layers of cells in a chain, each hearing the one before, for many members of a population."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.kernels.chain_source import Kind, write_chain
from amphid.kernels.expressions import expression
from amphid.kernels.machine_code import compile_source
from amphid.kernels.pieces import LONG, cost
from amphid.kernels.steady import part_steady
from amphid.kernels.tape import Traced, UnknownOperation, trace, with_values

Step = Callable[..., Sequence[Tensor]]


@dataclass(frozen=True, eq=False)
class Stage:
    """One layer: what its cells do with a drive, and the linear map that the drive comes from.

    step: takes P values, S variables and a drive, one by one; gives S variables and an output.
    values: whether each of the P tensors has one entry in a member. state: S types of variables.
    """

    step: Step
    values: Sequence[bool]
    state: Sequence[torch.dtype]


class Given(NamedTuple):
    """The numbers of one stage, each with a first axis of S members, or of one that all share."""

    weight: Tensor  # [S, N, I]
    bias: Tensor | None  # [S, N]
    values: Sequence[Tensor]  # [S, N] or [S, 1]
    state: Sequence[Tensor]  # at rest [S, B, N], or of one entry along any axis

    @property
    def members(self) -> int:
        """S, or 1 where all members share all of it."""
        every = [self.weight, *self.values, *self.state]
        return max(len(own) for own in (every if self.bias is None else [*every, self.bias]))


class Chain:
    """Stages one after another, stepped together in machine code.

    All cells take their step at once, those of a stage one step behind those before it, so that a
    member stays in the nearest cache whatever its number of layers. What a cell gives out is a row
    of weights to add, and nothing where it gives out nothing.

    Raises UnknownOperation, naming it, for a step that cannot be turned into machine code.
    """

    def __init__(self, stages: Sequence[Stage], dtype: torch.dtype) -> None:
        self.dtype = dtype
        traced = [_traced(stage, dtype) for stage in stages]
        self.kinds: list[Kind] = []
        for group in _alike(traced):
            first = stages[group[0]]
            single = [k for k, one in enumerate(first.values) if one and len(group) == 1]
            parted = part_steady(traced[group[0]], range(len(first.values)), single)
            self.kinds.append(Kind(parted, group, len(first.values)))

    def __call__(self, x: Tensor, given: Sequence[Given]) -> Tensor:
        """What the last stage gives out [S, T, B, N] for an input [S, T, B, I].

        The first axis of the input may be one, for all members.
        """
        (_, steps, copies, size), last = x.shape, given[-1].weight.shape[1]
        members = max(len(x), *(own.members for own in given))
        events = _events(x.reshape(-1, size))
        output = torch.empty((members, steps, copies, last), dtype=self.dtype)
        sizes = np.array([size, *(own.weight.shape[1] for own in given)], np.int64)
        arrays = [array for own in given for array in self._arrays(own)]
        constants = [
            held.detach().reshape(-1).numpy() for kind in self.kinds for _, held in kind.constants
        ]
        self._code(
            *(members, steps, copies, len(x), sizes, *events, output.view(-1).numpy()),
            *arrays,
            *constants,
        )
        return output

    def _arrays(self, own: Given) -> list[NDArray[Any]]:
        """What the code reads of one stage."""
        bias = own.weight.new_zeros(1, own.weight.shape[1]) if own.bias is None else own.bias
        tensors = [own.weight.flatten(1), bias, *own.values, *own.state]
        return [tensor.detach().contiguous().numpy() for tensor in tensors]

    @cached_property
    def _code(self) -> Callable[..., None]:
        exact = self.dtype is not torch.float32
        code: Callable[..., None] = compile_source(write_chain(self.kinds), exact=exact).run
        return code


def _traced(stage: Stage, dtype: torch.dtype) -> Traced:
    types = [*(dtype for _ in stage.values), *stage.state, dtype]
    examples = [torch.zeros((), dtype=own).expand(2) for own in types]
    traced = trace(stage.step, *examples)
    if cost(traced.operations) <= LONG:  # numbers in the code are faster, but code of their own
        traced = with_values(traced)
    after = [symbol.dtype for symbol in traced.outputs]
    if after != [*stage.state, dtype] or any(not held.numel() == 1 for _, held in traced.constants):
        raise UnknownOperation(
            f"a step takes variables and a drive of types {types[len(stage.values) :]} and gives "
            f"{after}; machine code needs them to stay the same."
        )
    return traced


def _alike(traced: Sequence[Traced]) -> list[list[int]]:
    """Places of stages whose cells do the same, with the same constants."""
    groups: dict[Any, list[int]] = {}
    for place, own in enumerate(traced):
        lines = [(o.result.name, expression(o)) for o in own.operations]
        held = [(symbol, value.item()) for symbol, value in own.constants]
        key = str((own.inputs, own.outputs, lines, held))
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _events(rows: Tensor) -> tuple[NDArray[Any], ...]:
    """Where rows [R, I] are not zero: first entry of each row, places and values."""
    values = rows.detach().numpy()
    row, place = values.nonzero()
    start = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=len(values)), out=start[1:])
    return start, place.astype(np.uintp), values[row, place]
