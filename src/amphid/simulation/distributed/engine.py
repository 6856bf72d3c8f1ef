"""The engine that runs one network in several processes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

import numpy as np
import torch

from amphid.simulation.compiled.engine import Run
from amphid.simulation.compiled.flat import as_asked, flat_task
from amphid.simulation.compiled.part_program import PartProgram
from amphid.simulation.compiled.together import any_queued
from amphid.simulation.distributed.preparation import prepared
from amphid.simulation.distributed.ranks import Ranks
from amphid.simulation.distributed.walk import RankWalk
from amphid.simulation.recording import Recording
from amphid.simulation.simulate import Task
from amphid.wiring import Cells


@dataclass(frozen=True)
class Distributed:
    """The compiled engine in several processes (ranks), started by `torchrun`.

    Every rank calls `simulate` alike and steps the cells of its own part; what they release goes to
    the others once per shortest delay. Results are those of one process, to the last bit. A rank
    needs only the connections onto its cells: give each the part that `wiring.read(path,
    part=simulation.rank())` or `connectome.part(*simulation.rank())` holds, and its memory falls
    with the number of ranks; of a whole network it uses its part alone. Currents and values are
    given for all cells.

    gather: every rank returns the recording of all cells, and the state of the whole network. False
        returns those of its own cells, which is all that it holds in memory. Either state can be
        started from.
    timeout: seconds that a rank waits for the others before it gives up. One that fails or is
        interrupted tells them: all raise, or return what was run up to the same step. One that is
        killed or stuck is given up after that time, most often at once.

    Raises RuntimeError where processes were not started together, where another rank fails, or is
    lost; ValueError where ranks do not agree on the network or the run.
    """

    gather: bool = True
    timeout: float = 300.0

    takes_parts = True

    def __post_init__(self) -> None:
        if not (isinstance(self.timeout, (int, float)) and 0 < self.timeout < math.inf):
            raise ValueError(f"timeout must be a positive number of s, got {self.timeout!r}.")

    def _taken(self, task: Task) -> Task:
        """The task, if ranks can do it."""
        if task.plasticity or (task.state and any_queued(task.state)):
            raise ValueError(
                "Distributed() does not move weights yet, nor starts where they have moved: run "
                "plasticity in one process by Compiled()."
            )
        flat = flat_task(task)
        if not self.gather and (task.kept or flat is not task):
            raise ValueError(
                "Distributed(gather=False) records all cells of a rank, none of which is a mixture "
                "inside another neuron: leave gather=True."
            )
        return flat

    @torch.no_grad()
    def run(self, task: Task) -> Recording:
        """The recording of a task."""
        ranks = Ranks(self.timeout)
        try:
            asked, task = task, ranks.agreed(lambda: self._taken(task))
            task, wires, shares, lags = prepared(task, ranks)
            own = shares[ranks.number]
            program = ranks.agreed(lambda: PartProgram(task, wires, own, lags))
            # the first on each machine compiles, the others then read what it left in the cache
            first = int(os.environ.get("LOCAL_RANK", ranks.number)) == 0
            for turn in (True, False):
                ranks.agreed(program.compiled if first is turn else _nothing)
            walk = RankWalk(ranks, program, shares)
            run = _RankRun(task, walk, gather=self.gather).all_steps()
            return as_asked(asked, run) if self.gather else run
        finally:
            ranks.close()


def _nothing() -> None:
    """What a rank does that is not its turn."""


class _RankRun(Run):
    """A run that all ranks take, and stop, together."""

    def __init__(self, task: Task, walk: RankWalk, *, gather: bool) -> None:
        super().__init__(task, walk)
        self.rank, self.gather = walk, gather

    def all_steps(self) -> Recording:
        """Run to the end, or as far as every rank is let."""
        steps, walk = self.task.steps, self.rank
        with walk.held_back():
            while self.done < steps and not walk.stopping:
                end = self.done + walk.longest_piece(steps - self.done)
                self.events += walk.go_to(min(end, steps))
                self.done = walk.done
                walk.sample(self.done)
        note = walk.note
        if self.done < steps:
            note += f"; interrupted after {self.done} of {steps} steps"
        recording = self._recording(note)
        if self.task.progress and self.done == steps:
            self.task.progress(self.done, steps)
        return recording

    def _recording(self, note: str) -> Recording:
        if self.gather:
            self._gather_events()
            whole = super()._recording(note)
            by_hand = self.rank.program.by_hand
            fields = {
                name: values if name in by_hand else self.rank.everywhere(name, values)
                for name, values in whole.fields.items()
            }
            return replace(whole, fields=fields)
        return self._own(note)

    def _own(self, note: str) -> Recording:
        """Of the cells of this rank."""
        share = self.rank.program.share
        own = slice(share.low, share.high)
        columns = vars(self.task.network.connectome.cells).items()
        recording = super()._recording(note)
        by_hand = self.rank.program.by_hand
        return replace(
            recording,
            cells=Cells(**{name: column[own] for name, column in columns}),
            fields={
                name: values[..., own] if name in by_hand else values
                for name, values in recording.fields.items()
            },
            events=recording.events and recording.events.of(torch.arange(share.low, share.high)),
            state=self.rank.own_state(self.done),
        )

    def _gather_events(self) -> None:
        own = [
            np.concatenate([np.zeros(0, np.int64), *column])
            for column in zip(*self.events, strict=True)
        ]
        rows = self.rank.ranks.each(torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *own])))
        self.events = [
            (one[0], one[1], one[2]) for one in (row.numpy().reshape(3, -1) for row in rows)
        ]
        self.rank.in_order = False
