"""The units of a module and the connections between them, walked from the outputs backwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.measures.emerging import counts
from amphid.measures.emerging.calls import Call, Following, asked, is_activity
from amphid.measures.emerging.connecting import (
    ACTIVATING,
    ALONE,
    EMBEDDING,
    GATED,
    NORMING,
    WEIGHING,
    connecting,
)
from amphid.measures.emerging.parts import PARTS
from amphid.measures.emerging.resampling import Ones
from amphid.measures.emerging.wired import emitted


@dataclass
class Structure:
    """Operations in order, and which of the tensors that they pass on are layers of units.

    inputs, units, ends: numbers of tensors, ends of those that the model gives out and that are
    units for that reason alone. looked_up: of what embeddings give out, units that no weight leads
    to. shapes: of tensors [1, *N] by number. folded: values of those that have more than the
    example on their first axis. loops: of layers whose units are connected among themselves, what
    carries their output back.
    """

    calls: list[Call] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    looked_up: tuple[int, ...] = ()
    shapes: dict[int, torch.Size] = field(default_factory=dict)
    folded: dict[int, Tensor] = field(default_factory=dict)
    loops: dict[int, Ones] = field(default_factory=dict)


def structure(model: nn.Module, inputs: Sequence[Tensor]) -> Structure:
    """What a model does with one example, each of inputs [1, ...]; without gradients.

    Layers of units are the inputs, what activations give out, what layers with weights give to the
    next ones past a norm at the most, and the outputs.
    """
    made, bare = Structure(), _Bare()

    def heard(call: Call, tensors: list[Tensor]) -> None:
        made.calls.append(call)
        made.shapes.update(zip(call.outputs, call.shapes, strict=True))
        values = zip(call.outputs, tensors, strict=True)
        made.folded.update((number, held) for number, held in values if _is_folded(held))
        bare.heard(call)

    with torch.no_grad(), Following(inputs, heard, parts=PARTS) as following:
        numbers = {following.numbers[id(given)]: given.shape for given in inputs}
        result = asked(model, inputs, "one example (nodes of a graph are none)")
    made.shapes.update(numbers)
    made.inputs = tuple(numbers)  # less than inputs where one comes twice
    last = [following.number(leaf) for leaf in pytree.tree_leaves(result) if is_activity(leaf)]
    ends = tuple(number for number in last if number is not None)
    if not ends:
        raise ValueError("emergence: nothing that the model gives out comes of its inputs.")
    made.units = tuple(sorted({*made.inputs, *bare.units, *ends}))
    made.ends = tuple(number for number in ends if number not in bare.units)
    made.calls = _leading_to(made.units, made.calls)
    looked_up = (call.outputs for call in made.calls if call.name in EMBEDDING)
    made.looked_up = tuple(number for outputs in looked_up for number in outputs)
    return made


def _leading_to(units: Sequence[int], calls: Sequence[Call]) -> list[Call]:
    """Those of calls, in their order, from which something goes on to units."""
    wanted, kept = set(units), list[Call]()
    for call in reversed(calls):
        if not wanted.isdisjoint(call.outputs):
            wanted.update(call.inputs)
            kept.append(call)
    return kept[::-1]


class _Bare:
    """Finds layers of units: activations, and weighed sums that meet no activation."""

    def __init__(self) -> None:
        self.units: set[int] = set()
        self.waiting: dict[int, set[int]] = {}

    def heard(self, call: Call) -> None:
        waiting = set().union(*(self.waiting.get(number, set()) for number in call.inputs))
        if call.name in ACTIVATING | EMBEDDING or call.name == GATED:
            self.units |= set(call.outputs)
            waiting = set()
        elif is_layer(call):
            self.units |= waiting
            waiting = set(call.outputs)
        elif call.name in NORMING and waiting <= set(call.inputs):
            waiting = set(call.outputs) if waiting else waiting
        for number in call.outputs:
            self.waiting[number] = waiting


def is_layer(call: Call) -> bool:
    """Whether it sums by weights; a product of two activities has none."""
    several = call.name in ("einsum", "bilinear") and bool(call.held)
    return call.name in WEIGHING and (len(call.inputs) == 1 or several)


def ahead(
    made: Structure, active: Mapping[int, Tensor], before: Mapping[int, Tensor] | None = None
) -> dict[int, Tensor]:
    """Paths ahead of the units of every layer [K, 2, 1, *N], by its number.

    active: which units are [1, *N]. before: paths ahead that are one connection shorter, in the
    place of those of all lengths.
    """
    found: dict[int, Tensor] = {}
    arriving: dict[int, Tensor] = {}

    def passed(number: int) -> Tensor | None:
        """What a tensor adds to those before it."""
        count = arriving.pop(number, None)
        if number not in made.units:
            return count
        shape = made.shapes[number]
        found[number] = counts.zeros(2, *shape) if count is None else counts.carried(count)
        known = found[number] if before is None else before[number]
        given = emitted(known, active[number].double())
        if number in made.loops:
            back = _pulled(made.loops[number], [shape], [given])[0]
            found[number] = counts.carried(counts.added(found[number], back))
        return given

    for call in reversed(made.calls):
        given = [passed(number) for number in call.outputs]
        if call.name in EMBEDDING or all(count is None for count in given):
            continue
        shapes = [made.shapes[number] for number in call.inputs]
        for number, count in zip(call.inputs, _through(call, shapes, given), strict=True):
            before_it = arriving.get(number)
            arriving[number] = count if before_it is None else counts.added(before_it, count)
    for number in made.inputs:
        passed(number)
    return found


def _through(
    call: Call, shapes: Sequence[torch.Size], given: Sequence[Tensor | None]
) -> list[Tensor]:
    """Counts of what comes out of a call taken to what goes in."""
    if call.name in ACTIVATING | ALONE and len(given) == 1 and given[0] is not None:
        rest = [counts.zeros(2, *shape) for shape in shapes[1:]]
        return [given[0], *rest]
    return _pulled(connecting(call), shapes, given)


def _pulled(
    ones: Callable[..., Any], shapes: Sequence[torch.Size], given: Sequence[Tensor | None]
) -> list[Tensor]:
    """Counts [K, 2, *shape] of the inputs, by the adjoint of what connects them to the outputs."""
    inputs = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    with torch.enable_grad():
        leaves = pytree.tree_leaves(ones(*inputs))
    pairs = [(leaf, count) for leaf, count in zip(leaves, given, strict=True) if count is not None]
    digits = max(len(count) for _, count in pairs)
    rows = []
    for place in range(digits):
        for form in (0, 1):
            kept = [(leaf, count[place, form]) for leaf, count in pairs if place < len(count)]
            rows.append(_adjoint(kept, inputs))
    pulled = [torch.stack(column).unflatten(0, (digits, 2)) for column in zip(*rows, strict=True)]
    return [counts.carried(count) for count in pulled]


def _adjoint(pairs: list[tuple[Tensor, Tensor]], inputs: list[Tensor]) -> list[Tensor]:
    outputs, weights = [leaf for leaf, _ in pairs], [count for _, count in pairs]
    found = torch.autograd.grad(outputs, inputs, weights, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(own) if gradient is None else gradient
        for own, gradient in zip(inputs, found, strict=True)
    ]


def _is_folded(value: Tensor) -> bool:
    return value.dim() > 0 and len(value) > 1
