"""Scalar code as Triton writes it: a block of cells in place of one cell.

Operations, and the elementary functions under them, are written down once, as numba compiles them;
here that text is rewritten, expression by expression.
"""

from __future__ import annotations

import ast
from functools import cache

from amphid.kernels.machine_code import elementary
from amphid.kernels.tape import UnknownOperation

TYPES = {"f4": "float32", "f8": "float64", "i4": "int32", "i8": "int64", "b1": "int1"}
BITS = {"float32", "float64", "int32", "int64"}

FUNCTIONS = {
    "abs": "tl.abs",
    "min": "tl.minimum",
    "np.sqrt": "tl.sqrt",
    "np.log": "tl.log",
    "np.log2": "tl.log2",
    "np.exp2": "tl.exp2",
    "np.sin": "tl.sin",
    "np.cos": "tl.cos",
    "np.floor": "tl.floor",
    "np.ceil": "tl.ceil",
    "math.erf": "tl.erf",
    "math.erfc": "libdevice.erfc",
    "np.log1p": "libdevice.log1p",
    "np.log10": "libdevice.log10",
    "np.tan": "libdevice.tan",
    "np.arctan": "libdevice.atan",
    "np.arctan2": "libdevice.atan2",
    "np.arcsinh": "libdevice.asinh",
    "np.rint": "rint",
    "np.trunc": "trunc",
}
"""Functions of numbers, and what computes them for blocks."""


def in_blocks(expression: str) -> str:
    """A scalar expression as one of blocks. Raises UnknownOperation where Triton has none."""
    return ast.unparse(_Blocks().visit(ast.parse(expression, mode="eval")))


@cache
def elementary_in_blocks() -> str:
    """The elementary functions, each a function of blocks."""
    functions = [own for own in ast.parse(elementary()).body if isinstance(own, ast.FunctionDef)]
    return "\n\n".join(f"@triton.jit\n{_function(own)}\n" for own in functions)


def _function(function: ast.FunctionDef) -> str:
    """One of them, without annotations and docstring."""
    names = ", ".join(argument.arg for argument in function.args.args)
    lines = [ast.unparse(_Blocks().visit(own)) for own in function.body[1:]]
    return "\n".join([f"def {function.name}({names}):", *(f"    {line}" for line in lines)])


class _Blocks(ast.NodeTransformer):
    """Rewrites what is said otherwise of blocks."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        return _call("tl.where", *map(self.visit, (node.test, node.body, node.orelse)))

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Numbers stand in the type they are meant in: a float alone is a double."""
        kind = "int1" if isinstance(node.value, bool) else "float64"
        return node if type(node.value) is int else _full(node, kind)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """What is not a number or infinite."""
        return _full(_call("float", ast.Constant(node.attr)), "float64")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operator = ast.Invert() if isinstance(node.op, ast.Not) else node.op
        return ast.UnaryOp(operator, self.visit(node.operand))

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Pow):
            return _call("libdevice.pow", left, right)
        return ast.BinOp(left, node.op, right)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = ast.unparse(node.func)
        if name in TYPES:
            return self._cast(node.args[0], TYPES[name])
        if name.endswith(".view"):  # of the same bits
            assert isinstance(node.func, ast.Attribute)
            same = ast.keyword("bitcast", ast.Constant(value=True))
            kind = ast.unparse(node.args[0]).removeprefix("np.")
            return _call("tl.cast", self.visit(node.func.value), _kind(kind), keywords=[same])
        if name.removeprefix("np.") in BITS:  # a number as it is, before its bits are read
            return self.visit(node.args[0])
        given = [self.visit(argument) for argument in node.args]
        if name in FUNCTIONS:
            return _call(FUNCTIONS[name], *given)
        if "." in name:
            raise UnknownOperation(f"a step uses {name}, for which Triton has no function.")
        return _call(name, *given)

    def _cast(self, value: ast.expr, kind: str) -> ast.expr:
        """A value in a type; a number is made in it, not rounded twice."""
        numbers = all(
            isinstance(part, ast.Constant | ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop)
            for part in ast.walk(value)
        )
        return _full(value, kind) if numbers else _call("tl.cast", self.visit(value), _kind(kind))


def _full(value: ast.expr, kind: str) -> ast.expr:
    return _call("tl.full", ast.Tuple([], ast.Load()), value, _kind(kind))


def _kind(name: str) -> ast.expr:
    return ast.Attribute(ast.Name("tl", ast.Load()), name, ast.Load())


def _call(name: str, *given: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.expr:
    return ast.Call(ast.parse(name, mode="eval").body, list(given), keywords or [])
