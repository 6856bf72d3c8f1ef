"""What parts of a network tell each other: which cells let go how much, in which step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amphid.simulation.compiled.share import Array, Share


@dataclass(eq=False)
class Packet:
    """What left the cells of some parts in a few steps, for every trial.

    starts: by signal [trials, parts, P + 1] where the entries of each step begin, of each part.
    cells, released: by signal [trials, K] which cells let go how much; what lies between the parts
    means nothing. v: [trials, N] voltages, where gap junctions compare them; else [trials, 0].
    slots: how many steps there are in it.
    """

    starts: dict[str, Array]
    cells: dict[str, Array]
    released: dict[str, Array]
    v: Array
    slots: int = 0

    @staticmethod
    def of(
        signals: Sequence[str], shares: Sequence[Share], steps: int, trials: int, v: int, kind: Any
    ) -> Packet:
        """Room for that many steps, in each of which every cell may let go something."""
        # what is never written takes no memory
        sizes = [steps * len(share) for share in shares]
        room, bases = sum(sizes), np.cumsum([0, *sizes[:-1]])
        starts = np.zeros((trials, len(shares), steps + 1), dtype=np.int64)
        starts[:] = bases[:, None]
        return Packet(
            {signal: starts.copy() for signal in signals},
            {signal: np.zeros((trials, room), dtype=np.int32) for signal in signals},
            {signal: np.zeros((trials, room), dtype=kind) for signal in signals},
            np.zeros((trials, v), dtype=kind),
        )

    def read(self, trial: int) -> list[Array]:
        """The arrays of a trial as the loop of any part reads them."""
        arrays = [self.v[trial]]
        for signal in self.starts:
            arrays += (column[signal][trial] for column in (self.starts, self.cells, self.released))
        return arrays

    def written(self, trial: int, part: int) -> list[Array]:
        """The arrays of a trial as the loop of one part writes them."""
        arrays = [self.v[trial]]
        for signal in self.starts:
            arrays += (
                self.starts[signal][trial, part],
                self.cells[signal][trial],
                self.released[signal][trial],
            )
        return arrays


def argument_names(signals: Sequence[str]) -> list[str]:
    """What the loop calls the arrays of a packet that is read, and of one that is written."""
    columns = [
        f"{column}_{signal}" for signal in signals for column in ("STARTS", "CELLS", "RELEASED")
    ]
    return [f"{way}_{name}" for way in ("IN", "OUT") for name in ("V", *columns)]
