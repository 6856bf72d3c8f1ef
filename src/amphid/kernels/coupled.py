"""Cells that send each other signals, over a whole sequence, as one operation of autograd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amphid.kernels.adjoint import trace_adjoint
from amphid.kernels.scan import Compiled, Step, gathered
from amphid.kernels.sequence import CELLS, KEPT, ROWS, Around, Role, reads
from amphid.kernels.steady import part_steady
from amphid.kernels.tape import trace, with_values
from amphid.kernels.traffic import Traffic, arguments, write_traffic


class Coupled:
    """A step of N cells, `lanes` copies of each side by side, that act on each other.

    step: takes P values, S variables, a current and, for each of G groups, what arrives; gives S
    variables, an output, and what is let go in each group, all of them one by one. values: P
    tensors, of one entry or of [N]. state: S types of the variables.

    Raises UnknownOperation, naming it, for a step that cannot be turned into machine code.
    """

    def __init__(
        self,
        step: Step,
        values: Sequence[Tensor],
        state: Sequence[torch.dtype],
        groups: Sequence[Traffic],
        lanes: int,
        dtype: torch.dtype,
    ) -> None:
        self.step, self.groups, self.lanes = step, groups, lanes
        self.values, self.states = len(values), len(state)
        self.cells = groups[0].cells
        self.ends = [(traffic.post * lanes).astype(np.uintp) for traffic in groups]
        self.shape = torch.Size((self.cells * lanes,))
        self.single = [place for place, value in enumerate(values) if value.numel() == 1]
        types = [*(value.dtype for value in values), *state, dtype, *(dtype for _ in groups)]
        self.examples = [torch.zeros((), dtype=own).expand(self.shape) for own in types]
        self.traced = with_values(trace(step, *self.examples))
        self.current = self.values + self.states
        self.tools = write_traffic(lanes)
        self._adjoints: dict[tuple[int, ...], CoupledAdjoint] = {}
        self._forward: dict[frozenset[int], Compiled] = {}

    def __call__(
        self,
        values: Sequence[Tensor],
        state: Sequence[Tensor],
        current: Tensor,
        past: Sequence[Tensor],
        weight: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Output [C, T, N * lanes] of C chunks of copies; the state and the past after it.

        state: S variables [C, N * lanes]. current: [C, T, N * lanes]. past: what was let go in each
        group [C, longest lag, N * lanes], that of the present step last. weight: [K] of each group.
        """
        ordered = [
            own[torch.from_numpy(traffic.order)]
            for own, traffic in zip(weight, self.groups, strict=True)
        ]
        wide = [self._wide(value) for value in values]
        results = _Coupled.apply(self, current, *wide, *state, *past, *ordered)  # type: ignore[no-untyped-call]
        after = results[1:]
        return results[0], list(after[: self.states]), list(after[self.states :])

    def adjoint(self, wrt: tuple[int, ...]) -> CoupledAdjoint:
        """The adjoint for the gradients of some values, and of the current or not."""
        if wrt not in self._adjoints:
            self._adjoints[wrt] = CoupledAdjoint(self, wrt)
        return self._adjoints[wrt]

    def compiled(self, keep: frozenset[int]) -> Compiled:
        """The loop from the first step to the last, which keeps some inputs for the way back."""
        if keep not in self._forward:
            inputs, groups = self.traced.inputs, range(len(self.groups))
            roles = [CELLS] * self.values
            roles += [KEPT if self.values + k in keep else CELLS for k in range(self.states)]
            roles += [ROWS] + [ROWS if self.current + 1 + g in keep else CELLS for g in groups]
            first, before = [], []
            for g in groups:
                place, sent = self.current + 1 + g, f"Y{self.states + 1 + g}"
                arriving = inputs[place].name.upper() + ("[t]" if place in keep else "")
                names = ", ".join(arguments([g]))
                first.append(f"A_{g} = len({sent}) - T - 1")
                before.append(f"deliver(A_{g} + t, {names}, {sent}, {arriving})")
            around = Around(self.tools, arguments(groups), first, before)
            parted = part_steady(self.traced, range(self.values), self.single)
            into = {k: self.values + k for k in range(self.states)}
            results = {self.states + 1 + g: Role(f"A_{g} + t + 1") for g in groups}
            self._forward[keep] = Compiled(parted, roles, into, results=results, around=around)
        return self._forward[keep]

    def traffic(self, weight: Sequence[Tensor]) -> list[Any]:
        """The arrays of the connections of all groups."""
        pairs = zip(self.groups, self.ends, weight, strict=True)
        return [
            array
            for own, ends, weight in pairs
            for array in (own.lag, own.start, ends, weight.detach().contiguous().numpy())
        ]

    def _wide(self, value: Tensor) -> Tensor:
        """A value of all copies of each cell."""
        if value.numel() == 1:
            return value
        return value.expand(self.cells).repeat_interleave(self.lanes)


