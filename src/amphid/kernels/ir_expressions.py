"""Write expressions of numbers and arrays as instructions of LLVM."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace

from amphid.kernels.ir_types import (
    ARITHMETIC,
    CALLED,
    CASTS,
    COMPARED,
    HELD,
    INTRINSIC,
    LLVM,
    NUMBERS,
    Array,
    Kind,
    Value,
    common,
    conversion,
    held_as,
    written,
)
from amphid.kernels.tape import UnknownOperation


class Expressions(ABC):
    """Instructions one after another, as what computes an expression is added to them. Abstract.

    flags: what of their rounding LLVM may change. functions: those of the source, by name. known:
    where each variable is held.
    """

    def __init__(self, flags: str, functions: Collection[str]) -> None:
        self.flags, self.functions, self.count = flags, functions, 0
        self.lines: list[str] = []
        self.known: dict[str, Value | Array] = {}
        self.declared: set[str] = set()

    @abstractmethod
    def number(self, name: str) -> ast.expr | None:
        """What stands for a name that is no variable, if anything does."""

    @abstractmethod
    def function(self, name: str, kinds: tuple[Kind, ...]) -> tuple[str, str | None]:
        """A function of the source for such arguments, and the type of its result, if any."""

    def new(self, text: str, kind: str) -> Value:
        """The result of an instruction."""
        self.count += 1
        self.lines.append(f"  %.v{self.count} = {text}")
        return Value(f"%.v{self.count}", kind)

    def value(self, node: ast.expr) -> Value:
        """The number that an expression comes to."""
        kind = type(node).__name__
        if kind not in EXPRESSIONS:
            raise UnknownOperation(f"machine code has no {kind}: {ast.unparse(node)}.")
        found: Value = getattr(self, EXPRESSIONS[kind])(node)
        return found

    def constant(self, node: ast.Constant) -> Value:
        """A number written out."""
        if isinstance(node.value, bool):
            return Value("true" if node.value else "false", "b1")
        if isinstance(node.value, int):
            return Value(str(node.value), "int")
        return Value(repr(float(node.value)), "float")  # type: ignore[arg-type]

    def name(self, node: ast.Name) -> Value:
        """A variable."""
        held = self.known.get(node.id)
        if held is None and (written_out := self.number(node.id)) is not None:
            return self.value(written_out)
        if not isinstance(held, Value):
            raise UnknownOperation(f"machine code knows no number {node.id}.")
        return self.new(f"load {LLVM[held.type]}, ptr {held.name}", held.type)

    def attribute(self, node: ast.Attribute) -> Value:
        """`np.inf` and its kin."""
        return Value(NUMBERS[ast.unparse(node)], "float")

    def element(self, node: ast.Subscript) -> Value:
        """An element of an array, or a length of one."""
        if isinstance(node.value, ast.Attribute):  # array.shape[axis]
            assert isinstance(node.slice, ast.Constant)
            return self.array(node.value.value).lengths[int(node.slice.value)]  # type: ignore[arg-type]
        array, place = self.place(node)
        if array.type == "b1":
            held = self.new(f"load i8, ptr {place}", "b1")
            return self.new(f"icmp ne i8 {held.name}, 0", "b1")
        found = self.new(f"load {HELD[array.type]}, ptr {place}", array.type)
        return self.new(f"zext i32 {found.name} to i64", "i8") if array.type == "u4" else found

    def array(self, node: ast.expr) -> Array:
        """An array, or a part of one: `X`, `X[row]`, `X[low:high]` or `X[row, low:high]`."""
        if isinstance(node, ast.Name):
            held = self.known[node.id]
            assert isinstance(held, Array)
            return held
        assert isinstance(node, ast.Subscript)
        whole = self.array(node.value)
        row, part = node.slice.elts if isinstance(node.slice, ast.Tuple) else (None, node.slice)
        if not isinstance(part, ast.Slice):
            start = self.flat(whole, self.value(part), Value("0", "i8"))
            return Array(self.offset(whole, start), whole.type, whole.lengths[1:])
        assert part.lower is not None
        assert part.upper is not None
        low, high = (self.cast(self.value(own), "i8") for own in (part.lower, part.upper))
        start = low if row is None else self.flat(whole, self.value(row), low)
        length = self.new(f"sub i64 {high.name}, {low.name}", "i8")
        return Array(self.offset(whole, start), whole.type, (length,))

    def is_array(self, node: ast.expr) -> bool:
        """Whether what is named so is more than one number."""
        if isinstance(node, ast.Name):
            return isinstance(self.known.get(node.id), Array)
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            return False
        held = self.known.get(node.value.id)
        indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        sliced = any(isinstance(own, ast.Slice) for own in indices)
        return sliced or (isinstance(held, Array) and len(indices) < len(held.lengths))

    def place(self, node: ast.Subscript) -> tuple[Array, str]:
        """Where an element of an array stands."""
        array = self.array(node.value)
        indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        first, *rest = (self.cast(self.value(own), "i8") for own in indices)
        return array, self.offset(array, self.flat(array, first, *rest))

    def flat(self, array: Array, row: Value, column: Value | None = None) -> Value:
        """Where an element stands, counted from the first."""
        if column is None:
            return row
        width, row = array.lengths[1], self.cast(row, "i8")
        start = self.new(f"mul nsw i64 {row.name}, {width.name}", "i8")
        return self.new(f"add nsw i64 {start.name}, {column.name}", "i8")

    def offset(self, array: Array, place: Value) -> str:
        """Where it stands in memory."""
        kind = HELD[array.type]
        return self.new(
            f"getelementptr inbounds {kind}, ptr {array.name}, i64 {place.name}", ""
        ).name

    def calculate(self, node: ast.BinOp) -> Value:
        """`a + b` and its kin."""
        return self.operate(node.op, self.value(node.left), self.value(node.right))

    def operate(self, operator: ast.operator, left: Value, right: Value) -> Value:
        """The same of two numbers, in the type that both go into."""
        kind = common(left.type, right.type)
        if isinstance(operator, ast.Pow):
            return self.intrinsic("pow", kind, left, right)
        if type(operator) not in ARITHMETIC:
            raise UnknownOperation(f"machine code has no {type(operator).__name__}.")
        if kind == "b1" and not isinstance(operator, ast.BitAnd | ast.BitOr | ast.BitXor):
            kind = "i8"
        left, right = self.cast(left, kind), self.cast(right, kind)
        real, whole = ARITHMETIC[type(operator)]
        how = f"{real} {self.flags}" if kind in ("f4", "f8") else f"{whole} "
        return self.new(f"{how}{LLVM[kind]} {left.name}, {right.name}", kind)

    def compare(self, node: ast.Compare) -> Value:
        """`a < b` and its kin; nothing is less than what is not a number."""
        left, right = self.value(node.left), self.value(node.comparators[0])
        kind = common(left.type, right.type)
        left, right = self.cast(left, kind), self.cast(right, kind)
        real, whole = COMPARED[type(node.ops[0])]
        how = f"fcmp {real}" if kind in ("f4", "f8") else f"icmp {whole}"
        return self.new(f"{how} {LLVM[kind]} {left.name}, {right.name}", "b1")

    def both(self, node: ast.BoolOp) -> Value:
        """`a and b`, `a or b`: all of them are asked."""
        found = self.truth(node.values[0])
        how = "and" if isinstance(node.op, ast.And) else "or"
        for other in node.values[1:]:
            found = self.new(f"{how} i1 {found.name}, {self.truth(other).name}", "b1")
        return found

    def truth(self, node: ast.expr) -> Value:
        """Whether an expression holds."""
        return self.cast(self.value(node), "b1")

    def signed(self, node: ast.UnaryOp) -> Value:
        """`-a`, `~a` and `not a`."""
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return self.new(f"xor i1 {self.cast(value, 'b1').name}, true", "b1")
        if value.type in ("int", "float"):
            return replace(
                value, name=repr(-float(value.name)) if value.real else str(-int(value.name))
            )
        kind = LLVM[value.type]
        if isinstance(node.op, ast.Invert):
            return self.new(f"xor {kind} {value.name}, -1", value.type)
        how = f"fneg {self.flags}{kind}" if value.real else f"sub {kind} 0,"
        return self.new(f"{how} {value.name}", value.type)

    def choose(self, node: ast.IfExp) -> Value:
        """`a if b else c`: both are computed."""
        asked, yes, no = self.truth(node.test), self.value(node.body), self.value(node.orelse)
        return self.select(asked, yes, no)

    def select(self, asked: Value, yes: Value, no: Value) -> Value:
        """One of two numbers."""
        kind = common(yes.type, no.type)
        yes, no = self.cast(yes, kind), self.cast(no, kind)
        own = LLVM[kind]
        return self.new(f"select i1 {asked.name}, {own} {yes.name}, {own} {no.name}", kind)

    def calls(self, node: ast.Call) -> Value:
        """A cast, a length, a function of the source, or one from elsewhere."""
        name = ast.unparse(node.func)
        if name.endswith(".view"):
            assert isinstance(node.func, ast.Attribute)
            value, kind = self.value(node.func.value), CASTS[ast.unparse(node.args[0])]
            return self.new(f"bitcast {LLVM[value.type]} {value.name} to {LLVM[kind]}", kind)
        if name in CASTS:
            return self.cast(self.value(node.args[0]), CASTS[name])
        if name == "len":
            return self.array(node.args[0]).lengths[0]
        if name in self.functions:
            return self.own(name, node.args)
        given = [self.value(own) for own in node.args]
        if name == "min":
            kind = common(*(own.type for own in given))
            one, other = (self.cast(own, kind) for own in given)
            asked = self.new(f"icmp slt {LLVM[kind]} {one.name}, {other.name}", "b1")
            return self.select(asked, one, other)
        if name in INTRINSIC:
            return self.intrinsic(INTRINSIC[name], common(*(own.type for own in given)), *given)
        if name in CALLED:
            return self.outside(CALLED[name], common(*(own.type for own in given)), *given)
        raise UnknownOperation(f"machine code has no function {name}.")

    def own(self, name: str, nodes: Sequence[ast.expr]) -> Value:
        """Call a function of the source."""
        given = [self.array(own) if self.is_array(own) else self.settled(own) for own in nodes]
        kinds = [Kind(x.type, len(x.lengths) if isinstance(x, Array) else 0) for x in given]
        called, result = self.function(name, tuple(kinds))
        shown = ", ".join(map(_passed, given))
        text = f"call {LLVM[result] if result else 'void'} @{called}({shown})"
        if result:
            return self.new(text, result)
        self.lines.append(f"  {text}")
        return Value("", "none")

    def settled(self, node: ast.expr) -> Value:
        """A number in the type of a variable that would hold it."""
        value = self.value(node)
        return self.cast(value, held_as(value.type))

    def intrinsic(self, name: str, kind: str, *given: Value) -> Value:
        """A function that LLVM knows."""
        if kind not in ("f4", "f8"):
            zero = self.cast(Value("0", "int"), kind)
            negative = self.operate(ast.Sub(), zero, given[0])
            asked = self.new(f"icmp slt {LLVM[kind]} {given[0].name}, 0", "b1")
            return self.select(asked, negative, given[0])
        return self.outside(
            f"llvm.{name}.{kind.replace('f4', 'f32').replace('f8', 'f64')}", kind, *given
        )

    def outside(self, name: str, kind: str, *given: Value) -> Value:
        """A function of numbers that stands elsewhere; those of C are of doubles, or end in f."""
        own = LLVM[kind]
        name = f"{name}f" if kind == "f4" and "." not in name else name
        self.declared.add(f"declare {own} @{name}({', '.join([own] * len(given))})")
        shown = ", ".join(f"{own} {self.cast(value, kind).name}" for value in given)
        return self.new(f"call {own} @{name}({shown})", kind)

    def cast(self, value: Value, kind: str) -> Value:
        """The same number in another type."""
        if value.type == kind:
            return value
        if value.type in ("int", "float"):
            return Value(written(value, kind), kind)
        if kind == "b1":
            zero = self.cast(Value("0", "int"), value.type)
            how = "fcmp une" if value.real else "icmp ne"
            return self.new(f"{how} {LLVM[value.type]} {value.name}, {zero.name}", "b1")
        how = conversion(value.type, kind)
        if not how:
            return replace(value, type=kind)
        return self.new(f"{how} {LLVM[value.type]} {value.name} to {LLVM[kind]}", kind)


def _passed(given: Value | Array) -> str:
    """An argument, an array with its lengths."""
    if isinstance(given, Value):
        return f"{LLVM[given.type]} {given.name}"
    return ", ".join([f"ptr {given.name}", *(f"i64 {length.name}" for length in given.lengths)])


EXPRESSIONS = {
    "Constant": "constant",
    "Name": "name",
    "Attribute": "attribute",
    "Subscript": "element",
    "BinOp": "calculate",
    "Compare": "compare",
    "BoolOp": "both",
    "UnaryOp": "signed",
    "IfExp": "choose",
    "Call": "calls",
}
"""What writes each kind of node."""
