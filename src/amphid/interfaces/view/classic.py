"""The threshold-integrator worm of the web as a life, for comparison with cells of flesh."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from amphid.models import ClassicWorm
from amphid.models.classic_worm import STIMULI, ClassicTables
from amphid.simulation.stimulus import check_positive
from amphid.wiring import Cells, Connections, Connectome, celegans

UPDATE = 500.0  # ms between updates of the original program
DT = 25.0  # ms


class LivingClassic:
    """The classic worm, its table updated every 500 ms: hungry, as in the original, and touched.

    A cell is stimulated where a current above 0 flowed into it since the last update; the size of
    the current says nothing. As in the original every stimulus is a tick of its own, in this order:
    hunger, touch of the nose, food, and here then all other stimulated cells together. Unlike in
    it, no cells discharge at the start.

    dt: ms per step, of which 500 are a whole number; the table stands still in between.
    """

    shows = ("charge", "")
    spikes = False
    script = "LivingClassic()"
    note = "one update of the weight table in 500 ms; no leak, no delay, no time within an update"

    def __init__(
        self,
        worm: ClassicWorm | None = None,
        tables: ClassicTables | None = None,
        *,
        dt: float = DT,
    ) -> None:
        check_positive("dt", dt)
        self._every = round(UPDATE / dt)
        if abs(self._every * dt - UPDATE) > 1e-9:
            raise ValueError(f"dt must divide the {UPDATE:g} ms between updates, got {dt:g} ms.")
        tables = tables or ClassicTables.load()
        self.worm, self.dt = worm or ClassicWorm(tables), float(dt)
        if dt != DT:
            self.script = f"LivingClassic(dt={self.dt!r})"
        self.connectome = _connectome(tables)
        self._groups = [torch.tensor(self.worm.indices(STIMULI[name])) for name in STIMULI]

    def begin(self) -> None:
        """No charge anywhere, all cells alive."""
        self.state = self.worm.init()
        self.steps = self.ticks = 0
        self.push = (0.0, 0.0)
        self._quiet()
        self.kill(())

    def step(self, current: Tensor) -> None:
        """Some of the time between updates, or an update; currents above 0 stimulate."""
        if not self.steps % self._every:
            self._touched = torch.zeros(len(self.worm.cells), dtype=torch.bool)
        self._touched |= current > 0
        self.steps += 1
        self._quiet()
        if not self.steps % self._every:
            self._update()

    def kill(self, dead: tuple[int, ...]) -> None:
        """These cells, and no others, never fire from the next update on."""
        self._alive = torch.ones(len(self.worm.cells))
        self._alive[list(dead)] = 0.0

    @property
    def level(self) -> Tensor:
        """The charge of every cell [N], above 30 it fires."""
        return self.state.charge

    @property
    def fired(self) -> Tensor:
        """Which cells fired in the last step [N]."""
        return self._fired

    def _quiet(self) -> None:
        self._fired = torch.zeros(len(self.worm.cells), dtype=torch.bool)

    def _update(self) -> None:
        """A tick for each stimulus; the last one moves the worm."""
        self.ticks += 1
        for cells in self._stimuli():
            charged = self.worm.stimulate(self.state, cells * self._alive)
            self.state, tick = self.worm.tick(charged, self.state, self._alive)
            self._fired = self._fired | tick.fired
        self.push = (float(tick.left), float(tick.right))

    def _stimuli(self) -> Iterator[Tensor]:
        """Masks [N]: hunger, whatever else of the original is on, and what is touched by hand."""
        hunger, *others = self._groups
        left = self._touched.clone()
        yield self._alive.new_zeros(len(left)).index_fill(0, hunger, 1.0)
        for cells in others:
            if self._touched[cells].all():
                yield self._alive.new_zeros(len(left)).index_fill(0, cells, 1.0)
                left[cells] = False
        if left.any():
            yield left.to(self._alive)


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
