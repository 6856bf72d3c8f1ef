"""Write generated source as LLVM's assembly: the part of Python that kernels are made of.

Functions of numbers and arrays, loops over ranges, branches, assignments. Every variable has one
type, that of its first value; integers have 64 bits; an index is what it says, never from the end.
No two arrays that a function is given may overlap.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from amphid.kernels.ir_expressions import Expressions
from amphid.kernels.ir_types import CASTS, HELD, LLVM, Array, Kind, Value, held_as
from amphid.kernels.tape import UnknownOperation


def write_module(source: str, entry: str, kinds: Sequence[Kind], *, rounding: str = "") -> str:
    """Assembly of a source whose function `entry` is called with arguments of those kinds.

    Its functions are decorated as in `compile_source`. rounding: what may be rounded otherwise, as
    flags of LLVM. Raises UnknownOperation where a source says what cannot be written so.
    """
    module = _Module(source, rounding)
    module.require(entry, tuple(kinds), outer=True)
    return "\n\n".join([*module.texts.values(), *sorted(module.declared)])


class _Module:
    """The functions that are called, each for the arguments it is called with."""

    def __init__(self, source: str, rounding: str) -> None:
        parts = ast.parse(source).body
        self.sources = {own.name: own for own in parts if isinstance(own, ast.FunctionDef)}
        self.numbers = {
            own.targets[0].id: own.value
            for own in parts
            if isinstance(own, ast.Assign) and isinstance(own.targets[0], ast.Name)
        }
        self.rounding = rounding
        self.texts: dict[str, str] = {}
        self.results: dict[str, str | None] = {}
        self.declared: set[str] = set()

    def require(self, name: str, kinds: tuple[Kind, ...], *, outer: bool = False) -> str:
        """The name of a function for arguments of those kinds, written if it is not yet."""
        mark = "".join(f"_{kind.type}{kind.axes or ''}" for kind in kinds)
        own = name if outer else f"{name}{mark}"
        if own not in self.texts:
            writer = _Function(self, self.sources[name], kinds)
            self.texts[own] = ""  # its place: before those that call it
            self.texts[own] = writer.text(own, outer=outer)
            self.results[own] = writer.result
        return own


class _Function(Expressions):
    """Writes one function."""

    def __init__(self, module: _Module, source: ast.FunctionDef, kinds: tuple[Kind, ...]) -> None:
        elementary = source.name.rstrip("48").endswith("_f")
        loose = "contract " if elementary and not module.rounding else module.rounding
        super().__init__(loose, module.sources)
        self.module, self.source, self.kinds = module, source, kinds
        self.declared = module.declared
        self.first: list[str] = []
        self.made: list[str] = []  # arrays of its own
        self.within: list[int] = []  # loops, by their marks
        self.loops = 0
        self.result: str | None = None

    def text(self, name: str, *, outer: bool) -> str:
        """Its definition."""
        pairs = zip(self.source.args.args, self.kinds, strict=True)
        arguments = [self._argument(argument.arg, kind) for argument, kind in pairs]
        self.body(self.source.body)
        self.leave(None)
        how = "define" if outer else "define internal"
        inline = "" if outer else " noinline" if self.loops else " alwaysinline"
        returned = LLVM[self.result] if self.result else "void"
        head = f"{how} {returned} @{name}({', '.join(arguments)}){inline} nounwind {{"
        first = [*self.first, "  br label %.start", ".start:"]
        return "\n".join([head, *first, *self.lines, "}"])

    def number(self, name: str) -> ast.expr | None:
        return self.module.numbers.get(name)

    def function(self, name: str, kinds: tuple[Kind, ...]) -> tuple[str, str | None]:
        called = self.module.require(name, kinds)
        return called, self.module.results[called]

    def _argument(self, name: str, kind: Kind) -> str:
        if not kind.axes:
            self._keep(name, Value(f"%{name}.in", kind.type), self.first)
            return f"{LLVM[kind.type]} %{name}.in"
        lengths = [f"%{name}.{axis}" for axis in range(kind.axes)]
        self.known[name] = Array(f"%{name}", kind.type, tuple(Value(n, "i8") for n in lengths))
        return ", ".join([f"ptr noalias %{name}", *(f"i64 {length}" for length in lengths)])

    def body(self, statements: Sequence[ast.stmt]) -> None:
        """Statements one after another."""
        for statement in statements:
            kind = type(statement).__name__
            if kind not in STATEMENTS:
                raise UnknownOperation(f"machine code has no {kind}: {ast.unparse(statement)}.")
            getattr(self, STATEMENTS[kind])(statement)

    def assign(self, statement: ast.Assign) -> None:
        """`a = x`, `a, b = x, y`, `A[i] = x` or `A = np.empty(n, type)`."""
        (target,) = statement.targets
        if isinstance(target, ast.Tuple):
            assert isinstance(statement.value, ast.Tuple)
            values = [self.value(own) for own in statement.value.elts]
            for own, value in zip(target.elts, values, strict=True):
                self.store(own, value)
        elif ast.unparse(statement.value).startswith("np.empty("):
            assert isinstance(target, ast.Name)
            self.allocate(target.id, statement.value)
        else:
            self.store(target, self.value(statement.value))

    def augment(self, statement: ast.AugAssign) -> None:
        """`a += x`."""
        before = self.value(statement.target)
        after = self.operate(statement.op, before, self.value(statement.value))
        self.store(statement.target, after)

    def loop(self, statement: ast.For) -> None:
        """Over a range; the variable stays what it was in the last round."""
        assert isinstance(statement.iter, ast.Call)
        variable = statement.target
        assert isinstance(variable, ast.Name)
        name = variable.id
        given = [self.cast(self.value(own), "i8") for own in statement.iter.args]
        low, high = (given[0], given[1]) if len(given) > 1 else (Value("0", "i8"), given[0])
        step = given[2] if len(given) > 2 else Value("1", "i8")
        down = step.name.startswith("-")
        self._keep(name, low)

        def ask() -> Value:
            now = self.value(variable)
            return self.new(f"icmp {'sgt' if down else 'slt'} i64 {now.name}, {high.name}", "b1")

        def advance() -> None:
            now = self.value(variable)
            self._keep(name, self.new(f"add nsw i64 {now.name}, {step.name}", "i8"))

        self._repeat(ask, statement.body, advance)

    def repeat(self, statement: ast.While) -> None:
        """As long as something holds."""
        self._repeat(lambda: self.truth(statement.test), statement.body, lambda: None)

    def _repeat(
        self, ask: Callable[[], Value], body: Sequence[ast.stmt], advance: Callable[[], None]
    ) -> None:
        mark = self.count = self.count + 1
        self.loops += 1
        self.within.append(mark)
        self.lines += [f"  br label %.ask{mark}", f".ask{mark}:"]
        self.lines += [f"  br i1 {ask().name}, label %.do{mark}, label %.done{mark}", f".do{mark}:"]
        self.body(body)
        self.lines += [f"  br label %.next{mark}", f".next{mark}:"]
        advance()
        self.lines += [f"  br label %.ask{mark}", f".done{mark}:"]
        self.within.pop()

    def pass_over(self, statement: ast.Continue) -> None:
        """On to the next round."""
        mark = self.count = self.count + 1
        self.lines += [f"  br label %.next{self.within[-1]}", f".after{mark}:"]

    def branch(self, statement: ast.If) -> None:
        """One way or the other."""
        mark = self.count = self.count + 1
        asked = self.truth(statement.test).name
        self.lines += [f"  br i1 {asked}, label %.yes{mark}, label %.no{mark}", f".yes{mark}:"]
        self.body(statement.body)
        self.lines += [f"  br label %.both{mark}", f".no{mark}:"]
        self.body(statement.orelse)
        self.lines += [f"  br label %.both{mark}", f".both{mark}:"]

    def leave_with(self, statement: ast.Return) -> None:
        """`return x`, and a place for what stands behind it, which is never reached."""
        self.leave(None if statement.value is None else self.value(statement.value))
        mark = self.count = self.count + 1
        self.lines.append(f".after{mark}:")

    def leave(self, value: Value | None) -> None:
        """Return a value; the end of a function that has returned before is never reached."""
        self.lines += [f"  call void @free(ptr {name})" for name in self.made]
        if value is None:
            self.lines.append("  unreachable" if self.result else "  ret void")
            return
        value = self.cast(value, held_as(value.type))
        self.result = value.type
        self.lines.append(f"  ret {LLVM[value.type]} {value.name}")

    def call(self, statement: ast.Expr) -> None:
        """Call a function for what it does."""
        if not isinstance(statement.value, ast.Constant):  # a docstring
            self.value(statement.value)

    def skip(self, statement: ast.Pass) -> None:
        """Nothing."""

    def allocate(self, name: str, node: ast.expr) -> None:
        """An array of one axis that lasts as long as the function runs."""
        assert isinstance(node, ast.Call)
        kind = CASTS[ast.unparse(node.args[1])]
        length = self.cast(self.value(node.args[0]), "i8")
        size = self.new(f"mul i64 {length.name}, 8", "i8")  # of the widest type
        self.declared |= {"declare noalias ptr @malloc(i64)", "declare void @free(ptr)"}
        made = self.new(f"call noalias ptr @malloc(i64 {size.name})", "i8").name
        self.known[name] = Array(made, kind, (length,))
        self.made.append(made)

    def store(self, target: ast.expr, value: Value) -> None:
        """Keep a number in a variable or an element of an array."""
        if isinstance(target, ast.Name):
            self._keep(target.id, value)
            return
        assert isinstance(target, ast.Subscript)
        array, place = self.place(target)
        value = self.cast(value, array.type)
        if array.type == "b1":
            value = self.new(f"zext i1 {value.name} to i8", "b1")
        self.lines.append(f"  store {HELD[array.type]} {value.name}, ptr {place}")

    def _keep(self, name: str, value: Value, lines: list[str] | None = None) -> None:
        held = self.known.get(name)
        if not isinstance(held, Value):
            kind = held_as(value.type)
            held = self.known[name] = Value(f"%{name}.held", kind)
            self.first.append(f"  {held.name} = alloca {LLVM[kind]}")
        value = self.cast(value, held.type)
        own = self.lines if lines is None else lines
        own.append(f"  store {LLVM[held.type]} {value.name}, ptr {held.name}")


STATEMENTS = {
    "Assign": "assign",
    "AugAssign": "augment",
    "For": "loop",
    "While": "repeat",
    "If": "branch",
    "Return": "leave_with",
    "Expr": "call",
    "Pass": "skip",
    "Continue": "pass_over",
}
"""What writes each kind of statement."""
