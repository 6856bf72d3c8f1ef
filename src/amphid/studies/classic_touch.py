"""The threshold-integrator worm under the touch test: the control of `worm-touch`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.models import ClassicWorm
from amphid.models.classic_worm import ClassicState, ClassicTables
from amphid.studies.touch_test import ANTERIOR, POSTERIOR, QUIET
from amphid.wiring import Cells, Connections, Connectome

TICKS = 300
LATE = 200  # ticks after which activity counts as run-away
KICKED = 40  # cells that discharge once at the start, as in the original program


@dataclass(frozen=True, eq=False)
class ClassicSubject:
    """D worms, every weight of the tables times lognormal(0.3).

    A response is the number of spikes of a cell in 300 ticks of touch.
    """

    worm: ClassicWorm
    cells: Connectome
    kicked: Tensor  # [D, N] which cells discharge at the start

    @staticmethod
    def of(draws: int, generator: torch.Generator) -> ClassicSubject:
        """Draw the worms, and for each the 40 cells that discharge at the start."""
        tables = ClassicTables.load()
        plain = ClassicWorm.matrix(tables)
        spread = torch.exp(0.3 * torch.randn(draws, *plain.shape, generator=generator))
        worm = ClassicWorm(tables, plain * spread)
        lot = torch.rand(draws, len(worm.cells), generator=generator)
        first = torch.where(worm.fires, lot, 2.0).argsort(-1)[:, :KICKED]
        kicked = torch.zeros_like(lot).scatter_(-1, first, 1.0)
        return ClassicSubject(worm, Connectome(Cells(tables.cells), Connections()), kicked)

    def touched(self, *killed: str) -> Tensor:
        """Spikes [2, D, N] of anterior, then posterior touch; killed cells stay silent."""
        alive = torch.ones(len(self.cells))
        alive[self._select(*killed)] = 0.0
        touched = torch.zeros(2, 1, len(self.cells))
        for side, names in enumerate((ANTERIOR, POSTERIOR)):
            touched[side, :, self._select(*names)] = 1.0
        state = self.worm.init(2, len(self.kicked))
        given = self.worm.stimulate(state, touched.expand_as(state.charge)).charge
        spikes = torch.zeros_like(given)
        for _ in range(TICKS):
            state, tick = self.worm.tick(ClassicState(state.charge + given), state, alive)
            spikes += tick.fired
        return spikes

    def rests(self) -> Tensor:
        """[D] whether few cells fire any more, long after the start, with no stimulus at all."""
        state = self.worm.stimulate(self.worm.init(len(self.kicked)), self.kicked)
        late = torch.zeros_like(self.kicked)
        for tick_number in range(TICKS):
            state, tick = self.worm.tick(state, state)
            late += tick.fired * float(tick_number >= LATE)
        return (late > 0).double().mean(-1) < QUIET

    def pool(self, response: Tensor, *which: str) -> Tensor:
        """Mean response [2, D] of a pool of cells."""
        return response[..., self._select(*which)].mean(-1)

    def _select(self, *which: str) -> Tensor:
        """These tables know no classes: a class stands for its left and right cell."""
        known = self.worm.cells
        names = (n if n in known or "*" in n else f"{n}[LR]" for n in which)
        return torch.from_numpy(self.cells.select(*names))
