"""Connectomes made by a rule: layers, random networks, small worlds, wiring by distance.

Every connection has one synapse. The sign is known where the rule has inhibitory cells and 0
elsewhere; the delay is nan unless the rule gives one. Both are set afterwards by
`Connectome.with_connections`. The same generator state gives the same connectome.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from amphid.wiring.checks import drawing, places, positive, real, share, whole
from amphid.wiring.connectome import Cells, Connections, Connectome, Indices
from amphid.wiring.sampling import chosen, counts, distinct, normal, pieces, uniform

Ends = tuple[NDArray[Any], ...]


def layered(
    *sizes: int, probability: float = 1.0, generator: torch.Generator | None = None
) -> Connectome:
    """Feed-forward layers of those sizes, each cell projecting to those of the next layer.

    Cell 4 of layer 1 is "L1.4", of class "L1" and kind "input", "hidden" or "output": "L1.*" and
    "L1" both select the layer.
    probability: that a connection between neighboring layers is there.
    generator: needed for a probability below 1 only.

    Raises ValueError or TypeError for fewer than two layers and for values out of range.
    """
    if len(sizes) < 2:
        raise ValueError(f"layered needs at least two layer sizes, such as 10, 30, 2: got {sizes}.")
    counts = [whole("each layer size", size) for size in sizes]
    chance = share("probability", probability)
    source = None if chance == 1 else drawing(generator)
    first = np.cumsum([0, *counts])
    pre, post = _joined(
        (first[layer] + number // size, first[layer + 1] + number % size)
        for layer, size in enumerate(counts[1:])
        for number in chosen(counts[layer] * size, chance, source)
    )
    layers = np.repeat(np.arange(len(counts)), counts)
    kinds = ["input", *["hidden"] * (len(counts) - 2), "output"]
    cells = Cells(
        [f"L{layer}.{number}" for layer, size in enumerate(counts) for number in range(size)],
        kind=[kinds[layer] for layer in layers],
        cell_class=[f"L{layer}" for layer in layers],
    )
    return Connectome(cells, Connections(pre, post), name="layered")


def random(
    cells: int,
    *,
    probability: float,
    inhibitory: float = 0.2,
    self_connections: bool = False,
    generator: torch.Generator,
) -> Connectome:
    """Every ordered pair of cells connected with the same probability, whatever the others do.

    inhibitory: share of inhibitory cells, rounded to whole cells. They are "I0", "I1", ... of class
        "I", come last, and their connections have sign -1; the others are "E0", ... with sign +1.
    self_connections: whether a cell may project to itself.

    The random graph of Gilbert 1959, doi 10.1214/aoms/1177706098, often named after Erdos and
    Renyi. Takes time and memory in proportion to the connections, not to the pairs.
    Raises ValueError or TypeError for values out of range.
    """
    size, chance, source = whole("cells", cells), share("probability", probability), generator
    population = _excitatory_and_inhibitory(size, share("inhibitory", inhibitory))
    targets = size if self_connections else size - 1
    pre, post = _joined(
        _ends(number, size, targets) for number in chosen(size * targets, chance, drawing(source))
    )
    return _dalean(population, pre, post, name="random")


def fixed_indegree(
    cells: int, *, indegree: int, inhibitory: float = 0.2, generator: torch.Generator
) -> Connectome:
    """Every cell driven by exactly that many others, drawn without repetition.

    inhibitory: share of inhibitory cells and of the connections from them onto each cell, both
        rounded to whole numbers. Names, classes and signs are those of `random`.

    The sparse network of Brunel 2000, doi 10.1023/A:1008925309027.
    Raises ValueError or TypeError for values out of range and when a population has fewer other
    cells than it is to send connections to one cell.
    """
    size, count = whole("cells", cells), whole("indegree", indegree, least=0)
    part, source = share("inhibitory", inhibitory), drawing(generator)
    population = _excitatory_and_inhibitory(size, part)
    many, few = size - round(size * part), round(count * part)
    senders = ((0, many, count - few), (many, size - many, few))
    for _, there, wanted in senders:
        if wanted and wanted >= there:
            raise ValueError(
                f"indegree must leave each cell enough others to hear: {count} asks for {wanted} "
                f"different cells out of a population of {there}, itself not counted. "
                "Lower `indegree` or raise `cells`."
            )
    pre, post = _joined(
        _afferents(rows, start, there, wanted, source)
        for start, there, wanted in senders
        for begin, end in ((0, many), (many, size))
        for rows in pieces(begin, end, wanted)
    )
    return _dalean(population, pre, post, name="fixed in-degree")


def small_world(
    cells: int, *, neighbors: int, rewiring: float = 0.0, generator: torch.Generator | None = None
) -> Connectome:
    """A ring of cells that project to their nearest neighbors, some connections led elsewhere.

    neighbors: targets of each cell, half of them on either side; an even number below `cells`.
    rewiring: probability that a connection is led to a uniformly chosen cell instead, its old
        target among the choices: 0 is the ring lattice, 1 a random network. No cell projects to
        itself or twice to another.
    generator: needed for a rewiring above 0 only.

    Directed form of Watts & Strogatz 1998, doi 10.1038/30918: a pair of neighbors has two
    connections, rewired one by one, each keeping its presynaptic cell. So all out-degrees stay
    `neighbors`; in-degrees vary.
    Raises ValueError or TypeError for values out of range.
    """
    size, near = whole("cells", cells), whole("neighbors", neighbors, least=0)
    chance = share("rewiring", rewiring)
    if near % 2 or near >= size:
        raise ValueError(f"neighbors must be even and below cells = {size}, got {near}.")
    source = None if chance == 0 else drawing(generator)
    # target minus cell minus 1, modulo the ring, so that the cell itself has no number
    lattice = np.concatenate([np.arange(near // 2), np.arange(size - 1 - near // 2, size - 1)])
    pre, post = _joined(
        (
            np.repeat(rows, near),
            _on_ring(rows, _rewired(len(rows), lattice, chance, size, source), size),
        )
        for rows in pieces(0, size, near)
    )
    named = Cells([f"C{number}" for number in range(size)])
    return Connectome(named, Connections(pre, post), name="small world")


def distance_dependent(
    positions: ArrayLike,
    *,
    scale: float,
    probability: float = 1.0,
    speed: float | None = None,
    generator: torch.Generator,
) -> Connectome:
    r"""Cells connected the more rarely the farther apart they are.

    .. math:: P(\text{pre} \to \text{post}) = \text{probability} \cdot e^{-d / \text{scale}}

    positions: [N, 3] um; the cells are named "C0", "C1", ... in that order.
    scale: um, distance over which the probability falls by a factor e.
    probability: that of two cells in the same place.
    speed: of conduction, um/ms; each delay is then distance / speed in ms.

    No cell projects to itself. The time goes with probability * N**2; no more than a million pairs
    are held at once. For cells that exist already, join the parts:
    ``Connectome(cells, distance_dependent(cells.position, ...).connections)``.
    Raises ValueError or TypeError for values out of range and positions that are not known.
    """
    place, reach = places(positions), positive("scale", scale)
    chance, source = share("probability", probability), drawing(generator)
    pace = None if speed is None else positive("speed", speed)
    size, axes = len(place), np.ascontiguousarray(place.T)

    def near_enough(number: Indices) -> Ends:
        pre, post = _ends(number, size, size - 1)
        distance = np.sqrt(sum((axis[pre] - axis[post]) ** 2 for axis in axes))
        kept = uniform(len(number), source) < np.exp(-distance / reach)
        return pre[kept], post[kept], distance[kept]

    found = (near_enough(number) for number in chosen(size * (size - 1), chance, source))
    pre, post, distance = _joined(found, columns=3)
    delay = np.nan if pace is None else distance / pace
    cells = Cells([f"C{number}" for number in range(size)], position=place)
    return Connectome(cells, Connections(pre, post, delay=delay), name="distance dependent")


def heavy_tailed(
    cells: int,
    *,
    outdegree: float,
    spread: float = 1.1,
    synapses: float = 2.9,
    synapse_spread: float = 1.0,
    inhibitory: float = 0.3,
    generator: torch.Generator,
) -> Connectome:
    """A sparse network with the heavy tails of a brain: few cells have very many connections.

    outdegree: connections of a cell, on average; how many it is expected to have is log-normal, and
        so, independently, is how attractive a cell is as a target. spread: standard deviation of
        the logarithm of both.
    synapses: of a connection, the mean of a log-normal number that is rounded up.
        synapse_spread: standard deviation of its logarithm.
    inhibitory: share of inhibitory cells, named, placed and signed as in `random`.

    With 138,639 cells and an out-degree of 109 it has the size of the adult fly's brain; cell types
    and modules it has none. Connections come in the order of their presynaptic cells. Some go back
    to the cell they come from, and some stand twice. Needs 13 bytes for each connection.
    Raises ValueError or TypeError for values out of range.
    """
    size, source = whole("cells", cells), drawing(generator)
    mean, sigma = positive("outdegree", outdegree), real("spread", spread)
    middle = (
        np.log(positive("synapses", synapses)) - real("synapse_spread", synapse_spread) ** 2 / 2
    )
    population = _excitatory_and_inhibitory(size, share("inhibitory", inhibitory))
    expected, pull = (np.exp(sigma * normal(size, source)) for _ in range(2))
    degree = counts(expected * (mean * size / expected.sum()), source)
    reached = np.cumsum(pull) / pull.sum()
    total = int(degree.sum())
    post, synapse = np.empty(total, np.int32), np.empty(total, np.float32)
    for start in range(0, total, 1 << 20):
        part = slice(start, min(start + (1 << 20), total))
        drawn = np.searchsorted(reached, uniform(part.stop - start, source))
        post[part] = np.minimum(drawn, size - 1)
        synapse[part] = np.ceil(np.exp(middle + synapse_spread * normal(part.stop - start, source)))
    pre = np.repeat(np.arange(size, dtype=np.int32), degree)
    signs = np.where(population.kind == "inhibitory", -1, 1).astype(np.int8)
    columns = pre, post, synapse, np.repeat(signs, degree)
    for column in columns:
        column.flags.writeable = False  # then it is kept as it is, not copied
    wires = Connections(pre, post, synapses=synapse, sign=columns[3])
    return Connectome(population, wires, name="heavy tailed")


def shuffled(connectome: Connectome, *, swaps: int = 10, generator: torch.Generator) -> Connectome:
    """The connectome with its wiring shuffled: each cell keeps how many connections it has.

    Two connections a to b and c to d of one kind become a to d and c to b, unless that would join a
    cell to itself or repeat a connection: the null model of Maslov & Sneppen 2002,
    doi 10.1126/science.1065103. Synapses, sign and delay stay with the presynaptic cell.
    Connections of a cell to itself and repeated ones stay as they are.

    swaps: how often a connection is swapped, on average, when few of all pairs are connected.
    Raises ValueError or TypeError for values out of range.
    """
    rounds, source = whole("swaps", swaps, least=0), drawing(generator)
    wires = connectome.connections
    pre, post = wires.pre.astype(np.int64), wires.post.astype(np.int64)
    for electrical in (False, True):
        moving = np.flatnonzero((wires.electrical == electrical) & (pre != post))
        for _ in range(2 * rounds if len(moving) > 1 else 0):
            if electrical:
                turned = moving[uniform(len(moving), source) < 0.5]
                pre[turned], post[turned] = post[turned], pre[turned]
            _swap_ends(pre, post, moving, len(connectome), source, directed=not electrical)
    return connectome.with_connections(pre=pre, post=post)


def _swap_ends(
    pre: Indices,
    post: Indices,
    moving: Indices,
    size: int,
    generator: torch.Generator,
    *,
    directed: bool,
) -> None:
    """Pair the moving connections at random and exchange, in place, the targets that may be."""

    def joined(before: Indices, behind: Indices) -> Indices:
        if directed:
            return before * size + behind
        return np.minimum(before, behind) * size + np.maximum(before, behind)

    order = moving[np.argsort(uniform(len(moving), generator))]
    one, other = np.split(order[: len(order) // 2 * 2], 2)
    now = joined(pre[order], post[order])
    then = np.concatenate([joined(pre[one], post[other]), joined(pre[other], post[one])])
    # No swap touches what another one makes or breaks, and half of them are left out by chance:
    # so each step is as likely as the step back, and all wirings are equally likely in the end.
    _, place, times = np.unique(
        np.concatenate([now, then]), return_inverse=True, return_counts=True
    )
    once = times[place] == 1
    alone = once[: len(one)] & once[len(one) : 2 * len(one)]
    possible = once[len(now) :].reshape(2, -1).all(0) & (pre[one] != post[other])
    possible &= (pre[other] != post[one]) & (uniform(len(one), generator) < 0.5)
    one, other = one[alone & possible], other[alone & possible]
    post[one], post[other] = post[other], post[one]


def _ends(number: Indices, size: int, targets: int) -> Ends:
    """Cells before and behind the pairs of that number; without self when targets < size."""
    pre = number // targets
    post = number - pre * targets
    if targets < size:
        post += post >= pre
    return pre.astype(np.int32), post.astype(np.int32)


def _afferents(
    rows: Indices, start: int, there: int, wanted: int, generator: torch.Generator
) -> Ends:
    """Connections onto the cells `rows`, each from `wanted` of the `there` cells after `start`."""
    among_them = bool(start <= rows[0] < start + there)
    senders = distinct(np.full((len(rows), wanted), -1), there - among_them, generator)
    within = _on_ring(rows - start, senders, there) if among_them else senders.ravel()
    return (start + within).astype(np.int32), np.repeat(rows, wanted).astype(np.int32)


def _on_ring(cells: Indices, offsets: Indices, size: int) -> Indices:
    """The cell `offset` + 1 places on from each cell, flat; offsets [R, K] are below size - 1."""
    return ((cells[:, None] + 1 + offsets) % size).ravel()


def _rewired(
    rows: int, lattice: Indices, rewiring: float, size: int, generator: torch.Generator | None
) -> Indices:
    places = np.tile(lattice, (rows, 1))
    if generator is None:
        return places
    places[uniform(places.shape, generator) < rewiring] = -1
    return distinct(places, size - 1, generator)


def _joined(parts: Iterable[Ends], columns: int = 2) -> Ends:
    nothing = (np.empty(0, dtype=np.int32),) * columns
    return tuple(np.concatenate(column) for column in zip(nothing, *parts, strict=True))


def _excitatory_and_inhibitory(size: int, share: float) -> Cells:
    few = round(size * share)
    many = size - few
    return Cells(
        [f"E{number}" for number in range(many)] + [f"I{number}" for number in range(few)],
        kind=["excitatory"] * many + ["inhibitory"] * few,
        cell_class=["E"] * many + ["I"] * few,
    )


def _dalean(cells: Cells, pre: Indices, post: Indices, *, name: str) -> Connectome:
    """Connections that all have the sign of the cell they come from."""
    sign = np.where(cells.kind == "inhibitory", -1, 1).astype(np.int8)
    return Connectome(cells, Connections(pre, post, sign=sign[pre]), name=name)
