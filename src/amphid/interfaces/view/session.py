"""A session: a network, a seed and a log of what was done to it; the three repeat it to the bit."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from amphid.interfaces.view.actions import (
    Action,
    Crawl,
    Event,
    Feed,
    Lesion,
    Poke,
    Restore,
    Stimulate,
)
from amphid.interfaces.view.animal import Animal
from amphid.interfaces.view.living import Life, LivingNetwork
from amphid.interfaces.view.tape import Tape
from amphid.simulation import Network, Recording

NOISE_TAU = 10.0  # ms


class Session:
    """A network that is played, touched, lesioned and recorded, and whose past can be repeated.

    Every action falls on the edge between two steps and is written into `log` with its time. The
    state depends on the network, the seed and the log alone: not on how the time was portioned.

    network: what lives; a `Network`, or anything with the verbs of `Life`, then without dt.
    dt: ms per step. seed: of the noise, and of cells that draw from `generator`.
    noise: standard deviation in pA of a current into every cell, correlated over 10 ms.
    generator: the one that the cells draw from, if they do; the session seeds it.
    worm: a body in a dish, driven by the muscles of the network and felt by its sensory cells: a
        `Worm`, or a `ClassicCrawler` for the classic worm.

    Raises ValueError or TypeError for what does not fit.
    """

    def __init__(
        self,
        network: Network | Life,
        *,
        dt: float | None = None,
        seed: int = 0,
        noise: float = 0.0,
        generator: torch.Generator | None = None,
        worm: Animal | None = None,
    ) -> None:
        if isinstance(network, Network) and dt is None:
            raise ValueError("dt must be given: ms per step, such as dt=1.0.")
        self.life: Life = network if dt is None else LivingNetwork(network, dt)  # type: ignore
        if not (isinstance(noise, int | float) and 0 <= noise < math.inf):
            raise ValueError(f"noise must be a number of pA, 0 or more, got {noise!r}.")
        self.noise, self.worm = float(noise), worm
        self.draws = generator is not None
        self.generator = generator or torch.Generator()
        self.connectome = self.life.connectome
        if not len(self.connectome):
            raise ValueError("a session needs cells: this network has none, and nothing to show.")
        self._place = {name: i for i, name in enumerate(map(str, self.connectome.cells.name))}
        self.tape: Tape | None = None
        self.seed = seed
        self.reset(seed)

    def __len__(self) -> int:
        return len(self.connectome)

    def __repr__(self) -> str:
        return (
            f"Session({self.connectome!r}, dt={self.dt:g}, seed={self.seed}: {self.time:g} ms, "
            f"{len(self.log)} actions)"
        )

    @property
    def dt(self) -> float:
        """ms per step."""
        return self.life.dt

    @property
    def time(self) -> float:
        """Simulated time in ms."""
        return self.steps * self.dt

    @property
    def dead(self) -> tuple[int, ...]:
        """Indices of the dead cells, in order."""
        return tuple(sorted(self._dead))

    @property
    def driven(self) -> tuple[int, ...]:
        """Indices of the cells into which a pulse flows, in order."""
        return tuple(sorted(self._pulses))

    def reset(self, seed: int | None = None) -> None:
        """Back to rest at time 0 with an empty log; seed: the same when None.

        Raises ValueError for a seed that is no whole number, 0 or more.
        """
        seed = self.seed if seed is None else seed
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
            raise ValueError(f"seed must be a whole number, 0 or more, got {seed!r}.")
        self.seed, self.steps = seed, 0
        self.log: list[Event] = []
        self._dead: set[int] = set()
        self._pulses: dict[int, tuple[float, int]] = {}  # cell: pA, the step at which it ends
        self.generator.manual_seed(seed)
        self.life.begin()
        self.rest = self.life.level.clone()
        self._drift = torch.zeros(len(self))
        self._current = torch.zeros(len(self))
        if self.worm is not None:
            self.worm.begin(self.rest)
        if self.tape is not None:
            self.record()

    def act(self, action: Action) -> Event:
        """Do something to the network, now; it is logged with the time.

        Raises KeyError with near names for a cell that is not there, ValueError for an action that
        this network cannot take.
        """
        event = Event(self.time, action)
        if isinstance(action, Poke | Feed | Crawl):
            self._act_on_worm(action)
        else:
            self._act_on_cell(action, self.place_of(action.cell))
        self.log.append(event)
        return event

    def advance(self, steps: int, heard: Callable[[], None] | None = None) -> None:
        """Take some steps; `heard` is called after each."""
        for _ in range(steps):
            self._step()
            if self.tape is not None:
                self.tape.take(self.life)
            if heard is not None:
                heard()

    def run(self, until: float) -> None:
        """Take steps until that time in ms.

        Raises ValueError for a time that lies behind.
        """
        steps = round(until / self.dt) - self.steps
        if steps < 0:
            raise ValueError(f"until must not lie before {self.time:g} ms, got {until:g} ms.")
        self.advance(steps)

    def replay(self, log: Iterable[Event], until: float | None = None) -> None:
        """From rest, with the same seed: everything in a log at its time, and on until a time."""
        events = list(log)
        self.reset()
        for event in events:
            self.run(event.time)
            self.act(event.action)
        if until is not None:
            self.run(until)

    def record(self, every: int = 1) -> None:
        """Keep levels and spikes from now on, levels every so many steps; see `recording`."""
        self.tape = Tape(self.steps, every)

    def recording(self) -> Recording:
        """What was kept since `record`: "v" [T, N], and spikes where cells fire.

        Raises ValueError when nothing was.
        """
        if self.tape is None or not len(self.tape):
            raise ValueError("nothing was recorded: call record() before run(...).")
        made = self.tape.recording(self.connectome.cells, self.life)
        since = f"from {self.tape.start * self.dt:g} ms of a session of seed {self.seed}"
        return replace(made, notes=(self.life.note, since))

    def place_of(self, cell: str) -> int:
        """Index of a cell by its name. Raises KeyError with near names."""
        if cell not in self._place:
            close = difflib.get_close_matches(cell, self._place, n=3)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise KeyError(f"No cell {cell!r} among the {len(self):,} of this network.{hint}")
        return self._place[cell]

    def current_into(self, cell: int) -> float:
        """The current of a running pulse into a cell, pA."""
        return self._pulses.get(cell, (0.0, 0))[0]

    def _act_on_cell(self, action: Stimulate | Lesion | Restore, cell: int) -> None:
        if isinstance(action, Stimulate):
            self._pulses.pop(cell, None)
            steps = max(round(action.duration / self.dt), 1)
            if action.amplitude:
                self._pulses[cell] = (float(action.amplitude), self.steps + steps)
            self._lay()
            return
        (self._dead.add if isinstance(action, Lesion) else self._dead.discard)(cell)
        self.life.kill(self.dead)

    def _act_on_worm(self, action: Poke | Feed | Crawl) -> None:
        if self.worm is None:
            raise ValueError(f"{type(action).__name__} needs a body: this network has none.")
        if isinstance(action, Poke):
            self.worm.poke(action.place, action.duration)
        elif isinstance(action, Feed):
            self.worm.feed(action.x, action.y)
        else:
            self.worm.crawl(on=action.on)

    def _lay(self) -> None:
        """The currents of the pulses that run now."""
        self._current = torch.zeros(len(self))
        for cell, (amplitude, _) in self._pulses.items():
            self._current[cell] = amplitude

    def _step(self) -> None:
        self.life.step(self._driven())
        self.steps += 1
        if self.worm is not None:
            self.worm.step(self.life.level, self.dt)
        over = [cell for cell, (_, end) in self._pulses.items() if self.steps >= end]
        if over:
            self._pulses = {k: pulse for k, pulse in self._pulses.items() if k not in over}
            self._lay()

    def _driven(self) -> Tensor:
        """The current into every cell in this step, pA."""
        current = self._current
        if self.worm is not None:
            current = current + self.worm.felt()
        if not self.noise:
            return current
        keep = math.exp(-self.dt / NOISE_TAU)
        drawn = torch.randn(len(self), generator=self.generator)
        drawn.mul_(self.noise * math.sqrt(1 - keep**2))
        self._drift.mul_(keep).add_(drawn)
        return current + self._drift
