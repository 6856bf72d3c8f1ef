"""Joint steps in machine code: gates, one linear solve for all voltages of a tile, emission.

(diag(d) + L) v = b is solved for the trials of a tile by conjugate gradients. L stays, d moves
little: the triangular factor of the matrix at the mean of d over the trials is kept, preconditions
all of them, and is made anew when the iterations grow many. Where elimination would fill the matrix
too much it is that of symmetric Gauss-Seidel, so that large networks stay sparse.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics import GapJunction, MembraneNeuron, Mixed, Synapse
from amphid.simulation.compiled.edges import Array
from amphid.simulation.compiled.parts import Part, State, part
from amphid.simulation.joint import LARGEST_MATRIX
from amphid.simulation.network import Network
from amphid.simulation.stepping import linear
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


def joint_cells(
    network: Network, neuron: State, groups: dict[str, State], like: Tensor, dt: float
) -> list[Part]:
    """All cells under what arrives: gates, all voltages together, what cells give out."""
    if isinstance(network.neuron, Mixed):
        return _mixed_joint(network, network.neuron, neuron, groups, like, dt)
    cell: MembraneNeuron[Any] = network.neuron  # type: ignore[assignment]
    synapses, around, names = _chemical(network, groups, like)

    def before(state: Any, groups: Any, arriving: Any, external: Tensor) -> Any:
        after, open_, flowing = _flows(synapses, groups, arriving, state.v, dt)
        return after, *_system(cell, state, open_, flowing + external, dt)

    given = [neuron, *around, State(like.clone(), "EXTERNAL")]
    results = [names, neuron.names, "DIAGONAL", "RIGHT"]
    solving = _solving(network, neuron.name_of(neuron.tree.v))
    return [
        part("before", before, given, results, "n", lanes=True),
        solving,
        _emission("after", cell, neuron, "", like, dt, "n"),
    ]


def _system(
    cell: MembraneNeuron[Any], state: Any, open_: Any, flowing: Tensor, dt: float
) -> tuple[Any, Tensor, Tensor]:
    """The state with its gates moved, and the diagonal and right side of the system."""
    moved = cell.gates(state, dt)
    membrane = cell.membrane(moved)
    inertia = membrane.capacitance / dt
    diagonal = torch.zeros_like(flowing) + (membrane.conductance + open_ + inertia)
    return moved, diagonal, membrane.drive + flowing + inertia * state.v


def _flows(
    synapses: list[Synapse[Any]], groups: Any, arriving: Any, v: Tensor, dt: float
) -> tuple[Any, Any, Any]:
    """Groups of synapses after the step, their conductance, and their current at v = 0."""
    after: list[Any] = []
    total: Any = 0.0
    flowing: Any = 0.0
    for synapse, group, came in zip(synapses, groups, arriving, strict=True):
        group, g, current = linear(synapse, group, came, v, dt)
        after.append(group)
        total, flowing = total + g, flowing + current
    return after, total, flowing


def _chemical(
    network: Network, groups: dict[str, State], like: Tensor
) -> tuple[list[Synapse[Any]], list[State], list[Any]]:
    """The chemical synapses; their states and what arrives, given to a loop; names of the states.

    Gap junctions have no state, and their currents are solved for.
    """
    chosen = [(k, synapse) for k, synapse in network.groups() if k != "electrical"]
    states = [groups[key] for key, _ in chosen]
    arriving = [State(like.clone(), f"ARRIVING_{key}") for key, _ in chosen]
    trees = [state.tree for state in states], [state.tree for state in arriving]
    names = [state.names for state in states], [state.names for state in arriving]
    around = [State(*pair) for pair in zip(trees, names, strict=True)]
    return [synapse for _, synapse in chosen], around, names[0]


def _solving(network: Network, v: str) -> Part:
    if any(isinstance(synapse, GapJunction) for _, synapse in network.groups()):
        return Part("", SOLVE.format(v=v), {})
    text = "@inner\ndef divide(n, d, b, v):\n    apart()\n    for i in range(n * LANES):\n"
    return Part(text + "        v[i] = b[i] / d[i]\n", "divide(n, DIAGONAL, RIGHT, SOLVED)", {})


def _emission(
    name: str, cell: MembraneNeuron[Any], state: State, mark: str, like: Tensor, dt: float, n: str
) -> Part:
    """What cells give out at the voltages solved for."""
    given = [state, State(like.clone(), f"SOLVED{mark}")]
    results = [state.names, f"GIVEN{mark}"]
    return part(name, lambda s, v: cell.emit(s, v, dt), given, results, n, lanes=True)


def _mixed_joint(
    network: Network, mixed: Mixed, neuron: State, groups: dict[str, State], like: Tensor, dt: float
) -> list[Part]:
    """The same, each part of a mixture with its own membrane."""
    synapses, around, names = _chemical(network, groups, like)

    def currents(v: Tensor, groups: Any, arriving: Any, external: Tensor) -> Any:
        after, total, flowing = _flows(synapses, groups, arriving, v, dt)
        return after, torch.zeros_like(v) + total, flowing + external

    given = [State(neuron.tree.v, neuron.names.v), *around, State(like.clone(), "EXTERNAL")]
    first = part("synapses", currents, given, [names, "OPEN", "CURRENT"], "n", lanes=True)
    before, after = [], []
    pieces = zip(mixed._parts(), mixed._cells(), neuron.tree.parts, neuron.names.parts, strict=True)
    for number, (kind, own, tree, held) in enumerate(pieces):
        cell: MembraneNeuron[Any] = kind  # type: ignore[assignment]
        piece, mark, small = State(tree, held), f"_{number}", like[..., : len(own)]

        def system(s: Any, g: Tensor, i: Tensor, cell: MembraneNeuron[Any] = cell) -> Any:
            return _system(cell, s, g, i, dt)

        given = [
            piece,
            State(small.clone(), f"OPEN{mark}"),
            State(small.clone(), f"CURRENT{mark}"),
        ]
        results = [held, f"DIAGONAL{mark}", f"RIGHT{mark}"]
        loop = part(f"before{mark}", system, given, results, f"n{mark}", lanes=True)
        call = _around_part(mark, loop.call, ["OPEN", "CURRENT"], ["DIAGONAL", "RIGHT"])
        before.append(Part(loop.text, call, loop.constants))
        loop = _emission(f"after{mark}", cell, piece, mark, small, dt, f"n{mark}")
        call = _around_part(mark, loop.call, ["SOLVED"], ["GIVEN"])
        call += f"\nscatter(CELLS{mark}, {piece.name_of(tree.v)}, {neuron.names.v})"
        after.append(Part(loop.text, call, loop.constants))
    return [first, *before, _solving(network, neuron.names.v), *after]


def _around_part(mark: str, call: str, read: list[str], written: list[str]) -> str:
    """A call for some cells, between what takes their entries out and puts them back."""
    lines = [f"n{mark} = len(CELLS{mark})"]
    lines += [f"gather(CELLS{mark}, {name}, {name}{mark})" for name in read]
    lines.append(call)
    lines += [f"scatter(CELLS{mark}, {name}{mark}, {name})" for name in written]
    return "\n".join(lines)
