"""Signals between cells: each connection carries what its cell let go some steps before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Traffic:
    """The connections of one group, in rows by lag and by the cell that they come from.

    lag: [L] different lags in steps, at least 1: a signal of lag 1 arrives in the step after the
    one that it was given out in. start: [L * N + 1] row l * N + i has the entries from its start to
    the next. post: [K]. order: [K] places of the connections as they were given.
    """

    lag: NDArray[np.int64]
    start: NDArray[np.int64]
    post: NDArray[np.integer]
    order: NDArray[np.int64]
    cells: int

    @staticmethod
    def of(
        pre: NDArray[np.integer], post: NDArray[np.integer], lag: NDArray[np.integer], cells: int
    ) -> Traffic:
        """Connections [K] from cell to cell, with lags [K]."""
        different, which = np.unique(lag, return_inverse=True)
        if not len(different):
            different = np.ones(1, np.int64)
        row = which.reshape(-1) * cells + pre
        order = np.lexsort((post, row))
        counts = np.bincount(row, minlength=len(different) * cells)
        start = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Traffic(
            different.astype(np.int64), start, post[order].astype(np.int64), order, cells
        )

    @staticmethod
    def all_pairs(cells: int) -> Traffic:
        """From every cell to every cell in one step, in rows by the cell that they come from."""
        start, post = np.arange(cells + 1) * cells, np.tile(np.arange(cells), cells)
        order = np.arange(cells**2)
        return Traffic(np.ones(1, np.int64), start, post, order, cells)

    @cached_property
    def ordered(self) -> bool:
        """Whether the connections were given in the order that they stand in here."""
        return bool((np.diff(self.order) == 1).all())

    def carried(self, rows: Sequence[Tensor], weight: Tensor, lanes: int) -> Tensor:
        """What arrives [*B, N * lanes] of what was let go in all steps so far, latest last.

        weight: [K], ordered as here.
        """
        arriving = torch.zeros_like(rows[-1]).unflatten(-1, (self.cells, lanes))
        counts = np.diff(self.start)
        row = np.repeat(np.arange(len(counts)), counts)
        for place, lag in enumerate(self.lag):
            own = torch.from_numpy(np.flatnonzero(row // self.cells == place))
            pre = torch.from_numpy(row % self.cells)[own]
            sent = rows[-lag].unflatten(-1, (self.cells, lanes)).index_select(-2, pre)
            post = torch.from_numpy(self.post.astype(np.int64))[own]
            arriving = arriving.index_add(-2, post, weight[own, None] * sent)
        return arriving.flatten(-2)

    @property
    def longest(self) -> int:
        """The longest lag, in steps."""
        return int(self.lag.max())


def arguments(groups: Sequence[int]) -> list[str]:
    """Names of the arrays of the connections of those groups."""
    return [f"{name}_{g}" for g in groups for name in ("LAG", "START", "POST", "WEIGHT")]


def write_traffic(lanes: int) -> str:
    """Source of `deliver` and `collect` for cells of which so many copies stand side by side.

    A cell that let nothing go is passed over, with all its connections. Copies are written out one
    by one, in variables of their own, which become one register.
    """
    each, fill = range(lanes), {"lanes": lanes}
    offsets = [f"L{b} = np.uintp({b})" for b in each]
    return "\n".join(
        [
            *offsets,
            DELIVER.format(
                load=_lines(2, [f"s{b} = SENT[row, i + L{b}]" for b in each]),
                none=" and ".join(f"s{b} == 0" for b in each),
                add=_lines(3, [f"ARRIVING[j + L{b}] += w * s{b}" for b in each]),
                **fill,
            ),
            COLLECT.format(
                load=_lines(2, [f"s{b} = SENT[row, i + L{b}]" for b in each]),
                start=_lines(2, [f"a{b} = G_SENT[row, i + L{b}]" for b in each]),
                none=" and ".join(f"s{b} == 0" for b in each),
                add=_lines(4, [f"a{b} += w * G_ARRIVING[j + L{b}]" for b in each]),
                total=" + ".join(f"s{b} * G_ARRIVING[j + L{b}]" for b in each),
                keep=_lines(2, [f"G_SENT[row, i + L{b}] = a{b}" for b in each]),
                **fill,
            ),
        ]
    )


def _lines(depth: int, lines: Sequence[str]) -> str:
    return "\n".join(f"{'    ' * depth}{line}" for line in lines).lstrip()


DELIVER = """
@inner
def deliver(now, LAG, START, POST, WEIGHT, SENT, ARRIVING):
    for k in range(len(ARRIVING)):
        ARRIVING[k] = 0
    cells = (len(START) - 1) // len(LAG)
    for r in range(len(START) - 1):
        row, i = now + 1 - LAG[r // cells], np.uintp((r % cells) * {lanes})
        {load}
        if {none}:
            continue
        for e in range(START[r], START[r + 1]):
            j, w = POST[e], WEIGHT[e]
            {add}
"""

COLLECT = """
@inner
def collect(now, LAG, START, POST, WEIGHT, SENT, G_SENT, G_ARRIVING, G_WEIGHT):
    cells = (len(START) - 1) // len(LAG)
    for r in range(len(START) - 1):
        row, i = now + 1 - LAG[r // cells], np.uintp((r % cells) * {lanes})
        {load}
        {start}
        if {none}:
            for e in range(START[r], START[r + 1]):
                j, w = POST[e], WEIGHT[e]
                {add}
        else:
            for e in range(START[r], START[r + 1]):
                j, w = POST[e], WEIGHT[e]
                {add}
                G_WEIGHT[e] += {total}
        {keep}
"""
