"""What is left of a traced step when some of its inputs are known."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from amphid.kernels.tape import Operation, Symbol, Traced, needed

FOLDED: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "rsub": lambda a, b: b - a,
    "mul": operator.mul,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
    "logical_and": lambda a, b: bool(a) and bool(b),
    "logical_or": lambda a, b: bool(a) or bool(b),
}
"""Operations of two numbers that are computed where both are known."""


def with_known(traced: Traced, known: Mapping[int, float]) -> Traced:
    """The step with inputs, by place, replaced by numbers, and without what they make needless.

    A product with zero is zero, so infinities and nan are taken not to occur; all else stays as it
    is, to the last bit.
    """
    became: dict[Symbol, Any] = {traced.inputs[place]: value for place, value in known.items()}
    kept = []
    for operation in traced.operations:
        operands = tuple(_now(operand, became) for operand in operation.operands)
        options = {key: _now(value, became) for key, value in operation.options.items()}
        now = replace(operation, operands=operands, options=options)
        found = _found(now)
        if found is None:
            kept.append(now)
        else:
            became[operation.result] = found[0]
    outputs = tuple(_symbol(_now(out, became), out) for out in traced.outputs)
    return needed(replace(traced, outputs=outputs, operations=tuple(kept)))


def _now(operand: Any, became: Mapping[Symbol, Any]) -> Any:
    if isinstance(operand, Symbol):
        operand = became.get(operand, operand)
    return operand.literal if isinstance(operand, Symbol) and _plain(operand) else operand


def _plain(symbol: Symbol) -> bool:
    return symbol.literal is not None and math.isfinite(symbol.literal)


def _symbol(value: Any, like: Symbol) -> Symbol:
    """A number as a symbol again."""
    if isinstance(value, Symbol):
        return value
    return Symbol("", like.dtype, shared=True, literal=value)


def _found(operation: Operation) -> tuple[Any] | None:
    """What an operation comes to, as a tuple of one, where that is known without computing it."""
    name, operands, result = operation.function, operation.operands, operation.result
    numbers = [operand for operand in operands if not isinstance(operand, Symbol)]
    if name in FOLDED and len(operands) == 2 and not operation.options:
        if len(numbers) == 2:
            return (FOLDED[name](*numbers),)
        return _neutral(name, operands, result)
    if name == "where" and not isinstance(operands[0], Symbol):
        return _alike(operands[1] if operands[0] else operands[2], result)
    if name == "neg" and numbers:
        return (-numbers[0],)
    return None


def _neutral(name: str, operands: tuple[Any, ...], result: Symbol) -> tuple[Any] | None:
    """What a sum or product with zero or one comes to."""
    first, second = operands
    if name == "mul" and 0 in (value for value in operands if not isinstance(value, Symbol)):
        return (0.0,)
    nothing = {"add": 0, "sub": 0, "rsub": 0, "mul": 1}.get(name)
    if nothing is None:
        return None
    if not isinstance(second, Symbol) and second == nothing and name != "rsub":
        return _alike(first, result)
    if not isinstance(first, Symbol) and first == nothing and name != "sub":
        return _alike(second, result)
    return None


def _alike(value: Any, result: Symbol) -> tuple[Any] | None:
    """The value, unless it would have to be cast."""
    if isinstance(value, Symbol) and value.dtype != result.dtype:
        return None
    return (value,)
