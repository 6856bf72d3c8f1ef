"""The source of layers of cells in a chain: all of them step at once, one step behind another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.kernels.apart import APART
from amphid.kernels.expressions import expression, written
from amphid.kernels.pieces import Piece, in_pieces
from amphid.kernels.program import write_loop
from amphid.kernels.sequence import constants
from amphid.kernels.steady import Parted
from amphid.kernels.tape import Symbol


@dataclass(frozen=True, eq=False)
class Kind:
    """Stages whose cells do the same, side by side in one loop.

    parted: what they do. stages: their places in the chain. values: how many of its first inputs
    do not change; variables and the drive follow.
    """

    parted: Parted
    stages: Sequence[int]
    values: int

    @property
    def states(self) -> int:
        """How many variables a cell has."""
        return len(self.parted.every.outputs) - 1

    @property
    def constants(self) -> list[tuple[Symbol, Tensor]]:
        """Numbers that the step reads, the same for all its cells."""
        parts = (self.parted.single, self.parted.each, self.parted.every)
        held = {symbol: value for part in parts for symbol, value in part.constants}
        return [(symbol, held[symbol]) for symbol in constants(self.parted)]


def write_chain(kinds: Sequence[Kind]) -> str:
    """Source of `run`, which steps all members of a chain through a sequence.

    run(S, T, B, X, SIZES, START, PLACE, VALUE, OUTPUT, *stages, *constants), where a stage has
    W [S, N * I], BIAS [S, N], its values [S, N] and its variables at rest [S, B, N]. X counts the
    members that the events of the input are of: 1 where all share them.
    """
    places = sorted((place, k) for k, kind in enumerate(kinds) for place in kind.stages)
    of = [kinds[k] for _, k in places]
    texts = [APART, TOOLS, *(text for k, kind in enumerate(kinds) for text in _functions(k, kind))]
    takes = ["S", "T", "B", "X", "SIZES", "START", "PLACE", "VALUE", "OUTPUT"]
    takes += [name for place, kind in enumerate(of) for name in _stage(place, kind)]
    takes += [f"C{k}_{symbol.name}" for k, kind in enumerate(kinds) for symbol, _ in kind.constants]
    lines = [*_rooms(kinds, of), "for s in range(S):"]
    lines += _indented(_member(kinds, of), 1)
    lines += ["    for b in range(B):", *_indented(_sequence(kinds, of), 2)]
    head = f"@outer\ndef run({', '.join(takes)}):"
    return "\n".join([*texts, head, *_indented(lines, 1), ""])


def _stage(place: int, kind: Kind) -> list[str]:
    """Names of the arrays of a stage."""
    values = [f"V_{place}_{p}" for p in range(kind.values)]
    return [f"W_{place}", f"BIAS_{place}", *values, *(f"I_{place}_{v}" for v in range(kind.states))]


def _indented(lines: Sequence[str], depth: int) -> list[str]:
    return ["    " * depth + line for line in lines]


def _type(symbol: Symbol) -> str:
    return "b1" if symbol.dtype is torch.bool else "np." + str(symbol.dtype).removeprefix("torch.")


def _rooms(kinds: Sequence[Kind], of: Sequence[Kind]) -> list[str]:
    """Where the cells of each stage stand, and room for all that a member has."""
    real = _type(kinds[0].parted.every.outputs[-1])
    lines = ["n = np.uintp(0)"]
    for k, kind in enumerate(kinds):
        lines.append(f"base_{k} = n")
        lines += [f"at_{p}, n = n, n + whole(SIZES[{p + 1}], 8)" for p in kind.stages]
        lines += [f"n_{k} = whole(n - base_{k}, ROW)", f"n = base_{k} + n_{k}"]
    for place in range(len(of)):
        lines.append(f"width_{place} = whole(SIZES[{place + 1}], ROW)")
        lines.append(f"T_{place} = np.zeros(np.uintp(SIZES[{place}]) * width_{place}, {real})")
    lines += [f"{name} = np.zeros(n + ROW, {real})" for name in ("DRIVE", "BIAS", "OUT")]
    lines += ["FLAG = np.zeros(n + ROW, np.uint8)", "WORDS = FLAG.view(np.uint64)"]
    for k, kind in enumerate(kinds):
        inputs = kind.parted.every.inputs
        for p in range(kind.values):
            lines.append(f"V{k}_{p} = np.ones({_extent(inputs[p], k)}, {_type(inputs[p])})")
        for v in range(kind.states):
            lines.append(f"S{k}_{v} = np.zeros(n_{k}, {_type(inputs[kind.values + v])})")
        for symbol in _made(kind):
            lines.append(f"M{k}_{symbol.name} = np.empty({_extent(symbol, k)}, {_type(symbol)})")
        for symbol in in_pieces(kind.parted.every).passed:
            lines.append(f"F{k}_{symbol.name} = np.empty(n_{k}, {_type(symbol)})")
    return lines


def _extent(symbol: Symbol, k: int) -> str:
    return "1" if symbol.shared else f"n_{k}"


def _made(kind: Kind) -> tuple[Symbol, ...]:
    """What is computed once for a member."""
    return (*kind.parted.single.outputs, *kind.parted.each.outputs)


def _member(kinds: Sequence[Kind], of: Sequence[Kind]) -> list[str]:
    """Lines that put the numbers of a member in their places."""
    lines = []
    for place in range(len(of)):
        size = f"SIZES[{place}], SIZES[{place + 1}]"
        lines.append(f"turn(s, W_{place}, {size}, width_{place}, T_{place})")
        lines.append(f"spread(s, BIAS_{place}, SIZES[{place + 1}], at_{place}, BIAS)")
    for k, kind in enumerate(kinds):
        inputs = kind.parted.every.inputs
        for place in kind.stages:
            for p in range(kind.values):
                where = "1, 0" if inputs[p].shared else f"SIZES[{place + 1}], at_{place} - base_{k}"
                lines.append(f"spread(s, V_{place}_{p}, {where}, V{k}_{p})")
        for name, part, size in (
            ("single", kind.parted.single, "1"),
            ("each", kind.parted.each, f"n_{k}"),
        ):
            if part.outputs:
                read = [f"V{k}_{p}" for p in range(kind.values)]
                read += [f"C{k}_{symbol.name}" for symbol, _ in part.constants]
                read += [f"M{k}_{symbol.name}" for symbol in part.outputs]
                lines.append(f"{name}_{k}({', '.join((size, *read))})")
    return lines


def _sequence(kinds: Sequence[Kind], of: Sequence[Kind]) -> list[str]:
    """Lines that take a member through a sequence: stage l is l steps behind the input."""
    last, lines = len(of) - 1, ["ready(BIAS, DRIVE, FLAG)", f"for t in range(T + {len(of) - 1}):"]
    inner = []
    for k, kind in enumerate(kinds):
        for place in kind.stages:
            inner.append(f"if t == {place}:")
            where = f"SIZES[{place + 1}], at_{place} - base_{k}"
            inner += [
                f"    start(s, b, I_{place}_{v}, {where}, S{k}_{v})" for v in range(kind.states)
            ]
    inner += [
        "if t < T:",
        "    row = (min(s, X - 1) * T + t) * B + b",
        "    hear(row, START, PLACE, VALUE, T_0, width_0, DRIVE, at_0)",
    ]
    for place in range(1, len(of)):
        source = f"at_{place - 1}, np.uintp(SIZES[{place}])"
        into = f"T_{place}, width_{place}, DRIVE, at_{place}"
        inner.append(f"deliver(WORDS, FLAG, OUT, {source}, {into})")
    inner += [f"step_{k}({', '.join(_given(k, kind))})" for k, kind in enumerate(kinds)]
    inner += [
        f"if t >= {last}:",
        f"    row = ((t - {last}) * S + s) * B + b",
        f"    put(OUT, at_{last}, SIZES[{last + 1}], row, OUTPUT)",
    ]
    return [*lines, *_indented(inner, 1)]


def _given(k: int, kind: Kind) -> list[str]:
    """What the step of a kind is called with."""
    names = [f"V{k}_{p}" for p in range(kind.values)]
    names += [f"S{k}_{v}" for v in range(kind.states)]
    names += [f"M{k}_{symbol.name}" for symbol in _made(kind)]
    names += [f"C{k}_{symbol.name}" for symbol, _ in kind.parted.every.constants]
    passed = [f"F{k}_{symbol.name}" for symbol in in_pieces(kind.parted.every).passed]
    return [f"n_{k}", f"base_{k}", *names, "DRIVE", "BIAS", "OUT", "FLAG", *passed]


def _functions(k: int, kind: Kind) -> Iterator[str]:
    """What is computed once, and the step of all cells of a kind."""
    for name, part in (("single", kind.parted.single), ("each", kind.parted.each)):
        if part.outputs:
            yield f"@inner\n{write_loop(part, f'{name}_{k}').text}"
    every, drive = kind.parted.every, kind.values + kind.states
    held = [s for p, s in enumerate(every.inputs) if p != drive]
    held += [symbol for symbol, _ in every.constants]
    passed = [symbol.name.upper() for symbol in in_pieces(every).passed]
    takes = ["n", "base", *(s.name.upper() for s in held), "DRIVE", "BIAS", "OUT", "FLAG", *passed]
    lines = ["apart()", *(f"{s.name} = {s.name.upper()}[0]" for s in held if s.shared)]
    lines += [f"{o.result.name} = {expression(o)}" for o in every.operations if o.result.shared]
    for piece in in_pieces(every).loops:
        lines += ["for i in range(n):", *_indented(_piece(kind, piece), 1)]
    yield "\n".join([f"@inner\ndef step_{k}({', '.join(takes)}):", *_indented(lines, 1), ""])


def _piece(kind: Kind, piece: Piece) -> list[str]:
    """What one loop over the cells does."""
    every, drive = kind.parted.every, kind.values + kind.states
    lines = [
        f"{s.name} = " + ("DRIVE[base + i]" if s == every.inputs[drive] else f"{s.name.upper()}[i]")
        for s in piece.reads
    ]
    lines += [f"{o.result.name} = {expression(o)}" for o in piece.operations]
    lines += [f"{s.name.upper()}[i] = {s.name}" for s in piece.keeps]
    if not piece.last:
        return lines
    for v, symbol in enumerate(every.outputs[:-1]):
        target = every.inputs[kind.values + v]
        if symbol != target:
            lines.append(f"{target.name.upper()}[i] = {written(symbol, symbol.dtype)}")
    output, real = every.outputs[-1], every.outputs[-1].dtype
    return [
        *lines,
        f"OUT[base + i] = {written(output, real)}",
        f"FLAG[base + i] = {written(output, real)} != {written(0, real)}",
        "DRIVE[base + i] = BIAS[base + i]",
    ]


TOOLS = """
ROW = np.uintp(32)  # a whole number of registers, several at a time, so that none is left over


