"""The compiled engine: the whole time loop in machine code."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from amphid.dynamics.sequence import why_unsteady
from amphid.kernels import UnknownOperation, common_shape
from amphid.simulation.compiled.connected import connected
from amphid.simulation.compiled.edges import Array
from amphid.simulation.compiled.flat import as_asked, flat_task
from amphid.simulation.compiled.program import Program
from amphid.simulation.compiled.tiles import Tiles
from amphid.simulation.compiled.together import Events, Together, parts_that_pay
from amphid.simulation.compiled.waking import Waking, may_change_hands
from amphid.simulation.compiled.worth_sleeping import may_sleep
from amphid.simulation.network import NetworkState
from amphid.simulation.recording import Recording, Spikes
from amphid.simulation.simulate import Task, first_like
from amphid.simulation.stepping import Joint, way_to_step
from amphid.simulation.torch_engine import Torch
from amphid.simulation.wires import UnderWay, Wires

MANY = 8  # trials that are stepped side by side rather than one after another
SMALL = 512  # cells of a spiking network whose trials are stepped side by side
PATIENCE = 0.1  # seconds between two reports of progress


@dataclass(frozen=True)
class Compiled:
    """The compiled engine: `step` traced once, the time loop in machine code.

    It steps as the torch engine does where that takes explicit steps, in the type of the network's
    weights; spikes are the same. What it records carries no gradient. Machine code is kept in a
    cache folder, so that the same network starts at once in another process.

    threads: how many trials of a batch are stepped side by side; as many as there are processors
        when None. Threads that no trial needs step parts of one network, where that pays: cells
        next to each other, which are told of the others' spikes once per shortest delay. Results
        are the same to the last bit.
    implicit: True solves all voltages together, False never does; None lets the network's own
        conductances decide. Where weights move as well, that is left to the torch engine.
    skip_resting: leave cells alone while nothing reaches them and they cannot fire, where their
        equations below threshold are linear or a step changes nothing. Spikes are the same, up to
        rounding. Where many cells are awake all of them are stepped, which is then faster; None
        does without where that is likely from the start, False always, True never.
    Raises UnknownOperation, naming it, for cells or synapses that do what cannot be compiled, and
    ModuleNotFoundError where numba is missing.
    """

    threads: int | None = None
    implicit: bool | None = None
    skip_resting: bool | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and not (isinstance(self.threads, int) and self.threads > 0):
            raise ValueError(
                f"threads must be a number of threads, at least 1, or None for one per processor; "
                f"got {self.threads!r}."
            )

    @torch.no_grad()
    def run(self, task: Task) -> Recording:
        """The recording of a task."""
        device = task.network.weight.device
        if device.type != "cpu":
            raise ValueError(
                f"the compiled engine runs on the processor, but the network is on {device}: use "
                "network.cpu(), or engine=Torch()."
            )
        if not first_like(task).numel():
            return _handed_over(task, "there is no cell, or no trial, to step")
        flat = flat_task(task)
        walk = self.walk(flat)
        if not walk:
            return _handed_over(task, "the voltages of this network must be solved together")
        return as_asked(task, Run(flat, walk).all_steps())

    def walk(self, task: Task) -> Walk | None:
        """The network of a flat task ready to be walked through time; None where only torch can."""
        if why := why_unsteady(task.network.neuron):
            raise UnknownOperation(why)
        wires = connected(task.network, task.dt)
        step, note = way_to_step(task.network, wires, task.dt, implicit=self.implicit)
        if step is Joint and _moved(task):
            return None
        threads = self.threads or torch.get_num_threads()
        if step is Joint or (not self.skip_resting and _side_by_side(task)):
            return _Alone(Tiles(task, wires, joint=step is Joint, how=note), threads)
        return self._walk(task, wires, threads)

    def _walk(self, task: Task, wires: dict[str, Wires], threads: int) -> Walk:
        """Trials one by one, or the parts of a single one where that pays."""
        parts = 1 if self.skip_resting else parts_that_pay(task, wires, threads)
        whole = partial(Program, wires=wires, skip=self.skip_resting)
        parted = partial(Together.of, wires=wires, parts=parts, threads=threads)
        if parts == 1:
            return _Alone(whole(task), threads)
        if self.skip_resting is None and may_sleep(task):
            program = whole(task)
            if program.sleeping and may_change_hands(task):
                return Waking(task, program, whole=whole, parted=parted)
            if program.sleeping:
                return _Alone(program, threads)
        return parted(task)


def _side_by_side(task: Task) -> bool:
    """Whether a connection is better walked once for many trials."""
    trials = common_shape(task.batch, task.network.batch).numel()
    # where few cells of many fire at a time, trials that share a walk share little of it
    shared = task.network.neuron.output != "spike" or len(task.network.connectome) <= SMALL
    return trials >= MANY and shared and not _moved(task)


def _moved(task: Task) -> bool:
    """Whether weights move in this run, or have moved before it."""
    past = task.state.past.values() if task.state else ()
    return bool(task.plasticity) or any(isinstance(sent, UnderWay) for sent in past)


def _handed_over(task: Task, why: str) -> Recording:
    """The recording of the torch engine, which says who made it."""
    recording = Torch().run(task)
    return replace(recording, notes=(*recording.notes, f"not compiled: {why}"))


class Walk(Protocol):
    """A network that is taken through time: whole, or in parts."""

    trials: int
    batch: torch.Size
    in_order: bool  # whether spikes come step by step

    @property
    def note(self) -> str:
        """How it is run."""

    def longest_piece(self, steps: int) -> int:
        """How many steps can be taken at once."""

    def go_to(self, end: int) -> list[Events]:
        """Bring all trials to the same step; their spikes."""

    def hold(self, current: Array) -> None:
        """Change the current [N] in pA that stays, of a task that has one row of it."""

    def voltage(self) -> Array:
        """Where all cells are now [trials, N], mV."""

    def sample(self, done: int) -> None:
        """Keep the variables that the loop cannot keep by itself."""

    def fields(self) -> dict[str, torch.Tensor]:
        """What was sampled [T', *B, N], by name."""

    def state(self, done: int) -> NetworkState:
        """The state of all trials after that many steps."""

    def weights(self) -> torch.Tensor | None:
        """The weights that moved, as they were sampled [T', *B, K]; None where none did."""

    def close(self) -> None:
        """Let the threads go."""


class _Alone:
    """A whole network in one loop, trials side by side."""

    def __init__(self, program: Program | Tiles, threads: int) -> None:
        self.program, self.trials, self.batch = program, program.trials, program.batch
        self.in_order = program.trials == 1
        self.longest_piece, self.sample = program.longest_piece, program.sample
        self.fields, self.state = program.fields, program.state
        self.hold, self.voltage = program.hold, program.voltage
        self.weights = program.plasticity.samples
        self.pool = ThreadPoolExecutor(threads) if threads > 1 < program.items else None

    def go_to(self, end: int) -> list[Events]:
        """Bring every trial to the same step."""
        walk = self.pool.map if self.pool else map
        items = range(self.program.items)
        found = walk(lambda item: self._item(item, end), items)
        return [events for of_item in found for events in of_item]

    @property
    def note(self) -> str:
        """How it was run."""
        return self.program.note

    def close(self) -> None:
        """Let the threads go."""
        if self.pool:
            self.pool.shutdown()

    def _item(self, item: int, end: int) -> list[Events]:
        """Bring one trial, or one tile of them, to a step; spikes by step, trial and cell."""
        found = []
        counters = self.program.counters[item]
        while counters[0] < end:
            self.program.step(item, end - int(counters[0]))
            found.append(self.program.spikes(item))
        return found


class Run:
    """One run of a task, in pieces that take about as long as one is willing to wait."""

    def __init__(self, task: Task, walk: Walk) -> None:
        self.task, self.walk = task, walk
        self.done = 0
        self.events: list[Events] = []

    def all_steps(self) -> Recording:
        """Run to the end, or as far as one lets it."""
        steps, note = self.task.steps, ""
        piece = 16
        try:
            while self.done < steps:
                began = time.perf_counter()
                with _unbroken():
                    self._go_to(min(self.done + self.walk.longest_piece(piece), steps))
                if time.perf_counter() - began < PATIENCE / 2:
                    piece *= 2
                elif time.perf_counter() - began > PATIENCE * 2 and piece > 1:
                    piece //= 2
                if self.task.progress:
                    self.task.progress(self.done, steps)
        except KeyboardInterrupt:
            note = f"; interrupted after {self.done} of {steps} steps"
        finally:
            self.walk.close()
        return self._recording(self.walk.note + note)

    def _go_to(self, end: int) -> None:
        """Bring every trial to the same step."""
        self.events += self.walk.go_to(end)
        self.done = end
        self.walk.sample(end)

    def _recording(self, note: str) -> Recording:
        task, walk = self.task, self.walk
        kept = self.done // task.every
        fields = {name: values[:kept] for name, values in walk.fields().items() if kept}
        weight = walk.weights() if kept else None
        return Recording(
            cells=task.network.connectome.cells,
            dt=task.dt,
            every=task.every,
            fields=fields,
            events=self._spikes() if "spike" in task.record else None,
            notes=(note,),
            state=walk.state(self.done),
            weight=None if weight is None else weight[:kept],
            edges=None if weight is None else task.moving,
            kept=dict(task.kept),
        )

    def _spikes(self) -> Spikes:
        batch = self.walk.batch
        step, trial, cell = (
            np.concatenate([np.zeros(0, np.int64), *(piece[k] for piece in self.events)])
            for k in range(3)
        )
        order = slice(None) if self.walk.in_order else np.lexsort((trial, step))
        places = np.unravel_index(trial[order], batch) if batch else ()
        index = np.stack((step[order], *places, cell[order]))
        cells = self.task.kept.get("spike", self.task.network.connectome.cells.name)
        shape = (self.done, *batch, len(cells))
        return Spikes(torch.from_numpy(index), shape, self.task.dt)


@contextmanager
def _unbroken() -> Iterator[None]:
    """Hold an interruption back until all trials stand at the same step."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[Any] = []
    usual = signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if asked:
        raise KeyboardInterrupt
