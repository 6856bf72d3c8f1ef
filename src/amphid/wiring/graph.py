"""The connectome as a graph: degrees, paths, parts, hubs and motifs.

Everywhere below `kind` picks the chemical or the electrical connections, None both, and an
electrical connection leads both ways. What is not here is in networkx, by way of `graph`.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import KINDS, Connectome, Indices, Kind

if TYPE_CHECKING:
    import networkx
    import scipy.sparse


class Degrees(NamedTuple):
    """How many connections each cell has, in the order of the cells.

    ins, outs: [N] connections that arrive at it and leave it, parallel ones each counted.
    in_synapses, out_synapses: [N] synapses that these have together.
    """

    ins: Indices
    outs: Indices
    in_synapses: NDArray[np.float64]
    out_synapses: NDArray[np.float64]


def graph(connectome: Connectome, kind: Kind | None = None) -> networkx.MultiDiGraph:
    """The connectome as a networkx graph.

    Nodes are the names of the cells with `kind`, `cell_class`, `transmitter` and, where it is
    known, `position` (x, y, z) in um. Edges have `kind`, `synapses`, `sign` and, where one is
    given, `delay` in ms; their key is the number of the connection. An electrical connection is
    two edges of one key, there and back. For what networkx does not do on multigraphs, such as
    clustering, take ``networkx.DiGraph(graph(connectome))``.
    """
    import networkx

    cells, wires = connectome.cells, connectome.connections
    made = networkx.MultiDiGraph(name=connectome.name)
    for number, name in enumerate(cells.name):
        made.add_node(
            name,
            kind=cells.kind[number],
            cell_class=cells.cell_class[number],
            transmitter=cells.transmitter[number],
            **_if_known("position", cells.position[number]),
        )
    for pre, post, number in zip(*_arcs(connectome, kind), strict=True):
        made.add_edge(
            cells.name[pre],
            cells.name[post],
            key=int(number),
            kind=KINDS[wires.kind[number]],
            synapses=float(wires.synapses[number]),
            sign=int(wires.sign[number]),
            **_if_known("delay", wires.delay[number]),
        )
    return made


def degrees(connectome: Connectome, kind: Kind | None = "chemical") -> Degrees:
    """Connections and synapses into and out of each cell.

    An electrical connection arrives at and leaves both of its cells, and once the cell that it
    joins to itself.
    """
    pre, post, number = _arcs(connectome, kind)
    synapses, size = connectome.connections.synapses[number], len(connectome)
    return Degrees(
        ins=np.bincount(post, minlength=size),
        outs=np.bincount(pre, minlength=size),
        in_synapses=_sums(post, synapses, size),
        out_synapses=_sums(pre, synapses, size),
    )


def shortest_path(
    connectome: Connectome, source: str, target: str, kind: Kind | None = None
) -> list[str]:
    """Names of the cells on a way of the fewest connections from source to target, both included.

    Where several ways are equally short it is one of them, always the same for one connectome.
    Raises KeyError for a name that is not there and ValueError when no way leads to the target.
    """
    start, goal = connectome.index(source), connectome.index(target)
    pre, post, _ = _arcs(connectome, kind)
    _, before = _search(pre, post, len(connectome), start)
    path = [goal]
    while path[-1] != start:
        if before[path[-1]] < 0:
            raise ValueError(
                f"No path of {kind or 'chemical or electrical'} connections leads from {source!r} "
                f"to {target!r}."
            )
        path.append(int(before[path[-1]]))
    return [connectome.cells.name[cell] for cell in reversed(path)]


def path_lengths(
    connectome: Connectome, *sources: str | int, kind: Kind | None = None
) -> NDArray[np.float64]:
    """Fewest connections from any of the sources to each cell [N]; inf where no way leads.

    sources: names, classes, kinds or patterns as for `Connectome.select`.
    Raises KeyError for one that is not there and ValueError when none is given.
    """
    starts = connectome.select(*sources)
    if not len(starts):
        raise ValueError("path_lengths needs at least one source, such as the name of a cell.")
    pre, post, _ = _arcs(connectome, kind)
    # one more cell, leading to all sources, makes a single search of many
    root = len(connectome)
    pre = np.concatenate([pre, np.full(len(starts), root)])
    order, before = _search(pre, np.concatenate([post, starts]), root + 1, root)
    hops = np.full(root + 1, np.inf)
    hops[root] = -1.0
    for cell in order[1:].tolist():
        hops[cell] = hops[before[cell]] + 1.0
    return hops[:root]


def components(
    connectome: Connectome, kind: Kind | None = None, *, strong: bool = False
) -> list[Indices]:
    """The parts that hang together, each as indices of cells, largest first.

    strong: cells are in one part only if each can be reached from the other along the directions;
    otherwise directions do not count.
    """
    from scipy.sparse.csgraph import connected_components

    pre, post, _ = _arcs(connectome, kind)
    _, part = connected_components(
        _sparse(pre, post, len(connectome)), connection="strong" if strong else "weak"
    )
    together = np.argsort(part, kind="stable")
    parts = np.split(together, np.flatnonzero(np.diff(part[together])) + 1)
    return sorted(
        (cells for cells in parts if len(cells)), key=lambda cells: (-len(cells), cells[0])
    )


def hubs(connectome: Connectome, count: int = 10) -> dict[str, int]:
    """The cells with the most connections and how many they have, most first.

    Chemical connections count at both ends, in and out; an electrical one once for each of its
    cells. Of equals the one that comes first among the cells leads.
    Raises ValueError for a negative count.
    """
    if not isinstance(count, numbers.Integral) or count < 0:
        raise ValueError(f"count must be a whole number and not negative, got {count!r}.")
    chemical = degrees(connectome, "chemical")
    total = chemical.ins + chemical.outs + degrees(connectome, "electrical").ins
    leading = np.argsort(-total, kind="stable")[:count]
    return {connectome.cells.name[cell]: int(total[cell]) for cell in leading}


def reciprocity(connectome: Connectome, kind: Kind | None = "chemical") -> float:
    """Share of the connected ordered pairs of different cells that are connected back as well.

    nan where no two cells are connected.
    """
    there = _pairs(connectome, kind)
    return there.multiply(there.T).nnz / there.nnz if there.nnz else float("nan")


def motifs(connectome: Connectome, kind: Kind | None = "chemical") -> dict[str, int]:
    """How many of all sets of three cells are wired in each of the 16 possible ways.

    The names count the mutual, the one-way and the missing pairs among the three, a letter tells
    further apart: "003" is not connected, "030T" a feed-forward loop, "030C" a cycle, "300" all to
    all (Holland & Leinhardt 1970, doi 10.1086/224954). Connections of a cell to itself and
    parallel ones do not count.
    """
    import networkx

    simple = networkx.DiGraph()
    simple.add_nodes_from(range(len(connectome)))
    pre, post = _pairs(connectome, kind).nonzero()
    simple.add_edges_from(zip(pre.tolist(), post.tolist(), strict=True))
    return {name: int(times) for name, times in networkx.triadic_census(simple).items()}


def rich_club(connectome: Connectome, kind: Kind | None = None) -> NDArray[np.float64]:
    r"""Density of connections among the cells that have more than k partners, at index k.

    .. math:: \phi(k) = \frac{E_{>k}}{N_{>k} (N_{>k} - 1)}

    A pair connected both ways counts as two partners and two connections; those of a cell to
    itself and parallel ones do not count. nan where fewer than two cells are left. To tell a club
    from what such degrees imply anyway, divide by the same of `shuffled` connectomes
    (Towlson et al. 2013, doi 10.1523/JNEUROSCI.3784-12.2013).
    """
    pre, post = _pairs(connectome, kind).nonzero()
    size = len(connectome)
    partners = np.bincount(pre, minlength=size) + np.bincount(post, minlength=size)
    poorer = np.minimum(partners[pre], partners[post])
    limit = int(partners.max(initial=0)) + 1
    cells = np.bincount(partners, minlength=limit)[::-1].cumsum()[::-1][1:]
    wires = np.bincount(poorer, minlength=limit)[::-1].cumsum()[::-1][1:]
    return np.where(cells > 1, wires / np.maximum(cells * (cells - 1), 1), np.nan)


def _if_known(attribute: str, value: NDArray[Any]) -> dict[str, Any]:
    if np.isnan(value).any():
        return {}
    return {attribute: tuple(value.tolist()) if value.ndim else value.item()}


def _arcs(connectome: Connectome, kind: Kind | None) -> tuple[Indices, Indices, Indices]:
    """Every way a signal can go: cell before, cell behind, number of the connection."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, or None for both: got {kind!r}.")
    wires = connectome.connections
    chosen = np.ones(len(wires), bool) if kind is None else wires.kind == KINDS.index(kind)
    there = np.flatnonzero(chosen)
    back = np.flatnonzero(chosen & wires.electrical & (wires.pre != wires.post))
    pre = np.concatenate([wires.pre[there], wires.post[back]])
    post = np.concatenate([wires.post[there], wires.pre[back]])
    return pre, post, np.concatenate([there, back])


def _pairs(connectome: Connectome, kind: Kind | None) -> scipy.sparse.csr_array:
    """The ordered pairs of different cells that are connected, each once."""
    pre, post, _ = _arcs(connectome, kind)
    different = pre != post
    return _sparse(pre[different], post[different], len(connectome))


def _sums(cell: Indices, value: NDArray[Any], size: int) -> NDArray[np.float64]:
    return np.bincount(cell, weights=value, minlength=size).astype(np.float64)


def _search(pre: Indices, post: Indices, size: int, start: int) -> tuple[Any, Any]:
    """Cells in the order a breadth-first search meets them, and from where it met each."""
    from scipy.sparse.csgraph import breadth_first_order

    order, before = breadth_first_order(_sparse(pre, post, size), start)
    return order, before


def _sparse(pre: Indices, post: Indices, size: int) -> scipy.sparse.csr_array:
    import scipy.sparse

    return scipy.sparse.csr_array((np.ones(len(pre), bool), (pre, post)), shape=(size, size))
