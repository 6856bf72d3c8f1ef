"""Cells that send each other signals, over a whole sequence, as one operation of autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from amphid.kernels.coupled_adjoint import CoupledAdjoint
from amphid.kernels.scan import Compiled, Step
from amphid.kernels.sequence import CELLS, KEPT, ROWS, Around, Role
from amphid.kernels.steady import part_steady
from amphid.kernels.tape import trace, with_values
from amphid.kernels.traffic import Traffic, arguments, write_traffic


class Passed(NamedTuple):
    """What a sequence gave, in C chunks."""

    output: Tensor  # [C, T, N * lanes]
    after: list[Tensor]  # the variables after it [C, N * lanes]
    sent: list[Tensor]  # let go in each group before it and in it [C, longest lag + T, N * lanes]
    kept: dict[int, Tensor]  # what inputs were in each step, by their places


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
            own if traffic.ordered else own[torch.from_numpy(traffic.order)]
            for own, traffic in zip(weight, self.groups, strict=True)
        ]
        wide = [self._wide(value) for value in values]
        results = _Coupled.apply(self, current, *wide, *state, *past, *ordered)  # type: ignore[no-untyped-call]
        after = results[1:]
        return results[0], list(after[: self.states]), list(after[self.states :])

    def run(self, current: Tensor, inputs: Sequence[Tensor], keep: frozenset[int]) -> Passed:
        """What a sequence gives; inputs are values, variables, past and weights."""
        values, state, past, weight = self.parts(inputs)
        chunks, steps = current.shape[:2]
        passed = Passed(
            torch.empty(current.shape, dtype=current.dtype),
            [leaf.detach().clone() for leaf in state],
            [torch.cat((own, own.new_empty(chunks, steps, *self.shape)), 1) for own in past],
            self._kept(keep, chunks, steps),
        )
        variables = range(self.values, self.values + self.states)
        for place in passed.kept.keys() & {*variables}:
            passed.kept[place][:, 0] = state[place - self.values]
        around = self.traffic(weight)
        for c in range(chunks):
            moving = dict(zip(variables, (leaf[c] for leaf in passed.after), strict=True))
            moving |= {place: own[c] for place, own in passed.kept.items()}
            arriving = range(self.current + 1, self.current + 1 + len(past))
            arrays = [*values, *(moving[place] for place in variables), current[c]]
            arrays += [
                moving[p] if p in moving else current.new_empty(self.shape) for p in arriving
            ]
            results = [passed.output[c], *(own[c] for own in passed.sent)]
            self.compiled(keep)(steps, arrays, results, self.shape, *around)
        for place in passed.kept.keys() & {*variables}:
            passed.after[place - self.values] = passed.kept[place][:, -1].clone()
        return passed

    def parts(self, inputs: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
        """Values, variables, past and weights."""
        groups, current = len(self.groups), self.current
        past = inputs[current : current + groups]
        return inputs[: self.values], inputs[self.values : current], past, inputs[-groups:]

    def adjoint(self, wrt: tuple[int, ...]) -> CoupledAdjoint:
        """The adjoint for the gradients of some values, and of the current or not."""
        if wrt not in self._adjoints:
            # a checkpoint counts what is saved for a gradient, and must not see what tracing saves
            with saved_tensors_hooks(lambda saved: saved, lambda saved: saved):
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

    def _kept(self, keep: frozenset[int], chunks: int, steps: int) -> dict[int, Tensor]:
        """Room for what inputs are before each step, those of the state after the last too."""
        return {
            place: torch.empty(
                (chunks, steps + (place < self.current), *self.shape),
                dtype=self.examples[place].dtype,
            )
            for place in keep
            if place != self.current
        }

    def _wide(self, value: Tensor) -> Tensor:
        """A value of all copies of each cell."""
        if value.numel() == 1:
            return value
        return value.expand(self.cells).repeat_interleave(self.lanes)


class _Coupled(torch.autograd.Function):
    """Coupled cells over a sequence with their adjoint; differentiated twice, the plain loop."""

    @staticmethod
    def forward(ctx: Any, coupled: Coupled, current: Tensor, *inputs: Tensor) -> Any:
        needed = ctx.needs_input_grad[1:]
        wrt = [place for place in range(coupled.values) if needed[1 + place]]
        wrt += [coupled.current] if needed[0] else []
        keep = coupled.adjoint(tuple(wrt)).keep if any(needed) else frozenset()
        output, after, sent, kept = coupled.run(current, inputs, keep)
        ctx.coupled, ctx.wrt, ctx.kept = coupled, tuple(wrt), tuple(kept)
        if any(needed):
            ctx.save_for_backward(current, *inputs, *sent, *kept.values())
        ctx.mark_non_differentiable(*(leaf for leaf in after if not leaf.is_floating_point()))
        ctx.set_materialize_grads(False)
        return (output, *after, *(own[:, current.shape[1] :].clone() for own in sent))

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *after: Tensor | None) -> Any:
        coupled: Coupled = ctx.coupled
        current, *saved = ctx.saved_tensors
        groups = len(coupled.groups)
        count = coupled.current + 2 * groups
        inputs, sent = saved[:count], saved[count : count + groups]
        if torch.is_grad_enabled():
            asked = ctx.needs_input_grad[1:]
            return (None, *_again(coupled, [current, *inputs], (given, *after), asked))
        kept = dict(zip(ctx.kept, saved[count + groups :], strict=True))
        passed = Passed(current, [], sent, kept)  # the output itself is not read
        of_state, of_tail = after[: coupled.states], after[coupled.states :]
        adjoint = coupled.adjoint(ctx.wrt)
        return (None, *adjoint.over(current, inputs, passed, given, of_state, of_tail))


def _again(
    coupled: Coupled,
    every: Sequence[Tensor],
    given: Sequence[Tensor | None],
    asked: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of current and inputs that can be differentiated once more."""
    results = plain_coupled(coupled, every[0], every[1:])
    pairs = [(r, g) for r, g in zip(results, given, strict=True) if g is not None]
    wanted = [own for own, needed in zip(every, asked, strict=True) if needed]
    found = iter(
        torch.autograd.grad(
            [r for r, _ in pairs],
            wanted,
            [g for _, g in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(found) if needed else None for needed in asked]


def plain_coupled(
    coupled: Coupled, current: Tensor, inputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The same by a loop in Python: output, variables and past after the sequence."""
    values, state, past, weight = coupled.parts(inputs)
    sent, outputs, now = [list(own.unbind(1)) for own in past], [], list(state)
    groups = list(zip(coupled.groups, weight, strict=True))
    for present in current.unbind(1):
        arriving = [
            traffic.carried(rows, own, coupled.lanes)
            for rows, (traffic, own) in zip(sent, groups, strict=True)
        ]
        after = coupled.step(*values, *now, present, *arriving)
        now, output, released = (
            [*after[: coupled.states]],
            after[coupled.states],
            after[coupled.states + 1 :],
        )
        outputs.append(output)
        for rows, own in zip(sent, released, strict=True):
            rows.append(own)
    tails = [torch.stack(rows[-own.shape[1] :], 1) for rows, own in zip(sent, past, strict=True)]
    return (torch.stack(outputs, 1), *now, *tails)
