"""The connections of a network, made ready once for all runs in which they are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from amphid.simulation.compiled.share import Array, Share
from amphid.simulation.kept import Kept
from amphid.simulation.network import Network
from amphid.simulation.wires import Wires

PIECE = 1 << 16  # numbers that are compared at once: they stay near the processor
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, eq=False)
class _Connected:
    """Wires, and all that they were made from: copies of what may be written to."""

    dt: float
    edges: Mapping[str, Array]
    dale: bool
    weights: tuple[Tensor | None, ...]
    wires: dict[str, Wires]

    @staticmethod
    def of(network: Network, dt: float, last: _Connected | None) -> _Connected:
        """Those of a network; where its connections are those of the last, only weights anew."""
        edges, own = dict(network.edges), _weights(network)
        if last and last.has_ends(network, dt):
            wires = {
                group: replace(had, weight=network.weights_of(group))
                for group, had in last.wires.items()
            }
        else:
            wires = {
                group: Wires.of(network.connectome, which, network.weights_of(group), dt)
                for group, which in edges.items()
            }
        copies = tuple(None if one is None else one.clone() for one in own)
        return _Connected(dt, edges, network.dale, copies, wires)

    def has_ends(self, network: Network, dt: float) -> bool:
        """Whether the same connections are in the same groups, at the same dt."""
        same = self.dt == dt and self.edges.keys() == network.edges.keys()
        return same and all(own is network.edges[group] for group, own in self.edges.items())

    def has_weights(self, network: Network) -> bool:
        """Whether they weigh the same, to the last bit."""
        pairs = zip(self.weights, _weights(network), strict=True)
        return self.dale == network.dale and all(_same(*pair) for pair in pairs)


_CONNECTED: Kept[_Connected] = Kept()
_CUT: Kept[list[Wires]] = Kept()


def connected(network: Network, dt: float) -> dict[str, Wires]:
    """The connections of each group at steps of dt ms: those of the last run where nothing changed.

    They are kept with the connectome, for one network on it. Weights are compared one by one, so it
    does not matter how they were changed. Draws of weights are made ready anew every time.
    """
    last = _CONNECTED.last(network.connectome)
    if last and last.has_ends(network, dt) and last.has_weights(network):
        return last.wires
    made = _Connected.of(network, dt, last)
    if network.weight.dim() == 1:
        _CONNECTED.keep(network.connectome, made)
    return made.wires


def onto_each(wires: Mapping[str, Wires], shares: list[Share]) -> list[dict[str, Wires]]:
    """The connections onto the cells of every share, by group."""

    def cut(own: Wires, *, junctions: bool) -> list[Wires]:
        made = partial(_cut, own, shares, junctions=junctions)
        return _CUT.of(own, tuple(shares), made)

    parts = {group: cut(own, junctions=group == "electrical") for group, own in wires.items()}
    return [{group: own[number] for group, own in parts.items()} for number in range(len(shares))]


def _cut(wires: Wires, shares: list[Share], *, junctions: bool) -> list[Wires]:
    return [share.onto(wires, junctions=junctions) for share in shares]


def _weights(network: Network) -> tuple[Tensor | None, ...]:
    """All that the weights of connections are made from, each trial of them, without gradients."""
    held = (network.weight, network.sign, network.coupling)
    return tuple(None if own is None else own.detach() for own in held)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors are of one type and shape, and the same to the last bit."""
    if one is None or other is None:
        return one is other
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    whole = BITS[one.element_size()]
    mine, theirs = (own.contiguous().view(whole).numpy().ravel() for own in (one, other))
    return all(
        np.array_equal(mine[start : start + PIECE], theirs[start : start + PIECE])
        for start in range(0, len(mine), PIECE)
    )
