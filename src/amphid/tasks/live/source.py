"""Where bins of counts come from, whoever sends them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Bin:
    """One bin as it came.

    values: [N], counts or other numbers. number: its place among the bins that were sent, None
    where the stream does not tell. stamp: when it was sent, ms of the sender's clock. arrived: when
    it was read, ms of the reader's clock.
    """

    values: Tensor
    number: int | None
    stamp: float
    arrived: float


class Source(Protocol):
    """What a loop reads bins from. Nothing that a stream does raises an error in a loop."""

    @property
    def trouble(self) -> str | None:
        """Why bins do not come as they should, in a sentence; None while all is well."""

    @property
    def ended(self) -> bool:
        """Whether there is no stream now, so that no bin can come unless it is back."""

    def read(self) -> list[Bin]:
        """The bins that came since the last call, the oldest first; never waits."""

    def close(self) -> None:
        """Let go of the stream."""


def check_time(what: str, time: float) -> None:
    """Raise ValueError for what is no positive time in ms; it may be infinite."""
    if not isinstance(time, (int, float)) or not time > 0:
        raise ValueError(f"{what} must be a positive time in ms, got {time!r}.")


class Remembered:
    """Bins from memory, so many at each call: one, unless it is told otherwise.

    values: [T, N]. interval: ms between bins. arrivals: how many bins come at each call; bins
    beyond them come one by one. dropped: numbers of bins that never come.
    """

    def __init__(
        self,
        values: Tensor,
        *,
        interval: float = 20.0,
        arrivals: Sequence[int] = (),
        dropped: Sequence[int] = (),
    ) -> None:
        if not isinstance(values, Tensor) or values.dim() != 2:
            got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"values must be a tensor, bins of cells [T, N], got {got}.")
        check_time("interval", interval)
        for name, counts in (("arrivals", arrivals), ("dropped", dropped)):
            listed = isinstance(counts, Iterable)
            if not listed or not all(isinstance(one, int) and one >= 0 for one in counts):
                raise ValueError(f"{name} must be counts of bins, got {counts!r:.60}.")
        self.values, self.interval = values, interval
        self.arrivals, self.dropped = tuple(arrivals), frozenset(dropped)
        self._calls = self._next = 0

    @property
    def trouble(self) -> str | None:
        """That all bins were read, once they were."""
        if not self.ended:
            return None
        return f"all {len(self.values)} bins were read: no more will come."

    @property
    def ended(self) -> bool:
        """Whether all bins were read."""
        return self._next >= len(self.values)

    def read(self) -> list[Bin]:
        """The bins of this call."""
        coming = self.arrivals[self._calls] if self._calls < len(self.arrivals) else 1
        now, first = self._calls * self.interval, self._next
        self._calls += 1
        self._next = min(first + coming, len(self.values))
        return [
            Bin(self.values[number], number, number * self.interval, now)
            for number in range(first, self._next)
            if number not in self.dropped
        ]

    def close(self) -> None:
        """Nothing is held."""
