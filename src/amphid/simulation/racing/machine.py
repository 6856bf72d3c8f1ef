"""The loop of a race in machine code, and the memory that it works in."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.dynamics.receivers import Reception
from amphid.kernels import compile_source
from amphid.simulation.racing import loop
from amphid.simulation.racing.network import Rows

Array = NDArray[Any]
CALLED = ("begin", "load", "race_many", "race_on", "under_way")


@cache
def compiled() -> Any:
    """The functions of the loop that are called from here, in machine code."""
    text = Path(loop.__file__).read_text(encoding="utf-8")
    text = text[text.index("import math") :]

    def decorated(found: re.Match[str]) -> str:
        return f"@{'outer' if found[1] in CALLED else 'inner'}\n{found[0]}"

    return compile_source(re.sub(r"^def (\w+)", decorated, text, flags=re.MULTILINE))


class Workspace:
    """What one thread needs to run trials of a network, one after another."""

    def __init__(self, rows: Rows, reception: Reception) -> None:
        size = len(reception)
        self.wires = rows.start, rows.lag, rows.onto
        own = reception
        self.law = (
            own.period, own.threshold, own.memory, own.share, own.rate, own.raised, own.recovery,
            own.silenced,
        )  # fmt: skip
        self.cells = (
            np.zeros(size, np.int32),  # ready
            np.zeros(size, np.int32),  # fired
            np.zeros((size, max(len(own.share), 1))),  # sums
            np.zeros(size, np.int32),  # seen
            np.zeros(size),  # arriving
            np.zeros(size, np.int32),  # stamp
            np.zeros(size, np.int32),  # touched
        )
        self.clock = np.zeros(12, np.int64)
        self.clock[loop.FREE] = -1
        slots = rows.longest + 1
        self.ring: tuple[Array, ...] = (
            np.full(slots, -1, np.int32),  # head
            np.zeros(slots, np.int64),  # end
            np.zeros(0, np.int32),  # following
            np.zeros(0, np.int64),  # signals
        )
        self.more_signals()

    def more_signals(self) -> None:
        """Twice as much room for signals under way, and a little more."""
        head, end, following, signals = self.ring
        had = len(following)
        added = had + max(16, min(len(head), 4096))
        fresh = np.arange(had + 1, had + added + 1, dtype=np.int32)
        fresh[-1] = self.clock[loop.FREE]
        self.ring = (
            head,
            end,
            np.concatenate([following, fresh]),
            np.concatenate([signals, np.zeros(added * loop.CHUNK, np.int64)]),
        )
        self.clock[loop.FREE] = had
        self.clock[loop.SPARE] += added

    def room_for(self, signals: int) -> None:
        """Make room for so many signals under way at once."""
        while loop.CHUNK * self.clock[loop.SPARE] < signals + loop.CHUNK * len(self.ring[0]):
            self.more_signals()
