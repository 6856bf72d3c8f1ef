"""Race signals through a geometric network: event by event, in whole ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.receivers import LONGEST
from amphid.dynamics.values import is_number
from amphid.kernels import common_shape
from amphid.simulation.racing import loop
from amphid.simulation.racing.machine import Workspace, compiled
from amphid.simulation.racing.network import GeometricNetwork
from amphid.simulation.racing.onsets import NO_BATCH, Onsets
from amphid.simulation.racing.result import Race
from amphid.simulation.racing.state import RaceState, TrialState

Array = NDArray[Any]
T = TypeVar("T")
NOTHING = Onsets(torch.zeros(0, dtype=torch.int64), torch.zeros(0))


def race(
    network: GeometricNetwork,
    stimulus: Onsets | None = None,
    *,
    duration: float,
    dt: float,
    refractory: Tensor | None = None,
    state: RaceState | None = None,
    threads: int | None = None,
) -> Race:
    """Run a geometric network from tick to tick and keep every spike.

    stimulus: events from outside, at times from the start of this run; their batch *B is that of
        the trials. None where there are none.
    duration: ms; the ticks 0, 1, ... before it are run. dt: ms of a tick, to whose whole numbers
        all times are rounded; latencies and refractory periods take one at least.
    refractory: [*B, N] ms for which cells are refractory from the start, infinite for all of it.
    state: where to go on from, `race(...).state`.
    threads: how many run trials side by side; those of torch when None.

    The run is exact and deterministic: equal in any order of the cells or connections, and cut
    in two by `state` the same as in one piece.
    Raises ValueError for what does not fit the network or the state.
    """
    task = _Task(network, stimulus or NOTHING, duration, dt, refractory, state)
    parts = _shared_out(_Run(task).trials, task.trials, threads, 1)
    done = [one for part in parts for one in part]
    ticks, cells = (list(columns) for columns in zip(*(d[:2] for d in done), strict=True))
    trial = np.repeat(np.arange(task.trials), [len(column) for column in ticks])
    arrived, lost = (torch.tensor([d[k] for d in done]).reshape(task.batch) for k in (2, 3))
    return Race(
        network=network,
        trial=torch.from_numpy(trial),
        cell=torch.from_numpy(np.concatenate(cells)).long(),
        tick=torch.from_numpy(np.concatenate(ticks)).long(),
        batch=task.batch,
        ticks=task.ticks,
        dt=dt,
        arrived=arrived,
        lost=lost,
        state=RaceState([d[4] for d in done], task.batch, dt),
    )


def first_spikes(
    network: GeometricNetwork,
    stimulus: Onsets,
    *,
    duration: float,
    dt: float,
    refractory: Tensor | None = None,
    threads: int | None = None,
) -> Tensor:
    """When each cell first fires [*B, N], ms, single precision; infinite where it does not.

    As `race(...).first_spike()`, with nothing else kept: for many trials, such as images.
    """
    task = _Task(network, stimulus, duration, dt, refractory, None)
    found = torch.empty(task.trials, len(network))
    at_once = max(1, min((1 << 22) // max(len(network), 1), 1024))

    def part(start: int, stop: int) -> None:
        firsts = torch.from_numpy(_Run(task).firsts(start, stop))
        found[start:stop] = torch.where(firsts < 0, torch.inf, firsts * dt)

    _shared_out(part, task.trials, threads, at_once)
    return found.reshape(*task.batch, -1)


@dataclass(frozen=True, eq=False)
class _Task:
    """One call of a race, with everything in ticks."""

    network: GeometricNetwork
    stimulus: Onsets
    duration: float
    dt: float
    refractory: Tensor | None
    state: RaceState | None

    def __post_init__(self) -> None:
        if not is_number(self.duration) or self.duration < 0:
            raise ValueError(f"duration must be a number of ms, got {self.duration!r}.")
        self.network.prepared(self.dt)
        if self.ticks >= LONGEST:
            raise ValueError(f"{self.ticks:,} ticks are too many: raise dt or run on from a state.")
        if self.state is not None and self.state.dt != self.dt:
            raise ValueError(f"state has ticks of {self.state.dt:g} ms, but dt is {self.dt:g}.")
        if self.refractory is not None and self.refractory.shape[-1:] != (len(self.network),):
            raise ValueError(
                f"refractory must end in one entry per cell: network has {len(self.network)}, got "
                f"shape {list(self.refractory.shape)}."
            )
        _ = self.states, self.events

    @cached_property
    def ticks(self) -> int:
        """How many ticks are run."""
        return int(np.ceil(self.duration / self.dt - 1e-9))

    @cached_property
    def batch(self) -> torch.Size:
        """The axes *B of all trials."""
        blocked = NO_BATCH if self.refractory is None else self.refractory.shape[:-1]
        before = NO_BATCH if self.state is None else self.state.batch
        return common_shape(self.stimulus.batch, blocked, before)

    @property
    def trials(self) -> int:
        """How many trials there are."""
        return self.batch.numel()

    @cached_property
    def events(self) -> Sequence[Array]:
        """Where each trial starts, and tick, cell and weight of its events."""
        start, *columns = self.stimulus.sorted(len(self.network), self.dt)
        own = self.stimulus.batch
        if own != self.batch:
            which = torch.arange(own.numel()).reshape(own).expand(self.batch).reshape(-1).numpy()
            rows = [np.arange(start[one], start[one + 1]) for one in which]
            start = np.cumsum([0, *map(len, rows)])
            columns = [column[np.concatenate(rows)] for column in columns]
        return start, *columns

    @cached_property
    def blocked(self) -> Array:
        """[trials, N] ticks for which cells are refractory from the start; no rows when none is."""
        if self.refractory is None:
            return np.zeros((0, len(self.network)), np.int32)
        wide = self.refractory.expand(*self.batch, len(self.network)).reshape(-1, len(self.network))
        ticks = np.rint(wide.double().numpy() / self.dt)
        return np.clip(ticks, 0, LONGEST).astype(np.int32)

    @cached_property
    def states(self) -> Sequence[TrialState] | None:
        """One state for each trial."""
        if self.state is None:
            return None
        size = len(self.state.trials[0].refractory)
        if size != len(self.network):
            raise ValueError(f"state has {size} cells, network has {len(self.network)}.")
        longest = max(int(one.signals.ticks.max(initial=0)) for one in self.state.trials)
        if longest >= self.network.prepared(self.dt)[0].longest + 1:
            raise ValueError("state has signals under way for longer than any latency here.")
        own = torch.arange(self.state.batch.numel()).reshape(self.state.batch)
        return [self.state.trials[k] for k in own.expand(self.batch).reshape(-1).tolist()]


class _Run:
    """A thread at work on some trials of a task."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.code = compiled()

    def firsts(self, start: int, stop: int) -> Array:
        """[S, N] ticks at which cells first fire in trials start to stop, -1 where they do not."""
        task, work = self.task, self._workspace()
        size = len(task.network)
        firsts = np.empty((stop - start, size), np.int32)
        out = np.zeros(size, np.int32), np.zeros(size, np.int32), *_spikes(0)
        spent = np.zeros(4, np.int64)
        starts, *events = task.events
        own = (starts[start : stop + 1], task.blocked[start:stop], firsts, np.zeros_like(firsts))
        while self.code.race_many(
            work.wires, work.law, work.cells, work.ring, tuple(events), *own, spent, out, work.clock
        ):
            work.more_signals()
        return firsts

    def trials(self, start: int, stop: int) -> list[tuple[Array, Array, int, int, TrialState]]:
        """Ticks and cells of all spikes, signals that arrived and were lost, and the state."""
        work = self._workspace()
        return [self._trial(trial, work) for trial in range(start, stop)]

    def _trial(self, trial: int, work: Workspace) -> tuple[Array, Array, int, int, TrialState]:
        task, clock, size = self.task, work.clock, len(self.task.network)
        out = np.zeros(size, np.int32), np.zeros(size, np.int32), *_spikes(1024)
        self.code.begin(clock, work.cells, work.ring, out)
        if task.states is not None:
            task.states[trial].put(work)
        if len(task.blocked):
            work.cells[0][:] = np.maximum(work.cells[0], task.blocked[trial])
        starts, *events = task.events
        clock[loop.NEXT : loop.LAST + 1] = starts[trial : trial + 2]
        while status := self.code.race_on(
            work.wires, work.law, work.cells, work.ring, tuple(events), out, clock
        ):
            if status == loop.MORE_SIGNALS:
                work.more_signals()
            else:
                out = (
                    *out[:2],
                    *(np.concatenate([c, np.zeros_like(c), *_spikes(size)[:1]]) for c in out[2:]),
                )
        written = int(clock[loop.WRITTEN])
        order = np.lexsort((out[3][:written], out[2][:written]))
        reception = task.network.prepared(task.dt)[1]
        state = TrialState.of(work, reception)
        tick, cell = out[2][order], out[3][order]
        return tick, cell, int(clock[loop.ARRIVED]), int(clock[loop.LOST]), state

    def _workspace(self) -> Workspace:
        work = Workspace(*self.task.network.prepared(self.task.dt))
        work.clock[loop.END] = self.task.ticks
        return work


def _spikes(room: int) -> tuple[Array, Array]:
    return np.zeros(room, np.int32), np.zeros(room, np.int32)


def _shared_out(
    part: Callable[[int, int], T], trials: int, threads: int | None, at_once: int
) -> list[T]:
    """What comes of all trials, some of them at once, in several threads."""
    count = threads or torch.get_num_threads()
    size = max(1, min(at_once, -(-trials // count))) if at_once > 1 else -(-trials // count) or 1
    pieces = [(start, min(start + size, trials)) for start in range(0, trials, size)]
    if count == 1 or len(pieces) == 1:
        return [part(*piece) for piece in pieces]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda piece: part(*piece), pieces))
