"""A step over a whole sequence as one operation of autograd, in machine code both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from amphid.kernels.adjoint import trace_adjoint
from amphid.kernels.machine_code import compile_source, statements_joined
from amphid.kernels.sequence import (
    CELLS,
    KEPT,
    ROWS,
    Around,
    Role,
    constants,
    reads,
    write_sequence,
)
from amphid.kernels.steady import Parted, part_steady
from amphid.kernels.tape import Operation, Symbol, Traced, UnknownOperation, trace, with_values

Step = Callable[..., Sequence[Tensor]]


class Scan:
    """A step of cells [*B, N] that is taken once for every entry of a sequence.

    step: takes P values, S variables and a current, one by one; gives S variables and an output.
    values: P tensors that do not change, each of one entry or of a shape that broadcasts to the
    cells. state: S tensors shaped as the cells. shape, dtype: of the cells, and of the current.

    Raises UnknownOperation, naming it, for a step that cannot be turned into machine code.
    """

    def __init__(
        self,
        step: Step,
        values: Sequence[Tensor],
        state: Sequence[Tensor],
        shape: torch.Size,
        dtype: torch.dtype,
    ) -> None:
        self.step, self.values, self.states = step, len(values), len(state)
        self.single = [place for place, value in enumerate(values) if value.numel() == 1]
        types = [*(tensor.dtype for tensor in (*values, *state)), dtype]
        self.examples = [torch.zeros((), dtype=own).expand(shape) for own in types]
        self.traced = with_values(trace(step, *self.examples))
        self._check()
        self._adjoints: dict[tuple[int, ...], Adjoint] = {}
        self._forward: dict[frozenset[int], Compiled] = {}

    @cached_property
    def parted(self) -> Parted:
        """The step, cut in what is computed once and what in every step."""
        return part_steady(self.traced, range(self.values), self.single)

    def __call__(
        self, values: Sequence[Tensor], state: Sequence[Tensor], current: Tensor
    ) -> tuple[Tensor, ...]:
        """Output [T, *B, N] under a current [T, *B, N], and the state after it."""
        results: tuple[Tensor, ...] = _Sequence.apply(self, current, *values, *state)  # type: ignore[no-untyped-call]
        return results

    def run(
        self, inputs: Sequence[Tensor], current: Tensor, keep: frozenset[int]
    ) -> tuple[Tensor, list[Tensor], dict[int, Tensor]]:
        """Output, state after the sequence, and what the kept variables were before each step."""
        kept = {
            place: current.new_empty((len(current) + 1, *current.shape[1:]), dtype=leaf.dtype)
            for place, leaf in enumerate(inputs)
            if place in keep
        }
        arrays = []
        for place, leaf in enumerate(inputs):
            if place in kept:
                kept[place][0] = leaf
                arrays.append(kept[place])
            else:
                arrays.append(leaf if place < self.values else leaf.detach().clone())
        output = torch.empty(current.shape, dtype=current.dtype)
        self._compiled(keep)(len(current), [*arrays, current], [output], current.shape[1:])
        after = [
            kept[place][-1].clone() if place in kept else arrays[place]
            for place in range(self.values, len(inputs))
        ]
        return output, after, kept

    def adjoint(self, wrt: tuple[int, ...]) -> Adjoint:
        """The adjoint for the gradients of some inputs."""
        if wrt not in self._adjoints:
            # a checkpoint counts what is saved for a gradient, and must not see what tracing saves
            with saved_tensors_hooks(lambda saved: saved, lambda saved: saved):
                self._adjoints[wrt] = Adjoint(self, wrt)
        return self._adjoints[wrt]

    def _compiled(self, keep: frozenset[int]) -> Compiled:
        if keep not in self._forward:
            count = self.values + self.states
            roles = [KEPT if place in keep else CELLS for place in range(count)]
            into = {place: self.values + place for place in range(self.states)}
            self._forward[keep] = Compiled(self.parted, [*roles, ROWS], into)
        return self._forward[keep]

    def _check(self) -> None:
        """Whether every variable keeps its type, so that it can be replaced."""
        outputs, inputs = self.traced.outputs, self.traced.inputs
        for after, before in zip(outputs, inputs[self.values :], strict=True):
            if after.dtype != before.dtype:
                raise UnknownOperation(
                    f"a step turns a variable of type {before.dtype} into one of {after.dtype}; "
                    "machine code needs it to keep its type."
                )


class Compiled:
    """The loop over a sequence, ready to be called with tensors."""

    def __init__(
        self,
        parted: Parted,
        roles: Sequence[Role],
        into: Mapping[int, int],
        *,
        results: Mapping[int, Role] | None = None,
        around: Around | None = None,
        backward: bool = False,
    ) -> None:
        source = write_sequence(
            parted, roles, into, results=results, around=around, backward=backward
        )
        self.loop = compile_source(source).run
        held = {s: t for p in (parted.single, parted.each, parted.every) for s, t in p.constants}
        self.rows = [role.row is not None for role in roles]
        self.constants = [(symbol, held[symbol]) for symbol in constants(parted)]
        self.shared = [symbol.shared for symbol in parted.every.inputs[: len(roles)]]

    def __call__(
        self,
        steps: int,
        inputs: Sequence[Tensor],
        results: Sequence[Tensor],
        shape: torch.Size,
        *around: NDArray[Any],
    ) -> None:
        """Run over inputs and results; inputs that are replaced are changed in place."""
        arrays = [
            _rows(t) if rows else _cells(t, shape, shared=shared)
            for t, rows, shared in zip(inputs, self.rows, self.shared, strict=True)
        ]
        arrays += [_cells(held, shape, shared=s.shared) for s, held in self.constants]
        arrays += [(t if t.dim() == 1 else t.view(len(t), -1)).numpy() for t in results]
        with statements_joined() if around else nullcontext():
            self.loop(steps, shape.numel(), *arrays, *around)


class Adjoint:
    """How the gradient of what a sequence gave leads to that of some of its inputs.

    wrt: places of values, of variables of the state, and of the current, in that order; all
    variables that are real numbers are among them, since the gradient passes through them.
    """

    def __init__(self, scan: Scan, wrt: tuple[int, ...]) -> None:
        self.scan, self.wrt = scan, wrt
        self.count = scan.values + scan.states + 1
        real = [leaf.is_floating_point() for leaf in scan.examples]
        self.through = [p for p in range(scan.values, self.count - 1) if real[p]]
        self.learned = [place for place in wrt if place < scan.values]
        self.current = self.count - 1 in wrt
        whole = trace_adjoint(scan.step, scan.examples, self._asked())
        self.traced = gathered(with_values(whole), len(self.through), len(self.learned))
        self.keep = frozenset(
            place for place in reads(self.traced) if scan.values <= place < self.count - 1
        )

    def _asked(self) -> list[int]:
        return [*self.through, *self.learned, *([self.count - 1] if self.current else [])]

    @cached_property
    def used(self) -> list[int]:
        """Places of the inputs of the adjoint that it reads or changes."""
        first = self.count  # of the gradients, of which the last is that of the output
        always = {*range(first, len(self.traced.inputs))}
        return sorted(reads(self.traced) | always)

    @cached_property
    def compiled(self) -> Compiled:
        """The loop from the last step to the first."""
        scan, used = self.scan, self.used
        traced = replace(self.traced, inputs=tuple(self.traced.inputs[p] for p in used))
        gradients = self.count + len(self.through)
        rows = {self.count - 1, gradients}
        roles = [ROWS if p in rows else KEPT if p in self.keep else CELLS for p in used]
        steady = [k for k, place in enumerate(used) if place < scan.values]
        single = [k for k, place in enumerate(used) if place in scan.single]
        through, learned = len(self.through), len(self.learned)
        into = {k: used.index(self.count + k) for k in range(through)}
        into |= {through + k: used.index(gradients + 1 + k) for k in range(learned)}
        return Compiled(part_steady(traced, steady, single), roles, into, backward=True)

    def __call__(
        self, inputs: dict[int, Tensor], given: Tensor, after: Sequence[Tensor | None]
    ) -> dict[int, Tensor]:
        """Gradients by place of the input.

        inputs: values, kept variables and current by place. given: that of the output. after: those
        of the variables after the sequence that are real numbers, where there are any.
        """
        shape = given.shape[1:]
        moving = [given.new_zeros(shape) if own is None else own.detach().clone() for own in after]
        sums = [given.new_zeros(shape) for _ in self.learned]
        gradients = [*moving, given, *sums]
        arrays = [
            inputs[place] if place < self.count else gradients[place - self.count]
            for place in self.used
        ]
        result = torch.empty(given.shape, dtype=given.dtype) if self.current else None
        self.compiled(len(given), arrays, [] if result is None else [result], shape)
        found = dict(zip(self.through, moving, strict=True))
        found |= dict(zip(self.learned, sums, strict=True))
        return found if result is None else {**found, self.count - 1: result}


def gathered(traced: Traced, through: int, learned: int) -> Traced:
    """The adjoint with gradients of values added to what was gathered of them before."""
    inputs, operations, outputs = list(traced.inputs), list(traced.operations), [*traced.outputs]
    for place in range(through, through + learned):
        dtype = traced.outputs[place].dtype
        before = Symbol(f"sum{place}", dtype)
        total = Symbol(f"total{place}", dtype)
        operations.append(Operation("add", "Tensor", (before, outputs[place]), {}, total))
        inputs.append(before)
        outputs[place] = total
    return replace(
        traced, inputs=tuple(inputs), operations=tuple(operations), outputs=tuple(outputs)
    )


class _Sequence(torch.autograd.Function):
    """A scan with its adjoint; differentiated twice it is the plain loop."""

    @staticmethod
    def forward(ctx: Any, scan: Scan, current: Tensor, *inputs: Tensor) -> Any:
        asked = (*ctx.needs_input_grad[2:], ctx.needs_input_grad[1])
        wrt = tuple(place for place, needed in enumerate(asked) if needed)
        keep = scan.adjoint(wrt).keep if wrt else frozenset()
        output, after, kept = scan.run(inputs, current, keep)
        ctx.scan, ctx.wrt, ctx.kept = scan, wrt, tuple(kept)
        if wrt:
            ctx.save_for_backward(current, *inputs, *kept.values())
        ctx.mark_non_differentiable(*(leaf for leaf in after if not leaf.is_floating_point()))
        ctx.set_materialize_grads(False)
        return (output, *after)

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *after: Tensor | None) -> Any:
        scan: Scan = ctx.scan
        current, *saved = ctx.saved_tensors
        inputs = saved[: scan.values + scan.states]
        if torch.is_grad_enabled():
            return (None, *_again(scan, current, inputs, (given, *after), ctx.wrt))
        adjoint = scan.adjoint(ctx.wrt)
        known = dict(enumerate([*inputs, current]))
        known |= dict(zip(ctx.kept, saved[len(inputs) :], strict=True))
        real = [after[place - scan.values] for place in adjoint.through]
        found = adjoint(known, torch.zeros_like(current) if given is None else given, real)
        result = [
            found[place].sum_to_size(inputs[place].shape) if place in ctx.wrt else None
            for place in range(len(inputs))
        ]
        return (None, found.get(len(inputs)), *result)


def _again(
    scan: Scan,
    current: Tensor,
    inputs: Sequence[Tensor],
    given: Sequence[Tensor | None],
    wrt: Sequence[int],
) -> list[Tensor | None]:
    """Gradients of current and inputs that can be differentiated once more."""
    every = [*inputs, current]
    values, state = every[: scan.values], every[scan.values : -1]
    results = plain_scan(scan.step, values, state, current)
    pairs = [(r, g) for r, g in zip(results, given, strict=True) if g is not None]
    asked = [every[place] for place in wrt]
    found = torch.autograd.grad(
        [r for r, _ in pairs], asked, [g for _, g in pairs], create_graph=True, allow_unused=True
    )
    by_place = dict(zip(wrt, found, strict=True))
    return [by_place.get(len(inputs)), *(by_place.get(place) for place in range(len(inputs)))]


def plain_scan(
    step: Step, values: Sequence[Tensor], state: Sequence[Tensor], current: Tensor
) -> tuple[Tensor, ...]:
    """The same by a loop in Python."""
    outputs, now = [], tuple(state)
    for present in current.unbind(0):
        *now, given = step(*values, *now, present)  # type: ignore[assignment]
        outputs.append(given)
    return (torch.stack(outputs), *now)


def _rows(tensor: Tensor) -> NDArray[Any]:
    """Steps by cells."""
    return tensor.detach().reshape(len(tensor), -1).contiguous().numpy()


def _cells(tensor: Tensor, shape: torch.Size, *, shared: bool) -> NDArray[Any]:
    tensor = tensor.detach()
    flat = tensor.reshape(1) if shared else tensor.expand(shape).reshape(-1)
    return np.ascontiguousarray(flat.numpy())
