"""A geometric network: signals under way over latencies to cells that may be refractory."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.receivers import Receiver, Reception
from amphid.dynamics.values import is_number
from amphid.wiring import Connectome

LONGEST_WAY = 1 << 26
"""Ticks for which a signal can be under way: each takes 12 bytes of every trial at work."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The connections by their sender, each row from the shortest latency to the longest.

    start: [N + 1] where the row of each cell starts. lag: [E] ticks. onto: [E] what is sent, see
    `signals`. longest: ticks that anything can be under way.
    """

    start: NDArray[np.int64]
    lag: NDArray[np.int32]
    onto: NDArray[np.int64]
    longest: int

    @cached_property
    def checksum(self) -> int:
        """Of where signals run, how long, and with which weights; others have another, mostly."""
        total = len(self.start)
        for column in (self.start, self.lag, self.onto):
            total = zlib.crc32(column.view(np.uint8), total)  # type: ignore[arg-type]
        return total


@dataclass(frozen=True, eq=False, repr=False)
class GeometricNetwork:
    """Cells that race signals: a connectome whose connections have latencies, and a receiver.

    connectome: N cells; signals run along its E chemical connections, each for its `delay` in ms
        (see `wiring.conducted`). Gap junctions carry none.
    receiver: what each cell does with the signals that reach it.
    weight: [E] of all connections, with their sign; synapse counts when None, negative where
        the sign is, an unknown sign counting as excitation. Held in single precision and added in
        double precision, so that sums of what arrives at once do not depend on order.

    Raises ValueError for a chemical connection without a delay, and for weights that do not fit.
    """

    connectome: Connectome
    receiver: Receiver
    weight: Tensor | None = None
    _made: dict[float, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.connectome, Connectome):
            raise TypeError(
                "connectome must be a Connectome, such as wiring.conducted gives, got "
                f"{self.connectome!r:.80}."
            )
        self.connectome.check_whole("race signals in it")
        if not isinstance(self.receiver, Receiver):
            raise TypeError(
                "receiver must be a Receiver, such as dynamics.Winner(period=5.0), got "
                f"{self.receiver!r}."
            )
        self._check_delays()
        self._check_weight()

    def __len__(self) -> int:
        return len(self.connectome)

    def __repr__(self) -> str:
        return f"GeometricNetwork({self.connectome!r}, receiver={self.receiver!r})"

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """[K] which connections carry signals: the chemical ones."""
        return np.flatnonzero(self.connectome.connections.chemical)

    @cached_property
    def latency(self) -> NDArray[np.float64]:
        """[K] ms, of the connections that carry signals."""
        return self.connectome.connections.delay[self.edges].astype(np.float64)

    def prepared(self, dt: float) -> tuple[Rows, Reception]:
        """The connections and the receiver in ticks of dt ms; kept for the next run."""
        if not (is_number(dt) and dt > 0):
            raise ValueError(f"dt must be a positive number of ms, got {dt!r}.")
        if dt not in self._made:
            self._made.clear()
            reception = self.receiver.reception(len(self), dt)
            self._made[dt] = self._rows(dt, int(reception.memory.max(initial=0))), reception
        rows, reception = self._made[dt]
        return rows, reception

    def _rows(self, dt: float, memory: int) -> Rows:
        wires = self.connectome.connections
        lag = np.maximum(np.rint(self.latency / dt), 1)
        longest = max(float(lag.max(initial=1)), memory)
        if longest > LONGEST_WAY:
            raise ValueError(
                f"latencies and memories take up to {longest:,.0f} ticks of {dt:g} ms; there is "
                f"room for {LONGEST_WAY:,}: raise dt."
            )
        pre = wires.pre[self.edges]
        order = np.lexsort((lag, pre))
        counts = np.bincount(pre, minlength=len(self))
        return Rows(
            start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            lag=lag[order].astype(np.int32),
            onto=signals(wires.post[self.edges], self._weights())[order],
            longest=int(longest),
        )

    def _weights(self) -> NDArray[np.float32]:
        if self.weight is not None:
            given: NDArray[np.float32] = self.weight.detach().cpu().float().numpy()[self.edges]
            return given
        wires = self.connectome.connections
        sign = np.where(wires.sign < 0, np.float32(-1), np.float32(1))
        return (wires.synapses * sign)[self.edges]

    def _check_delays(self) -> None:
        missing = np.flatnonzero(np.isnan(self.latency))
        if len(missing):
            wires, name = self.connectome.connections, self.connectome.cells.name
            edge = self.edges[missing[0]]
            raise ValueError(
                f"every chemical connection needs a latency: {len(missing)} of {len(self.edges)} "
                f"have none, such as {name[wires.pre[edge]]} to {name[wires.post[edge]]}. Give "
                "them with wiring.conducted, or connectome.with_connections(delay=...)."
            )

    def _check_weight(self) -> None:
        size = len(self.connectome.connections)
        if self.weight is None:
            return
        if not isinstance(self.weight, Tensor) or self.weight.is_complex():
            raise TypeError(
                f"weight must be a tensor [E] of real numbers or None, got {self.weight!r:.80}."
            )
        single = self.weight.detach().float()
        if tuple(single.shape) != (size,) or not bool(torch.isfinite(single).all()):
            raise ValueError(
                f"weight must be one finite number for each of {size} connections, in single "
                f"precision, got shape {list(single.shape)}."
            )


def signals(cell: NDArray[Any], weight: NDArray[np.float32]) -> NDArray[np.int64]:
    """Receiver and weight of signals in one number each, as the loop has them."""
    return cell.astype(np.int64) << 32 | weight.view(np.uint32).astype(np.int64)
