"""Which cells a part of a network has, and what all parts of it must hold to alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from amphid.simulation.kept import Kept
from amphid.simulation.wires import Wires

Array = NDArray[Any]
NEVER = 1 << 40  # a lag that no connection has: that of a group without connections
_LAGS: Kept[Lags] = Kept()


@dataclass(frozen=True)
class Share:
    """The cells [low, high) of a network of `size`: what one thread or one rank steps.

    A part of a network has the state of its own cells, the connections onto them, whichever cell
    these come from, and the signals under way to them.
    """

    low: int
    high: int
    size: int

    def __len__(self) -> int:
        return self.high - self.low

    def among(self, cells: Array) -> Array:
        """Where in a list of cells its own stand."""
        return np.flatnonzero((cells >= self.low) & (cells < self.high))

    def counted(self, cells: Array) -> Array:
        """Its own cells, counted from its first."""
        return cells - self.low if self.low else cells

    def onto(self, wires: Wires, *, junctions: bool = False) -> Wires:
        """The connections onto its cells; of junctions, those at them."""
        own = touched(wires.post.numpy(), self)
        if junctions:
            own |= touched(wires.pre.numpy(), self)
        if own.all():
            return wires
        edges = torch.from_numpy(np.flatnonzero(own))
        return replace(
            wires,
            pre=wires.pre[edges],
            post=wires.post[edges],
            weight=wires.weight[..., edges],
            lag=wires.lag[own],
        )


def touched(cells: Array, share: Share) -> NDArray[np.bool_]:
    """Which entries of a list of cells are its own."""
    inside: NDArray[np.bool_] = (cells >= share.low) & (cells < share.high)
    return inside


@dataclass(frozen=True)
class Lags:
    """How long the signals of a group are under way, in steps, and whether all weigh the same.

    Parts that are told the same are stepped by the same machine code.
    """

    shortest: int
    longest: int
    uniform: bool

    @staticmethod
    def of(wires: Wires) -> Lags:
        """Those of the connections at hand."""

        def told() -> Lags:
            weight, shortest = wires.weight, int(wires.lag.min(initial=NEVER))
            return Lags(shortest, wires.longest, bool((weight == weight[..., :1]).all()))

        return _LAGS.of(wires, None, told)

    @staticmethod
    def together(several: Iterable[Lags]) -> Lags:
        """Those of all parts."""
        listed = list(several)
        return Lags(
            min(one.shortest for one in listed),
            max(one.longest for one in listed),
            all(one.uniform for one in listed),
        )

    @property
    def only(self) -> int | None:
        """The lag of all connections, None where they differ."""
        return self.shortest if self.shortest == self.longest else None


def packet_steps(lags: Mapping[str, Lags], cells: int) -> int:
    """For how many steps no part needs to hear of another: the shortest lag there is.

    Voltages that gap junctions compare are heard of in every step.
    """
    if "electrical" in lags:
        return 1
    shortest = min((group.shortest for group in lags.values()), default=NEVER)
    return max(1, min(shortest, LONGEST_PACKET, MOST_SPIKES // max(cells, 1)))


LONGEST_PACKET = 1024  # steps; of cells that no connection joins
MOST_SPIKES = 1 << 26  # there must be room for each cell to fire in each step of a packet
