"""Weights that move, taken out of the arrays of the time loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from amphid.simulation.compiled.edges import Array, Rows
from amphid.simulation.network import Network
from amphid.simulation.simulate import Task

KEEP = """
@inner
def keep_weights(weight, entry, column, row):
    for k in range(len(entry)):
        row[column[k]] = weight[entry[k]]
"""


@dataclass(frozen=True, eq=False)
class WeightSamples:
    """Where the weights that are kept stand.

    entry, column: by group, where they stand in its rows and in a sample [K].
    """

    task: Task
    entry: dict[str, Array]
    column: dict[str, Array]

    @staticmethod
    def of(task: Task, rows: Mapping[str, Rows]) -> WeightSamples:
        """Of the connections of a task that move."""
        entry, column, moving, network = {}, {}, task.moving, task.network
        for group, own in rows.items():
            edges = np.intersect1d(moving, network.edges[group], assume_unique=True)
            if len(edges):
                entry[group] = own.places(np.searchsorted(network.edges[group], edges))
                column[group] = np.searchsorted(moving, edges)
        return WeightSamples(task, entry, column)

    def arrays(self) -> dict[str, Array]:
        """Those that the loop reads, shared by trials."""
        found = {f"KEEP_ENTRY_{group}": held for group, held in self.entry.items()}
        return found | {f"KEEP_COLUMN_{group}": held for group, held in self.column.items()}

    def calls(self) -> list[str]:
        """What keeps a sample."""
        return [
            f"keep_weights(WEIGHT_{group}, KEEP_ENTRY_{group}, KEEP_COLUMN_{group}, "
            "SAMPLE_WEIGHT[row])"
            for group in self.entry
        ]

    def read(self, samples: Array, batch: torch.Size) -> Tensor:
        """Weights [T', *B, K] out of the samples [trials, T', K]."""
        values = torch.from_numpy(samples).movedim(1, 0)
        values = values.reshape(len(values), *batch, values.shape[-1])
        values = values * signs(torch.from_numpy(self.task.moving), self.task.network)
        for governed in self.task.plasticity:
            if governed.factor:
                own = np.searchsorted(self.task.moving, governed.edges)
                values[..., own] = values[..., own].clamp(governed.low, governed.high)
        return values


def all_weights(
    before: Tensor, rows: Mapping[str, Rows], held: Mapping[str, Array], network: Network
) -> Tensor:
    """Weights [*B, E] of a network, given as before the run, with those of plastic groups moved."""
    weight = before.clone()
    flat = weight.view(-1, weight.shape[-1])
    for group, along in held.items():
        own = np.empty_like(along)
        order = rows[group].order
        own[:, slice(None) if order is None else order] = along
        edges = torch.from_numpy(network.edges[group].astype(np.int64))
        flat[:, edges] = torch.from_numpy(own) * signs(edges, network)
    return weight


def signs(edges: Tensor, network: Network) -> Tensor:
    """[K] the sign that weights of connections carry in the loop, but not in the state."""
    own = network.dale and "chemical" in network.edges
    return network.sign[edges] if own else torch.ones_like(edges)
