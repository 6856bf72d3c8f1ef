"""What came of a race: spikes as events, and the state at its end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.simulation.racing.network import GeometricNetwork
from amphid.simulation.racing.state import RaceState
from amphid.simulation.recording import Recording, Spikes


@dataclass(frozen=True, eq=False, repr=False)
class Race:
    """Spikes of a race, sorted by trial, time and cell.

    trial, cell, tick: [K] of each spike: which trial, through all axes of the batch, which cell,
    and when, in whole ticks from the start. batch: the axes *B. ticks: how many the run took.
    dt: ms of a tick. arrived, lost: [*B] signals that came to their cells, and those of them that
    found these refractory. state: where it stands now, to go on from.
    """

    network: GeometricNetwork
    trial: Tensor
    cell: Tensor
    tick: Tensor
    batch: torch.Size
    ticks: int
    dt: float
    arrived: Tensor
    lost: Tensor
    state: RaceState

    def __len__(self) -> int:
        return len(self.tick)

    def __repr__(self) -> str:
        return (
            f"Race({len(self)} spikes, trials {list(self.batch)}, {self.ticks} ticks of "
            f"{self.dt:g} ms)"
        )

    @property
    def time(self) -> Tensor:
        """[K] of each spike, ms from the start."""
        return self.tick.double() * self.dt

    def first_spike(self) -> Tensor:
        """[*B, N] ms from the start to the first spike of each cell; infinite where there is none.

        To have nothing else of many trials, `first_spikes` is faster.
        """
        size = self.batch.numel() * len(self.network)
        first = torch.full((size,), torch.inf, dtype=torch.float64)
        first.scatter_reduce_(0, self._place, self.time, "amin")
        return first.reshape(*self.batch, len(self.network))

    def counts(self) -> Tensor:
        """[*B, N] how many spikes each cell fired."""
        size = self.batch.numel() * len(self.network)
        return torch.bincount(self._place, minlength=size).reshape(*self.batch, len(self.network))

    def recording(self) -> Recording:
        """As `simulate` gives it, one step for each tick, for measures and plots of spikes.

        A step stands for the time at its end, so the spikes of tick 0 are at dt.
        """
        batch = torch.unravel_index(self.trial, self.batch) if self.batch else ()
        index = torch.stack((self.tick, *batch, self.cell))
        order = torch.argsort(self.tick, stable=True)
        shape = (self.ticks, *self.batch, len(self.network))
        events = Spikes(index[:, order], shape, self.dt)
        return Recording(self.network.connectome.cells, self.dt, events=events, notes=("race",))

    @property
    def _place(self) -> Tensor:
        return self.trial * len(self.network) + self.cell