@inner
def whole(size, part):
    return (np.uintp(size) + np.uintp(part) - np.uintp(1)) // np.uintp(part) * np.uintp(part)


@inner
def turn(s, W, before, size, width, INTO):
    if s == 0 or W.shape[0] > 1:
        k = 0
        for j in range(size):
            for i in range(before):
                INTO[np.uintp(i) * width + np.uintp(j)] = W[s, k]
                k += 1


@inner
def spread(s, FROM, size, at, INTO):
    if s == 0 or FROM.shape[0] > 1:
        for j in range(size):
            INTO[np.uintp(at) + np.uintp(j)] = FROM[s, min(j, FROM.shape[1] - 1)]


@inner
def start(s, b, FROM, size, at, INTO):
    one, copy = min(s, FROM.shape[0] - 1), min(b, FROM.shape[1] - 1)
    for j in range(size):
        INTO[np.uintp(at) + np.uintp(j)] = FROM[one, copy, min(j, FROM.shape[2] - 1)]


@inner
def ready(BIAS, DRIVE, FLAG):
    for j in range(len(DRIVE)):
        DRIVE[j] = BIAS[j]
        FLAG[j] = 0


@inner
def hear(row, START, PLACE, VALUE, FROM, width, DRIVE, at):
    apart()
    for e in range(START[row], START[row + 1]):
        a, r = VALUE[e], PLACE[e] * width
        for j in range(width):
            DRIVE[at + j] += a * FROM[r + j]


@inner
def deliver(WORDS, FLAG, OUT, first, count, FROM, width, DRIVE, at):
    apart()
    last, eight = first + count, np.uintp(8)
    for k in range(first // eight, (last + np.uintp(7)) // eight):
        if WORDS[k] == 0:
            continue
        for i in range(k * eight, min(k * eight + eight, last)):
            if FLAG[i]:
                a, r = OUT[i], (i - first) * width
                for j in range(width):
                    DRIVE[at + j] += a * FROM[r + j]


@inner
def put(OUT, at, size, row, OUTPUT):
    for j in range(size):
        OUTPUT[row * size + j] = OUT[at + np.uintp(j)]
"""
