"""What a session keeps while it is recorded, within a fixed amount of memory."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.interfaces.view.living import Life
from amphid.simulation import Recording, Spikes
from amphid.wiring import Cells

LARGEST = 1 << 28  # values


class Tape:
    """Levels every so many steps and all spikes, from a step on; it ends when it is full.

    start: the step before the first one that is kept. every: steps between samples of the levels.
    """

    def __init__(self, start: int, every: int = 1) -> None:
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a number of steps, at least 1, got {every!r}.")
        self.start, self.every, self.steps = start, every, 0
        self._levels: list[Tensor] = []
        self._fired: list[Tensor] = []
        self.values = 0

    def __len__(self) -> int:
        return len(self._levels)

    @property
    def full(self) -> bool:
        """Whether nothing more is kept."""
        return self.values >= LARGEST

    def take(self, life: Life) -> None:
        """Keep what a step came to."""
        if self.full:
            return
        self.steps += 1
        if self.steps % self.every == 0:
            self._levels.append(life.level.clone())
            self.values += len(self._levels[-1])
        if life.spikes:
            cells = life.fired.nonzero()[:, 0]
            self._fired.append(torch.stack((torch.full_like(cells, self.steps - 1), cells)))
            self.values += 2 * len(cells)

    def recording(self, cells: Cells, life: Life) -> Recording:
        """Everything that was kept."""
        events = None
        if life.spikes:
            events = Spikes(torch.cat(self._fired, 1), (self.steps, len(cells)), life.dt)
        fields = {"v": torch.stack(self._levels)}
        return Recording(cells, dt=life.dt, every=self.every, fields=fields, events=events)
