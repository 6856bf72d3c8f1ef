"""The threshold-integrator worm of the web as a life, for comparison with cells of flesh."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.models import ClassicWorm
from amphid.models.classic_worm import STIMULI, ClassicTables
from amphid.wiring import Cells, Connections, Connectome, celegans

UPDATE = 500.0  # ms between updates of the original program


class LivingClassic:
    """The classic worm, updated every 500 ms: hungry, as in the original, and stimulated by hand.

    A cell is stimulated while a current above 0 flows into it: its outgoing weights are added to
    the charge of its targets before the tick; the size of the current says nothing. Unlike in the
    original, all stimuli share one tick, and no cells discharge at the start.
    """

    shows = ("charge", "")
    spikes = False
    dt = UPDATE
    script = "LivingClassic()"
    note = "one tick of the weight table in 500 ms; no leak, no delay, no time within a tick"

    def __init__(
        self, worm: ClassicWorm | None = None, tables: ClassicTables | None = None
    ) -> None:
        tables = tables or ClassicTables.load()
        self.worm = worm or ClassicWorm(tables)
        self.connectome = _connectome(tables)
        self._hunger = torch.zeros(len(self.worm.cells))
        self._hunger[self.worm.indices(STIMULI["hunger"])] = 1.0

    def begin(self) -> None:
        """No charge anywhere, all cells alive."""
        self.state = self.worm.init()
        self._fired = torch.zeros(len(self.worm.cells), dtype=torch.bool)
        self.kill(())

    def step(self, current: Tensor) -> None:
        """One tick; cells with a current above 0 are stimulated."""
        on = torch.maximum(self._hunger, (current > 0).to(self._hunger)) * self._alive
        charged = self.worm.stimulate(self.state, on)
        self.state, tick = self.worm.tick(charged, self.state, self._alive)
        self._fired = tick.fired

    def kill(self, dead: tuple[int, ...]) -> None:
        """These cells, and no others, never fire from the next tick on."""
        self._alive = torch.ones_like(self._hunger)
        self._alive[list(dead)] = 0.0

    @property
    def level(self) -> Tensor:
        """The charge of every cell [N], above 30 it fires."""
        return self.state.charge

    @property
    def fired(self) -> Tensor:
        """Which cells fired in the last tick [N]."""
        return self._fired


def _connectome(tables: ClassicTables) -> Connectome:
    """The table as a connectome, its cells placed and named as in the shipped worm."""
    place = {name: index for index, name in enumerate(tables.cells)}
    pairs = [(place[one], place[two], weight) for (one, two), weight in tables.weights.items()]
    pre, post, weight = (list(column) for column in zip(*pairs, strict=True))
    sign = [1 if value > 0 else -1 if value < 0 else 0 for value in weight]
    wires = Connections(pre, post, synapses=[abs(value) for value in weight], sign=sign)
    references = ("Weights: github.com/heyseth/worm-sim (MIT), after T. Busbice.",)
    cells = Connectome(Cells(tables.cells), wires, name="the classic worm", references=references)
    return cells.annotated(celegans())
