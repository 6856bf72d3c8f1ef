"""Record what a function of tensors does, one elementwise operation after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from amphid.kernels.shapes import common_shape

Place = tuple[int, torch.dtype]


def place(tensor: Tensor) -> Place:
    """Where the values of a tensor stand: autograd hands on other objects for the same tensor."""
    return tensor.data_ptr() or id(tensor), tensor.dtype


class UnknownOperation(NotImplementedError):
    """A step does something that cannot be turned into machine code; the message names it."""


@dataclass(frozen=True)
class Symbol:
    """A number of the step, one per cell or one for all cells.

    name: in the generated code. dtype: its type. shared: one for all cells. literal: its value,
    where that stands in the code itself.
    """

    name: str
    dtype: torch.dtype
    shared: bool = False
    literal: float | int | bool | None = None


@dataclass(frozen=True)
class Operation:
    """One operation: result = function(*operands); an operand is a symbol or a plain number."""

    function: str  # such as "add", as ATen names it
    overload: str  # such as "Tensor"
    operands: tuple[Any, ...]
    options: dict[str, Any]
    result: Symbol


@dataclass(frozen=True)
class Traced:
    """A step as a flat list of operations.

    inputs, outputs: symbols in the order of the leaves of what the step takes and gives.
    constants: tensors that the step reads besides its inputs, by symbol; one value, or one for each
    cell, with or without axes for a batch.
    """

    inputs: tuple[Symbol, ...]
    outputs: tuple[Symbol, ...]
    operations: tuple[Operation, ...]
    constants: tuple[tuple[Symbol, Tensor], ...]
    structure: Any  # of the outputs


def trace(step: Callable[..., Any], *examples: Any) -> Traced:
    """Run a step once on examples, trees of tensors [*B, N] or of one entry, and record it.

    Values that do not depend on the examples are computed now, once: what a learned time constant
    decays to in a step is a constant of the code, not work for every cell.
    Raises UnknownOperation where an operation is not elementwise, draws a random number, or decides
    by a value.
    """
    leaves = [leaf.detach().clone() for leaf in pytree.tree_leaves(examples)]
    spec = pytree.tree_structure(examples)
    tape = _Tape(leaves)
    with torch.no_grad(), tape:
        result = step(*pytree.tree_unflatten(leaves, spec))
    found, structure = pytree.tree_flatten(result)
    outputs = tuple(tape.symbol(leaf) for leaf in found)
    operations, constants = tuple(tape.operations), tuple(tape.constants)
    return needed(Traced(tape.inputs, outputs, operations, constants, structure))


class _Tape(TorchDispatchMode):
    """Keeps every operation on a tensor that stems from the inputs; all else is a constant."""

    def __init__(self, leaves: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.constants: list[tuple[Symbol, Tensor]] = []
        self.shape = common_shape(*(leaf.shape for leaf in leaves)) or torch.Size((1,))
        self.known: dict[Place, Symbol] = {}
        self.alive: list[Tensor] = []  # so that no place in memory is used twice
        self.literals: set[Place] = set()
        self.inputs = tuple(self._input(k, leaf) for k, leaf in enumerate(leaves))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise a second of imports for the sake of a compiler that is not used

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        tensors = [a for a in pytree.tree_leaves((args, kwargs)) if isinstance(a, Tensor)]
        name = func.overloadpacket.__name__
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise UnknownOperation(
                f"a step draws random numbers by {func}, which cannot be repeated in machine code. "
                "Keep a key for each cell in the state, as EscapeRate does."
            )
        if any(place(tensor) in self.known for tensor in tensors):
            self._record(name, func, args, kwargs, result)
        elif all(place(tensor) in self.literals for tensor in tensors) and isinstance(
            result, Tensor
        ):
            self.alive.append(result)
            self.literals.add(place(result))
        return result

    def symbol(self, value: Any) -> Any:
        """The symbol of a tensor; a plain number stays what it is."""
        if not isinstance(value, Tensor):
            return value
        if place(value) not in self.known:
            self._hold(value)
        return self.known[place(value)]

    def _input(self, number: int, leaf: Tensor) -> Symbol:
        shared = leaf.numel() == 1 and self.shape.numel() > 1
        return self._know(leaf, Symbol(f"x{number}", leaf.dtype, shared))

    def _know(self, tensor: Tensor, symbol: Symbol) -> Symbol:
        self.alive.append(tensor)
        self.known[place(tensor)] = symbol
        return symbol

    def _hold(self, tensor: Tensor) -> None:
        """Make a tensor that does not depend on the inputs a literal or a constant."""
        if place(tensor) in self.literals and tensor.numel() == 1:
            self._know(tensor, Symbol("", tensor.dtype, shared=True, literal=tensor.item()))
            return
        if tensor.shape[-1:] not in ((), (1,), self.shape[-1:]):
            raise UnknownOperation(
                f"a step of cells of shape {list(self.shape)} reads a tensor of shape "
                f"{list(tensor.shape)}; only one value, or one for each cell, can be read."
            )
        symbol = Symbol(f"c{len(self.constants)}", tensor.dtype, shared=tensor.numel() == 1)
        self.constants.append((self._know(tensor, symbol), tensor.detach()))

    def _record(self, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if name in FILLING:
            value = result.flatten()[0].item()
            self._know(result, Symbol("", result.dtype, shared=True, literal=value))
            return
        if name in SAME and isinstance(result, Tensor) and result.dtype == args[0].dtype:
            self._know(result, self.symbol(args[0]))
            return
        if name in IN_PLACE:
            name = name.removesuffix("_")
        elif not isinstance(result, Tensor) or place(result) in self.known or name in DECIDING:
            raise UnknownOperation(_unknown(func))
        if name in MOVING or result.shape[-1:] not in ((), (1,), self.shape[-1:]):
            raise UnknownOperation(_unknown(func))
        operands = tuple(self.symbol(value) for value in args)
        options = {key: self.symbol(value) for key, value in kwargs.items()}
        before = [o for o in (*operands, *options.values()) if isinstance(o, Symbol)]
        shared = all(symbol.shared for symbol in before)
        symbol = Symbol(f"t{len(self.operations)}", result.dtype, shared)
        overload = func._overloadname
        self.operations.append(Operation(name, overload, operands, options, symbol))
        self._know(result, symbol)


FILLING = {
    "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
}  # fmt: skip
"""Operations that read nothing but the shape of a tensor."""

SAME = {"detach", "alias", "clone", "expand", "lift_fresh_copy", "lift_fresh", "_to_copy", "view"}
"""Operations that hand on every value as it is."""

IN_PLACE = {"logical_and_"}
"""Operations by which adjoints change what nobody else holds."""

DECIDING = {"_local_scalar_dense", "is_nonzero", "equal"}
"""Operations that take a value out of a tensor."""


MOVING = {
    "index_select", "index", "gather", "roll", "flip", "cat", "stack", "select", "slice", "sum",
}  # fmt: skip
"""Operations in which cells read other cells, which the shape of the result may not show."""


def _unknown(func: Any) -> str:
    name = str(func)
    if func.overloadpacket.__name__ in DECIDING:
        return (
            "a step decides by the value of a tensor (an `if`, or float() of one), which cannot be "
            f"turned into machine code ({name}). Use torch.where, or run it by Torch()."
        )
    return (
        f"a step uses {name}, which is not among the elementwise operations that can be turned "
        "into machine code. Write it with those, or run it by Torch()."
    )


def unknown(operation: Operation) -> UnknownOperation:
    """The error for an operation that no expression is known for."""
    return UnknownOperation(
        f"a step uses aten.{operation.function}.{operation.overload}, which is not among the "
        "elementwise operations that can be turned into machine code. Write it with those, or run "
        "it by Torch()."
    )


def needed(traced: Traced) -> Traced:
    """The same without operations and constants that no output depends on."""
    read_later: set[Any] = set(traced.outputs)
    kept: list[Operation] = []
    for operation in reversed(traced.operations):
        if operation.result in read_later:
            kept.append(operation)
            read = (*operation.operands, *operation.options.values())
            read_later |= {value for value in read if isinstance(value, Symbol)}
    constants = tuple(pair for pair in traced.constants if pair[0] in read_later)
    return Traced(traced.inputs, traced.outputs, tuple(kept[::-1]), constants, traced.structure)


def with_values(traced: Traced) -> Traced:
    """The same with the values of its parameters as constants, not as literals of the code.

    Steps that differ in such values only then share their machine code.
    """
    constants = list(traced.constants)

    def held(operation: Operation, operand: Any) -> Any:
        value = operand.literal if isinstance(operand, Symbol) else operand
        real = [
            other.dtype
            for other in operation.operands
            if isinstance(other, Symbol) and other.literal is None and other.dtype.is_floating_point
        ]
        if not isinstance(value, float) or value in PLAIN or not real:
            return operand
        symbol = Symbol(f"p{len(constants)}", real[0], shared=True)
        constants.append((symbol, torch.tensor(value, dtype=real[0])))
        return symbol

    operations = tuple(
        replace(operation, operands=tuple(held(operation, own) for own in operation.operands))
        if operation.function in LINEAR and operation.options.keys() <= {"alpha"}
        else operation
        for operation in traced.operations
    )
    return replace(traced, operations=operations, constants=tuple(constants))


PLAIN = {0.0, 1.0, -1.0, 2.0, 0.5}
"""Numbers that belong to equations more often than to parameters."""

LINEAR = {"add", "sub", "rsub", "mul", "div", "where", "gt", "ge", "lt", "le"}
"""Operations whose literals may as well be read from memory."""
