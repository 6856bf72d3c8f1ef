"""The connections that a rule governs, as machine code finds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amphid.simulation.compiled.edges import Array, Rows, order_of
from amphid.simulation.network import Network
from amphid.simulation.plasticity import Governed


@dataclass(frozen=True, eq=False)
class Walk:
    """A rule over the connections that it governs in one group: where they are found.

    arrays: by name, shared by trials. entry: where they stand in the rows of the group. which: and
    among those that the rule governs. whole: whether these are all connections of the group.
    signed: whether weights carry a sign in the loop that they do not have for the rule.
    """

    group: str
    arrays: dict[str, Array]
    entry: Array
    which: Array
    whole: bool
    signed: bool

    @staticmethod
    def of(
        prefix: str, governed: Governed, group: str, rows: Rows, network: Network
    ) -> Walk | None:
        """The connections of a group that a rule governs, or None where there are none."""
        own = network.edges[group]
        edges = np.intersect1d(governed.edges, own, assume_unique=True)
        if not len(edges):
            return None
        cells, wires = len(network.connectome), network.connectome.connections
        entry = rows.places(np.searchsorted(own, edges))
        along = np.argsort(entry)
        entry, edges = entry[along], edges[along]
        pre, post = wires.pre[edges], wires.post[edges]
        column = order_of(post.astype(np.int64))
        index = np.uint32 if len(own) < 2**32 else np.int64
        arrays = {
            "OUT_START": _starts(pre, cells),
            "OUT_POST": post.astype(np.uint32),
            "OUT_ENTRY": entry.astype(index),
            "IN_START": _starts(post, cells),
            "IN_PRE": pre[column].astype(np.uint32),
            "IN_ENTRY": entry[column].astype(index),
        }
        whole = len(entry) == len(own)
        if whole:
            del arrays["OUT_ENTRY"]
        signed = group == "chemical" and network.dale
        if signed:
            arrays["SIGN"] = np.ones(len(own), rows.weight.rows.dtype)
            arrays["SIGN"][entry] = wires.sign[edges]
        arrays = {f"{prefix}_{name}": held for name, held in arrays.items()}
        which = np.searchsorted(governed.edges, edges)
        return Walk(group, arrays, entry, which, whole, signed)


def _starts(cells: Array, size: int) -> Array:
    """Where the entries of each cell begin [N + 1], in entries ordered by cell."""
    start = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(np.bincount(cells, minlength=size), out=start[1:])
    return start
