"""What a step must leave behind so that its adjoint can be computed, and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable
from dataclasses import replace
from typing import Any

from amphid.kernels.tape import Operation, Symbol, Traced, needed

Node = Hashable
START, END = "start", "end"


def least_to_save(
    adjoint: Traced, moving: Collection[int], gradients: Collection[int]
) -> list[Symbol]:
    """The fewest bytes of an adjoint from which all of it follows.

    moving: places of inputs that are others in every step. gradients: places of inputs that are
    known on the way back only. What depends on neither is not counted.

    This is a smallest cut between the moving inputs and the operations on gradients (Ford &
    Fulkerson 1956, doi 10.4153/CJM-1956-045-5); of several, the one nearest to the gradients.
    """
    ahead = {adjoint.inputs[place] for place in moving}
    back = {adjoint.inputs[place] for place in gradients}
    flow: dict[Node, dict[Node, float]] = {}

    def pipe(one: Node, other: Node, width: float) -> None:
        flow.setdefault(one, {})[other] = width
        flow.setdefault(other, {}).setdefault(one, 0.0)

    for symbol in ahead:
        pipe(START, (symbol, "in"), float("inf"))
        pipe((symbol, "in"), (symbol, "out"), symbol.dtype.itemsize)
    for operation in adjoint.operations:
        read, result = symbols_of(operation), operation.result
        if back & read:
            back.add(result)
            for symbol in read & ahead:
                pipe((symbol, "out"), END, float("inf"))
        elif ahead & read:
            ahead.add(result)
            pipe((result, "in"), (result, "out"), result.dtype.itemsize)
            for symbol in read & ahead:
                pipe((symbol, "out"), (result, "in"), float("inf"))
    for symbol in set(adjoint.outputs) & ahead:
        pipe((symbol, "out"), END, float("inf"))
    _fill(flow)
    last = _leading(flow, END)
    saved = [symbol for symbol in ahead if (symbol, "out") in last and (symbol, "in") not in last]
    return sorted(saved, key=lambda symbol: (len(symbol.name), symbol.name))


def _fill(flow: dict[Node, dict[Node, float]]) -> None:
    """Send as much from start to end as goes through, a shortest way at a time."""
    while (before := _reached(flow)) and END in before:
        way, node = [], END
        while node != START:
            way.append((before[node], node))
            node = before[node]
        width = min(flow[one][other] for one, other in way)
        for one, other in way:
            flow[one][other] -= width
            flow[other][one] += width


def _reached(flow: dict[Node, dict[Node, float]]) -> dict[Node, Any]:
    """For every node that more can be sent to, the node before it."""
    before: dict[Node, Any] = {START: None}
    ahead: deque[Node] = deque([START])
    while ahead:
        one = ahead.popleft()
        for other, width in flow.get(one, {}).items():
            if width > 0 and other not in before:
                before[other] = one
                ahead.append(other)
    return before


def _leading(flow: dict[Node, dict[Node, float]], goal: Node) -> set[Node]:
    """The nodes from which more can be sent to a goal."""
    found, ahead = {goal}, deque([goal])
    while ahead:
        other = ahead.popleft()
        for one in flow.get(other, {}):
            if one not in found and flow[one].get(other, 0.0) > 0:
                found.add(one)
                ahead.append(one)
    return found


def symbols_of(operation: Operation) -> set[Symbol]:
    """The symbols that an operation reads."""
    operands = (*operation.operands, *operation.options.values())
    return {own for own in operands if isinstance(own, Symbol)}


def from_saved(adjoint: Traced, saved: Collection[Symbol]) -> Traced:
    """The adjoint with what was saved as its last inputs, instead of being computed again."""
    made = tuple(symbol for symbol in saved if symbol not in adjoint.inputs)
    left = tuple(own for own in adjoint.operations if own.result not in made)
    return needed(replace(adjoint, inputs=(*adjoint.inputs, *made), operations=left))


def with_saved(step: Traced, adjoint: Traced, saved: Collection[Symbol]) -> Traced:
    """The step with what its adjoint wants saved as further results.

    Both have the same first inputs; what they compute alike is compiled as one.
    """
    inputs = dict(zip(adjoint.inputs, step.inputs, strict=False))

    def renamed(value: Any) -> Any:
        if not isinstance(value, Symbol) or value.literal is not None:
            return value
        return inputs.get(value) or replace(value, name=f"s_{value.name}")

    further = needed(replace(adjoint, outputs=tuple(saved)))
    operations = [
        replace(
            own,
            operands=tuple(renamed(value) for value in own.operands),
            options={key: renamed(value) for key, value in own.options.items()},
            result=renamed(own.result),
        )
        for own in further.operations
    ]
    return replace(
        step,
        outputs=(*step.outputs, *(renamed(symbol) for symbol in saved)),
        operations=(*step.operations, *operations),
        constants=(*step.constants, *((renamed(c), held) for c, held in further.constants)),
    )
