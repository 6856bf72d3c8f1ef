"""Cut a long step into several loops over the cells.

One iteration of a long loop is a long chain of operations that wait for each other. In short loops
a processor works on several iterations at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amphid.kernels.saving import symbols_of
from amphid.kernels.tape import Operation, Symbol, Traced

COSTS = {"exp": 20, "expm1": 22, "sigmoid": 24, "tanh": 28, "cosh": 24, "sinh": 28, "log": 30}
"""What an operation costs, in additions; one where it does not stand here."""

LONG = 40  # additions in a loop


@dataclass(frozen=True, eq=False)
class Piece:
    """One loop: what it reads for each cell, does, and keeps for later loops."""

    reads: Sequence[Symbol]
    operations: Sequence[Operation]
    keeps: Sequence[Symbol]
    last: bool


@dataclass(frozen=True, eq=False)
class Pieces:
    """Loops over the cells, one after another, and what passes from one to a later one."""

    loops: Sequence[Piece]

    @property
    def passed(self) -> list[Symbol]:
        """One number for each cell, of each."""
        return [symbol for piece in self.loops for symbol in piece.keeps]


def in_pieces(traced: Traced) -> Pieces:
    """The operations of a step on single cells, in loops of limited length."""
    loops = list(_cut([own for own in traced.operations if not own.result.shared]))
    results = [{own.result for own in loop} for loop in loops]
    reads = [_read(loop) for loop in loops]
    reads[-1] += [own for own in traced.outputs if own not in reads[-1]]
    found = []
    for k, (loop, own) in enumerate(zip(loops, results, strict=True)):
        later = {symbol for read in reads[k + 1 :] for symbol in read}
        keeps = [operation.result for operation in loop if operation.result in later]
        needs = [s for s in reads[k] if s not in own and not s.shared and s.literal is None]
        found.append(Piece(needs, loop, keeps, last=k == len(loops) - 1))
    return Pieces(found)


def cost(operations: Sequence[Operation]) -> int:
    """What operations cost for one cell, in additions."""
    return sum(COSTS.get(operation.function, 1) for operation in operations)


def _cut(operations: Sequence[Operation]) -> list[list[Operation]]:
    loops: list[list[Operation]] = [[]]
    length = 0
    for operation in operations:
        if loops[-1] and length + cost([operation]) > LONG:
            loops.append([])
            length = 0
        loops[-1].append(operation)
        length += cost([operation])
    return loops


def _read(operations: Sequence[Operation]) -> list[Symbol]:
    """The symbols that operations read, each once."""
    return list(dict.fromkeys(own for one in operations for own in _symbols(one)))


def _symbols(operation: Operation) -> list[Symbol]:
    """The symbols that an operation reads, in an order that does not change."""
    return sorted(symbols_of(operation), key=lambda symbol: symbol.name)
