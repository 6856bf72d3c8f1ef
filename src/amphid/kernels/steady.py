"""Take out of a step what is the same in every step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from amphid.kernels.tape import Operation, Symbol, Traced, needed


@dataclass(frozen=True)
class Parted:
    """A traced step cut in two, so that what does not change is computed once for all steps.

    single, each: what follows from the steady inputs alone, as one value for all cells or as one
    for each of them. every: what is left to do in every step; its inputs are those of the whole
    step without `unread`, the results of `single` and those of `each`.
    """

    single: Traced
    each: Traced
    every: Traced


def part_steady(traced: Traced, steady: Collection[int], single: Collection[int]) -> Parted:
    """Cut a step into what follows from some of its inputs alone, and the rest.

    steady: places of the inputs that do not change from step to step. single: those among them that
    are one value for all cells, whatever the examples were.
    """
    became = {traced.inputs[k]: replace(traced.inputs[k], shared=True) for k in single}
    fixed = {became.get(traced.inputs[k], traced.inputs[k]) for k in steady}
    fixed |= {symbol for symbol, _ in traced.constants}
    before: list[Operation] = []
    after: list[Operation] = []
    for operation in traced.operations:
        now = _replaced(operation, became)
        read = _read(now)
        now = replace(now, result=replace(now.result, shared=all(s.shared for s in read)))
        became[operation.result] = now.result
        (before if set(read) <= fixed else after).append(now)
        if before and before[-1] is now:
            fixed.add(now.result)
    inputs = tuple(became.get(symbol, symbol) for symbol in traced.inputs)
    outputs = tuple(became.get(symbol, symbol) for symbol in traced.outputs)
    rest = needed(replace(traced, inputs=inputs, outputs=outputs, operations=tuple(after)))
    wanted = {symbol for operation in rest.operations for symbol in _read(operation)}
    made = [own.result for own in before if own.result in {*wanted, *outputs}]
    ahead = replace(traced, inputs=tuple(inputs[k] for k in steady), operations=tuple(before))
    return Parted(
        needed(replace(ahead, outputs=tuple(symbol for symbol in made if symbol.shared))),
        needed(replace(ahead, outputs=tuple(symbol for symbol in made if not symbol.shared))),
        replace(rest, inputs=(*inputs, *sorted(made, key=lambda symbol: not symbol.shared))),
    )


def _read(operation: Operation) -> list[Symbol]:
    """The symbols that an operation reads, without those that stand in the code itself."""
    operands = (*operation.operands, *operation.options.values())
    return [own for own in operands if isinstance(own, Symbol) and own.literal is None]


def _replaced(operation: Operation, became: dict[Symbol, Symbol]) -> Operation:
    def now(operand: Any) -> Any:
        return became.get(operand, operand) if isinstance(operand, Symbol) else operand

    return replace(
        operation,
        operands=tuple(now(operand) for operand in operation.operands),
        options={key: now(value) for key, value in operation.options.items()},
    )
