"""A task made ready for machine code: its loop, compiled, and the arrays that the loop works on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Mixed
from amphid.kernels import compile_source
from amphid.simulation.compiled.edges import Array, PerTrial, Rows, under_way
from amphid.simulation.compiled.inflow import INFLOW_TOOLS, lay_out_sources
from amphid.simulation.compiled.loop import TOOLS, Group, Stepping, write_time_loop
from amphid.simulation.compiled.share import Lags, Share
from amphid.simulation.compiled.sleeping import Sleeping
from amphid.simulation.compiled.traced import TracedTask
from amphid.simulation.compiled.worth_sleeping import CannotSleep
from amphid.simulation.network import NetworkState
from amphid.simulation.simulate import Task
from amphid.simulation.stimulus import compact
from amphid.simulation.wires import UnderWay, Wires

NO_SPIKES = (np.zeros(0, np.int64),) * 3
ROOM = 1 << 18  # spikes of all trials that are kept before they are handed over


class Program(TracedTask):
    """The time loop of a task, with an array of each kind for every trial.

    share: the cells that it steps, all of them unless told; wires: the connections onto them.
    """

    def __init__(
        self,
        task: Task,
        wires: Mapping[str, Wires],
        *,
        skip: bool | None,
        share: Share | None = None,
        lags: Mapping[str, Lags] | None = None,
    ) -> None:
        size = len(task.network.connectome)
        self.share = Share(0, size, size) if share is None else share
        self.lags = lags or {group: Lags.of(own) for group, own in wires.items()}
        super().__init__(task, wires)
        self._lay_out()
        self._write()
        self.wires = {}  # laid out by now, and large
        self.sleeping = self._sleeping(skip)
        kind = "double" if self.dtype is torch.float64 else "single"
        self._note = f"compiled engine, explicit steps, {kind} precision"
        self._note += "; plastic" if task.plasticity else ""

    @property
    def note(self) -> str:
        """How the steps were taken."""
        return f"{self._note}, {self.sleeping.note()}" if self.sleeping else self._note

    def step(self, trial: int, steps: int) -> None:
        """Take steps with one trial: all of them, or fewer where there is no room for spikes."""
        (self.sleeping.step if self.sleeping else self.step_all)(trial, steps)

    def step_all(self, trial: int, steps: int) -> None:
        """The same, every cell in every step."""
        counters, every = self.counters[trial], self.task.every
        self._run(counters, steps, every, len(self.share), *self.own[trial])

    @cached_property
    def own(self) -> list[list[Array]]:
        """The arrays of every trial, in the order in which the loop takes them."""
        trials = range(self.trials)
        return [[self.arrays[name][trial] for name in self.order] for trial in trials]

    def spikes(self, trial: int) -> tuple[Array, Array, Array]:
        """Steps, trials and cells of the spikes since the last call."""
        count = int(self.counters[trial][1])
        self.counters[trial][1] = 0
        if not count:
            return NO_SPIKES
        kept = (self.arrays[name][trial][:count] for name in ("EVENT_STEP", "EVENT_CELL"))
        step, cell = (values.astype(np.int64) for values in kept)
        cell += self.share.low
        if "spike" in self.task.kept:
            cell = self.place[cell]
            step, cell = step[cell >= 0], cell[cell >= 0]
        return step, np.full(len(step), trial), cell

    def fields(self) -> dict[str, Tensor]:
        """What was sampled [T', *B, N], or of K cells, by name."""
        found = {}
        for name in self.sampled:
            if name in self.by_hand:
                found[name] = self.by_hand[name]
            else:
                values = torch.from_numpy(self.samples[name].rows).movedim(1, 0)
                found[name] = values.reshape(len(values), *self.batch, values.shape[-1])
        return found

    def state(self, done: int) -> NetworkState:
        """The state of all trials after that many steps."""
        for trial in range(self.trials if self.sleeping else 0):
            self.sleeping.lay(trial)  # type: ignore[union-attr]
        return super().state(done)

    def hold(self, current: Array) -> None:
        """Change the current [N] in pA that stays, of a task that has one row of it."""
        super().hold(current)
        if self.sleeping:
            self.sleeping.hold(current)

    def voltage(self) -> Array:
        """Where all cells are now [trials, N], mV."""
        for trial in range(self.trials if self.sleeping else 0):
            self.sleeping.look(trial)  # type: ignore[union-attr]
        return super().voltage()

    def places(self, name: str, share: Share) -> slice | Array:
        """Where the entries of a share stand in the array of that name for all cells."""
        number = self.kind_of.get(name)
        if number is None:
            return slice(share.low, share.high)
        return share.among(self.network.neuron._cells()[number].numpy())  # type: ignore[operator]

    def _lay_out(self) -> None:
        """All arrays by name, in the order in which the loop takes them."""
        self.arrays: dict[str, PerTrial] = {}
        self.rows: dict[str, Rows] = {}
        for state, held in (
            (self.neuron, self.first.neuron),
            *((self.groups[key], self.first.synapses[key]) for key in self.groups),
            *zip((rule.state for rule in self.plasticity.rules), self.traces, strict=True),
        ):
            names = pytree.tree_leaves(state.names)
            for name, tensor in zip(names, pytree.tree_leaves(held), strict=True):
                self._own(name, tensor)
        self._own("GIVEN", self.first.given)
        self._scratch("FIRED", np.int64)
        for key in self.groups:
            self._lay_out_group(key)
        for name, tensor in self.constants.items():
            self._constant(name, tensor)
        self.plasticity.lay_out(self.arrays, self.rows, self.batch)
        self._lay_out_stimulus()
        self._lay_out_mixture()
        self._lay_out_record()
        for trial in range(self.trials):
            given, fired = self.arrays["GIVEN"][trial], self.arrays["FIRED"][trial]
            found = np.flatnonzero(given)
            fired[: len(found)], self.counters[trial][2] = found, len(found)

    def _lay_out_group(self, key: str) -> None:
        wires = self.wires[key]
        if key == "electrical":
            self._lay_out_junctions(key)
            return
        plastic = key in self.plasticity.groups
        rows = Rows.of(wires, self.batch, self.share, self.lags[key], plastic=plastic)
        self.rows[key] = rows
        past = self.first.past[key]
        self._shared(f"START_{key}", rows.start)
        self._shared(f"PLACE_{key}", rows.place)
        self.arrays[f"WEIGHT_{key}"] = rows.weight
        if plastic:
            self._each(f"WEIGHT_{key}", rows.weight.rows[rows.weight.which])
        self._each(f"RING_{key}", under_way(wires, rows, past, self.batch, self.share))
        if key in self.releases:
            self._scratch(f"RELEASED_{key}", self._type)
            self._scratch(f"FIRED_{key}", np.int64)
        if isinstance(past, UnderWay):
            return
        size, own = len(self.share), slice(self.share.low, self.share.high)
        held = [tensor.detach()[..., own].expand(*self.batch, size) for tensor in past]
        kept = torch.stack(held, -2).flip(-2).reshape(self.trials, rows.longest, size)
        self._each(f"PAST_{key}", kept.numpy().copy())

    def _lay_out_junctions(self, key: str) -> None:
        wires = self.wires[key]
        self._shared(f"PRE_{key}", wires.pre.numpy().astype(np.uint32))
        self._shared(f"POST_{key}", wires.post.numpy().astype(np.uint32))
        self.arrays[f"WEIGHT_{key}"] = PerTrial.of(wires.weight, self.batch)
        self._scratch(f"RING_{key}", self._type, 1)

    def _lay_out_stimulus(self) -> None:
        current, cells = compact(self.task.stimulus).movedim(0, -2), self.task.cells
        if cells is None:
            current = current[..., self.share.low : self.share.high]
        elif len(self.share) < self.size:
            driven = self.share.among(cells.numpy())
            current, cells = current[..., driven], cells[driven]
        self.arrays["STIMULUS"] = PerTrial.of(current, self.batch, axes=2)
        if cells is not None:
            self._shared("DRIVEN", self.share.counted(cells.numpy()).astype(np.uint32))
        if cells is not None or self.task.sources:
            self._scratch("EXTERNAL", self._type)
        self.inflows = lay_out_sources(self)

    def _lay_out_mixture(self) -> None:
        if isinstance(self.network.neuron, Mixed):
            self._scratch("CURRENT", self._type)
            for number, cells in enumerate(self.network.neuron._cells()):
                own = self.share.counted(cells.numpy()[self.share.among(cells.numpy())])
                self._shared(f"CELLS_{number}", own.astype(np.uint32))
                for name in ("CURRENT", "GIVEN"):
                    values = np.zeros((self.trials, len(own)), self._type)
                    self._each(f"{name}_{number}", values)

    def _lay_out_record(self) -> None:
        kept = self.task.steps // self.task.every
        self.samples: dict[str, PerTrial] = {}
        self.by_hand: dict[str, Tensor] = {}
        for number, name in enumerate(self.sampled):
            cells = len(self.task.kept.get(name, self.like))
            if self.readings is None:
                shape = (kept, *self.batch, cells)
                self.by_hand[name] = torch.zeros(shape, dtype=self.dtype)
            else:
                shape = (self.trials, kept, self._kept_here(name))
                self._each(f"SAMPLE_{number}", np.zeros(shape, self._type))
                self.samples[name] = self.arrays[f"SAMPLE_{number}"]
        for reading in self.readings or ():
            reading.lay_out(self)
        if "spike" in self.task.kept:
            chosen = self.task.kept["spike"].numpy()
            self.place = np.full(self.size, -1)
            self.place[chosen] = np.arange(len(chosen))
        if self.events:
            room = max(self._most_at_once(), ROOM // self.trials)
            for name in ("EVENT_STEP", "EVENT_CELL"):
                self._each(name, np.zeros((self.trials, room), dtype=np.int32))

    def _kept_here(self, name: str) -> int:
        """Of how many of its cells a variable is kept."""
        kept = self.task.kept.get(name)
        return len(self.share) if kept is None else len(self.share.among(kept.numpy()))

    def _most_at_once(self) -> int:
        """How many spikes there must be room for."""
        return 2 * len(self.share)

    def _write(self) -> None:
        """The source of the loop."""
        groups = [
            Group(
                key,
                self.releases[key].call if key in self.releases else "",
                self.rows.get(key),
                queued=key in self.queued,
            )
            for key in self.groups
        ]
        self.order = list(self.arrays)
        loop = self._loop(groups)
        loops = [*self.parts, *self.releases.values()]
        texts = (self.tools, *(made.text for made in loops), self.reading_text)
        self._source = "\n".join((*texts, self.plasticity.text, loop))

    @cached_property
    def _run(self) -> Any:
        """The loop over all cells, compiled when first needed: cells may all sleep."""
        return compile_source(self._source, exact=self.dtype is torch.float64).run

    def _loop(self, groups: list[Group]) -> str:
        """The source of the loop over steps."""
        return write_time_loop(groups, self.stepping)

    @property
    def stepping(self) -> Stepping:
        """What a loop over steps is written from."""
        return Stepping(
            cells=[loop.call for loop in self.parts],
            v=self.v,
            driven=self.task.cells is not None,
            sources=self.inflows,
            events=self.events,
            learning=self.plasticity.calls,
            samples=[*self.sampling, *self.plasticity.keeping],
            arguments=self.order,
        )

    def _sleeping(self, skip: bool | None) -> Sleeping | None:  # noqa: FBT001
        """The loop that skips cells at rest, where it may, and where it pays or is insisted on."""
        if skip is False:
            return None
        try:
            if self.task.plasticity or self.queued:
                raise CannotSleep("weights move, or have moved, and traces with them")
            return Sleeping(self, insist=skip is True)
        except CannotSleep as reason:
            if skip:
                raise ValueError(
                    f"skip_resting=True, but cells at rest cannot be skipped here: {reason}. "
                    "Leave it to the engine with skip_resting=None."
                ) from None
            return None

    @property
    def tools(self) -> str:
        """The functions that time loops call, for numbers of this type."""
        bits = 64 if self.dtype is torch.float64 else 32
        kinds = f"\n\nBITS, REAL = np.int{bits}, np.float{bits}\n"
        return kinds + TOOLS + (INFLOW_TOOLS if self.inflows else "")

    def _own(self, name: str, tensor: Tensor) -> None:
        """An array of a state, which the loop changes: one for each trial."""
        wide = tensor.detach()
        if len(self.share) < self.size:
            wide = wide[..., self.places(name, self.share)]
        wide = wide.expand(*self.batch, wide.shape[-1])
        self._each(name, wide.reshape(self.trials, -1).clone().numpy())

    def _constant(self, name: str, tensor: Tensor) -> None:
        if tensor.numel() == 1:
            self._shared(name, tensor.reshape(1).numpy())
            return
        number = self.kind_of.get(name)
        cells = self.size if number is None else len(self.network.neuron._cells()[number])  # type: ignore[operator]
        wide = tensor.expand(*tensor.shape[:-1], cells)
        places: slice | Array = slice(None)
        if len(self.share) < self.size:
            places = self.places(name, self.share)
        for reading in self.readings or ():
            if reading.cells is not None and name in reading.loop.constants:
                places = reading.cells.numpy()[self.share.among(reading.cells.numpy())]
        self.arrays[name] = PerTrial.of(wide[..., places], self.batch)

    def _shared(self, name: str, values: Array) -> None:
        self.arrays[name] = PerTrial(values[None], np.zeros(self.trials, dtype=np.int64))

    def _each(self, name: str, values: Array) -> None:
        self.arrays[name] = PerTrial(np.ascontiguousarray(values), np.arange(self.trials))

    def _scratch(self, name: str, kind: Any, *rows: int) -> None:
        self._each(name, np.zeros((self.trials, *rows, len(self.share)), dtype=kind))
