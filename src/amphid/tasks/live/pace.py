"""Ticks at even times, and how many of them were missed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Protocol


class Clock(Protocol):
    """What tells time in ms and waits."""

    def now(self) -> float:
        """The time, ms."""

    def wait(self, until: float) -> None:
        """Return when that time has come, ms."""


class RealClock:
    """The clock of the machine, which never goes back."""

    def now(self) -> float:
        """The time, ms."""
        return time.monotonic() * 1000

    def wait(self, until: float) -> None:
        """Sleep until that time, ms."""
        left = until - self.now()
        if left > 0:
            time.sleep(left / 1000)


class VirtualClock:
    """A clock that jumps to what is waited for; work takes the time that `spend` says."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """The time, ms."""
        return self._now

    def wait(self, until: float) -> None:
        """It is then, ms."""
        self._now = max(self._now, until)

    def spend(self, time: float) -> None:
        """Let some ms pass."""
        self._now += time


class Pace:
    """Ticks every `interval` ms on an even grid of times.

    The work of a tick must be done when the next one is due: its deadline. Ticks that come due
    meanwhile are passed over, not made up for, and counted in `missed`, so that what moves at each
    tick never hurries. `lateness`: by how many ms each tick that ran began after it was due.
    """

    def __init__(self, clock: Clock | None = None, *, interval: float = 20.0) -> None:
        if not isinstance(interval, (int, float)) or not 0 < interval < math.inf:
            raise ValueError(f"interval must be a positive time in ms, got {interval!r}.")
        self.clock = RealClock() if clock is None else clock
        self.interval = interval
        self.missed = 0
        self.lateness: list[float] = []

    def ticks(self, count: int) -> Iterator[int]:
        """Numbers of the ticks that run, of `count` planned ones, each when it is due."""
        start, tick = self.clock.now(), 0
        while tick < count:
            due = start + tick * self.interval
            self.clock.wait(due)
            self.lateness.append(max(self.clock.now() - due, 0.0))
            yield tick
            ended = (self.clock.now() - start) / self.interval
            following = min(max(tick + 1, math.ceil(ended - 1e-9)), count)
            self.missed += following - tick - 1
            tick = following
