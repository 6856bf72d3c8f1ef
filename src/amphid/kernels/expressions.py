"""Which scalar expression computes an elementwise operation.

Selects stand for branches and for comparisons that keep what is not a number, so that a loop over
cells vectorizes and gives what torch gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from amphid.kernels.tape import Operation, Symbol, unknown

TYPES = {
    torch.float32: "f4",
    torch.float64: "f8",
    torch.int32: "i4",
    torch.int64: "i8",
    torch.bool: "b1",
}

UNARY = {
    "neg": "-{0}",
    "abs": "abs({0})",
    "reciprocal": "{one} / {0}",
    "exp": "exp_{type}({0})",
    "expm1": "expm1_{type}({0})",
    "sigmoid": "sigmoid_{type}({0})",
    "tanh": "tanh_{type}({0})",
    "cosh": "cosh_{type}({0})",
    "sinh": "sinh_{type}({0})",
    "sqrt": "np.sqrt({0})",
    "rsqrt": "{one} / np.sqrt({0})",
    "log": "np.log({0})",
    "log1p": "np.log1p({0})",
    "log2": "np.log2({0})",
    "log10": "np.log10({0})",
    "exp2": "np.exp2({0})",
    "sin": "np.sin({0})",
    "cos": "np.cos({0})",
    "tan": "np.tan({0})",
    "atan": "np.arctan({0})",
    "asinh": "np.arcsinh({0})",
    "erf": "{type}(math.erf({0}))",
    "erfc": "{type}(math.erfc({0}))",
    "floor": "np.floor({0})",
    "ceil": "np.ceil({0})",
    "round": "np.rint({0})",
    "trunc": "np.trunc({0})",
    "relu": "({zero} if {0} < {zero} else {0})",
    "sign": "({one} if {0} > {zero} else (-{one} if {0} < {zero} else {zero}))",
    "bitwise_not": "~{0}",
}
"""Of one operand, in the type of the result."""

BINARY = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "rsub": "{1} - {0}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "minimum": "(({0} if {0} <= {1} else {1}) if {0} == {0} else {0})",
    "maximum": "(({0} if {0} >= {1} else {1}) if {0} == {0} else {0})",
    "atan2": "np.arctan2({0}, {1})",
    "bitwise_and": "{0} & {1}",
    "bitwise_or": "{0} | {1}",
    "bitwise_xor": "{0} ^ {1}",
    "__and__": "{0} & {1}",
    "__or__": "{0} | {1}",
    "__xor__": "{0} ^ {1}",
    "bitwise_left_shift": "{0} << {1}",
    "bitwise_right_shift": "{0} >> {1}",
    "__lshift__": "{0} << {1}",
    "__rshift__": "{0} >> {1}",
    "sigmoid_backward": "{0} * ({one} - {1}) * {1}",
    "tanh_backward": "{0} * ({one} - {1} * {1})",
}
"""Of two operands, in the type of the result."""

COMPARING = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
LOGICAL = {"logical_and": "{0} & {1}", "logical_or": "{0} | {1}", "logical_xor": "{0} ^ {1}"}


def expression(operation: Operation) -> str:
    """The right side of the assignment that computes an operation. Raises UnknownOperation."""
    name, result = operation.function, operation.result
    if result.dtype not in TYPES:
        raise unknown(operation)
    if name in OWN:
        return OWN[name](operation)
    for table, count in ((UNARY, 1), (BINARY, 2)):
        if name in table and len(operation.operands) == count:
            return _scaled(operation, table[name])
    if name in COMPARING:
        return _comparison(operation)
    if name in LOGICAL:
        operands = [written(operand, torch.bool) for operand in operation.operands]
        return LOGICAL[name].format(*operands)
    raise unknown(operation)


def written(operand: Any, dtype: torch.dtype) -> str:
    """An operand in that type, as it stands in the code."""
    if isinstance(operand, Symbol):
        if operand.literal is None:
            return operand.name if operand.dtype == dtype else _cast(operand, dtype)
        operand = operand.literal
    if dtype is torch.bool:
        return repr(bool(operand))
    if not dtype.is_floating_point:
        return f"{TYPES[dtype]}({int(operand)})"
    number = float(operand)
    shown = repr(number) if math.isfinite(number) else f"np.{'nan' if number != number else 'inf'}"
    shown = f"-{shown}" if number == -math.inf else shown
    return shown if dtype is torch.float64 and math.isfinite(number) else f"{TYPES[dtype]}({shown})"


def _cast(symbol: Symbol, dtype: torch.dtype) -> str:
    if dtype is torch.bool:
        return f"({symbol.name} != {written(0, symbol.dtype)})"
    if symbol.dtype is torch.bool:
        return f"({written(1, dtype)} if {symbol.name} else {written(0, dtype)})"
    return f"{TYPES[dtype]}({symbol.name})"


def _scaled(operation: Operation, form: str) -> str:
    """An expression of the operands in the type of the result; `alpha` scales the second."""
    dtype = operation.result.dtype
    operands = [written(operand, dtype) for operand in operation.operands]
    options = {key: value for key, value in operation.options.items() if value is not None}
    scale = options.pop("alpha", 1)
    if options:
        raise unknown(operation)
    if scale != 1:
        place = 0 if operation.function == "rsub" else 1
        operands[place] = f"({written(scale, dtype)} * {operands[place]})"
    parts = {"type": TYPES[dtype], "one": written(1, dtype), "zero": written(0, dtype)}
    return form.format(*operands, **parts)


def _comparison(operation: Operation) -> str:
    left, right = operation.operands
    dtype = left.dtype if isinstance(left, Symbol) else right.dtype
    for other in (left, right):
        if isinstance(other, Symbol):
            dtype = torch.promote_types(dtype, other.dtype) if not other.shared else dtype
        elif isinstance(other, float) and not dtype.is_floating_point:
            dtype = torch.get_default_dtype()
    shown = written(left, dtype), written(right, dtype)
    return f"{shown[0]} {COMPARING[operation.function]} {shown[1]}"


def _select(operation: Operation) -> str:
    condition, yes, no = operation.operands
    dtype = operation.result.dtype
    return f"({written(yes, dtype)} if {written(condition, torch.bool)} else {written(no, dtype)})"


def _clamp(operation: Operation) -> str:
    value, *ends = operation.operands
    named = {"min": None, "max": None} | operation.options
    named |= dict(zip(CLAMPED[operation.function], ends, strict=False))
    dtype = operation.result.dtype
    shown = written(value, dtype)
    if named["min"] is not None:
        low = written(named["min"], dtype)
        shown = f"({low} if {shown} < {low} else {shown})"
    if named["max"] is not None:
        high = written(named["max"], dtype)
        shown = f"({high} if {shown} > {high} else {shown})"
    return shown


def _power(operation: Operation) -> str:
    base, exponent = (operation.operands[0], operation.operands[1])
    dtype = operation.result.dtype
    shown = written(base, dtype)
    if isinstance(base, Symbol) and not isinstance(exponent, Symbol) and exponent in POWERS:
        return POWERS[exponent].format(shown, one=written(1, dtype))
    return f"{shown} ** {written(exponent, dtype)}"


def _copy(operation: Operation) -> str:
    kept = {"dtype", "layout", "device", "pin_memory", "non_blocking", "memory_format", "implicit"}
    if set(operation.options) - kept:
        raise unknown(operation)
    return written(operation.operands[0], operation.result.dtype)


def _not(operation: Operation) -> str:
    return f"not {written(operation.operands[0], torch.bool)}"


def _masked_fill(operation: Operation) -> str:
    value, mask, fill = operation.operands
    dtype = operation.result.dtype
    return f"({written(fill, dtype)} if {written(mask, torch.bool)} else {written(value, dtype)})"


def _lerp(operation: Operation) -> str:
    start, end, share = (written(operand, operation.result.dtype) for operand in operation.operands)
    return f"{start} + {share} * ({end} - {start})"


def _fused(operation: Operation) -> str:
    """addcmul and addcdiv."""
    dtype = operation.result.dtype
    base, first, second = (written(operand, dtype) for operand in operation.operands)
    sign = "*" if operation.function == "addcmul" else "/"
    scale = written(operation.options.get("value", 1), dtype)
    return f"{base} + {scale} * ({first} {sign} {second})"


CLAMPED = {"clamp": ("min", "max"), "clamp_min": ("min",), "clamp_max": ("max",)}
POWERS = {
    0: "{one}",
    1: "{0}",
    2: "{0} * {0}",
    3: "{0} * {0} * {0}",
    4: "({0} * {0}) * ({0} * {0})",
    0.5: "np.sqrt({0})",
    -1: "{one} / {0}",
    -2: "{one} / ({0} * {0})",
}
OWN: dict[str, Callable[[Operation], str]] = {
    "where": _select,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "pow": _power,
    "_to_copy": _copy,
    "logical_not": _not,
    "masked_fill": _masked_fill,
    "lerp": _lerp,
    "addcmul": _fused,
    "addcdiv": _fused,
}
"""Operations with an expression of their own."""
