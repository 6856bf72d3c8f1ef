"""Many trials at once: a task made ready for machine code that steps trials side by side.

A tile holds the state of up to LANES trials, [N, LANES], so that a connection is walked once for
all of them and a loop over cells works on whole registers. Tiles share nothing but what they read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Mixed
from amphid.kernels import compile_source
from amphid.simulation.compiled.edges import Array, PerTrial, Rows, aligned, under_way
from amphid.simulation.compiled.joint import JOINT_TOOLS, WASTE, BothWays, Elimination
from amphid.simulation.compiled.joint_parts import joint_cells
from amphid.simulation.compiled.lanes import LANES_TOOLS
from amphid.simulation.compiled.parts import Part, cells
from amphid.simulation.compiled.share import Lags, Share
from amphid.simulation.compiled.tile_loop import Carried, write_tile_loop
from amphid.simulation.compiled.traced import TracedTask
from amphid.simulation.simulate import Task
from amphid.simulation.stimulus import compact
from amphid.simulation.wires import Wires

ROOM = 1 << 18  # spikes of all trials that are kept before they are handed over
WIDEST = 64  # trials of a tile
DRAWN = 1 << 23  # currents that are drawn at once
MOST = 2000  # iterations of a joint step
CACHE = 1 << 19  # bytes of the states of a tile that stay near the processor


class Tiles(TracedTask):
    """The time loop of a task, with arrays for tiles of trials.

    joint: whether all voltages are solved together. how: the note of that way of stepping.
    """

    lanes = True

    def __init__(self, task: Task, wires: dict[str, Wires], *, joint: bool, how: str) -> None:
        self.joint = joint
        super().__init__(task, wires)
        self._lay_out()
        self._compile()
        kind = "double" if self.dtype is torch.float64 else "single"
        self.note = f"compiled engine, {how}, {kind} precision"

    def step(self, tile: int, steps: int) -> None:
        """Take steps with the trials of a tile: all of them, or fewer without room for spikes."""
        arrays = [self.arrays[name][tile] for name in self.order]
        first, width = self._trials_of(tile)
        counters = self.counters[tile]
        self._run(counters, steps, self.task.every, self.size, first, width, *arrays)
        if counters[3]:
            raise RuntimeError("the voltages of a step could not be solved: try a smaller dt.")
        if counters[5] > WASTE:
            self._factorize(tile)
            counters[4:6] = MOST, 0

    def _factorize(self, tile: int) -> None:
        """Precondition a tile by its matrix of the last step, the mean over its trials."""
        diagonal = self.arrays["DIAGONAL"][tile].reshape(self.size, self.width)
        finite = np.isfinite(diagonal)
        total = np.where(finite, diagonal, 0).sum(1) / np.maximum(finite.sum(1), 1)
        typical = np.where(finite.any(1), total, 1) + self.degree[tile]
        factor, pivot = self.elimination.factor(self.entry[tile], typical)
        self.arrays["FACTOR"][tile][:] = factor
        self.arrays["TURNED"][tile][:] = factor[self.elimination.back]
        self.arrays["PIVOT"][tile][:] = pivot

    def spikes(self, tile: int) -> tuple[Array, Array, Array]:
        """Steps, trials and cells of the spikes since the last call."""
        count = int(self.counters[tile][1])
        self.counters[tile][1] = 0
        if not self.events:
            return (np.zeros(0, np.int64),) * 3
        names = ("EVENT_STEP", "EVENT_TRIAL", "EVENT_CELL")
        step, lane, cell = (self.arrays[name][tile][:count].astype(np.int64) for name in names)
        trial = lane + tile * self.width
        if "spike" in self.task.kept:
            cell = self.place[cell]
            step, trial, cell = (own[cell >= 0] for own in (step, trial, cell))
        return step, trial, cell

    def fields(self) -> dict[str, Tensor]:
        """What was sampled [T', *B, N], by name."""
        found = dict(self.by_hand)
        for name, values in self.sampled_fields.items():
            found[name] = torch.from_numpy(values).reshape(len(values), *self.batch, -1)
        return {name: found[name] for name in self.sampled}

    def _by_trial(self, name: str) -> Array:
        rows = self.arrays[name].rows
        apart = rows.reshape(*rows.shape[:-1], -1, self.width)
        by_trial = np.moveaxis(apart, -1, 1).reshape(-1, *apart.shape[1:-1])
        kept: Array = by_trial[: self.trials]
        return kept

    def _cell_parts(self) -> list[Part]:
        given = self.network, self.neuron, self.groups, self.like, self.task.dt
        return joint_cells(*given) if self.joint else cells(*given, lanes=True)

    def _settle_batch(self) -> None:
        super()._settle_batch()
        least = 64 // np.dtype(self._type).itemsize  # a register
        widest = max(least, min(WIDEST, CACHE // (self.size * np.dtype(self._type).itemsize)))
        self.width = 1
        if self.trials > 1:
            self.width = least
            while self.width < min(self.trials, widest):
                self.width *= 2
        self.items = -(-self.trials // self.width)
        self.counters = np.zeros((self.items, 7), dtype=np.int64)

    def _lay_out(self) -> None:
        self.graded = self.network.neuron.output != "spike"
        self.share = Share(0, self.size, self.size)
        self.arrays, self.rows = {}, {}
        self.carried: list[Carried] = []
        held = [(self.neuron, self.first.neuron)]
        held += [(self.groups[key], self.first.synapses[key]) for key in self.groups]
        for state, tree in held:
            names = pytree.tree_leaves(state.names)
            for name, tensor in zip(names, pytree.tree_leaves(tree), strict=True):
                self._own(name, tensor)
        self._own("GIVEN", self.first.given)
        if not self.graded:
            self._each("FIRED", np.zeros((self.items, self.size), np.int64))
        for key in self.groups:
            self._lay_out_group(key)
        for name, tensor in self.constants.items():
            self._constant(name, tensor)
        self.plasticity.lay_out(self.arrays, self.rows, self.batch)  # of no rules
        self._lay_out_stimulus()
        self._lay_out_mixture()
        self._lay_out_record()
        if self.joint:
            self._lay_out_joint()
        if not self.graded:
            self._find_fired()

    def _find_fired(self) -> None:
        """The cells that gave out something before the first step."""
        for tile in range(self.items):
            given = self.arrays["GIVEN"][tile].reshape(self.size, self.width)
            found = np.flatnonzero(given.any(1))
            self.arrays["FIRED"][tile][: len(found)] = found
            self.counters[tile][2] = len(found)

    def _lay_out_group(self, key: str) -> None:
        wires = self.wires[key]
        if key == "electrical":
            self.carried.append(Carried(key, junctions=True))
            self._lay_out_junctions(wires)
            return
        release = self.releases[key].call if key in self.releases else ""
        rows = self.rows[key] = Rows.of(wires, self.batch, self.share, Lags.of(wires))
        past: Any = self.first.past[key]
        held = [tensor.detach().expand(*self.batch, self.size) for tensor in past]
        kept = torch.stack(held, -2).flip(-2).reshape(self.trials, rows.longest, self.size)
        self._each(f"PAST_{key}", self._side_by_side(kept.numpy()))
        if release:
            self._scratch(f"RELEASED_{key}", self._type)
        self.carried.append(
            Carried(key, release, graded=self.graded, longest=rows.longest, lag=rows.lag)
        )
        if self.graded:
            self._lay_out_collected(key, wires)
            return
        if release:
            self._each(f"FIRED_{key}", np.zeros((self.items, self.size), np.int64))
        self._shared(f"START_{key}", rows.start)
        self._shared(f"PLACE_{key}", rows.place.astype(np.uint32))
        wide = np.broadcast_to(rows.weight.rows, (len(rows.weight.rows), len(rows.place)))
        self._weights(f"WEIGHT_{key}", PerTrial(wide, rows.weight.which))
        sent = under_way(wires, rows, past, self.batch, self.share)
        self._each(f"RING_{key}", self._side_by_side(sent))

    def _lay_out_collected(self, key: str, wires: Wires) -> None:
        """Connections in a row for each cell that they go to."""
        pre, post, longest = wires.pre.numpy(), wires.post.numpy(), wires.longest
        order = np.argsort(post, kind="stable")
        start = np.zeros(self.size + 1, dtype=np.int64)
        np.cumsum(np.bincount(post, minlength=self.size), out=start[1:])
        ago = (longest - (wires.lag - 1)) % longest
        self._shared(f"START_{key}", start)
        self._shared(f"PLACE_{key}", (ago * self.size + pre)[order].astype(np.uint32))
        weight = PerTrial.of(wires.weight, self.batch)
        self._weights(f"WEIGHT_{key}", PerTrial(weight.rows[:, order], weight.which))
        self._scratch(f"ARRIVING_{key}", self._type)

    def _lay_out_junctions(self, wires: Wires) -> None:
        both = self.junctions = BothWays.of(wires)
        self._shared("START_electrical", both.start)
        self._shared("PLACE_electrical", both.place)
        if not self.joint:
            weight = PerTrial.of(wires.weight, self.batch)
            self._weights("WEIGHT_electrical", PerTrial(weight.rows[:, both.edge], weight.which))
            self._scratch("ARRIVING_electrical", self._type)

    def _lay_out_joint(self) -> None:
        for name in ("DIAGONAL", "RIGHT", "SOLVED"):
            self._scratch(name, self._type)
        if "electrical" not in self.groups:
            return
        junction: Any = dict(self.network.groups())["electrical"]
        self._own("EARLIER", self.first.v)
        for name in ("REST", "DIRECTION", "FLOWING", "SMOOTH"):
            self._scratch(name, self._type)
        self._each("BY_LANE", np.zeros((self.items, 5 * self.width), self._type))
        self.counters[:, 4:6] = MOST, WASTE + 1  # the first step has no preconditioner
        weight = PerTrial.of(junction.conductance * self.wires["electrical"].weight, self.batch)
        edge = self.junctions.edge
        self._weights("CONDUCTANCE", PerTrial(weight.rows[:, edge], weight.which))
        found = self.elimination = Elimination.of(self.junctions)
        for name in ("order", "start", "cells", "turn", "turned_cells"):
            to = f"FACTOR_{name.upper()}" if name in ("start", "cells") else name.upper()
            self._shared(to, getattr(found, name))
        typical = np.stack([weight.rows[weight.which[self._slice(k)]].mean(0)
                            for k in range(self.items)])  # fmt: skip
        self.entry = found.entries(self.junctions, typical)
        self.degree = np.zeros((self.items, self.size), self._type)
        here = np.repeat(np.arange(self.size), np.diff(self.junctions.start))
        np.add.at(self.degree.T, here, typical[:, edge].T)
        for name in ("FACTOR", "TURNED"):
            self._each(name, np.zeros((self.items, len(found.cells)), self._type))
        self._each("PIVOT", np.ones((self.items, self.size), self._type))

    def _lay_out_stimulus(self) -> None:
        self._scratch("EXTERNAL", self._type)
        driven = self.task.cells
        if self.task.sources:
            driven = None
            self._lay_out_drawn()
        else:
            self._lay_out_currents()
        which = np.arange(self.size) if driven is None else driven.numpy()
        self._shared("DRIVEN", which.astype(np.uint32))

    def _lay_out_currents(self) -> None:
        """Currents [T, trials, K], and the steps in which they change."""
        current = compact(self.task.stimulus.detach())
        alone = current.shape[1:-1].numel() == 1
        wide = current if alone else self._each_trial(current)
        values = wide.reshape(len(current), -1, current.shape[-1]).contiguous().numpy()
        changed = np.zeros(self.task.steps, dtype=bool)
        changed[0] = True
        for start in range(1, len(values), 64):
            stop = min(start + 64, len(values))
            moved = values[start:stop] != values[start - 1 : stop - 1]
            changed[start:stop] = moved.any((1, 2))
        self._shared("STIMULUS", values)
        self._shared("CHANGED", changed)

    def _each_trial(self, current: Tensor) -> Tensor:
        """Currents [S, *C, K] of every trial [S, trials, K]."""
        steps, *own, driven = current.shape
        missing = (1,) * (len(self.batch) - len(own))
        wide = current.reshape(steps, *missing, *own, driven).expand(-1, *self.batch, -1)
        return wide.reshape(steps, self.trials, driven)

    def _lay_out_drawn(self) -> None:
        """Room for the currents of some steps, in which the spikes of sources are drawn."""
        rows = max(1, min(64, self.task.steps, DRAWN // (self.trials * self.size)))
        self._shared("STIMULUS", np.zeros((rows, self.trials, self.size), self._type))
        self._shared("CHANGED", np.ones(self.task.steps, dtype=bool))

    def longest_piece(self, steps: int) -> int:
        """The same; where sources drive the cells, their currents for that long are drawn."""
        steps = super().longest_piece(steps)
        if not self.task.sources:
            return steps
        room = self.arrays["STIMULUS"].rows[0]
        first = int(self.counters[0][0])
        drawn = self.task.currents(first, min(first + min(steps, len(room)), self.task.steps))
        room[: len(drawn)] = self._each_trial(drawn).numpy()
        self.counters[:, 6] = first
        return len(drawn)

    def _lay_out_mixture(self) -> None:
        if not isinstance(self.network.neuron, Mixed):
            return
        names = ["CURRENT", "GIVEN"]
        self._scratch("CURRENT", self._type)
        if self.joint:
            names += ["OPEN", "DIAGONAL", "RIGHT", "SOLVED"]
            self._scratch("OPEN", self._type)
        for number, own in enumerate(self.network.neuron._cells()):
            self._shared(f"CELLS_{number}", own.numpy().astype(np.uint32))
            for name in names:
                self._scratch(f"{name}_{number}", self._type, len(own))

    def _lay_out_record(self) -> None:
        kept = self.task.steps // self.task.every
        self.by_hand = {}
        self.sampled_fields: dict[str, Array] = {}
        for number, name in enumerate(self.sampled):
            chosen = self.task.kept.get(name, torch.arange(self.size)).numpy()
            if self.readings is None:
                shape = (kept, *self.batch, len(chosen))
                self.by_hand[name] = torch.zeros(shape, dtype=self.dtype)
            else:
                self._scratch(f"SAMPLE_{number}", self._type)
                values = np.zeros((kept, self.trials, len(chosen)), self._type)
                self.sampled_fields[name] = values
                self._shared(f"FIELD_{number}", values)
                self._shared(f"KEPT_{number}", chosen.astype(np.uint32))
        if "spike" in self.task.kept:
            chosen = self.task.kept["spike"].numpy()
            self.place = np.full(self.size, -1)
            self.place[chosen] = np.arange(len(chosen))
        if self.events:
            room = max(2 * self.size * self.width, ROOM // self.items)
            for name in ("EVENT_STEP", "EVENT_TRIAL", "EVENT_CELL"):
                self._each(name, np.zeros((self.items, room), dtype=np.int32))

    def _compile(self) -> None:
        self.order = list(self.arrays)
        loop = write_tile_loop(
            self.carried,
            [loop.call for loop in self.parts],
            v=self.v,
            joint="PIVOT" in self.arrays,
            spiking=not self.graded,
            events=self.events,
            samples=[f"FIELD_{number}" for number in range(len(self.sampled_fields))],
            reading="\n".join(self.sampling),
            arguments=self.order,
        )
        loops = [*self.parts, *self.releases.values()]
        exact = self.dtype is torch.float64
        tools = [LANES_TOOLS, JOINT_TOOLS] if "PIVOT" in self.arrays else [LANES_TOOLS]
        made = (*(own.text for own in loops), self.reading_text)
        texts = (self._literals(), *tools, *made, loop)
        self._run = compile_source("\n".join(texts), exact=exact).run

    def _literals(self) -> str:
        """The numbers that the source names."""
        exact = self.dtype is torch.float64
        bits, kind = (64, "f8") if exact else (32, "f4")
        return (
            f"\nLANES, MOST, WASTE = {self.width}, {MOST}, {WASTE}\nBITS = np.int{bits}\n"
            f"PLAIN = BITS({2 ** (bits - 1) - 1})\nZERO = {kind}(0)\n"
            f"TOLERANCE = {kind}({1e-10 if exact else 1e-6})\n"
            "GOAL, WORST, POWER, BAD, SUM = (LANES * k for k in range(5))\n"
        )

    def _trials_of(self, tile: int) -> tuple[int, int]:
        """The first trial of a tile, and how many there are."""
        first = tile * self.width
        return first, min(self.width, self.trials - first)

    def _slice(self, tile: int) -> slice:
        first, width = self._trials_of(tile)
        return slice(first, first + width)

    def _side_by_side(self, values: Array) -> Array:
        """[trials, ..., cells] as tiles [tiles, ..., cells * LANES]; the last trial fills up."""
        which = np.minimum(np.arange(self.items * self.width), self.trials - 1)
        apart = values[which].reshape(self.items, self.width, *values.shape[1:])
        turned = np.moveaxis(apart, 1, -1)
        return aligned(turned).reshape(*turned.shape[:-2], -1)

    def _own(self, name: str, tensor: Tensor) -> None:
        """An array of a state, which the loop changes."""
        wide = tensor.detach().expand(*self.batch, tensor.shape[-1])
        self._each(name, self._side_by_side(wide.reshape(self.trials, -1).numpy()))

    def _constant(self, name: str, tensor: Tensor) -> None:
        tensor = tensor.detach()
        if tensor.numel() == 1 or tensor.shape[:-1].numel() == 1:
            self._shared(name, np.ascontiguousarray(tensor.reshape(-1).numpy()))
        else:
            self._own(name, tensor)

    def _weights(self, name: str, weight: PerTrial) -> None:
        """[K] where all trials share them, else [K, LANES]."""
        if len(weight.rows) == 1:
            self._shared(name, np.ascontiguousarray(weight.rows[0]))
            return
        tiled = self._side_by_side(weight.rows[weight.which])
        self._each(name, tiled.reshape(self.items, -1, self.width))

    def _shared(self, name: str, values: Array) -> None:
        self.arrays[name] = PerTrial(values[None], np.zeros(self.items, dtype=np.int64))

    def _each(self, name: str, values: Array) -> None:
        self.arrays[name] = PerTrial(values, np.arange(self.items))

    def _scratch(self, name: str, kind: Any, *cells: int) -> None:
        size = cells[0] if cells else self.size
        self._each(name, aligned(np.zeros((self.items, size * self.width), dtype=kind)))
