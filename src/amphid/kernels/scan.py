"""A step over a whole sequence as one operation of autograd, in machine code both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from amphid.kernels.adjoint import trace_adjoint
from amphid.kernels.object_code import ObjectCode
from amphid.kernels.saving import from_saved, least_to_save, with_saved
from amphid.kernels.sequence import (
    CELLS,
    KEPT,
    REPEATED,
    ROWS,
    Around,
    Role,
    constants,
    reads,
    write_sequence,
)
from amphid.kernels.steady import Parted, part_steady
from amphid.kernels.tape import Operation, Symbol, Traced, UnknownOperation, trace, with_values
from amphid.kernels.watched import refuse_twice

Step = Callable[..., Sequence[Tensor]]


class Scan:
    """A step of cells [*B, N] that is taken once for every entry of a sequence.

    step: takes P values, S variables and a current, one by one; gives S variables and an output.
    values: P tensors that do not change, each of one entry or of a shape that broadcasts to the
    cells. state: S tensors shaped as the cells. like: cells [*B, N] of the type of the current, on
    its device. loop: what runs the loop there.

    Raises UnknownOperation, naming it, for a step that cannot be turned into machine code.
    """

    def __init__(
        self,
        step: Step,
        values: Sequence[Tensor],
        state: Sequence[Tensor],
        like: Tensor,
        loop: type[Loop],
    ) -> None:
        self.step, self.values, self.states = step, len(values), len(state)
        self.loop = loop
        self.single = [place for place, value in enumerate(values) if value.numel() == 1]
        types = [tensor.dtype for tensor in (*values, *state, like)]
        self.examples = [like.new_zeros((), dtype=own).expand(like.shape) for own in types]
        self.traced = with_values(trace(step, *self.examples))
        self._check()
        self._adjoints: dict[tuple[int, ...], Adjoint] = {}
        self._forward: dict[tuple[int, ...], Loop] = {}

    def __call__(
        self, values: Sequence[Tensor], state: Sequence[Tensor], current: Tensor
    ) -> tuple[Tensor, ...]:
        """Output [T, *B, N] under a current [T, *B, N], and the state after it."""
        results: tuple[Tensor, ...] = _Sequence.apply(self, current, *values, *state)  # type: ignore[no-untyped-call]
        return results

    def run(
        self, inputs: Sequence[Tensor], current: Tensor, adjoint: Adjoint | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Output, state after the sequence, and what the adjoint wants to be saved."""
        keep, shape = adjoint.keep if adjoint else [], current.shape[1:]
        kept = {
            place: current.new_empty((len(current) + 1, *shape), dtype=inputs[place].dtype)
            for place in keep
        }
        arrays = []
        for place, leaf in enumerate(inputs):
            if place in kept:
                kept[place][0] = leaf
                arrays.append(kept[place])
            else:
                arrays.append(leaf if place < self.values else _own(leaf))
        types = [current.dtype, *(symbol.dtype for symbol in (adjoint.saved if adjoint else []))]
        results = [current.new_empty(current.shape, dtype=dtype) for dtype in types]
        self._compiled(adjoint)(len(current), [*arrays, current], results, shape)
        after = [
            kept[place][-1].clone() if place in kept else arrays[place]
            for place in range(self.values, len(inputs))
        ]
        return results[0], after, [*kept.values(), *results[1:]]

    def adjoint(self, wrt: tuple[int, ...]) -> Adjoint:
        """The adjoint for the gradients of some inputs."""
        if wrt not in self._adjoints:
            # a checkpoint counts what is saved for a gradient, and must not see what tracing saves
            with saved_tensors_hooks(lambda saved: saved, lambda saved: saved):
                made = Adjoint(self, wrt)
            made.compiled  # noqa: B018  what cannot be compiled is refused now, not on the way back
            self._adjoints[wrt] = made
        return self._adjoints[wrt]

    def _compiled(self, adjoint: Adjoint | None) -> Loop:
        """The loop from the first step to the last, with what an adjoint wants to be saved."""
        wrt = adjoint.wrt if adjoint else ()
        if wrt not in self._forward:
            self._forward[wrt] = self.loop(*self.layout(adjoint))
        return self._forward[wrt]

    def layout(self, adjoint: Adjoint | None) -> Layout:
        """What that loop is made of."""
        count, keep = self.values + self.states, adjoint.keep if adjoint else []
        roles = [KEPT if place in keep else CELLS for place in range(count)]
        into = {place: self.values + place for place in range(self.states)}
        traced = self.traced
        if adjoint:
            traced = with_saved(traced, adjoint.whole, adjoint.saved)
        parted = part_steady(traced, range(self.values), self.single)
        return Layout(parted, [*roles, ROWS], into)

    def _check(self) -> None:
        """Whether every variable keeps its type, so that it can be replaced."""
        outputs, inputs = self.traced.outputs, self.traced.inputs
        for after, before in zip(outputs, inputs[self.values :], strict=True):
            if after.dtype != before.dtype:
                raise UnknownOperation(
                    f"a step turns a variable of type {before.dtype} into one of {after.dtype}; "
                    "machine code needs it to keep its type."
                )


