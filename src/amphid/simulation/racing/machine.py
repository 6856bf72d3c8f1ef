"""The loop of a race in machine code, and the memory that it works in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.dynamics.receivers import Reception
from amphid.kernels import ObjectCode
from amphid.simulation.racing import loop
from amphid.simulation.racing.network import Rows

Array = NDArray[Any]


@cache
def compiled() -> ObjectCode:
    """The functions of the loop in machine code."""
    text = Path(loop.__file__).read_text(encoding="utf-8")
    return ObjectCode(text[text.index("CHUNK = ") :])


class Workspace:
    """What one thread needs to run trials of a network, one after another, in ticks of one dt."""

    def __init__(self, rows: Rows, own: Reception, end: int) -> None:
        size, slots = len(own), rows.longest + 1
        self.wires = rows.start, rows.lag, rows.onto
        self.spans = np.stack((own.period, own.memory))
        levels = np.stack((own.threshold, own.raised, own.recovery))
        self.law = self.spans, levels, own.share, own.rate
        self.marks = np.zeros((5, size), np.int32)
        self.sums = np.zeros((size, max(len(own.share), 1)))
        self.arriving = np.zeros(size)
        self.clock = np.zeros(15, np.int64)
        self.clock[loop.END], self.clock[loop.SILENCED] = end, own.silenced
        self.clock[loop.FREE] = -1
        self.slots = np.full(slots, -1, np.int32), np.zeros(slots, np.int64)
        self.following, self.signals = np.zeros(0, np.int32), np.zeros(0, np.int64)
        self.more_signals()

    @property
    def ring(self) -> tuple[Array, ...]:
        """What holds the signals under way: head, end, following, signals."""
        return *self.slots, self.following, self.signals

    def more_signals(self) -> None:
        """Twice as much room for signals under way, and a little more."""
        had = len(self.following)
        added = had + max(16, min(len(self.slots[0]), 4096))
        fresh = np.arange(had + 1, had + added + 1, dtype=np.int32)
        fresh[-1] = self.clock[loop.FREE]
        self.following = np.concatenate([self.following, fresh])
        before, self.signals = self.signals, np.empty((had + added) * loop.CHUNK, np.int64)
        self.signals[: len(before)] = before
        self.clock[loop.FREE] = had
        self.clock[loop.SPARE] += added

    def begin(self) -> None:
        """Everything at rest and nothing under way, at tick 0."""
        clock, (head, end) = self.clock, self.slots
        nothing = np.zeros(len(self.arriving), np.int32), np.zeros(len(self.arriving), np.int32)
        compiled().call("begin", clock, self.marks, self.sums, head, end, self.following, *nothing)
        clock[loop.ARRIVED] = clock[loop.LOST] = clock[loop.TRIAL] = 0
        clock[loop.BEGUN] = 1

    def run(self, *given: Array) -> int:
        """Go on with trials, see `race_many`; what there is not room enough for, if anything."""
        own = self.clock, *self.wires, *self.law, self.marks, self.sums, self.arriving
        return compiled().call("race_many", *own, *self.ring, *given)

    def under_way(self) -> tuple[Array, Array]:
        """Ticks to go and signals of what is under way."""
        flying = int(self.clock[loop.FLYING])
        found = np.empty(flying, np.int32), np.empty(flying, np.int64)
        own = self.clock, self.spans, self.marks, *self.ring
        count = compiled().call("under_way", *own, *found)
        return found[0][:count], found[1][:count]

    def load(self, ticks: Array, signals: Array) -> None:
        """Put signals under way."""
        while loop.CHUNK * self.clock[loop.SPARE] < len(ticks) + loop.CHUNK * len(self.slots[0]):
            self.more_signals()
        compiled().call("load", self.clock, *self.ring, ticks, signals)
