"""Race signals through a geometric network: event by event, in whole ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.receivers import LONGEST
from amphid.dynamics.values import is_number
from amphid.kernels import common_shape
from amphid.simulation.racing import loop
from amphid.simulation.racing.machine import Workspace
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
    task = _Task(
        network, NOTHING if stimulus is None else stimulus, duration, dt, refractory, state
    )
    parts = _shared_out(lambda *piece: _Run(task).trials(*piece), task.trials, threads, 1)
    done = [one for part in parts for one in part]
    trial = np.repeat(np.arange(task.trials), [len(one.tick) for one in done])
    return Race(
        network=network,
        trial=torch.from_numpy(trial),
        cell=_joined([one.cell for one in done]),
        tick=_joined([one.tick for one in done]),
        batch=task.batch,
        ticks=task.ticks,
        dt=dt,
        arrived=torch.tensor([one.arrived for one in done]).reshape(task.batch),
        lost=torch.tensor([one.lost for one in done]).reshape(task.batch),
        state=RaceState(
            [one.state for one in done], task.batch, dt, network.prepared(dt)[0].checksum
        ),
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
    return found.reshape(*task.batch, len(network))


class Found(NamedTuple):
    """What came of one trial: its spikes in order, signals that arrived and were lost."""

    tick: Array
    cell: Array
    arrived: int
    lost: int
    state: TrialState


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
        self._check_types()
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
        if self.refractory is not None and not bool((self.refractory >= 0).all()):
            raise ValueError("refractory must not be negative or nan, in ms.")
        _ = self.states, self.events

    def _check_types(self) -> None:
        """Raise TypeError for arguments that are something else."""
        for name, wanted in {"network": GeometricNetwork, "stimulus": Onsets}.items():
            if not isinstance(given := getattr(self, name), wanted):
                raise TypeError(f"{name} must be of {wanted.__name__}, got {given!r:.80}.")
        if self.state is not None and not isinstance(self.state, RaceState):
            raise TypeError(f"state must be that of a race, `.state`, got {self.state!r:.80}.")
        held = self.refractory
        if held is not None and (not isinstance(held, Tensor) or held.is_complex()):
            raise TypeError(f"refractory must be a tensor [*B, N] in ms, got {held!r:.80}.")

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
            columns = [column[np.concatenate([np.zeros(0, np.int64), *rows])] for column in columns]
        # one that never comes, so that there is one behind the last
        return start, *(np.append(column, np.zeros(1, column.dtype)) for column in columns)

    @cached_property
    def blocked(self) -> Array:
        """[trials, N] ticks for which cells are refractory from the start; no rows when none is."""
        if self.refractory is None:
            return np.zeros((0, len(self.network)), np.int32)
        wide = self.refractory.expand(*self.batch, len(self.network)).reshape(-1, len(self.network))
        ticks = np.rint(wide.detach().double().numpy() / self.dt)
        return np.clip(ticks, 0, LONGEST).astype(np.int32)

    @cached_property
    def states(self) -> Sequence[TrialState] | None:
        """One state for each trial."""
        if self.state is None:
            return None
        size = len(self.state.trials[0].refractory)
        if size != len(self.network):
            raise ValueError(f"state has {size} cells, network has {len(self.network)}.")
        modes = len(self.network.prepared(self.dt)[1].share)
        if any(one.sums.shape[1] != modes for one in self.state.trials):
            raise ValueError(
                f"state is of cells whose sums have {self.state.trials[0].sums.shape[1]} parts, "
                f"the receiver of this network has {modes}: go on with the receiver it comes from."
            )
        self._check_forgetting(self.state)
        longest = max(int(one.signals.ticks.max(initial=0)) for one in self.state.trials)
        if longest >= self.network.prepared(self.dt)[0].longest + 1:
            raise ValueError("state has signals under way for longer than any latency here.")
        if self.state.wiring not in (None, self.network.prepared(self.dt)[0].checksum):
            raise ValueError(
                "state is that of another network: its connections, latencies or weights differ. "
                "To go on in this one nevertheless, give dataclasses.replace(state, wiring=None)."
            )
        own = torch.arange(self.state.batch.numel()).reshape(self.state.batch)
        return [self.state.trials[k] for k in own.expand(self.batch).reshape(-1).tolist()]

    def _check_forgetting(self, state: RaceState) -> None:
        """Raise ValueError for cells that would never take back what they are to take back."""
        takes_back = bool(self.network.prepared(self.dt)[1].memory.any())
        if not takes_back and any(one.signals.forgets.any() for one in state.trials):
            raise ValueError(
                "state is of cells that forget by a StepTrace, those of this network do not: go on "
                "with the receiver it comes from."
            )


class _Run:
    """A thread at work on some trials of a task."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.work = Workspace(*task.network.prepared(task.dt), task.ticks)

    def firsts(self, start: int, stop: int) -> Array:
        """[S, N] ticks at which cells first fire in trials start to stop, -1 where they do not."""
        task = self.task
        starts, *events = task.events
        firsts = np.empty((stop - start, len(task.network)), np.int32)
        given = starts[start : stop + 1], *events, task.blocked[start:stop], firsts
        while self.work.run(*given, np.empty_like(firsts), *_spikes(0)):
            self.work.more_signals()
        return firsts

    def trials(self, start: int, stop: int) -> list[Found]:
        """What comes of each trial."""
        return [self._trial(trial) for trial in range(start, stop)]

    def _trial(self, trial: int) -> Found:
        task, work = self.task, self.work
        starts, *events = task.events
        work.begin()
        if task.states is not None:
            task.states[trial].put(work)
        if len(task.blocked):
            work.marks[loop.READY] = np.maximum(work.marks[loop.READY], task.blocked[trial])
        work.clock[loop.NEXT : loop.LAST + 1] = starts[trial : trial + 2]
        size = len(task.network)
        seen = np.full((1, size), -1, np.int32), np.zeros((1, size), np.int32)
        given = starts, *events, np.zeros((0, size), np.int32), *seen
        tick, cell = _spikes(1024)
        while status := work.run(*given, tick, cell):
            if status == loop.MORE_SIGNALS:
                work.more_signals()
            else:
                tick, cell = (np.pad(column, (0, len(column) + size)) for column in (tick, cell))
        return self._found(tick, cell)

    def _found(self, tick: Array, cell: Array) -> Found:
        clock = self.work.clock
        tick, cell = tick[: clock[loop.WRITTEN]], cell[: clock[loop.WRITTEN]]
        order = np.lexsort((cell, tick))
        state = TrialState.of(self.work, self.task.network.prepared(self.task.dt)[1])
        return Found(
            tick[order], cell[order], int(clock[loop.ARRIVED]), int(clock[loop.LOST]), state
        )


def _joined(columns: Sequence[Array]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *columns])).long()


def _spikes(room: int) -> tuple[Array, Array]:
    return np.zeros(room, np.int32), np.zeros(room, np.int32)


def _shared_out(
    part: Callable[[int, int], T], trials: int, threads: int | None, at_once: int
) -> list[T]:
    """What comes of all trials, some of them at once, in several threads."""
    whole = isinstance(threads, int) and not isinstance(threads, bool)
    if threads is not None and not (whole and threads > 0):
        raise ValueError(f"threads must be a whole number of at least 1, or None, got {threads!r}.")
    count = threads or torch.get_num_threads()
    size = max(1, min(at_once, -(-trials // count))) if at_once > 1 else -(-trials // count) or 1
    pieces = [(start, min(start + size, trials)) for start in range(0, trials, size)]
    if count == 1 or len(pieces) == 1:
        return [part(*piece) for piece in pieces]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda piece: part(*piece), pieces))
