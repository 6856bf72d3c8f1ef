"""A stream read bin by bin, whatever becomes of it."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from amphid.tasks.live.lab_streaming import NUMBERED, Closing, check_channels, check_name, streaming
from amphid.tasks.live.source import Bin, check_time

LOOK = 0.02  # s between looks for a stream at the start
MEMORY = 10  # s of bins that wait to be read
AT_ONCE = 64  # bins


class Inlet(Closing):
    """Reads bins [N] that an `Outlet`, or any stream of Lab Streaming Layer, sends.

    A stream that falls silent, ends, comes back, or comes back with other channels raises no error
    once it was found: `read` gives no bins meanwhile and `trouble` says why. A stream of the same
    name and channels is read again when it appears. Bins that hold a number that is not finite are
    left out and counted in `unreadable`. As a context it closes itself.

    name: of the stream; the youngest if there are several. channels: N. patience: how long to look
    for it, ms. silence: ms without a bin that are trouble.
    Raises TimeoutError where there is no such stream, ValueError where it has other channels, and
    ModuleNotFoundError without the extra `bci`.
    """

    def __init__(
        self, name: str, channels: int, *, patience: float = 5000.0, silence: float = 100.0
    ) -> None:
        check_name("name", name)
        check_channels(channels)
        check_time("patience", patience)
        check_time("silence", silence)
        self._lsl = streaming()
        self.name, self.channels, self.silence = name, channels, silence
        self.unreadable = 0
        self._resolver = self._lsl.ContinuousResolver("name", name, forget_after=1.0)
        self._inlet: Any = None
        self._numbered = False
        self._left: set[str] = set()  # streams that ended
        self._loss: str | None = None
        self._open(self._awaited(patience))
        self._connect(patience)
        self._last = self._now()

    @property
    def trouble(self) -> str | None:
        """Why bins do not come as they should, in a sentence; None while all is well."""
        if self._inlet is None:
            return self._loss
        silent = self._now() - self._last
        if silent <= self.silence:
            return None
        return f"the stream {self.name!r} has sent no bin for {silent:.0f} ms."

    @property
    def ended(self) -> bool:
        """Whether the stream has ended, and none like it has come since."""
        return self._inlet is None

    def read(self) -> list[Bin]:
        """The bins that came since the last call, the oldest first; never waits."""
        if self._resolver is None:
            raise ValueError(f"the stream {self.name!r} is closed: make a new Inlet.")
        if self._inlet is None:
            self._look_again()
        bins = [] if self._inlet is None else self._pulled()
        if bins:
            self._last = self._now()
        return bins

    def close(self) -> None:
        """Let go of the stream, and look for it no longer."""
        self._inlet = self._resolver = None
        self._loss = f"the stream {self.name!r} is closed."

    def _now(self) -> float:
        return float(self._lsl.local_clock()) * 1000

    def _awaited(self, patience: float) -> Any:
        """The stream that fits; an error in a sentence where there is none in time."""
        end = time.monotonic() + patience / 1000
        while not (found := self._youngest()):
            if time.monotonic() > end:
                self.close()
                raise TimeoutError(
                    f"there is no stream {self.name!r} on the network: none was found within "
                    f"{patience:.0f} ms. Start its sender first, or give more `patience`."
                )
            time.sleep(LOOK)
        if misfit := self._misfit(found):
            self.close()
            raise ValueError(misfit)
        return found

    def _youngest(self) -> Any:
        """The last stream of that name to be created among those that have not ended, or None."""
        alive = [info for info in self._resolver.results() if info.uid() not in self._left]
        return max(alive, key=lambda info: info.created_at(), default=None)

    def _misfit(self, info: Any) -> str | None:
        """Why a stream cannot be read, in a sentence; None if it can."""
        if info.channel_format() == self._lsl.cf_string:
            return f"the stream {self.name!r} sends words, where numbers are read."
        channels = info.channel_count() - (info.type() == NUMBERED)
        if channels != self.channels:
            return (
                f"the stream {self.name!r} has {channels} channels, where {self.channels} are "
                "read: nothing is read from it."
            )
        return None

    def _open(self, info: Any) -> None:
        self._inlet = self._lsl.StreamInlet(info, max_buflen=MEMORY, recover=False)
        self._numbered = info.type() == NUMBERED
        self._uid = info.uid()

    def _connect(self, patience: float) -> None:
        """Wait for the connection, so that no later bin is missed."""
        try:
            self._inlet.open_stream(timeout=patience / 1000)
        except RuntimeError:  # no answer in time, or none any more
            self.close()
            raise TimeoutError(
                f"the stream {self.name!r} was found and does not answer within {patience:.0f} ms. "
                "Start its sender again, or give more `patience`."
            ) from None

    def _look_again(self) -> None:
        """Read on where a stream of that name has appeared and fits."""
        found = self._youngest()
        if found is None:
            return
        if misfit := self._misfit(found):
            self._loss = misfit
        else:
            self._open(found)

    def _pulled(self) -> list[Bin]:
        bins: list[Bin] = []
        try:
            while True:
                rows, stamps = self._inlet.pull_chunk(timeout=0.0, max_samples=AT_ONCE)
                bins += filter(None, map(self._bin, rows, stamps))
                if len(rows) < AT_ONCE:
                    return bins
        except (RuntimeError, ValueError):  # lost, or what came is no bin
            self._inlet = None
            self._left.add(self._uid)
            self._loss = f"the stream {self.name!r} has ended: it is read again when it is back."
            return bins

    def _bin(self, row: list[float], stamp: float) -> Bin | None:
        """A row as a bin; None, and counted, where its numbers cannot be."""
        values = torch.tensor(row, dtype=torch.float64)[int(self._numbered) :].float()
        if not (math.isfinite(row[0]) and bool(values.isfinite().all())):
            self.unreadable += 1
            return None
        number = int(row[0]) if self._numbered else None
        return Bin(values, number, stamp * 1000, self._now())
