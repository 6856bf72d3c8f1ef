"""Connections as machine code reads them: the targets of each cell in a row, and what is under way.

What is released travels through a ring of rows [L, N], one for each step to come: a signal with
lag l that leaves in step t is added to row t + l - 1, which is read, then cleared, in that step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.simulation.compiled.share import Lags, Share
from amphid.simulation.kept import Kept
from amphid.simulation.wires import Past, UnderWay, Wires

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PerTrial:
    """An array for each trial, kept once where trials share it.

    rows: [draws, ...]. which: [trials] the row of each trial.
    """

    rows: Array
    which: Array

    @staticmethod
    def of(tensor: Tensor, batch: torch.Size, *, axes: int = 1) -> PerTrial:
        """A tensor [*C, ...], *C broadcasting to the batch, whose last axes belong to a trial."""
        tensor = tensor.detach()
        lead, own = tensor.shape[:-axes], tensor.shape[-axes:]
        draws = torch.arange(lead.numel()).reshape(lead)
        return PerTrial(
            np.ascontiguousarray(tensor.reshape(lead.numel(), *own).numpy()),
            draws.expand(batch).reshape(-1).numpy(),
        )

    def __getitem__(self, trial: int) -> Array:
        row: Array = self.rows[self.which[trial]]
        return row


@dataclass(frozen=True, eq=False)
class Rows:
    """Connections of a group, ordered by the cell they come from.

    start: [N + 1] where the row of each cell begins. place: [K] the cell that a signal goes to, or,
    where lags differ, the entry of the ring counted from the row of this step; counted among the
    cells of a share. weight: [K], or [1] where all are the same (uniform). lag: that of all
    connections, or None where they differ. order: [K] the place in the group of each connection, or
    None where the group stands in this order.
    """

    start: Array
    place: Array
    weight: PerTrial
    lag: int | None
    longest: int
    uniform: bool
    order: Array | None = None

    def places(self, chosen: Array) -> Array:
        """Where connections of the group [K] stand in the rows."""
        if self.order is None:
            return chosen
        place = np.empty(len(self.order), dtype=np.int64)
        place[self.order] = np.arange(len(self.order))
        found: Array = place[chosen]
        return found

    @staticmethod
    def of(
        wires: Wires, batch: torch.Size, share: Share, lags: Lags, *, plastic: bool = False
    ) -> Rows:
        """The connections onto the cells of a share; plastic ones each have a weight."""
        key = (batch, share, lags, plastic)
        return _ROWS.of(wires, key, lambda: Rows._laid(wires, batch, share, lags, plastic=plastic))

    @staticmethod
    def _laid(wires: Wires, batch: torch.Size, share: Share, lags: Lags, *, plastic: bool) -> Rows:
        # connections whose weights alone were changed have the same tensor of cells behind them
        lines = _LINES.of(wires.post, (share, lags.only), lambda: _Lines.of(wires, share, lags))
        uniform = lags.uniform and not plastic
        weight = PerTrial.of(wires.weight, batch)
        rows, order = weight.rows, lines.order
        if uniform:
            rows = rows[:, :1] if len(lines.place) else np.zeros((len(rows), 1), rows.dtype)
        elif order is not None:
            rows = rows[:, order]
        kept = PerTrial(np.ascontiguousarray(rows), weight.which)
        return Rows(lines.start, lines.place, kept, lags.only, lags.longest, uniform, order)

    def from_cells(self, cells: Array) -> tuple[Array, Array]:
        """The connections [K] from some cells, and the cell of each, in the order of the group."""
        first, last = self.start[cells], self.start[cells + 1]
        cell, many = np.repeat(cells, last - first), last - first
        edge = np.arange(len(cell)) + np.repeat(first - np.cumsum(many) + many, many)
        if self.order is None:
            return edge, cell
        order = np.argsort(self.order[edge])
        return edge[order], cell[order]


@dataclass(frozen=True, eq=False)
class _Lines:
    """Where connections start and end, ordered by the cell they come from: see `Rows`."""

    start: Array
    place: Array
    order: Array | None

    @staticmethod
    def of(wires: Wires, share: Share, lags: Lags) -> _Lines:
        pre, post, lag = wires.pre.numpy(), share.counted(wires.post.numpy()), wires.lag
        order = None
        if np.any(pre[1:] < pre[:-1]):
            order = order_of(pre)
            post, lag = post[order], lag[order]
        start = np.zeros(wires.size + 1, dtype=np.int64)
        np.cumsum(np.bincount(pre, minlength=wires.size), out=start[1:])
        place = post if lags.only else (lag - 1) * len(share) + post
        small = len(share) * lags.longest < 2**32
        same = small and place.dtype == np.int32  # then its bytes are what is asked for
        place = place.view(np.uint32) if same else place.astype(np.uint32 if small else np.uint64)
        return _Lines(start, place, order)


_ROWS: Kept[Rows] = Kept()
_LINES: Kept[_Lines] = Kept()


def under_way(wires: Wires, rows: Rows, past: Past, batch: torch.Size, share: Share) -> Array:
    """The ring [trials, L, N] of a share, filled with what was released before the first step."""
    if isinstance(past, UnderWay):
        held = [row.detach().expand(*batch, wires.size) for row in wires.under_way(past).rows]
        return torch.stack(held, -2).reshape(-1, wires.longest, wires.size).numpy().copy()
    ring = np.zeros((batch.numel(), len(past), len(share)), past[0].numpy().dtype)
    for age, released in enumerate(past[:-1]):
        given = PerTrial.of(released, batch)
        for trial, row in enumerate(ring):
            edge, cell = rows.from_cells(np.flatnonzero(given[trial] != 0))
            # counted from the row that is read in the first step
            place = rows.place[edge].astype(np.int64) - (age + 1) * len(share)
            place += (rows.lag - 1) * len(share) if rows.lag else 0
            late = place >= 0
            edge, cell = edge[late], cell[late]
            weight = rows.weight[trial]
            carried = given[trial][cell] * (weight if rows.uniform else weight[edge])
            np.add.at(row.reshape(-1), place[late], carried)
    return ring


def order_of(cells: Array) -> Array:
    """What `argsort` gives, in a time that grows with the number of entries alone.

    numpy sorts numbers of 16 bits by counting them.
    """
    order = np.argsort((cells & 0xFFFF).astype(np.uint16), kind="stable")
    if len(cells) and cells.max() > 0xFFFF:
        high = (cells[order] >> 16).astype(np.uint32 if cells.max() >> 32 else np.uint16)
        order = order[np.argsort(high, kind="stable")]
    return order


def at_each_end(
    wires: Wires, batch: torch.Size, share: Share
) -> tuple[Array, Array, Array, PerTrial]:
    """Junctions, once for every end that is in the share, in order.

    Which of its cells [K] a current enters, between which two of all cells [K] it flows, weights.
    """
    pre, post = wires.pre.numpy(), wires.post.numpy()
    ends, others = np.stack((post, pre), 1).reshape(-1), np.stack((pre, post), 1).reshape(-1)
    own = share.among(ends)
    weight = PerTrial.of(wires.weight[..., torch.from_numpy(own // 2)], batch)
    to, here, there = ends[own] - share.low, ends[own], others[own]
    return to.astype(np.uint32), there.astype(np.uint32), here.astype(np.uint32), weight


def aligned(values: Array) -> Array:
    """A copy that begins where a line of the cache does."""
    room = np.empty(values.size * values.itemsize + 64, dtype=np.uint8)
    start = -room.ctypes.data % 64
    placed = room[start : start + values.size * values.itemsize].view(values.dtype)
    placed = placed.reshape(values.shape)
    placed[...] = values
    return placed
