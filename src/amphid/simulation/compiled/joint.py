"""Joint steps in machine code: gates, one linear solve for all voltages of a tile, emission.

(diag(d) + L) v = b is solved for the trials of a tile by conjugate gradients. L stays, d moves
little: the triangular factor of the matrix at the mean of d over the trials is kept, preconditions
all of them, and is made anew when the iterations grow many. Where elimination would fill the matrix
too much it is that of symmetric Gauss-Seidel, so that large networks stay sparse.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from amphid.simulation.compiled.edges import Array
from amphid.simulation.joint import LARGEST_MATRIX
from amphid.simulation.kept import Kept
from amphid.simulation.wires import Wires

WASTE = 128  # iterations that a fresh factor would have saved before it is made
FILL = 8  # entries of the factor for each junction, at most; beyond, it has those of L alone

JOINT_TOOLS = """
@inner
def guess(n, v, earlier, solved):
    apart()
    for i in range(n * LANES):
        here = v[i]
        solved[i] = here + (here - earlier[i])
        earlier[i] = here


@inner
def residual(n, d, b, v, flowing, rest, direction, lanes):
    apart()
    for k in range(5 * LANES):
        lanes[k] = 0
    for cell in range(n):
        for lane in range(LANES):
            i = cell * LANES + lane
            right = b[i]
            here = right - d[i] * v[i] + flowing[i]
            rest[i] = here
            direction[i] = 0
            lanes[BAD + lane] += here * 0
            size = here if here > 0 else -here
            aim = TOLERANCE * (right if right > 0 else -right)
            most, goal = lanes[WORST + lane], lanes[GOAL + lane]
            lanes[WORST + lane] = size if size > most else most
            lanes[GOAL + lane] = aim if aim > goal else goal


@inner
def precondition(n, order, start, cells, factor, turn, turned_cells, turned, pivot, rest, smooth):
    for k in range(n):
        cell = order[k]
        for i in range(cell * LANES, (cell + 1) * LANES):
            smooth[i] = rest[i]
        add(smooth, cells, factor, start[cell], start[cell + 1], 0, n, smooth, cell)
    for k in range(1, n + 1):
        cell = order[n - k]
        for i in range(cell * LANES, (cell + 1) * LANES):
            smooth[i] *= pivot[cell]
        add(smooth, turned_cells, turned, turn[cell], turn[cell + 1], 0, n, smooth, cell)


@inner
def turn_direction(n, rest, smooth, direction, lanes):
    apart()
    for k in range(SUM, SUM + LANES):
        lanes[k] = 0
    for cell in range(n):
        for lane in range(LANES):
            i = cell * LANES + lane
            lanes[SUM + lane] += rest[i] * smooth[i]
    for k in range(LANES):
        power, fresh = lanes[POWER + k], lanes[SUM + k]
        lanes[POWER + k] = fresh
        lanes[SUM + k] = fresh / power if power > 0 else ZERO
    for cell in range(n):
        for lane in range(LANES):
            i = cell * LANES + lane
            direction[i] = smooth[i] + lanes[SUM + lane] * direction[i]


@inner
def advance(n, d, v, flowing, rest, direction, lanes):
    apart()
    for k in range(LANES):
        lanes[SUM + k] = 0
        lanes[WORST + k] = 0
    for cell in range(n):
        for lane in range(LANES):
            i = cell * LANES + lane
            along = direction[i]
            out = d[i] * along - flowing[i]
            flowing[i] = out
            lanes[SUM + lane] += along * out
    for k in range(LANES):
        power = lanes[POWER + k]
        lanes[SUM + k] = power / lanes[SUM + k] if power > 0 else ZERO
    for cell in range(n):
        for lane in range(LANES):
            i = cell * LANES + lane
            share, most = lanes[SUM + lane], lanes[WORST + lane]
            v[i] += share * direction[i]
            here = rest[i] - share * flowing[i]
            rest[i] = here
            size = here if here > 0 else -here
            lanes[WORST + lane] = size if size > most else most


@inner
def unsolved(lanes):
    count = 0
    for k in range(LANES):
        if lanes[WORST + k] > lanes[GOAL + k] and lanes[BAD + k] == 0:
            count += 1
    return count


@inner
def spoil(n, lanes, v):
    for k in range(LANES):
        if lanes[BAD + k] != 0:
            for cell in range(n):
                v[cell * LANES + k] = np.nan
"""

SOLVE = """guess(n, {v}, EARLIER, SOLVED)
junctions(n, SOLVED, START_electrical, PLACE_electrical, CONDUCTANCE, FLOWING)
residual(n, DIAGONAL, RIGHT, SOLVED, FLOWING, REST, DIRECTION, BY_LANE)
iterations = 0
while iterations < MOST and unsolved(BY_LANE):
    precondition(
        n, ORDER, FACTOR_START, FACTOR_CELLS, FACTOR, TURN, TURNED_CELLS, TURNED, PIVOT, REST,
        SMOOTH,
    )
    turn_direction(n, REST, SMOOTH, DIRECTION, BY_LANE)
    junctions(n, DIRECTION, START_electrical, PLACE_electrical, CONDUCTANCE, FLOWING)
    advance(n, DIAGONAL, SOLVED, FLOWING, REST, DIRECTION, BY_LANE)
    iterations += 1
counters[3] += unsolved(BY_LANE)
spoil(n, BY_LANE, SOLVED)
if iterations < counters[4]:
    counters[4] = iterations
