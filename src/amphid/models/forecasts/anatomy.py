"""Anatomical edges between recorded cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from amphid.wiring import Connectome


@dataclass(frozen=True)
class Anatomical:
    """Square roots of synapse counts between cells by name: weights for `Given` edges.

    Called with the names of N cells it gives [2, N, N]: chemical, from row to column, and
    electrical, the same both ways. Cells without a name, or not in the connectome, have none.
    """

    connectome: Connectome

    def __call__(self, cells: Sequence[str | None]) -> Tensor:
        """Weights [2, N, N] of the cells."""
        places = [self._places.get(cell or "", len(self.connectome)) for cell in cells]
        return self._weights[:, places][:, :, places]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.connectome.cells.name)}

    @cached_property
    def _weights(self) -> Tensor:
        """All weights [2, cells + 1, cells + 1]; the last row and column are nobody's."""
        wires, size = self.connectome.connections, len(self.connectome) + 1
        weights = np.zeros((2, size, size))
        kind = wires.electrical.astype(int)
        np.add.at(weights, (kind, wires.pre, wires.post), wires.synapses)
        weights[1] = np.maximum(weights[1], weights[1].T)
        found = torch.from_numpy(np.sqrt(weights))
        for one in found:
            one.fill_diagonal_(0)
        return found