class CoupledAdjoint:
    """How the gradient of what coupled cells gave leads to that of what they were given.

    wrt: places of values, and that of the current where its gradient is asked for.
    """

    def __init__(self, coupled: Coupled, wrt: tuple[int, ...]) -> None:
        self.coupled = coupled
        examples, current, groups = coupled.examples, coupled.current, len(coupled.groups)
        self.count = current + 1 + groups
        self.learned = [place for place in wrt if place < coupled.values]
        self.asked = current in wrt
        self.through = [
            place for place in range(coupled.values, current) if examples[place].is_floating_point()
        ]
        self.arriving = [*range(current + 1, self.count)]
        places = [*self.through, *self.learned, *([current] if self.asked else []), *self.arriving]
        whole = with_values(trace_adjoint(coupled.step, examples, places))
        self.traced = gathered(whole, len(self.through), len(self.learned))
        read = reads(self.traced)
        self.keep = frozenset(place for place in read if coupled.values <= place < self.count)
        gradients = range(self.count, len(self.traced.inputs))
        self.used = sorted(read | {*gradients})

    @cached_property
    def compiled(self) -> Compiled:
        """The loop from the last step to the first."""
        coupled, used, groups = self.coupled, self.used, range(len(self.coupled.groups))
        given = self.count + len(self.through)
        rows = {coupled.current, given, *self.arriving}
        sent = {given + 1 + g: Role(f"A_{g} + t + 1") for g in groups}
        roles = [
            sent.get(p, ROWS if p in rows else KEPT if p in self.keep else CELLS) for p in used
        ]
        traced = replace(self.traced, inputs=tuple(self.traced.inputs[p] for p in used))
        steady = [k for k, place in enumerate(used) if place < coupled.values]
        single = [k for k, place in enumerate(used) if place in coupled.single]
        through, learned = len(self.through), len(self.learned)
        into = {k: used.index(self.count + k) for k in range(through)}
        sums = given + 1 + len(groups)
        into |= {through + k: used.index(sums + k) for k in range(learned)}
        arriving = through + learned + self.asked
        names = [symbol.name.upper() for symbol in self.traced.inputs]
        after = [
            f"collect(A_{g} + t, {', '.join(arguments([g]))}, SENT_{g}, {names[given + 1 + g]}, "
            f"Y{arriving + g}, G_WEIGHT_{g})"
            for g in groups
        ]
        around = Around(
            coupled.tools,
            [*arguments(groups), *(f"{own}_{g}" for g in groups for own in ("SENT", "G_WEIGHT"))],
            [f"A_{g} = len(SENT_{g}) - T - 1" for g in groups],
            after=after,
        )
        return Compiled(
            part_steady(traced, steady, single),
            roles,
            into,
            results={arriving + g: CELLS for g in groups},
            around=around,
            backward=True,
        )

    def __call__(
        self,
        inputs: dict[int, Tensor],
        given: Tensor,
        moving: Sequence[Tensor],
        sent: Sequence[Tensor],
        of_sent: Sequence[Tensor],
        sums: Sequence[Tensor],
        weight: Sequence[Tensor],
        of_weight: Sequence[Tensor],
    ) -> Tensor | None:
        """Gradient of the current of one chunk; those of all else are added to or changed in place.

        moving: gradients of the variables, after the sequence and then before it. of_sent: of what
        was let go. sums: of the values learned. of_weight: of the weights.
        """
        shape = self.coupled.shape
        gradients = [*moving, given, *of_sent, *sums]
        arrays = [
            inputs[place] if place < self.count else gradients[place - self.count]
            for place in self.used
        ]
        result = torch.empty(given.shape, dtype=given.dtype) if self.asked else None
        arriving = [given.new_empty(shape) for _ in of_sent]
        around = self.coupled.traffic(weight)
        for own, total in zip(sent, of_weight, strict=True):
            around += [own.numpy(), total.numpy()]
        results = arriving if result is None else [result, *arriving]
        self.compiled(len(given), arrays, results, shape, *around)
        return result


