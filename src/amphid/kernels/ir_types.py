"""Numbers and arrays that kernels are made of, and their functions, as LLVM names them."""

from __future__ import annotations

import ast
import struct
from dataclasses import dataclass

import numpy as np

LLVM = {"f4": "float", "f8": "double", "i4": "i32", "i8": "i64", "b1": "i1", "u4": "i32"}
HELD = LLVM | {"b1": "i8"}
"""The same in an array."""

CASTS = {
    "f4": "f4", "np.float32": "f4", "f8": "f8", "np.float64": "f8", "i4": "i4", "np.int32": "i4",
    "i8": "i8", "np.int64": "i8", "b1": "b1", "np.bool_": "b1", "np.bool": "b1",
    "np.uintp": "i8", "np.uint64": "i8", "np.uint32": "u4",
}  # fmt: skip
"""Types, as sources name them."""

NUMBERS = {"np.inf": "inf", "np.nan": "nan"}

INTRINSIC = {
    "abs": "fabs",
    "np.sqrt": "sqrt",
    "np.log": "log",
    "np.log2": "log2",
    "np.log10": "log10",
    "np.exp2": "exp2",
    "np.sin": "sin",
    "np.cos": "cos",
    "np.floor": "floor",
    "np.ceil": "ceil",
    "np.rint": "rint",
    "np.trunc": "trunc",
}
"""Functions that LLVM knows."""

CALLED = {
    "np.log1p": "log1p",
    "np.tan": "tan",
    "np.arctan": "atan",
    "np.arctan2": "atan2",
    "np.arcsinh": "asinh",
    "math.erf": "erf",
    "math.erfc": "erfc",
}
"""Functions of the library of C."""

ARITHMETIC: dict[type, tuple[str, str]] = {
    ast.Add: ("fadd", "add"),
    ast.Sub: ("fsub", "sub"),
    ast.Mult: ("fmul", "mul"),
    ast.Div: ("fdiv", ""),
    ast.FloorDiv: ("", "sdiv"),
    ast.Mod: ("", "srem"),
    ast.BitAnd: ("", "and"),
    ast.BitOr: ("", "or"),
    ast.BitXor: ("", "xor"),
    ast.LShift: ("", "shl"),
    ast.RShift: ("", "ashr"),
}
COMPARED: dict[type, tuple[str, str]] = {
    ast.Lt: ("olt", "slt"),
    ast.LtE: ("ole", "sle"),
    ast.Gt: ("ogt", "sgt"),
    ast.GtE: ("oge", "sge"),
    ast.Eq: ("oeq", "eq"),
    ast.NotEq: ("une", "ne"),
}
"""Of numbers with and without a fraction."""

RANKS = ("b1", "int", "u4", "i4", "i8", "float", "f4", "f8")


@dataclass(frozen=True)
class Kind:
    """What an argument is: its type, and how many axes it has, none where it is a number."""

    type: str
    axes: int = 0


@dataclass(frozen=True)
class Value:
    """A number: how it is named, and its type; "int" or "float" where it is written out."""

    name: str
    type: str

    @property
    def real(self) -> bool:
        """Whether it may have a fraction."""
        return self.type in ("f4", "f8", "float")


@dataclass(frozen=True)
class Array:
    """An array, one row after another: where it begins, its type, and its lengths."""

    name: str
    type: str
    lengths: tuple[Value, ...]


def held_as(kind: str) -> str:
    """The type of a variable that holds a number."""
    return {"int": "i8", "float": "f8"}.get(kind, kind)


def common(*types: str) -> str:
    """The type that numbers of these types are computed in; one written out takes the others'."""
    own = [kind for kind in types if kind not in ("int", "float")]
    if "float" in types and not {"f4", "f8"} & set(own):
        own.append("f8")
    return max(own or ["i8"], key=RANKS.index)


def conversion(before: str, after: str) -> str:
    """How a number of one type is made one of another; nothing where they are held alike."""
    real, width = {"f4", "f8"}, {"b1": 1, "u4": 4, "i4": 4, "f4": 4, "i8": 8, "f8": 8}
    if before in real and after in real:
        return "fpext" if after == "f8" else "fptrunc"
    if before in real:
        return "fptosi"
    if after in real:
        return "uitofp" if before == "b1" else "sitofp"
    if width[before] == width[after]:
        return ""
    if width[before] > width[after]:
        return "trunc"
    return "zext" if before in ("b1", "u4") else "sext"


def written(value: Value, kind: str) -> str:
    """A number as it stands in the code: one with a fraction by the bits of a double."""
    number = float(value.name) if value.real else int(value.name)
    if kind == "b1":
        return "true" if number else "false"
    if kind not in ("f4", "f8"):
        return str(int(number))
    number = float(np.float32(number)) if kind == "f4" else float(number)
    return f"0x{struct.unpack('>Q', struct.pack('>d', number))[0]:016X}"
