"""The branches of one neuron: a tree of points, and how far it is along them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.wiring.checks import positive, whole

SOMA = 1  # the label of a cell body in SWC files
BEYOND = 1 << 53  # whole numbers that a float cannot tell apart


@dataclass(frozen=True, eq=False, repr=False)
class Skeleton:
    """A neuron as P points joined to trees.

    number: [P] what its file calls each point. label: [P] 1 soma, 2 axon, 3 and 4 dendrites, others
    as its file has them. position: [P, 3] um. radius: [P] um. parent: [P] the point before it, -1
    at a root. synapses: points at which synapses of a kind lie, such as "pre" and "post".
    """

    number: NDArray[np.int64]
    label: NDArray[np.int64]
    position: NDArray[np.float64]
    radius: NDArray[np.float64]
    parent: NDArray[np.int64]
    synapses: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.number)

    def __repr__(self) -> str:
        sites = ", ".join(f"{len(at)} {kind}" for kind, at in self.synapses.items())
        return f"Skeleton({len(self)} points, {self.cable:.0f} um{f', {sites}' * bool(sites)})"

    @property
    def soma(self) -> int:
        """The widest point that is labelled soma; the first root where none is."""
        body = np.flatnonzero(self.label == SOMA)
        if not len(body):
            return int(np.flatnonzero(self.parent < 0)[0])
        return int(body[self.radius[body].argmax()])

    @property
    def cable(self) -> float:
        """Length of all branches together, um."""
        return float(self._steps.sum())

    @cached_property
    def branch_points(self) -> NDArray[np.int64]:
        """[Q] points at which a branch divides."""
        return np.flatnonzero(self._degree > 2)

    @cached_property
    def tips(self) -> NDArray[np.int64]:
        """[Q] points at which a branch ends, roots among them."""
        return np.flatnonzero(self._degree == 1)

    def path_lengths(self, start: int | None = None) -> Tensor:
        """Length [P] of the path along the branches to each point, um; nan where there is none.

        start: the point it starts from; the soma when None. Raises ValueError for no point.
        """
        if start is not None and not 0 <= whole("start", start, least=0) < len(self):
            raise ValueError(f"start must be one of {len(self)} points, got {start}.")
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        child = np.flatnonzero(self.parent >= 0)
        # a step of no length would be no step to a sparse matrix
        ends = (
            np.maximum(self._steps[child], np.finfo(np.float64).tiny),
            (child, self.parent[child]),
        )
        joined = csr_array(ends, shape=(len(self), len(self)))
        found = dijkstra(joined, directed=False, indices=self.soma if start is None else start)
        return torch.from_numpy(np.where(np.isfinite(found), found, np.nan))

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        """[P] um from each point to the one before it; 0 at a root."""
        before = np.where(self.parent >= 0, self.parent, np.arange(len(self)))
        steps: NDArray[np.float64] = np.linalg.norm(self.position - self.position[before], axis=1)
        return steps

    @cached_property
    def _degree(self) -> NDArray[np.int64]:
        """[P] how many points each is joined to."""
        child = self.parent[self.parent >= 0]
        return np.bincount(child, minlength=len(self)) + (self.parent >= 0)


def read_skeleton(
    path: str | Path, *, unit: float = 1.0, synapses: str | Path | None = None
) -> Skeleton:
    """The neuron in an SWC file: rows of number, label, x, y, z, radius, number of the parent.

    unit: um of a unit of length in the file, such as 0.008 for voxels of 8 nm.
    synapses: a table (CSV) with columns `node_id`, the number of a point, and `type`.

    The format of Cannon et al. 1998, doi 10.1016/S0165-0270(98)00091-0.
    Raises ValueError, naming the row, for a file that is not of that format.
    """
    scale, path = positive("unit", unit), Path(path)
    rows = [_row(text, path, line) for line, text in enumerate(_lines(path), 1) if _told(text)]
    if not rows:
        raise ValueError(f"{path} has no points.")
    table = np.array(rows)
    number = table[:, 0].astype(np.int64)
    place = {int(one): index for index, one in enumerate(number)}
    if len(place) < len(number):
        raise ValueError(f"{path} has the same number for several points.")
    sites = {} if synapses is None else _sites(Path(synapses), place)
    return Skeleton(
        number=number,
        label=table[:, 1].astype(np.int64),
        position=table[:, 2:5] * scale,
        radius=table[:, 5] * scale,
        parent=_parents(table[:, 6].astype(np.int64), place, path),
        synapses=sites,
    )


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()


def _told(text: str) -> bool:
    """Whether a line is more than a comment."""
    return bool(text.split("#")[0].strip())


def _row(text: str, path: Path, line: int) -> list[float]:
    try:
        row = [float(word) for word in text.split("#")[0].split()]
    except ValueError:
        row = []
    if len(row) != 7 or not np.isfinite(row).all():
        raise ValueError(
            f"{path}, line {line}: a point of an SWC file is seven numbers (number, label, x, y, "
            f"z, radius, parent), got {text[:60]!r}."
        )
    if any(one != round(one) or abs(one) >= BEYOND for one in (*row[:2], row[6])):
        raise ValueError(
            f"{path}, line {line}: number, label and parent must be whole numbers, got "
            f"{text[:60]!r}."
        )
    return row


def _parents(given: NDArray[Any], place: Mapping[int, int], path: Path) -> NDArray[np.int64]:
    if missing := {int(one) for one in given if one >= 0} - set(place):
        raise ValueError(f"{path}: point {min(missing)} is a parent but is not in the file.")
    parent = np.array([place.get(int(one), -1) for one in given], dtype=np.int64)
    up = parent  # twice as far at each turn: where there is a root, beyond it in the end
    for _ in range(len(parent).bit_length()):
        up = np.where(up >= 0, up[up], -1)
    if (up >= 0).any():
        raise ValueError(f"{path}: its points are no tree: one is an ancestor of itself.")
    return parent


def _sites(path: Path, place: Mapping[int, int]) -> dict[str, NDArray[np.int64]]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file))
    except csv.Error as error:
        raise ValueError(f"{path} is no table of synapses: {error}.") from None
    if not rows or not {"node_id", "type"} <= set(rows[0]):
        raise ValueError(f"{path} must have rows with the columns node_id and type.")
    found: dict[str, list[int]] = {}
    for row in rows:
        told = row["node_id"] or ""
        point = place.get(int(told)) if told.isdecimal() and len(told) < 17 else None
        if point is None:
            raise ValueError(f"{path}: {told[:60]!r} is no point of the skeleton.")
        if not row["type"]:
            raise ValueError(f"{path}: the synapse at point {told} has no type; is the file whole?")
        found.setdefault(row["type"], []).append(point)
    return {kind: np.array(points, dtype=np.int64) for kind, points in found.items()}
