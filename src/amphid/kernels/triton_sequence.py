"""Write the loop of a step over a whole sequence as a kernel of an accelerator.

A program takes a block of cells through all steps; what it carries from step to step stays in its
registers, so that only what changes from step to step, and what is kept of it, is read and written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amphid.kernels.expressions import expression, written
from amphid.kernels.sequence import CELLS, KEPT, REPEATED, ROWS, Role, arrays_of, constants
from amphid.kernels.steady import Parted
from amphid.kernels.tape import Operation, Symbol
from amphid.kernels.triton_text import in_blocks

HEADER = """
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def trunc(x):
    return tl.where(x < 0, tl.ceil(x), tl.floor(x))


@triton.jit
def rint(x):
    low = tl.floor(x)
    rest, odd = x - low, low - 2 * tl.floor(low / 2)
    return tl.where((rest > 0.5) | ((rest == 0.5) & (odd == 1)), low + 1, low)
"""


def write_kernel(
    parted: Parted, roles: Sequence[Role], into: Mapping[int, int], *, backward: bool = False
) -> str:
    """Source of `run(T, M, REPEAT, *inputs, *constants, *results, BLOCK)`.

    It is what `write_sequence` writes, for T steps of M cells, in blocks. REPEAT: M where what is
    repeated has a row for each step, 0 where it has one for all.
    Raises UnknownOperation.
    """
    writer = _Writer(parted, roles, into)
    arrays = ", ".join(arrays_of(parted, roles, into))
    lines = [
        "@triton.jit",
        f"def run(T, M, REPEAT, {arrays}, BLOCK: tl.constexpr):",
        "    i = tl.cast(tl.program_id(0), tl.int64) * BLOCK + tl.arange(0, BLOCK)",
        "    inside = i < M",
        *(f"    {line}" for line in writer.ahead()),
        "    for k in range(T):",
        f"        t = tl.cast({'T - 1 - k' if backward else 'k'}, tl.int64)",
        *(f"        {line}" for line in writer.every()),
        *(f"    {line}" for line in writer.after()),
    ]
    return "\n".join([*lines, ""])


class _Writer:
    """Writes the parts of a kernel, in the order that they stand in."""

    def __init__(self, parted: Parted, roles: Sequence[Role], into: Mapping[int, int]) -> None:
        self.parted, self.into = parted, into
        self.outputs = parted.every.outputs
        self.inputs = dict(zip(parted.every.inputs, roles, strict=False))
        self.carried = [parted.every.inputs[place] for place in into.values()]

    def ahead(self) -> list[str]:
        """What is the same in all steps, and what cells start from."""
        held = [*constants(self.parted), *(own for own in self.inputs if not self._moves(own))]
        operations = (*self.parted.single.operations, *self.parted.each.operations)
        loads = [_load(symbol, self.inputs.get(symbol, CELLS), first=True) for symbol in held]
        return [*loads, *map(_assignment, operations)]

    def every(self) -> list[str]:
        """What is done in every step."""
        moving = [symbol for symbol in self.inputs if self._moves(symbol)]
        lines = [_load(symbol, self.inputs[symbol]) for symbol in moving]
        lines += map(_assignment, self.parted.every.operations)
        for place, symbol in enumerate(self.outputs):
            value = in_blocks(written(symbol, symbol.dtype))
            if place not in self.into:
                lines.append(_store(f"Y{place}", ROWS, value))
            else:
                lines.append(f"new{place} = tl.broadcast_to({value}, (BLOCK,))")
        for place, symbol in zip(self.into, self.carried, strict=True):
            lines.append(f"{symbol.name} = new{place}")
            after = self.inputs[symbol].after
            if after is not None:
                lines.append(_store(symbol.name.upper(), Role(after), symbol.name))
        return lines

    def after(self) -> list[str]:
        """What cells end with."""
        ends = [symbol for symbol in self.carried if self.inputs[symbol].after is None]
        return [_store(symbol.name.upper(), CELLS, symbol.name) for symbol in ends]

    def _moves(self, symbol: Symbol) -> bool:
        """Whether it is read anew in every step."""
        return self.inputs[symbol].row is not None and symbol not in self.carried


def _assignment(operation: Operation) -> str:
    return f"{operation.result.name} = {in_blocks(expression(operation))}"


def _load(symbol: Symbol, role: Role, *, first: bool = False) -> str:
    """Read a symbol: the only value, or those of cells, at a step or, where first, at the first."""
    array = symbol.name.upper()
    if symbol.shared:
        return f"{symbol.name} = tl.load({array})"
    place = "i" if first else PLACES[role.row]
    return f"{symbol.name} = tl.load({array} + {place}, mask=inside)"


def _store(array: str, role: Role, value: str) -> str:
    return f"tl.store({array} + {PLACES[role.row]}, {value}, mask=inside)"


PLACES = {
    CELLS.row: "i",
    ROWS.row: "i + t * M",
    KEPT.after: "i + (t + 1) * M",
    REPEATED.row: "i + t * REPEAT",
}
"""Where in an array the entries of a block stand, by the row that a role names."""
