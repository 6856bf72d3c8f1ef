"""The compiled engine: the whole time loop in machine code."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from amphid.simulation.compiled.edges import Array
from amphid.simulation.compiled.program import Program
from amphid.simulation.compiled.tiles import Tiles
from amphid.simulation.recording import Recording, Spikes
from amphid.simulation.simulate import Task, Torch
from amphid.simulation.stepping import Joint, Stepper, choose
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

    threads: on how many threads the trials of a batch are stepped; on as many as there are
        processors when None.
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
        network = task.network
        if network.weight.device.type != "cpu":
            raise ValueError(
                f"the compiled engine runs on the processor, but the network is on "
                f"{network.weight.device}: use network.cpu(), or engine=Torch()."
            )
        edges = {group: network.weights_of(group) for group in network.edges}
        wires = {
            group: Wires.of(network.connectome, network.edges[group], weight, task.dt)
            for group, weight in edges.items()
        }
        stepper = choose(network, wires, task.dt, implicit=self.implicit)
        if isinstance(stepper, Joint) and _moved(task):
            return _handed_over(task)
        program = self._program(task, wires, stepper)
        return _Run(program, self.threads or torch.get_num_threads()).all_steps()

    def _program(self, task: Task, wires: dict[str, Wires], stepper: Stepper) -> Program:
        """Tiles where trials are many enough, or the voltages must be solved together."""
        joint = isinstance(stepper, Joint)
        trials = torch.broadcast_shapes(task.batch, task.network.batch).numel()
        # where few cells of many fire at a time, trials that share a walk share little of it
        shared = task.network.neuron.output != "spike" or len(task.network.connectome) <= SMALL
        tiles = trials >= MANY and shared and not self.skip_resting and not _moved(task)
        if joint or tiles:
            return Tiles(task, wires, joint=joint, how=stepper.note)
        return Program(task, wires, skip=self.skip_resting)


def _moved(task: Task) -> bool:
    """Whether weights move in this run, or have moved before it."""
    past = task.state.past.values() if task.state else ()
    return bool(task.plasticity) or any(isinstance(sent, UnderWay) for sent in past)


def _handed_over(task: Task) -> Recording:
    """The recording of the torch engine, which says who made it."""
    recording = Torch(implicit=True).run(task)
    note = "not compiled: weights move while all voltages are solved together"
    return replace(recording, notes=(*recording.notes, note))


class _Run:
    """One run of a program, in pieces that take about as long as one is willing to wait."""

    def __init__(self, program: Program, threads: int) -> None:
        self.program, self.task = program, program.task
        self.items = range(program.items)
        self.done = 0
        self.events: list[tuple[Array, Array, Array]] = []  # step, trial, cell
        self.pool = ThreadPoolExecutor(threads) if threads > 1 < len(self.items) else None

    def all_steps(self) -> Recording:
        """Run to the end, or as far as one lets it."""
        steps, note = self.task.steps, ""
        piece = 16
        try:
            while self.done < steps:
                began = time.perf_counter()
                with _unbroken():
                    self._go_to(min(self.done + self.program.longest_piece(piece), steps))
                if time.perf_counter() - began < PATIENCE / 2:
                    piece *= 2
                elif time.perf_counter() - began > PATIENCE * 2 and piece > 1:
                    piece //= 2
                if self.task.progress:
                    self.task.progress(self.done, steps)
        except KeyboardInterrupt:
            note = f"; interrupted after {self.done} of {steps} steps"
        finally:
            if self.pool:
                self.pool.shutdown()
        return self._recording(self.program.note + note)

    def _go_to(self, end: int) -> None:
        """Bring every trial to the same step."""
        walk = self.pool.map if self.pool else map
        for found in walk(lambda item: self._item(item, end), self.items):
            self.events += found
        self.done = end
        self.program.sample(end)

    def _item(self, item: int, end: int) -> list[tuple[Array, Array, Array]]:
        """Bring one trial, or one tile of them, to a step; spikes by step, trial and cell."""
        found = []
        counters = self.program.counters[item]
        while counters[0] < end:
            self.program.step(item, end - int(counters[0]))
            found.append(self.program.spikes(item))
        return found

    def _recording(self, note: str) -> Recording:
        task, program = self.task, self.program
        kept = self.done // task.every
        fields = {name: values[:kept] for name, values in program.fields().items() if kept}
        weight = program.plasticity.samples() if kept else None
        return Recording(
            cells=task.network.connectome.cells,
            dt=task.dt,
            every=task.every,
            fields=fields,
            events=self._spikes() if "spike" in task.record else None,
            notes=(note,),
            state=program.state(self.done),
            weight=None if weight is None else weight[:kept],
            edges=None if weight is None else task.moving,
        )

    def _spikes(self) -> Spikes:
        batch = self.program.batch
        step, trial, cell = (
            np.concatenate([np.zeros(0, np.int64), *(piece[k] for piece in self.events)])
            for k in range(3)
        )
        order = np.lexsort((trial, step)) if self.program.trials > 1 else slice(None)
        places = np.unravel_index(trial[order], batch) if batch else ()
        index = np.stack((step[order], *places, cell[order]))
        shape = (self.done, *batch, len(self.task.network.connectome))
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
