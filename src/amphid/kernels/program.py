"""Write a traced step as source: a loop over cells, or a function of one number each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from amphid.kernels.expressions import expression, written
from amphid.kernels.tape import Symbol, Traced


@dataclass(frozen=True)
class LoopSource:
    """Source of a function that steps all cells once.

    text: `def name(n, *inputs, *constants, *outputs)`, all one-dimensional arrays of n entries, or
    of one entry where the symbol is shared. No two of them may overlap.
    outputs: which results of the step it writes to arrays of their own.
    """

    name: str
    text: str
    outputs: tuple[int, ...]


def write_loop(
    traced: Traced,
    name: str,
    *,
    into: Mapping[int, int] | None = None,
    listed: bool = False,
    lanes: bool = False,
) -> LoopSource:
    """The loop of a traced step.

    listed: step the cells of a list only, `def name(n, CELLS, STILL, ...)`, and tell in STILL for
    each of them whether no input that is replaced has changed.
    into: for results that replace an input, the place of either; a result that is that input is
    not written at all. An array that is read and written must be one argument: given twice, it
    would look like two that overlap, which keeps a loop from being vectorized.
    lanes: whether every cell stands for LANES trials side by side, a number that the module of the
    loop knows: arrays have n * LANES entries, except constants that are the same in all trials.
    Raises UnknownOperation.
    """
    into = into or {}
    arrays = (*traced.inputs, *(symbol for symbol, _ in traced.constants))
    level = {symbol: _level(symbol, None, lanes=lanes) for symbol in traced.inputs}
    level |= {symbol: _level(symbol, held, lanes=lanes) for symbol, held in traced.constants}
    lines: dict[str, list[str]] = {"0": [], "cell": [], "i": []}  # by what they depend on
    for symbol in arrays:
        entry = level[symbol]
        lines[entry].append(f"{symbol.name} = {symbol.name.upper()}[{entry}]")
    for operation in traced.operations:
        result = operation.result
        lines["0" if result.shared else "i"].append(f"{result.name} = {expression(operation)}")
    for place, symbol in enumerate(traced.outputs):
        target = traced.inputs[into[place]] if place in into else None
        if symbol != target:
            array = target.name.upper() if target else f"Y{place}"
            lines["i"].append(f"{array}[i] = {written(symbol, symbol.dtype)}")
    outputs = tuple(place for place in range(len(traced.outputs)) if place not in into)
    own = [f"Y{place}" for place in outputs]
    which = ["CELLS", "STILL"] if listed else []
    if listed:
        lines["i"].insert(0, "i = CELLS[k]")
        lines["i"].append(f"STILL[k] = {_unchanged(traced, into)}")
    arguments = ", ".join(["n", *which, *(symbol.name.upper() for symbol in arrays), *own])
    text = [f"def {name}({arguments}):", *(f"    {line}" for line in lines["0"])]
    text += _loops(lines["cell"], lines["i"] or ["pass"], "k" if listed else "i", lanes=lanes)
    return LoopSource(name, "\n".join(text) + "\n", outputs)


def _unchanged(traced: Traced, into: Mapping[int, int]) -> str:
    """Whether every result is the input that it replaces."""
    pairs = [(traced.outputs[place], traced.inputs[to]) for place, to in into.items()]
    same = [f"({written(a, a.dtype)} == {b.name})" for a, b in pairs if a != b]
    return " & ".join(same) or "True"


def _level(symbol: Symbol, held: Tensor | None, *, lanes: bool) -> str:
    """Which entry of its array a symbol is: the only one, that of a cell, or that of a trial."""
    if symbol.shared:
        return "0"
    alike = lanes and held is not None and held.shape[:-1].numel() == 1 < held.shape[-1]
    return "cell" if alike else "i"


def _loops(of_cell: list[str], of_trial: list[str], index: str, *, lanes: bool) -> list[str]:
    """A loop over all entries, or one over the trials of each cell where cells have constants."""
    if not of_cell:
        size = "n * LANES" if lanes else "n"
        return [f"    for {index} in range({size}):", *(f"        {line}" for line in of_trial)]
    return [
        "    for cell in range(n):",
        *(f"        {line}" for line in of_cell),
        "        for i in range(cell * LANES, (cell + 1) * LANES):",
        *(f"            {line}" for line in of_trial),
    ]


def write_function(traced: Traced, name: str, *, clamped: tuple[float, float] | None = None) -> str:
    """Source of `def name(*inputs, *constants)`, of numbers, which returns the only output.

    clamped: the least and the greatest value that it may return.
    Raises UnknownOperation.
    """
    arguments = [symbol.name for symbol in (*traced.inputs, *(c for c, _ in traced.constants))]
    lines = [f"{o.result.name} = {expression(o)}" for o in traced.operations]
    output = traced.outputs[0]
    lines.append(f"y = {written(output, output.dtype)}")
    for bound, sign in zip(clamped or (), "<>", strict=False):
        if math.isfinite(bound):
            shown = written(bound, output.dtype)
            lines.append(f"y = {shown} if y {sign} {shown} else y")
    text = [f"def {name}({', '.join(arguments)}):", *(f"    {line}" for line in lines)]
    return "\n".join([*text, "    return y", ""])