counters[5] += iterations - counters[4]"""


@dataclass(frozen=True, eq=False)
class BothWays:
    """Gap junctions in a row for each cell: its other ends. edge: which junction, [2 K]."""

    start: Array
    place: Array
    edge: Array

    @staticmethod
    def of(wires: Wires) -> BothWays:
        """Those of a group of connections, without those of a cell with itself."""
        return _BOTH_WAYS.of(wires.post, None, lambda: BothWays._of(wires))

    @staticmethod
    def _of(wires: Wires) -> BothWays:
        pre, post = wires.pre.numpy(), wires.post.numpy()
        kept = np.flatnonzero(pre != post)
        here = np.concatenate((pre[kept], post[kept]))
        order = np.argsort(here, kind="stable")
        start = np.zeros(wires.size + 1, dtype=np.int64)
        np.cumsum(np.bincount(here, minlength=wires.size), out=start[1:])
        there = np.concatenate((post[kept], pre[kept]))[order]
        return BothWays(start, there.astype(np.uint32), np.concatenate((kept, kept))[order])


@dataclass(frozen=True, eq=False)
class Elimination:
    """Which entries the triangular factor of the matrix has, in the order of elimination.

    complete: whether the factor is exact; else it is that of symmetric Gauss-Seidel.
    order: [N] cells. start, cells: its row of each cell, those eliminated earlier. turn,
    turned_cells: its column of each cell, those eliminated later. back: where each entry of the
    columns stands in the rows.
    """

    complete: bool
    order: Array
    start: Array
    cells: Array
    turn: Array
    turned_cells: Array
    back: Array

    @staticmethod
    def of(junctions: BothWays) -> Elimination:
        """Of the matrix of gap junctions: complete where that is no more than FILL times it."""
        return _ELIMINATION.of(junctions, None, lambda: Elimination._of(junctions))

    @staticmethod
    def _of(junctions: BothWays) -> Elimination:
        size = len(junctions.start) - 1
        near = [
            set(junctions.place[first:last].tolist())
            for first, last in zip(junctions.start[:-1], junctions.start[1:], strict=True)
        ]
        room = FILL * len(junctions.place) // 2
        eliminated = _eliminated(near, room) if size <= LARGEST_MATRIX else None
        order, columns = eliminated or _plain(near)
        column = np.repeat(order, [len(rows) for rows in columns])
        row = np.array([cell for rows in columns for cell in rows], dtype=np.int64)
        by_row, by_column = (np.argsort(key, kind="stable") for key in (row, column))
        where = np.empty(len(row), dtype=np.int64)
        where[by_row] = np.arange(len(row))
        return Elimination(
            eliminated is not None,
            np.array(order, dtype=np.int64),
            _starts(row, size),
            column[by_row].astype(np.uint32),
            _starts(column, size),
            row[by_column].astype(np.uint32),
            where[by_column],
        )

    def factor(self, entry: Array, diagonal: Array) -> tuple[Array, Array]:
        """Minus the unit triangular factor, by rows, and one over its diagonal matrix [N]."""
        here = np.repeat(np.arange(len(self.order)), np.diff(self.start))
        if self.complete:
            rank = np.argsort(self.order)
            matrix = np.diag(diagonal[self.order].astype(np.float64))
            matrix[rank[here], rank[self.cells]] = entry
            try:
                found = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:  # negative weights: no preconditioner, then
                return np.zeros_like(entry), np.ones_like(diagonal)
            own = np.diag(found)[rank]
            return -found[rank[here], rank[self.cells]] / own[self.cells], own**-2
        pivot = 1 / diagonal
        return -entry * pivot[self.cells], pivot

    def entries(self, junctions: BothWays, weight: Array) -> Array:
        """[*C, nnz] entries of the matrix at those of the factor, of weights [*C, K]."""
        size = len(self.order)
        here = np.repeat(np.arange(size), np.diff(self.start))
        mine = np.repeat(np.arange(size), np.diff(junctions.start))
        wanted, given = here * size + self.cells, mine * size + junctions.place
        keys, place = np.unique(given, return_inverse=True)
        total = np.zeros((*weight.shape[:-1], len(keys) + 1), weight.dtype)
        np.add.at(total.T, place, -weight[..., junctions.edge].T)
        found = np.searchsorted(keys, wanted)
        known = np.append(keys, -1)[found] == wanted
        return np.ascontiguousarray(np.where(known, total[..., found], 0).astype(weight.dtype))


# connections whose weights alone were changed have the same tensor of cells behind them
_BOTH_WAYS: Kept[BothWays] = Kept()
_ELIMINATION: Kept[Elimination] = Kept()


def _eliminated(near: list[set[int]], room: int) -> tuple[list[int], list[list[int]]] | None:
    """Order of elimination by least degree, and the cells that each is then tied to; or None."""
    tied = [set(others) for others in near]
    waiting = [(len(others), cell) for cell, others in enumerate(tied)]
    heapq.heapify(waiting)
    gone = [False] * len(tied)
    order, columns = [], []
    while waiting:
        degree, cell = heapq.heappop(waiting)
        if gone[cell] or degree != len(tied[cell]):
            continue
        gone[cell] = True
        order.append(cell)
        columns.append(sorted(tied[cell]))
        room -= degree
        if room < 0:
            return None
        for other in tied[cell]:
            tied[other] |= tied[cell]
            tied[other] -= {cell, other}
            heapq.heappush(waiting, (len(tied[other]), other))
    return order, columns


def _plain(near: list[set[int]]) -> tuple[list[int], list[list[int]]]:
    """The same without any entry that the matrix does not have."""
    return list(range(len(near))), [
        sorted(other for other in others if other > cell) for cell, others in enumerate(near)
    ]


def _starts(rows: Array, size: int) -> Array:
    start = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=size), out=start[1:])
    return start
