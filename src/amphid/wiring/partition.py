"""Cut the cells of a connectome into ranges that take about the same work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from amphid.wiring.connectome import Connections

ALIGNED = 64
"""Ranges begin at multiples of this: machine code that takes so many cells at once treats each of
them as it does in a single range, to the last bit."""

CONNECTIONS_PER_CELL = 500
"""Connections onto a cell that take as much work, at some 20 Hz and 0.1 ms, as stepping it."""


def borders(cells: int, posts: Iterable[NDArray[Any]], parts: int) -> list[int]:
    """Where to cut cells into ranges: [parts + 1], from 0 to the number of cells.

    posts: the cell behind each connection, in as many arrays as one likes. A range takes as much
    work as another, counting cells and the connections onto them; some are empty where there are
    few cells.
    Raises ValueError for less than one part.
    """
    if not isinstance(parts, int) or parts < 1:
        raise ValueError(f"parts must be a number of parts, at least 1, got {parts!r}.")
    incoming = np.zeros(cells, dtype=np.int64)
    for post in posts:
        incoming += np.bincount(post, minlength=cells)
    work = np.cumsum(incoming + CONNECTIONS_PER_CELL)
    total = int(work[-1]) if cells else 0
    cuts = np.searchsorted(work, [total * part // parts for part in range(1, parts)])
    cuts = np.round(cuts / ALIGNED).astype(np.int64) * ALIGNED
    return [0, *np.minimum(cuts, cells).tolist(), cells]


def own_range(wires: Connections, cells: int, number: int, parts: int) -> range:
    """The cells of one part of several."""
    ends = borders(cells, ends_of(wires), parts)
    return range(ends[number], ends[number + 1])


def ends_of(wires: Connections) -> list[NDArray[Any]]:
    """The cells that signals arrive at: those behind connections, both of gap junctions."""
    return [wires.post, wires.pre[wires.electrical]]


def touching(
    pre: NDArray[Any], post: NDArray[Any], electrical: NDArray[np.bool_], own: range
) -> NDArray[np.bool_]:
    """[E] which connections lead onto cells of a range, or join one to another electrically."""
    onto = (post >= own.start) & (post < own.stop)
    both = (pre >= own.start) & (pre < own.stop) & electrical
    found: NDArray[np.bool_] = onto | both
    return found


def check_part(part: object) -> None:
    """Raise ValueError unless it is a pair (number, parts), 0 <= number < parts."""
    if isinstance(part, tuple) and len(part) == 2 and all(type(n) is int for n in part):
        number, parts = part
        if 0 <= number < parts:
            return
    raise ValueError(
        f"a part is told by its number and how many there are, 0 <= number < parts, as a rank of "
        f"all ranks is: got {part!r}."
    )