class _Coupled(torch.autograd.Function):
    """Coupled cells over a sequence with their adjoint."""

    @staticmethod
    def forward(ctx: Any, coupled: Coupled, current: Tensor, *inputs: Tensor) -> Any:
        values, state, past, weight = _parts(coupled, inputs)
        needed = ctx.needs_input_grad[1:]
        wrt = [place for place in range(coupled.values) if needed[1 + place]]
        wrt += [coupled.current] if needed[0] else []
        keep = coupled.adjoint(tuple(wrt)).keep if any(needed) else frozenset()
        chunks, steps = current.shape[:2]
        output = torch.empty(current.shape, dtype=current.dtype)
        kept = {
            place: current.new_empty(
                (chunks, steps + (place < coupled.current), *coupled.shape),
                dtype=coupled.examples[place].dtype,
            )
            for place in keep
            if place != coupled.current
        }
        sent = [torch.cat((own, own.new_empty(chunks, steps, *coupled.shape)), 1) for own in past]
        after = [leaf.detach().clone() for leaf in state]
        for c in range(chunks):
            arrays: list[Tensor] = list(values)
            for k in range(coupled.states):
                place = coupled.values + k
                if place in kept:
                    kept[place][c, 0] = state[k][c]
                arrays.append(kept[place][c] if place in kept else after[k][c])
            arrays.append(current[c])
            for g in range(len(past)):
                place = coupled.current + 1 + g
                arrays.append(kept[place][c] if place in kept else current.new_empty(coupled.shape))
            results = [output[c], *(own[c] for own in sent)]
            around = coupled.traffic(weight)
            coupled.compiled(keep)(steps, arrays, results, coupled.shape, *around)
        for k in range(coupled.states):
            if coupled.values + k in kept:
                after[k] = kept[coupled.values + k][:, -1].clone()
        ctx.coupled, ctx.wrt, ctx.kept, ctx.past = coupled, tuple(wrt), tuple(kept), len(past)
        ctx.lengths = [own.shape[1] for own in past]
        if any(needed):
            ctx.save_for_backward(current, *values, *weight, *sent, *kept.values())
        ctx.mark_non_differentiable(*(leaf for leaf in after if not leaf.is_floating_point()))
        ctx.set_materialize_grads(False)
        return (output, *after, *(own[:, steps:].clone() for own in sent))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor | None, *after: Tensor | None) -> Any:
        coupled: Coupled = ctx.coupled
        groups = len(coupled.groups)
        current, *saved = ctx.saved_tensors
        values, rest = saved[: coupled.values], saved[coupled.values :]
        weight, sent = rest[:groups], rest[groups : 2 * groups]
        kept = dict(zip(ctx.kept, rest[2 * groups :], strict=True))
        adjoint = coupled.adjoint(ctx.wrt)
        given = torch.zeros_like(current) if given is None else given
        of_state, of_tail = after[: coupled.states], after[coupled.states :]
        shape = (len(current), *coupled.shape)
        moving = {
            place: _own(of_state[place - coupled.values], current, shape)
            for place in adjoint.through
        }
        of_sent = [torch.zeros_like(own) for own in sent]
        for total, tail, length in zip(of_sent, of_tail, ctx.lengths, strict=True):
            if tail is not None:
                total[:, -length:] = tail
        sums = [current.new_zeros(coupled.shape) for _ in adjoint.learned]
        of_weight = [torch.zeros_like(own) for own in weight]
        of_current = []
        for c in range(len(current)):
            known: dict[int, Tensor] = dict(enumerate(values))
            known[coupled.current] = current[c]
            known |= {place: own[c] for place, own in kept.items()}
            of_current.append(
                adjoint(
                    known,
                    given[c],
                    [own[c] for own in moving.values()],
                    [own[c] for own in sent],
                    [own[c] for own in of_sent],
                    sums,
                    weight,
                    of_weight,
                )
            )
        found = dict(zip(adjoint.learned, sums, strict=True))
        of_values = [
            found[k].sum_to_size(values[k].shape) if k in found else None
            for k in range(coupled.values)
        ]
        states = [moving.get(coupled.values + k) for k in range(coupled.states)]
        past = [own[:, :length] for own, length in zip(of_sent, ctx.lengths, strict=True)]
        first = torch.stack(of_current) if coupled.current in ctx.wrt else None  # type: ignore[arg-type]
        return (None, first, *of_values, *states, *past, *of_weight)


def _parts(coupled: Coupled, inputs: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
    """Values, variables, past and weights."""
    groups, current = len(coupled.groups), coupled.current
    past = inputs[current : current + groups]
    return inputs[: coupled.values], inputs[coupled.values : current], past, inputs[-groups:]


def _own(gradient: Tensor | None, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return like.new_zeros(shape) if gradient is None else gradient.detach().clone()
