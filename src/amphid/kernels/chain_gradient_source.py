"""The source of layers of cells in a chain, one layer after another, and of the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amphid.kernels.scan import Layout
from amphid.kernels.sequence import write_sequence


@dataclass(frozen=True, eq=False)
class Wired:
    """One layer, and what the arrays are called that its code takes, each way.

    ahead, back: its sequences. kept: those of its variables that have a row for each step. Names
    are those of the arrays of a sequence in their order.
    """

    ahead: Layout
    back: Layout
    ahead_names: Sequence[str]
    back_names: Sequence[str]
    rests: Sequence[str]  # of its variables before the first step
    kept: Sequence[bool]
    states: Sequence[str]
    moving: Sequence[str]  # gradients of its variables


def write_ahead(layers: Sequence[Wired]) -> str:
    """Source of `ahead(T, B, I, X, OUTPUT, *weights, *biases, *layers)`.

    A layer has its numbers of cells N and of cells with those that fill it up L, where its input is
    not zero, its weights turned [I, L], its bias filled up [L], its variables at rest [B * L] each
    and the arrays of its code.
    """
    texts, named = _sequences([own.ahead for own in layers], "_ahead", backward=False)
    lines, source, width = [], "X", "I"
    for k, own in enumerate(layers):
        before = f"N_{k - 1}" if k else "I"
        lines += [
            f"turn(W_{k}, TURNED_{k})",
            f"copy(N_{k}, BIAS_{k}, FILLED_{k})",
            f"index(T, B, {before}, {width}, {source}, START_{k}, PLACE_{k})",
            f"lead(T, B, {width}, L_{k}, {source}, START_{k}, PLACE_{k}, TURNED_{k}, "
            f"FILLED_{k}, DRIVE_{k})",
        ]
        for rest, state, kept in zip(own.rests, own.states, own.kept, strict=True):
            lines.append(f"copy(B * L_{k}, {rest}, {state}{'[0]' if kept else ''})")
        lines.append(f"run{named[k]}(T, B * L_{k}, {', '.join(own.ahead_names)})")
        source, width = f"OUT_{k}", f"L_{k}"
    last = len(layers) - 1
    lines.append(f"trim(T, B, N_{last}, L_{last}, OUT_{last}, OUTPUT)")
    takes = ["T", "B", "I", "X", "OUTPUT"]
    takes += [f"{what}_{k}" for what in ("W", "BIAS") for k in range(len(layers))]
    for k, own in enumerate(layers):
        takes += [f"N_{k}", f"L_{k}", f"START_{k}", f"PLACE_{k}", f"TURNED_{k}", f"FILLED_{k}"]
        takes += [*own.rests, *own.ahead_names]
    return _whole(texts, "ahead", takes, lines)


def write_back(layers: Sequence[Wired]) -> str:
    """Source of `back(T, B, I, X, GIVEN, *weights, *of_weights, *of_biases, *layers)`.

    A layer has N and L, where its input is not zero, its weights filled up [L, L of the layer
    before], sums of gradients of its weights turned [I, L] and of its bias [L], its output, and the
    arrays of its code.
    """
    texts, named = _sequences([own.back for own in layers], "_back", backward=True)
    last, lines = len(layers) - 1, []
    lines.append(f"fill(T, B, N_{last}, L_{last}, GIVEN, GIVEN_{last})")
    for k, own in reversed([*enumerate(layers)]):
        before, width = (f"N_{k - 1}", f"L_{k - 1}") if k else ("I", "I")
        source = f"OUT_{k - 1}" if k else "X"
        lines += [f"clear(B * L_{k}, {name})" for name in own.moving]
        lines += [
            f"run{named[k]}(T, B * L_{k}, {', '.join(own.back_names)})",
            f"weigh(T, B, {before}, {width}, L_{k}, {source}, START_{k}, PLACE_{k}, FOUND_{k}, "
            f"SUM_{k}, TOTAL_{k})",
            f"turn_back(SUM_{k}, OF_W_{k})",
            f"copy(N_{k}, TOTAL_{k}, OF_BIAS_{k})",
        ]
        if k:
            lines += [
                f"widen(W_{k}, WIDE_{k})",
                f"lower(T, B, L_{k}, {width}, FOUND_{k}, WIDE_{k}, GIVEN_{k - 1})",
            ]
    takes = ["T", "B", "I", "X", "GIVEN"]
    takes += [f"{what}_{k}" for what in ("W", "OF_W", "OF_BIAS") for k in range(len(layers))]
    for k, own in enumerate(layers):
        takes += [f"N_{k}", f"L_{k}", f"START_{k}", f"PLACE_{k}"]
        takes += [f"WIDE_{k}", f"SUM_{k}", f"TOTAL_{k}", f"OUT_{k}"]
        takes += own.back_names
    return _whole(texts, "back", takes, lines)


def _sequences(
    layouts: Sequence[Layout], name: str, *, backward: bool
) -> tuple[list[str], list[str]]:
    """The texts of sequences, each once, and how the functions of each are called."""
    texts: list[str] = []
    suffixes: dict[str, str] = {}
    named = []
    for own in layouts:
        bare = write_sequence(own.parted, own.roles, own.into, backward=backward)
        if bare not in suffixes:
            suffix = suffixes[bare] = f"{name}_{len(suffixes)}"
            texts.append(
                write_sequence(own.parted, own.roles, own.into, backward=backward, name=suffix)
            )
        named.append(suffixes[bare])
    return texts, named


def _whole(texts: Sequence[str], name: str, takes: Sequence[str], lines: Sequence[str]) -> str:
    body = [f"    {line}" for line in lines]
    return "\n".join([TOOLS, *texts, f"@outer\ndef {name}({', '.join(takes)}):", *body, ""])


TOOLS = """
@inner
def add(n, a, FROM, INTO):
    for j in range(n):
        INTO[j] += a * FROM[j]


