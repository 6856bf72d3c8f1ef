"""Where cells are drawn: in place when their positions are known, else in a layout that says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amphid.wiring import Cells

GROUPS = 12  # more groups than this are too small to be read as such
HEAD, TAIL = "AVAL", "PLML"  # at the two ends of every worm
BELLY, SIDE = "VD5", "ALML"  # the ventral cord, and a cell of the left side above it
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))

Points = NDArray[np.float64]
Mark = tuple[str, float, float, float]


@dataclass(frozen=True, eq=False)
class Placement:
    """Where cells are drawn.

    point: [N, 3] to the right, up, and towards the viewer; um where positions are known.
    known: [N] which cells stand where they are in the animal.
    marks: text and the point [3] where it stands, such as "head".
    note: in sentences, how to read it.
    """

    point: Points
    known: NDArray[np.bool_]
    marks: tuple[Mark, ...]
    note: str


def place(cells: Cells) -> Placement:
    """Known positions turned so that the long axis lies across; the other cells beside them.

    A worm, known by the names of its cells, has its head to the left and its back up. Cells without
    a position stand in rows along those with one; when none is known, in one disc for each class.
    """
    known: NDArray[np.bool_] = np.isfinite(cells.position.sum(1))
    if not known.any():
        return _discs(cells)
    point = np.zeros((len(cells), 3))
    point[known] = _across(cells.position[known])
    worm = {HEAD, TAIL, BELLY, SIDE} <= set(cells.name[known])
    note = "Cells stand where the connectome places them, the longest axis across."
    if worm:
        point[known], seen = _as_a_worm(point[known], list(cells.name[known]))
        note = f"Cells stand where the connectome places them, {seen}."
    marks = _ends(point[known]) if worm else ()
    beside: NDArray[np.bool_] = np.logical_not(known)
    if beside.any():
        point[beside] = _rows(point[known], groups(cells, beside))
        note += f" {_count(beside)} without a known position stand in rows along them, by class."
    return Placement(point, known, marks, note)


def groups(cells: Cells, chosen: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
    """The chosen cells, numbered among themselves, by class, or by kind where classes are many."""
    for column in (cells.cell_class, cells.kind):
        labels = column[chosen]
        names = list(dict.fromkeys(labels))
        if len(names) <= GROUPS:
            return {name: np.flatnonzero(labels == name) for name in names}
    return {"": np.arange(int(chosen.sum()))}


def _across(position: Points) -> Points:
    """Longest axis to the right, next up, shortest towards the viewer; never mirrored."""
    centered = position - (position.min(0) + position.max(0)) / 2
    order = np.argsort(-np.ptp(position, axis=0), kind="stable")
    turned: Points = centered[:, order]
    turned[:, 2] *= round(np.linalg.det(np.eye(3)[order]))
    return turned


def _as_a_worm(point: Points, names: list[str]) -> tuple[Points, str]:
    """Turned, not mirrored, until the head is left and the belly down; and which side shows."""
    spot = {name: point[names.index(name)] for name in (HEAD, TAIL, BELLY, SIDE)}
    across = 1.0 if spot[HEAD][0] < spot[TAIL][0] else -1.0
    up = 1.0 if spot[BELLY][1] < spot[SIDE][1] else -1.0
    turn = np.array([across, up, across * up])
    side = "left" if (spot[SIDE] * turn)[2] > 0 else "right"
    return point * turn, f"seen from the animal's {side}, head to the left, dorsal side up"


def _ends(point: Points) -> tuple[Mark, ...]:
    first, last = point[:, 0].argmin(), point[:, 0].argmax()
    beyond = 0.04 * np.ptp(point[:, 0])
    return (
        ("head", float(point[first, 0] - beyond), float(point[first, 1]), 0.0),
        ("tail", float(point[last, 0] + beyond), float(point[last, 1]), 0.0),
    )


def _rows(point: Points, members: dict[str, NDArray[np.int64]]) -> Points:
    """One row per group along the cells in place: the first half above, the others below."""
    size = np.maximum(np.ptp(point, axis=0), 1.0)
    gap = max(0.11 * size[1], 0.014 * size[0])
    placed = np.empty((sum(map(len, members.values())), 3))
    above = (len(members) + 1) // 2
    for number, row in enumerate(members.values()):
        side, rank = (1, number) if number < above else (-1, number - above)
        x = point[:, 0].min() + size[0] * (np.arange(len(row)) + 0.5) / len(row)
        y = _edge(point, side, x) + side * gap * (1 + rank)
        placed[row] = np.stack([x, y, np.full_like(x, size[2] / 2 * (-1) ** rank)], 1)
    return placed


def _edge(point: Points, side: int, x: Points) -> Points:
    """The upper (side 1) or lower (side -1) edge of the cells at x, smoothed."""
    left, length = point[:, 0].min(), max(float(np.ptp(point[:, 0])), 1.0)
    stations = left + length * np.linspace(0, 1, 65)
    apart = np.abs(stations[:, None] - point[:, 0]) / length
    near = np.where(apart <= np.maximum(apart.min(1, keepdims=True), 0.06), side, np.nan)
    edge = np.nanmax(near * point[:, 1], axis=1)
    weight = np.exp(-(((stations[:, None] - stations) / (0.05 * length)) ** 2))
    smooth = (weight @ edge) / weight.sum(1)
    return side * np.interp(x, stations, smooth)


def _discs(cells: Cells) -> Placement:
    """One disc of evenly spread cells for each group, side by side."""
    everyone = np.ones(len(cells), dtype=bool)
    members = groups(cells, everyone)
    point, marks, left = np.zeros((len(cells), 3)), [], 0.0
    for label, row in members.items():
        number = np.arange(len(row))
        radius, angle = np.sqrt(number + 0.5), GOLDEN_ANGLE * number
        center = left + np.sqrt(len(row))
        point[row, :2] = np.stack([center + radius * np.cos(angle), radius * np.sin(angle)], 1)
        left = center + np.sqrt(len(row)) + 2.0
        if len(members) > 1:
            marks.append((label or "other", center, -np.sqrt(len(row)) - 1.2, 0.0))
    middle = (left - 2.0) / 2
    point[:, 0] -= middle
    shifted = tuple((text, float(x - middle), float(y), z) for text, x, y, z in marks)
    what = "a disc for each class" if shifted else "a disc"
    note = f"Positions are not known: the cells are laid out in {what}, in the order of the file."
    return Placement(point, ~everyone, shifted, note)


def _count(chosen: NDArray[np.bool_]) -> str:
    number = int(chosen.sum())
    return "1 cell" if number == 1 else f"{number:,} cells"
