"""Weights by the wiring, for cells by name; cells that it does not know have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from amphid.wiring import Connectome, checks


@dataclass(frozen=True, eq=False)
class Anatomical:
    """Square roots of synapse counts: weights for `Given` edges.

    Called with the names of N cells it gives [2, N, N]: chemical, from row to column, and
    electrical, the same both ways. Cells without a name, or not in the connectome, have none.
    """

    connectome: Connectome

    def __post_init__(self) -> None:
        checks.instance("connectome", self.connectome, Connectome, "a Connectome")

    def __call__(self, cells: Sequence[str | None]) -> Tensor:
        """Weights [2, N, N] of the cells."""
        return among(cells, self.connectome, self._weights)

    @cached_property
    def _weights(self) -> Tensor:
        weights = synapse_counts(self.connectome)
        weights[1] = torch.maximum(weights[1], weights[1].T)
        return weights.sqrt()


@dataclass(frozen=True, eq=False)
class Contacts:
    """Synapse counts of both kinds and both directions: weights for `Given` and `Wired` edges.

    Called with the names of N cells it gives [1, N, N], the same both ways.
    """

    connectome: Connectome

    def __post_init__(self) -> None:
        checks.instance("connectome", self.connectome, Connectome, "a Connectome")

    def __call__(self, cells: Sequence[str | None]) -> Tensor:
        """Weights [1, N, N] of the cells."""
        return among(cells, self.connectome, self._weights)

    @cached_property
    def _weights(self) -> Tensor:
        weights = synapse_counts(self.connectome).sum(0, keepdim=True)
        return weights + weights.mT


def synapse_counts(connectome: Connectome) -> Tensor:
    """Synapses [2, cells + 1, cells + 1] by kind as they are listed, none from a cell to itself.

    The last row and column are nobody's.
    """
    wires, size = connectome.connections, len(connectome) + 1
    counts = np.zeros((2, size, size))
    np.add.at(counts, (wires.electrical.astype(int), wires.pre, wires.post), wires.synapses)
    found = torch.from_numpy(counts)
    for kind in found:
        kind.fill_diagonal_(0)
    return found


def among(cells: Sequence[str | None], connectome: Connectome, weights: Tensor) -> Tensor:
    """Weights [K, N, N] of cells by name, of those [K, cells + 1, cells + 1] of a connectome."""
    known = {name: place for place, name in enumerate(connectome.cells.name)}
    places = [known.get(cell or "", len(connectome)) for cell in cells]
    return weights[:, places][:, :, places]
