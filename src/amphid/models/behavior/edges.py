"""Who talks to the command cells: weights [T, N] or [N] of messages from all cells of an animal.

Edges never look at what the animal does, nor at frames that are still to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from amphid.models.behavior.animal import Animal, rises
from amphid.wiring import Connectome

SMALL = 1e-12


class Edges(Protocol):
    """Gives the weights of messages to a signal, not negative, summed to one or all zero."""

    def __call__(self, animal: Animal, seed: Tensor, own: list[int]) -> Tensor:
        """Weights [T, N] or [N] of messages to the seed [T], none from the columns `own`."""
        ...


@dataclass(frozen=True)
class InferredEdges:
    r"""Edges inferred from activity: cells whose rises went along with those of the seed.

    .. math:: a_j \propto \max(0, \mathrm{corr}(\Delta z_j, \Delta z_\text{seed}))^\text{power}

    over the frames up to now, those of calibration at least; the strongest `neighbors` cells keep
    their edge. Cells without a name take part.

    rise: frames over which a rise is taken.
    """

    rise: int = 4
    power: float = 4.0
    neighbors: int = 10

    def __post_init__(self) -> None:
        for name, value in (("rise", self.rise), ("neighbors", self.neighbors)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}.")
        if not isinstance(self.power, (int, float)) or not self.power > 0:
            raise ValueError(f"power must be a positive number, got {self.power!r}.")

    def __call__(self, animal: Animal, seed: Tensor, own: list[int]) -> Tensor:
        """Weights [T, N] of messages to the seed [T], none from the columns `own`."""
        along = correlation_so_far(
            rises(animal.signals, self.rise), rises(seed, self.rise), animal.first
        )
        along[:, own] = 0.0
        strength = along.clamp_min(0.0) ** self.power
        kept = min(self.neighbors, strength.shape[1])
        least = strength.topk(kept, dim=1).values[:, -1:]
        return normalized(torch.where(strength >= least, strength, 0.0))


@dataclass(frozen=True, eq=False)
class AnatomicalEdges:
    """Edges by the wiring: contacts of both kinds and both directions with the command cells."""

    connectome: Connectome

    def __call__(self, animal: Animal, seed: Tensor, own: list[int]) -> Tensor:
        """Weights [N] of messages from the named cells that the wiring connects."""
        wired = {str(name): place for place, name in enumerate(self.connectome.cells.name)}
        wires = self.connectome.connections
        command = [wired[cell] for place in own if (cell := animal.cells[place]) in wired]
        count = np.zeros(len(wired))
        for here, there in ((wires.pre, wires.post), (wires.post, wires.pre)):
            reached = np.isin(there, command)
            np.add.at(count, here[reached], wires.synapses[reached])
        weights = [0.0 if cell is None else count[wired[cell]] for cell in animal.cells]
        strength = torch.tensor(weights).to(animal.signals)
        strength[own] = 0.0
        return normalized(strength)


@dataclass(frozen=True, eq=False)
class BothEdges:
    """Edges inferred from activity, among those only that the wiring has."""

    inferred: InferredEdges
    anatomical: AnatomicalEdges

    def __call__(self, animal: Animal, seed: Tensor, own: list[int]) -> Tensor:
        """Weights [T, N] of messages to the seed [T]."""
        wired = self.anatomical(animal, seed, own) > 0
        every = InferredEdges(self.inferred.rise, self.inferred.power, len(animal.cells))
        return normalized(every(animal, seed, own) * wired)


@dataclass(frozen=True, eq=False)
class ShuffledEdges:
    """The same edges from other cells: as many, of the same weights, their senders permuted."""

    edges: Edges
    seed: int

    def __call__(self, animal: Animal, seed: Tensor, own: list[int]) -> Tensor:
        """Weights of messages, from senders drawn once for each animal."""
        weights = self.edges(animal, seed, own)
        others = [place for place in range(len(animal.cells)) if place not in set(own)]
        draw = torch.Generator().manual_seed(self.seed)
        moved = torch.tensor(others)[torch.randperm(len(others), generator=draw)]
        shuffled = torch.zeros_like(weights)
        shuffled[..., moved] = weights[..., others]
        return shuffled


def normalized(strength: Tensor) -> Tensor:
    """Weights that sum to one along the cells, or stay zero."""
    return strength / strength.sum(-1, keepdim=True).clamp_min(SMALL)


def correlation_so_far(signals: Tensor, seed: Tensor, least: int) -> Tensor:
    """Correlation [T, N] of signals [T, N] with a seed [T] over all frames up to each.

    least: frames that are taken together at the start, which share one value.
    """
    values, other = signals.double(), seed.double()[:, None]
    count = torch.arange(1, len(values) + 1)[:, None]

    def mean(of: Tensor) -> Tensor:
        return of.cumsum(0) / count

    here, there = mean(values), mean(other)
    together = mean(values * other) - here * there
    spread = (mean(values**2) - here**2) * (mean(other**2) - there**2)
    along = together / spread.clamp_min(SMALL).sqrt()
    along[:least] = along[min(least, len(along)) - 1]
    return along.to(signals.dtype)
