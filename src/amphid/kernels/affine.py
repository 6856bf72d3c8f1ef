"""See that a step is a linear map as long as certain inequalities hold.

Below threshold most cells with a leak and currents are such a map, whatever their step looks like:
every `where` and every comparison then goes the same way. What the map and its conditions are is
read off the list of operations, for any step that anyone writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.kernels.tape import Operation, Symbol, Traced

Numbers = NDArray[np.float64]


class NotAffine(Exception):
    """A step is no linear map near the point asked for."""


@dataclass(frozen=True, eq=False)
class Affine:
    """slope . inputs + offset, for each cell.

    slope: [I] one number for each input of a step, the same for all cells. offset: one value, or
    one for each cell [N].
    """

    slope: Numbers
    offset: Tensor

    @property
    def constant(self) -> bool:
        """Whether it does not depend on the inputs."""
        return not self.slope.any()

    def at(self, inputs: Sequence[Tensor]) -> Tensor:
        """Its value for given inputs."""
        value = self.offset
        for slope, given in zip(self.slope, inputs, strict=True):
            if slope:
                value = value + slope * given.double()
        return value


@dataclass(frozen=True, eq=False)
class Condition:
    """A margin that must not be negative, or, where strict, must be positive."""

    margin: Affine
    strict: bool


@dataclass(frozen=True, eq=False)
class AffineStep:
    """What a step is while all conditions hold: one linear form for each output."""

    outputs: tuple[Affine, ...]
    conditions: tuple[Condition, ...]


def affine_near(
    traced: Traced, point: Sequence[Tensor], fixed: Sequence[bool] | None = None
) -> AffineStep:
    """The linear map that a step is at a point, inputs [N] or of one entry, and around it.

    fixed: which inputs stay at the point; none of them when None.
    Of cells that are made to go different ways, such as the dead and the living, it is that of
    most: a condition without slopes is negative at the others.
    Raises NotAffine where it is none, or where the point sends cells different ways.
    """
    reader = _Reader(traced, point, fixed or [False] * len(point))
    for operation in traced.operations:
        reader.follow(operation)
    outputs = tuple(reader.value(symbol) for symbol in traced.outputs)
    return AffineStep(outputs, tuple(reader.conditions))


class _Reader:
    """Follows a step operation by operation, with a linear form in place of every number."""

    def __init__(self, traced: Traced, point: Sequence[Tensor], fixed: Sequence[bool]) -> None:
        self.point = [values.double() for values in point]
        self.count = len(traced.inputs)
        self.conditions: list[Condition] = []
        self.values: dict[Symbol, Affine] = {}
        self.bent: dict[Symbol, NotAffine] = {}
        for place, symbol in enumerate(traced.inputs):
            slope = np.zeros(self.count)
            slope[place] = 1.0
            own = Affine(slope, torch.zeros((), dtype=torch.float64))
            self.values[symbol] = self._known(self.point[place]) if fixed[place] else own
        for symbol, held in traced.constants:
            self.values[symbol] = self._known(held)

    def value(self, operand: Any) -> Affine:
        """The linear form of an operand."""
        if isinstance(operand, Symbol):
            if operand in self.bent:
                raise self.bent[operand]
            if operand.literal is None:
                return self.values[operand]
            operand = operand.literal
        return self._known(_tensor(operand))

    def follow(self, operation: Operation) -> None:
        """Keep the linear form of what an operation gives, or why there is none."""
        try:
            self.values[operation.result] = self.read(operation)
        except NotAffine as reason:
            if self._times_nothing(operation):
                self.values[operation.result] = self._known(torch.zeros(()).double())
            else:
                self.bent[operation.result] = reason

    def _times_nothing(self, operation: Operation) -> bool:
        """Whether an operation is a product with a number that is zero."""
        if operation.function != "mul":
            return False
        forms = [self.value(own) for own in operation.operands if own not in self.bent]
        return any(form.constant and not bool(form.offset.any()) for form in forms)

    def read(self, operation: Operation) -> Affine:
        """The linear form of what an operation gives."""
        known = READ.get(operation.function)
        operands = [self.value(operand) for operand in operation.operands if operand is not None]
        if all(operand.constant for operand in operands):
            return self._computed(operation, operands)
        if known is None:
            raise NotAffine(f"{operation.function} of something that changes")
        return known(self, operation, operands)

    def decided(self, margin: Affine, *, strict: bool) -> bool:
        """Whether margin >= 0 (> 0 where strict) at the point, which becomes a condition."""
        there = margin.at(self.point)
        holds = there > 0 if strict else there >= 0
        if bool(holds.all()):
            self._require(margin, strict=strict)
            return True
        if bool(holds.any()):
            raise NotAffine("cells that go different ways")
        self._require(_scaled(margin, -1.0), strict=not strict)
        return False

    def usual(self, held: Tensor) -> bool:
        """Whether most cells go that way by what they are; which do becomes a condition."""
        way = 2 * int(held.sum()) > held.numel()
        if held.dim():
            margin = torch.where(held == way, 0.0, -1.0).double()
            self.conditions.append(Condition(Affine(np.zeros(self.count), margin), strict=False))
        return way

    def known(self, *, yes: bool) -> Affine:
        """A truth."""
        return self._known(torch.tensor(yes))

    def _require(self, margin: Affine, *, strict: bool) -> None:
        if not margin.constant:
            self.conditions.append(Condition(margin, strict))

    def _known(self, held: Tensor) -> Affine:
        held = held.detach()
        if held.dim() > 1 and held.numel() != held.shape[-1]:
            raise NotAffine("values that differ between trials")
        held = held.reshape(-1) if held.dim() > 1 else held
        if held.numel() and bool((held == held.flatten()[0]).all()):
            held = held.flatten()[0]
        return Affine(np.zeros(self.count), held.double() if held.is_floating_point() else held)

    def _computed(self, operation: Operation, operands: Sequence[Affine]) -> Affine:
        """Of constants anything can be computed."""
        packet = getattr(torch.ops.aten, operation.function)
        options = {
            key: value if not isinstance(value, Symbol) else self.value(value).offset
            for key, value in operation.options.items()
        }
        if isinstance(options.get("dtype"), torch.dtype) and options["dtype"].is_floating_point:
            options["dtype"] = torch.float64
        given = [
            self.value(own).offset if isinstance(own, Symbol) else own for own in operation.operands
        ]
        return self._known(packet(*given, **options))


def _tensor(number: complex) -> Tensor:
    """A plain number, in full precision."""
    real = isinstance(number, float)
    return torch.tensor(number, dtype=torch.float64 if real else None)


def _scaled(form: Affine, by: float) -> Affine:
    return Affine(form.slope * by, form.offset * by)


def _sum(first: Affine, second: Affine, share: float = 1.0) -> Affine:
    return Affine(first.slope + share * second.slope, first.offset + share * second.offset)


def _add(reader: _Reader, operation: Operation, operands: list[Affine]) -> Affine:
    first, second = operands
    share = float(operation.options.get("alpha", 1))
    if operation.function == "rsub":
        return _sum(second, first, -share)
    return _sum(first, second, share if operation.function == "add" else -share)


def _multiply(reader: _Reader, operation: Operation, operands: list[Affine]) -> Affine:
    first, second = operands
    if operation.function == "div":
        second = Affine(second.slope, 1 / second.offset.double())
        if second.slope.any():
            raise NotAffine("a division by something that changes")
    changing, fixed = (second, first) if first.constant else (first, second)
    if not fixed.constant or fixed.offset.dim():
        raise NotAffine("a product of two things that change, or that cells have of their own")
    return _scaled(changing, float(fixed.offset))


def _compare(reader: _Reader, operation: Operation, operands: list[Affine]) -> Affine:
    first, second = operands
    if operation.function in ("lt", "le"):
        first, second = second, first
    yes = reader.decided(_sum(first, second, -1.0), strict=operation.function in ("gt", "lt"))
    return reader.known(yes=yes)


def _choose(reader: _Reader, operation: Operation, operands: list[Affine]) -> Affine:
    condition, yes, no = operands
    if operation.function == "masked_fill":
        no, condition, yes = operands
    return yes if reader.usual(condition.offset) else no


def _clamp(reader: _Reader, operation: Operation, operands: list[Affine]) -> Affine:
    names = {"clamp": ("min", "max"), "clamp_min": ("min",), "clamp_max": ("max",)}
    names |= {"relu": ("min",), "maximum": ("min",), "minimum": ("max",)}
    value = operands[0]
    limits: dict[str, Any] = dict(operation.options)
    limits |= dict(zip(names[operation.function], operation.operands[1:], strict=False))
    if operation.function == "relu":
        limits = {"min": 0.0}
    for name, sign in (("min", 1.0), ("max", -1.0)):
        if limits.get(name) is not None:
            end = reader.value(limits[name])
            if not reader.decided(_scaled(_sum(value, end, -1.0), sign), strict=False):
                value = end
    return value


def _absolute(reader: _Reader, operation: Operation, operands: list[Affine]) -> Affine:
    return _scaled(operands[0], 1.0 if reader.decided(operands[0], strict=False) else -1.0)


def _same(reader: _Reader, operation: Operation, operands: list[Affine]) -> Affine:
    if not operation.result.dtype.is_floating_point:
        raise NotAffine("a number made whole")
    return operands[0]


READ: dict[str, Callable[[_Reader, Operation, list[Affine]], Affine]] = {
    "add": _add,
    "sub": _add,
    "rsub": _add,
    "mul": _multiply,
    "div": _multiply,
    "neg": lambda _, __, operands: _scaled(operands[0], -1.0),
    "gt": _compare,
    "ge": _compare,
    "lt": _compare,
    "le": _compare,
    "where": _choose,
    "masked_fill": _choose,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "relu": _clamp,
    "maximum": _clamp,
    "minimum": _clamp,
    "abs": _absolute,
    "_to_copy": _same,
}
"""How operations on something that changes are read; there are no others."""
