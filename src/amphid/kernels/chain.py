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


@dataclass(frozen=True, eq=False)
class Cells:
    """The numbers of the cells of one stage, each with a first axis of S members or of one."""

    values: Sequence[Tensor]  # [S, N] or [S, 1]
    state: Sequence[Tensor]  # at rest [S, B, N], or of one entry along any axis

    @cached_property
    def members(self) -> int:
        """S, or 1 where all members share all of it."""
        return max((len(own) for own in (*self.values, *self.state)), default=1)

    @cached_property
    def arrays(self) -> list[NDArray[Any]]:
        """The same as machine code reads them."""
        return [_array(own) for own in (*self.values, *self.state)]


class Given(NamedTuple):
    """The numbers of one stage, each with a first axis of S members, or of one that all share."""

    weight: Tensor  # [S, N, I]
    bias: Tensor | None  # [S, N]
    cells: Cells

    @property
    def members(self) -> int:
        """S, or 1 where all members share all of it."""
        biases = 1 if self.bias is None else len(self.bias)
        return max(len(self.weight), biases, self.cells.members)


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
        return self.run(x.shape, events(x), given)

    def run(self, shape: Sequence[int], given: Events, stages: Sequence[Given]) -> Tensor:
        """The same for an input of this shape and these events."""
        inputs, steps, copies, size = shape
        members = max(inputs, *(own.members for own in stages))
        sizes = np.array([size, *(own.weight.shape[1] for own in stages)], np.int64)
        output = torch.empty((steps, members, copies, int(sizes[-1])), dtype=self.dtype)
        arrays = [array for own in stages for array in _arrays(own)]
        self._code(
            *(members, steps, copies, inputs, sizes, *given, output.view(-1).numpy()),
            *arrays,
            *self._constants,
        )
        return output.movedim(1, 0)  # all sequences side by side, as what comes next takes them

    @cached_property
    def _constants(self) -> list[NDArray[Any]]:
        return [_array(held.reshape(-1)) for kind in self.kinds for _, held in kind.constants]

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


def _arrays(own: Given) -> list[NDArray[Any]]:
    """What the code reads of one stage."""
    bias = own.weight.new_zeros(1, own.weight.shape[1]) if own.bias is None else own.bias
    return [_array(own.weight.flatten(1)), _array(bias), *own.cells.arrays]


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().contiguous().numpy()
    return array


class Events(NamedTuple):
    """Where rows are not zero: first entry of each row, places and values."""

    start: NDArray[np.int64]
    place: NDArray[np.uintp]
    value: NDArray[Any]


def events(x: Tensor) -> Events:
    """Those of the rows of an input [..., I]."""
    values = x.detach().reshape(-1, x.shape[-1]).numpy()
    row, place = values.nonzero()
    start = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=len(values)), out=start[1:])
    return Events(start, place.astype(np.uintp), values[row, place])
