"""How the gradient of what coupled cells gave leads to that of what they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from amphid.kernels.adjoint import trace_adjoint
from amphid.kernels.scan import Compiled, gathered
from amphid.kernels.sequence import CELLS, KEPT, ROWS, Around, Role, reads
from amphid.kernels.steady import part_steady
from amphid.kernels.tape import with_values
from amphid.kernels.traffic import arguments

if TYPE_CHECKING:
    from amphid.kernels.coupled import Coupled, Passed


class Gradients(NamedTuple):
    """Gradients that the way back adds to, or replaces by those of what was before."""

    moving: dict[int, Tensor]  # of the variables, after the sequence and then before it
    sent: list[Tensor]  # of what was let go in each group
    sums: list[Tensor]  # of the values learned
    weight: list[Tensor]  # of the weights

    def chunk(self, c: int) -> Gradients:
        """Those of one chunk; values and weights are the same for all."""
        moving = {place: own[c] for place, own in self.moving.items()}
        return self._replace(moving=moving, sent=[own[c] for own in self.sent])


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

    def over(
        self,
        current: Tensor,
        inputs: Sequence[Tensor],
        passed: Passed,
        given: Tensor | None,
        of_state: Sequence[Tensor | None],
        of_tail: Sequence[Tensor | None],
    ) -> tuple[Tensor | None, ...]:
        """Gradients of current and inputs, of those of the output, the variables and the past.

        All are in chunks [C, ...]; where there is none it is None.
        """
        coupled, shape = self.coupled, (len(current), *self.coupled.shape)
        values, _, past, weight = coupled.parts(inputs)
        given = torch.zeros_like(current) if given is None else given
        gradients = Gradients(
            {p: _own(of_state[p - coupled.values], current, shape) for p in self.through},
            [_behind(own, tail) for own, tail in zip(passed.sent, of_tail, strict=True)],
            [current.new_zeros(coupled.shape) for _ in self.learned],
            [torch.zeros_like(own) for own in weight],
        )
        known = {coupled.current: current, **passed.kept}
        of_current = [
            self._chunk(
                {**dict(enumerate(values)), **{place: own[c] for place, own in known.items()}},
                given[c],
                gradients.chunk(c),
                [own[c] for own in passed.sent],
                weight,
            )
            for c in range(len(current))
        ]
        found = dict(zip(self.learned, gradients.sums, strict=True))
        of_values = [
            found[k].sum_to_size(values[k].shape) if k in found else None
            for k in range(coupled.values)
        ]
        states = [gradients.moving.get(coupled.values + k) for k in range(coupled.states)]
        before = [own[:, : held.shape[1]] for own, held in zip(gradients.sent, past, strict=True)]
        first = torch.stack(of_current) if self.asked else None  # type: ignore[arg-type]
        return (first, *of_values, *states, *before, *gradients.weight)

    def _chunk(
        self,
        inputs: dict[int, Tensor],
        given: Tensor,
        of: Gradients,
        sent: Sequence[Tensor],
        weight: Sequence[Tensor],
    ) -> Tensor | None:
        """Gradient of the current of one chunk; those of all else are changed in place."""
        shape = self.coupled.shape
        gradients = [*of.moving.values(), given, *of.sent, *of.sums]
        arrays = [
            inputs[place] if place < self.count else gradients[place - self.count]
            for place in self.used
        ]
        result = torch.empty(given.shape, dtype=given.dtype) if self.asked else None
        arriving = [given.new_empty(shape) for _ in of.sent]
        around = self.coupled.traffic(weight)
        for own, total in zip(sent, of.weight, strict=True):
            around += [own.numpy(), total.numpy()]
        results = arriving if result is None else [result, *arriving]
        self.compiled(len(given), arrays, results, shape, *around)
        return result


def _own(gradient: Tensor | None, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return like.new_zeros(shape) if gradient is None else gradient.detach().clone()


def _behind(sent: Tensor, tail: Tensor | None) -> Tensor:
    """Zeros like all that was let go, with the gradient of the last of it."""
    whole = torch.zeros_like(sent)
    if tail is not None:
        whole[:, -tail.shape[1] :] = tail
    return whole