@inner
def copy(n, FROM, INTO):
    for j in range(n):
        INTO[j] = FROM[j]


@inner
def clear(n, INTO):
    for j in range(n):
        INTO[j] = 0


@inner
def turn(W, INTO):
    for j in range(W.shape[0]):
        for i in range(W.shape[1]):
            INTO[i, j] = W[j, i]


@inner
def turn_back(FROM, W):
    for j in range(W.shape[0]):
        for i in range(W.shape[1]):
            W[j, i] = FROM[i, j]


@inner
def widen(W, INTO):
    for j in range(W.shape[0]):
        copy(W.shape[1], W[j], INTO[j])


@inner
def index(T, B, before, width, X, START, PLACE):
    count = 0
    for t in range(T):
        for b in range(B):
            START[t * B + b] = count
            for i in range(before):
                PLACE[count] = i
                count += X[t, b * width + i] != 0
    START[T * B] = count


@inner
def lead(T, B, width, n, X, START, PLACE, FROM, FIRST, INTO):
    for t in range(T):
        for b in range(B):
            copy(n, FIRST, INTO[t, b * n : b * n + n])
            for e in range(START[t * B + b], START[t * B + b + 1]):
                i = PLACE[e]
                add(n, X[t, b * width + i], FROM[i], INTO[t, b * n : b * n + n])


@inner
def weigh(T, B, before, width, n, X, START, PLACE, FOUND, INTO, TOTAL):
    clear(n, TOTAL)
    for i in range(before):
        clear(n, INTO[i])
    for t in range(T):
        for b in range(B):
            add(n, 1, FOUND[t, b * n : b * n + n], TOTAL)
            for e in range(START[t * B + b], START[t * B + b + 1]):
                i = PLACE[e]
                add(n, X[t, b * width + i], FOUND[t, b * n : b * n + n], INTO[i])


@inner
def add_four(n, a, b, c, d, A, B, C, D, INTO):
    for j in range(n):
        INTO[j] += (a * A[j] + b * B[j]) + (c * C[j] + d * D[j])


@inner
def lower(T, B, n, width, FOUND, FROM, INTO):
    for t in range(T):
        for b in range(B):
            clear(width, INTO[t, b * width : b * width + width])
            for j in range(0, n, 4):
                k = b * n + j
                add_four(
                    width,
                    FOUND[t, k],
                    FOUND[t, k + 1],
                    FOUND[t, k + 2],
                    FOUND[t, k + 3],
                    FROM[j],
                    FROM[j + 1],
                    FROM[j + 2],
                    FROM[j + 3],
                    INTO[t, b * width : b * width + width],
                )


@inner
def trim(T, B, size, n, FROM, INTO):
    for t in range(T):
        for b in range(B):
            copy(size, FROM[t, b * n : b * n + n], INTO[t, b * size : b * size + size])


@inner
def fill(T, B, size, n, FROM, INTO):
    for t in range(T):
        for b in range(B):
            copy(size, FROM[t, b * size : b * size + size], INTO[t, b * n : b * n + n])
"""
