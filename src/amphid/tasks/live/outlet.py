"""A stream of numbered bins for others to read."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amphid.tasks.live.lab_streaming import NUMBERED, Closing, check_channels, check_name, streaming
from amphid.tasks.live.source import check_time


class Outlet(Closing):
    """Sends bins [N] through Lab Streaming Layer, each with its number and a time stamp.

    On the wire a bin is N + 1 channels of float64, the first of them its number from 0. Bins that
    nobody reads are kept for two seconds at most. As a context it closes itself.

    name: by which readers find the stream. channels: N. interval: ms between bins, which readers
    are told. Raises ModuleNotFoundError without the extra `bci`.
    """

    def __init__(self, name: str, channels: int, *, interval: float = 20.0) -> None:
        check_name("name", name)
        check_channels(channels)
        if not isinstance(interval, (int, float)) or not 0 < interval < math.inf:
            raise ValueError(f"interval must be a positive time in ms, got {interval!r}.")
        lsl = streaming()
        self.name, self.channels, self.next = name, channels, 0
        info = lsl.StreamInfo(
            name, NUMBERED, channels + 1, 1000.0 / interval, lsl.cf_double64, f"amphid {name}"
        )
        self._outlet = lsl.StreamOutlet(info, max_buffered=2)

    def send(self, values: Tensor, *, number: int | None = None) -> None:
        """Send one bin [N], with the next number, or with another one where bins are left out."""
        if self._outlet is None:
            raise ValueError(f"the stream {self.name!r} is closed: make a new Outlet.")
        fits = isinstance(values, Tensor) and values.shape == (self.channels,)
        if not fits or values.is_complex():
            got = (
                f"shape {list(values.shape)}, {values.dtype}"
                if isinstance(values, Tensor)
                else (type(values).__name__)
            )
            raise ValueError(
                f"a bin of {self.name!r} must hold {self.channels} values in a tensor, got {got}."
            )
        if number is not None and (not isinstance(number, int) or number < 0):
            raise ValueError(f"number must be a whole number, not negative, got {number!r}.")
        number = self.next if number is None else number
        self._outlet.push_sample([float(number), *values.to(torch.float64).tolist()])
        self.next = number + 1

    def awaited(self, patience: float = 5000.0) -> bool:
        """Whether somebody reads, after waiting for it for `patience` ms at most."""
        check_time("patience", patience)
        return self._outlet is not None and bool(self._outlet.wait_for_consumers(patience / 1000))

    def close(self) -> None:
        """End the stream; readers are told."""
        self._outlet = None