class Layout(NamedTuple):
    """A step over a sequence: see `write_sequence`."""

    parted: Parted
    roles: Sequence[Role]
    into: Mapping[int, int]


class Loop(Protocol):
    """The loop over a sequence, ready to be called with tensors on a device."""

    def __init__(
        self,
        parted: Parted,
        roles: Sequence[Role],
        into: Mapping[int, int],
        *,
        backward: bool = False,
    ) -> None: ...

    def __call__(
        self, steps: int, inputs: Sequence[Tensor], results: Sequence[Tensor], shape: torch.Size
    ) -> None:
        """Run over inputs and results; inputs that are replaced are changed in place."""


class Compiled:
    """The loop over a sequence of tensors in the memory of a processor."""

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
        self.code = ObjectCode(source)
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
        *around: Tensor | NDArray[Any],
    ) -> None:
        """Run over inputs and results; inputs that are replaced are changed in place."""
        arrays = [
            _rows(t) if rows else _cells(t, shape, shared=shared)
            for t, rows, shared in zip(inputs, self.rows, self.shared, strict=True)
        ]
        arrays += [_cells(held, shape, shared=s.shared) for s, held in self.constants]
        arrays += [t if t.dim() == 1 else t.view(len(t), -1) for t in results]
        self.code.call("run", steps, shape.numel(), *arrays, *around)


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
        self.whole = gathered(with_values(whole), len(self.through), len(self.learned))
        inputs = self.whole.inputs
        cut = least_to_save(
            self.whole, range(scan.values, self.count), range(self.count, len(inputs))
        )
        self.keep = [place for place in range(scan.values, self.count - 1) if inputs[place] in cut]
        self.needs_current = inputs[self.count - 1] in cut
        self.saved = [symbol for symbol in cut if symbol not in inputs]
        self.traced = from_saved(self.whole, cut)

    def _asked(self) -> list[int]:
        return [*self.through, *self.learned, *([self.count - 1] if self.current else [])]

    @cached_property
    def used(self) -> list[int]:
        """Places of the inputs of the adjoint that it reads or changes."""
        first = self.count  # of the gradients, of which the last is that of the output
        always = {*range(first, len(self.traced.inputs))}
        return sorted(reads(self.traced) | always)

    @cached_property
    def compiled(self) -> Loop:
        """The loop from the last step to the first."""
        return self.scan.loop(*self.layout, backward=True)

    @cached_property
    def layout(self) -> Layout:
        """What that loop is made of."""
        scan, used = self.scan, self.used
        traced = replace(self.traced, inputs=tuple(self.traced.inputs[p] for p in used))
        gradients = self.count + len(self.through)
        rows = {self.count - 1, *range(len(self.whole.inputs), len(self.traced.inputs))}
        given = {gradients: REPEATED}
        roles = [
            given.get(p, ROWS if p in rows else KEPT if p in self.keep else CELLS) for p in used
        ]
        steady = [k for k, place in enumerate(used) if place < scan.values]
        single = [k for k, place in enumerate(used) if place in scan.single]
        through, learned = len(self.through), len(self.learned)
        into = {k: used.index(self.count + k) for k in range(through)}
        into |= {through + k: used.index(gradients + 1 + k) for k in range(learned)}
        return Layout(part_steady(traced, steady, single), roles, into)

    def __call__(
        self,
        inputs: dict[int, Tensor],
        saved: Sequence[Tensor],
        given: Tensor,
        after: Sequence[Tensor | None],
    ) -> dict[int, Tensor]:
        """Gradients by place of the input.

        inputs: values, kept variables and current by place. saved: of what was computed on the way
        there. given: that of the output. after: those of the variables after the sequence that are
        real numbers, where there are any.
        """
        shape = given.shape[1:]
        moving = [given.new_zeros(shape) if own is None else _own(own) for own in after]
        sums = [given.new_zeros(shape) for _ in self.learned]
        same = given.stride(0) == 0  # one row for all steps, as a sum over them gives
        gradients = [*moving, given[:1] if same else given, *sums, *saved]
        arrays = [
            inputs[place] if place < self.count else gradients[place - self.count]
            for place in self.used
        ]
        result = given.new_empty(given.shape) if self.current else None
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
    """A scan with its adjoint."""

    @staticmethod
    def forward(ctx: Any, scan: Scan, current: Tensor, *inputs: Tensor) -> Any:
        asked = (*ctx.needs_input_grad[2:], ctx.needs_input_grad[1])
        wrt = tuple(place for place, needed in enumerate(asked) if needed)
        adjoint = scan.adjoint(wrt) if wrt else None
        output, after, saved = scan.run(inputs, current, adjoint)
        ctx.adjoint, ctx.shapes = adjoint, [own.shape for own in inputs]
        if adjoint:
            held = [current] if adjoint.needs_current else []
            ctx.save_for_backward(*inputs[: scan.values], *held, *saved)
        ctx.mark_non_differentiable(*(leaf for leaf in after if not leaf.is_floating_point()))
        ctx.set_materialize_grads(False)
        ctx.given = output.shape, output.dtype, output.device
        return (output, *after)

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *after: Tensor | None) -> Any:
        refuse_twice()
        adjoint: Adjoint = ctx.adjoint
        scan, saved = adjoint.scan, [*ctx.saved_tensors]
        known = {place: saved.pop(0) for place in range(scan.values)}
        if adjoint.needs_current:
            known[adjoint.count - 1] = saved.pop(0)
        known |= {place: saved.pop(0) for place in adjoint.keep}
        if given is None:
            shape, dtype, device = ctx.given
            given = torch.zeros((), dtype=dtype, device=device).expand(shape)
        real = [after[place - scan.values] for place in adjoint.through]
        found = adjoint(known, saved, given, real)
        result = [
            found[place].sum_to_size(shape) if place in adjoint.wrt else None
            for place, shape in enumerate(ctx.shapes)
        ]
        return (None, found.get(adjoint.count - 1), *result)


def plain_scan(
    step: Step, values: Sequence[Tensor], state: Sequence[Tensor], current: Tensor
) -> tuple[Tensor, ...]:
    """The same by a loop in Python."""
    outputs, now = [], tuple(state)
    for present in current.unbind(0):
        *now, given = step(*values, *now, present)  # type: ignore[assignment]
        outputs.append(given)
    return (torch.stack(outputs), *now)


def _own(tensor: Tensor) -> Tensor:
    """A copy to be changed in place, one cell after another however the tensor was laid out."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _rows(tensor: Tensor) -> Tensor:
    """Steps by cells."""
    return tensor.detach().reshape(len(tensor), -1).contiguous()


def _cells(tensor: Tensor, shape: torch.Size, *, shared: bool) -> Tensor:
    tensor = tensor.detach()
    return tensor.reshape(1) if shared else tensor.expand(shape).reshape(-1).contiguous()
