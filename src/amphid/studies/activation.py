"""Activate cells of a fly's brain for a while, several times, and see who fires."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amphid.models import fly_brain, fly_drive
from amphid.simulation import Compiled, Network, batch, simulate
from amphid.wiring import Connectome
from amphid.wiring.connectome import Which

AT_ONCE = 5  # trials; bounds the memory
DURATION = 1000.0  # ms


BRIEF = (
    "draws of signs",
    "trials",
    "spikes per trial",
    "active cells per trial",
    "overlap of two trials",
    "downstream cells in any trial",
    "downstream cells, sd over draws",
)
"""Figures that a control is told by."""


def brief(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Those figures that a control is told by, as far as they could be measured."""
    return {name: figures[name] for name in BRIEF if figures.get(name) is not None}


@dataclass(frozen=True, eq=False)
class Activity:
    """Spikes of every cell in every trial.

    counts: [B, N]. driven: [K] the cells that were driven. duration: ms. names: of the cells, where
    a cell is to be found by its name.
    """

    counts: Tensor
    driven: Tensor
    duration: float
    names: Sequence[str] = ()

    def place(self, name: str) -> int:
        """Which cell has that name."""
        return list(self.names).index(name)

    def brief(self) -> dict[str, Any]:
        """The figures that a control is told by."""
        return brief(self.figures())

    @property
    def rates(self) -> Tensor:
        """[B, N] in Hz."""
        return self.counts.double() * (1000.0 / self.duration)

    @property
    def active(self) -> Tensor:
        """[B, N] which cells fired."""
        return self.counts > 0

    @property
    def downstream(self) -> Tensor:
        """[B, N] which cells fired that were not driven."""
        fired = self.active.clone()
        fired[:, self.driven] = False
        return fired

    def figures(self) -> dict[str, Any]:
        """Means over trials, and their spread."""
        return {
            "trials": len(self.counts),
            "driven cells": len(self.driven),
            "driven rate, Hz": _rounded(self.rates[:, self.driven].mean()),
            "spikes per trial": _rounded(self.counts.sum(-1).double().mean()),
            "spikes per trial, sd": _sd(self.counts.sum(-1)),
            "active cells per trial": _rounded(self.active.sum(-1).double().mean()),
            "active cells per trial, sd": _sd(self.active.sum(-1)),
            "active cells in any trial": int(self.active.any(0).sum()),
            "share of the brain": _rounded(self.active.any(0).double().mean(), 4),
            "overlap of two trials": overlap(self.downstream),
        }


def activate(
    connectome: Connectome,
    driven: Sequence[Which],
    *,
    rate: float,
    trials: int,
    generator: torch.Generator,
    silenced: Sequence[Which] = (),
    build: Callable[..., Network] = fly_brain,
    tell: Callable[[int, int], None] | None = None,
) -> Activity:
    """Trials of a second in which cells are driven at a rate in spikes per ms.

    silenced: cells whose spikes reach nobody. build: makes the network. tell: hears how many trials
    are done, and of how many.
    """
    network = build(connectome, driven=driven, silenced=silenced)
    cells = connectome.select(*driven)
    counts = []
    for first in range(0, trials, AT_ONCE):
        drives = [
            fly_drive(network, *cells.tolist(), rate=rate, duration=DURATION, generator=generator)
            for _ in range(first, min(first + AT_ONCE, trials))
        ]
        with torch.no_grad():
            run = simulate(network, batch(*drives), record=("spike",), engine=Compiled())
        spikes = run.spikes
        assert spikes is not None
        place = spikes.index[1] * len(connectome) + spikes.cell
        found = torch.bincount(place, minlength=len(drives) * len(connectome))
        counts.append(found.reshape(len(drives), -1))
        if tell:
            tell(first + len(drives), trials)
    return Activity(torch.cat(counts), torch.from_numpy(cells), DURATION)


def overlap(sets: Tensor) -> float | None:
    """Mean share that two of the sets [B, N] have in common: of all in either, those in both.

    None for fewer than two sets, or where all are empty.
    """
    if len(sets) < 2 or not bool(sets.any()):
        return None
    shares = [
        float((one & other).sum() / (one | other).sum().clamp(min=1))
        for one, other in itertools.combinations(sets.unbind(), 2)
    ]
    return round(sum(shares) / len(shares), 3)


def targets_permuted(connectome: Connectome, generator: torch.Generator) -> Connectome:
    """The same with the targets of all connections dealt out anew.

    Every cell keeps its number of connections in and out, with their synapses and signs. Unlike
    `wiring.shuffled` it may join a cell to itself, or two cells twice; it is quick at any size.
    """
    post = connectome.connections.post
    order = torch.randperm(len(post), generator=generator).numpy()
    return connectome.with_connections(post=post[order])


def _sd(values: Tensor) -> float | None:
    return _rounded(values.double().std()) if len(values) > 1 else None


def _rounded(value: Tensor, digits: int = 1) -> float:
    return round(float(value), digits)
