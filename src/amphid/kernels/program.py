"""Write a traced step as the source of a loop over cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amphid.kernels.expressions import expression, written
from amphid.kernels.tape import Traced


@dataclass(frozen=True)
class LoopSource:
    """Source of a function that steps all cells once.

    text: `def name(n, *inputs, *constants, *outputs)`, all one-dimensional arrays of n entries, or
    of one entry where the symbol is shared. An output may be the same array as an input.
    outputs: which results of the step it writes.
    """

    name: str
    text: str
    outputs: tuple[int, ...]


def write_loop(traced: Traced, name: str, *, write: Sequence[bool] | None = None) -> LoopSource:
    """The loop of a traced step; `write` says which of its outputs to write, all when None.

    Raises UnknownOperation.
    """
    write = [True] * len(traced.outputs) if write is None else write
    chosen = tuple(place for place, wanted in enumerate(write) if wanted)
    arrays = (*traced.inputs, *(symbol for symbol, _ in traced.constants))
    lines: dict[bool, list[str]] = {True: [], False: []}  # of what all cells share, of each cell
    for symbol in arrays:
        place = "0" if symbol.shared else "i"
        lines[symbol.shared].append(f"{symbol.name} = {symbol.name.upper()}[{place}]")
    for operation in traced.operations:
        result = operation.result
        lines[result.shared].append(f"{result.name} = {expression(operation)}")
    results = [f"Y{output}" for output in chosen]
    for name_of, output in zip(results, chosen, strict=True):
        symbol = traced.outputs[output]
        lines[False].append(f"{name_of}[i] = {written(symbol, symbol.dtype)}")
    arguments = ", ".join(["n", *(symbol.name.upper() for symbol in arrays), *results])
    text = [f"def {name}({arguments}):", *(f"    {line}" for line in lines[True])]
    text += ["    for i in range(n):", *(f"        {line}" for line in lines[False] or ["pass"])]
    return LoopSource(name, "\n".join(text) + "\n", chosen)
