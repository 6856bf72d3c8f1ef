"""Cells at rest are left alone: the same run, where few cells are awake at a time."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from amphid.dynamics import Mixed
from amphid.kernels import NotAffine, compile_source
from amphid.simulation.compiled.edges import Array, PerTrial
from amphid.simulation.compiled.quiet import Quiet, quiet_near
from amphid.simulation.compiled.recovering import Recovery
from amphid.simulation.compiled.sleeping_loop import (
    MAP,
    SORT,
    Arrivals,
    write_look,
    write_quiet,
    write_sleeping_loop,
)
from amphid.simulation.compiled.worth_sleeping import (
    DRIVEN,
    CannotSleep,
    check_worth,
    chosen_arrays,
    driven,
)
from amphid.simulation.stimulus import compact

if TYPE_CHECKING:
    from amphid.simulation.compiled.program import Program

MOST = 0.9  # of the cells must be able to stay at rest
PAIRS = 100  # of variables of a cell that move one another; the loop has a line for each
PATIENCE = 512  # steps in which all cells are stepped before the next try, doubled every time
FOREVER = 1 << 62  # steps
LONGEST_WAIT = 1 << 14  # steps; a try costs as much as 200 of them


class Sleeping:
    """The loop over cells awake, and what it needs besides the arrays of a program.

    A trial is either in this loop (`asleep`) or in that of the program; `enter` and `leave` turn
    the one form of what is under way into the other. To look at a trial changes nothing in it.
    Raises CannotSleep where that is not possible, or, unless insisted on, not worth it.
    """

    def __init__(self, program: Program, *, insist: bool) -> None:
        # not to own each other: else the arrays of a run would outlive it for a while
        self.program: Program = weakref.proxy(program)
        self.size = program.size
        if not insist:
            check_worth(program)
        self.recoveries = _recoveries(program)
        self.groups = list(_arrivals(program, self.recoveries))
        self.quiet, at_rest = _quiet(program, self.recoveries)
        if not insist and at_rest < MOST:
            raise CannotSleep("cells fire or move without input")
        self.depth = max(group.lag for group in self.groups) + 2 if self.groups else 2
        self._pack()
        self.arrays = self._lay_out()
        self.asleep, self.many_driven = [False] * program.trials, False
        self._compile()
        self.wait_until, self.skipped = [0] * program.trials, [0] * program.trials
        self.elsewhere = 0
        self.entered, self.seen = [0] * program.trials, [-1] * program.trials
        self.patience = [0 if insist else PATIENCE] * program.trials

    def step(self, trial: int, steps: int) -> None:
        """Take steps with one trial, in whichever loop is the faster."""
        counters, awake = self.program.counters[trial], min(steps, self.awake_for(trial))
        if awake:
            self.program.step_all(trial, awake)
            return
        if not self.asleep[trial]:
            self._enter(trial)
        arrays, before = [self._array(name, trial) for name in self.order], int(counters[0])
        self._made.run(counters, steps, self.program.task.every, self.size, *arrays)
        self.skipped[trial] += int(counters[0]) - before
        if counters[4] > 4 * self.size:
            counters[4] = 0
            if self.patience[trial]:
                self._give_up(trial, int(counters[0]))

    def awake_for(self, trial: int) -> int:
        """In how many steps to come all cells are stepped in any case."""
        if self.asleep[trial]:
            return 0
        left = self.wait_until[trial] - int(self.program.counters[trial][0])
        return FOREVER if self.many_driven else max(left, 0)

    def go_on_from(self, other: Sleeping) -> None:
        """Take over how often it paid to leave cells alone."""
        self.patience, self.skipped, self.elsewhere = other.patience, other.skipped, other.taken

    @property
    def taken(self) -> int:
        """Steps of all trials so far."""
        return self.elsewhere + sum(int(counters[0]) for counters in self.program.counters)

    def hold(self, current: Array) -> None:
        """The current [N] in pA that stays: the cells it reaches are awake."""
        cells = np.flatnonzero(current).astype(np.uint32)
        shared = np.zeros(self.program.trials, dtype=np.int64)
        self.arrays["DRIVEN"] = PerTrial(cells[None], shared)
        self.many_driven = len(cells) * DRIVEN > self.size
        for trial in range(self.program.trials if self.many_driven else 0):
            self.leave(trial)

    def look(self, trial: int) -> None:
        """Lay the state of all cells, as it is now, where the program has it."""
        done = int(self.program.counters[trial][0])
        if not self.asleep[trial] or self.seen[trial] == done:
            return
        self.seen[trial] = done
        for name in self.state:
            self.program.arrays[name][trial][:] = self.cells[trial][name]
        if self.quiet is not None:
            self._look_at(trial, done, self._made.look, (*MAP, "LAST"), self.names)
        for group, own in self.recoveries.items():
            look = getattr(self._made, f"look_{group}")
            self._look_at(trial, done, look, own.look_arguments(), own.quiet.names)

    def _look_at(
        self, trial: int, done: int, look: Any, given: Sequence[str], names: Sequence[str]
    ) -> None:
        arrays = [self._array(name, trial) for name in (*given, *names)]
        to = [self.program.arrays[name][trial] for name in names]
        look(self.size, done, *arrays, *to)

    def note(self) -> str:
        """In how many of the steps cells were left alone."""
        if sum(self.skipped) == self.taken:
            return "resting cells skipped"
        share = sum(self.skipped) / max(self.taken, 1)
        return f"resting cells skipped in {share:.0%} of the steps"

    def leave(self, trial: int) -> None:
        """Give a trial back to the loop over all cells, everything in place."""
        self.lay(trial)
        self.asleep[trial] = False

    def lay(self, trial: int) -> None:
        """Lay all of a trial, also what is under way, where the program has it."""
        if not self.asleep[trial]:
            return
        self.look(trial)
        counters = self.program.counters[trial]
        done = int(counters[0])
        fired = {done - 1 - age: self._fired(trial, done - 1 - age) for age in range(self.depth)}
        given = self.program.arrays["GIVEN"][trial]
        given[fired[done - 1]] = self._gave(trial, done - 1)
        self.program.arrays["FIRED"][trial][: len(fired[done - 1])] = fired[done - 1]
        counters[2] = len(fired[done - 1])
        for group in self.groups:
            self._lay_under_way(trial, group, done, fired)

    def _give_up(self, trial: int, done: int) -> None:
        """Step all cells for a while: twice as long as last time, unless the last try paid."""
        self.leave(trial)
        if done - self.entered[trial] > self.patience[trial]:
            self.patience[trial] = PATIENCE
        self.wait_until[trial] = done + self.patience[trial]
        self.patience[trial] = min(2 * self.patience[trial], LONGEST_WAIT)

    def _enter(self, trial: int) -> None:
        """Take a trial over: what was released of late becomes a list of cells for each step."""
        counters = self.program.counters[trial]
        done = int(counters[0])
        self._list(trial, done - 1, {"": self._array("GIVEN", trial)})
        for age in range(1, self.depth):
            self._list(trial, done - 1 - age, self._past(trial, done - age, age))
        for group in self.recoveries:
            self.arrays[f"RECOVERS_{group}"][trial][:] = done
        self.asleep[trial], self.entered[trial], self.seen[trial] = True, done, -1
        for name in self.state:
            self.cells[trial][name] = self.program.arrays[name][trial]
        self.cells[trial]["GIVEN"], self.cells[trial]["LAST"] = 0, -1
        self.arrays["AWAKE"][trial][:] = np.arange(self.size)
        counters[3], counters[4] = self.size, 0

    def _past(self, trial: int, at: int, age: int) -> dict[str, Array]:
        """What each group let go [N] in a step, of those that keep it for so many steps."""
        pasts = {group.name: self._array(f"PAST_{group.name}", trial) for group in self.groups}
        return {name: past[at % len(past)] for name, past in pasts.items() if age <= len(past)}

    def _list(self, trial: int, step: int, released: Mapping[str, Array]) -> None:
        """Keep the cells that fired in a step, also those that released nothing into some group."""
        row, none = step % self.depth, np.zeros((1, self.size), dtype=bool)
        fired = np.flatnonzero(np.any([*released.values(), *none], 0))
        self.arrays["HISTORY"][trial][row, : len(fired)] = fired
        self.arrays["FIRED_THEN"][trial][row] = len(fired)
        for group, values in released.items():
            if group in self.recoveries:
                self.arrays[f"RELEASES_{group}"][trial][row, : len(fired)] = values[fired]
            else:
                self.arrays["GAVE"][trial][row] = values

    def _fired(self, trial: int, step: int) -> Array:
        row = step % self.depth
        fired: Array = self.arrays["HISTORY"][trial][row, : self.arrays["FIRED_THEN"][trial][row]]
        return fired

    def _released(self, trial: int, group: Arrivals, step: int) -> Array:
        """What each cell that fired in a step released into a group."""
        if not group.release:
            return self._gave(trial, step)
        row = step % self.depth
        many = int(self.arrays["FIRED_THEN"][trial][row])
        released: Array = self.arrays[f"RELEASES_{group.name}"][trial][row, :many]
        return released

    def _gave(self, trial: int, step: int) -> Array:
        """What each cell that fired in a step gave out."""
        gave: Array = self.arrays["GAVE"][trial][step % self.depth, self._fired(trial, step)]
        return gave

    def _lay_under_way(
        self, trial: int, group: Arrivals, done: int, fired: dict[int, Array]
    ) -> None:
        """Fill the ring of a group, and what its cells released, from the lists of cells."""
        ring, past = (self._array(f"{name}_{group.name}", trial) for name in ("RING", "PAST"))
        rows = self.program.rows[group.name]
        ring[:], past[:] = 0, 0
        weight = self._array(f"WEIGHT_{group.name}", trial)
        for step in range(done - len(past) - 1, done - 1):
            if step in fired:
                past[(step + 1) % len(past)][fired[step]] = self._released(trial, group, step)
        for step in range(done - group.lag, done - 1):
            row, released = ring[(step + group.lag) % len(ring)], self._released(trial, group, step)
            for cell, value in zip(fired[step], released, strict=True):
                edges = slice(rows.start[cell], rows.start[cell + 1])
                carried = value * (weight[0] if group.uniform else weight[edges])
                np.add.at(row, rows.place[edges], carried)

    def _lay_out(self) -> dict[str, PerTrial]:
        """The arrays of this loop alone."""
        trials, size, kind = self.program.trials, self.size, self.program._type
        own: dict[str, PerTrial] = {}

        def each(name: str, shape: tuple[int, ...], dtype: Any) -> None:
            own[name] = PerTrial(np.zeros((trials, *shape), dtype), np.arange(trials))

        for name in ("AWAKE", "TOUCHED"):
            each(name, (size,), np.int32)
        each("SINCE", (size,), np.int64)
        each("STILL", (size,), np.bool_)
        each("HISTORY", (self.depth, size), np.int32)
        each("FIRED_THEN", (self.depth,), np.int64)
        each("GAVE", (self.depth, size), kind)
        shared = np.zeros(trials, dtype=np.int64)
        if self.program.task.cells is None:
            cells = np.flatnonzero(driven(self.program.task)).astype(np.uint32)
            own["DRIVEN"] = PerTrial(cells[None], shared)
        for recovery in self.recoveries.values():
            for name, values in recovery.arrays(self.depth, size, kind).items():
                rows = np.repeat(values[None], trials, 0)
                own[name] = PerTrial(np.ascontiguousarray(rows), np.arange(trials))
        if self.quiet is not None:
            for name, values in self.quiet.tables().items():
                own[name] = PerTrial(np.ascontiguousarray(values.astype(kind))[None], shared)
        return own

    def _pack(self) -> None:
        """All that belongs to a cell side by side in memory: cells are visited here and there."""
        program, kind = self.program, np.dtype(self.program._type)
        trees = [program.neuron.names, [state.names for state in program.groups.values()]]
        self.state = [*pytree.tree_leaves(trees), "GIVEN"]
        fields = [(name, program.arrays[name].rows.dtype) for name in self.state]
        fields += [("LAST", np.dtype(np.int64)), ("EXTERNAL", kind)]
        fields += [(f"ARRIVING_{group.name}", kind) for group in self.groups]
        fields.sort(key=lambda field: -field[1].itemsize)
        names, kinds = zip(*fields, strict=True)
        widths = np.array([one.itemsize for one in kinds])
        self.packed = set(names)
        layout = {"names": names, "formats": kinds, "offsets": np.cumsum(widths) - widths}
        layout["itemsize"] = 1 << int(widths.sum() - 1).bit_length()  # few lie across two lines
        self.cells = np.zeros((program.trials, self.size), np.dtype(layout))  # type: ignore[call-overload]

    def _compile(self) -> None:
        program = self.program
        (cells,) = program.parts
        assert cells.steps is not None
        step = cells.steps.listed("awake_cells", list(cells.constants), "awake", "AWAKE", "STILL")
        self.names = self.quiet.names if self.quiet else ()
        left_out = {f"RING_{group.name}" for group in self.groups} | {"FIRED"}
        left_out |= {f"PAST_{group.name}" for group in self.groups}
        own = [*sorted(self.packed), *self.arrays]
        self.order = [*(name for name in program.arrays if name not in {*left_out, *own}), *own]
        some = program.task.cells is not None
        stepping = replace(program.stepping, cells=[step.call], arguments=self.order, driven=some)
        loop = write_sleeping_loop(self.groups, stepping, self.quiet, chosen_arrays(program))
        quiet = [own.source() for own in self.recoveries.values()]
        quiet += [write_quiet(self.quiet), write_look(self.quiet)] if self.quiet else []
        source = "\n".join((program.tools, SORT, *quiet, step.text, program.reading_text, loop))
        self._made: Any = compile_source(source, exact=program.dtype is torch.float64)

    def _array(self, name: str, trial: int) -> Array:
        if name in self.arrays:
            return self.arrays[name][trial]
        if name in self.packed and self.asleep[trial]:
            values: Array = self.cells[trial][name]
            return values
        return self.program.arrays[name][trial]


def _recoveries(program: Program) -> dict[str, Recovery]:
    """The groups of synapses whose cells release by what they released before."""
    names, rest = pytree.tree_leaves(program._group_names()), _at_rest(program)[1]
    kept = dict(zip(names, pytree.tree_leaves(rest), strict=True))
    try:
        return {key: Recovery.of(key, own, kept) for key, own in program.releases.items()}
    except NotAffine:
        raise CannotSleep("what cells release depends on earlier releases") from None


def _at_rest(program: Program) -> tuple[Any, dict[str, Any]]:
    """The state of cells and of groups of synapses at rest."""
    network, like = program.network, program.like
    if program.task.state is not None:
        return network.neuron.init(like), {key: s.init(like) for key, s in network.groups()}
    return program.neuron.tree, {key: state.tree for key, state in program.groups.items()}


def _arrivals(program: Program, recoveries: Mapping[str, Recovery]) -> Iterator[Arrivals]:
    """The groups of synapses, each with its one delay."""
    if isinstance(program.network.neuron, Mixed):
        raise CannotSleep("cells of several kinds are stepped kind by kind")
    if program.task.cells is None and len(compact(program.task.stimulus)) > 1:
        raise CannotSleep("a current that changes reaches every cell")
    if program.by_hand:
        raise CannotSleep("what is recorded is read outside the loop")
    for key in program.groups:
        if key == "electrical":
            raise CannotSleep("gap junctions carry current at all times")
        rows = program.rows[key]
        if rows.lag is None and len(rows.place):
            raise CannotSleep(f"delays of {key} connections differ")
        own = recoveries.get(key)
        lines = (own.lines(), own.present()) if own else ()
        yield Arrivals(key, rows.lag or 1, rows.uniform, *lines)


def _quiet(program: Program, recoveries: Mapping[str, Recovery]) -> tuple[Quiet | None, float]:
    """What cells do when left alone, and the share that may be at rest."""
    (cells,) = program.parts
    assert cells.steps is not None
    rest = _at_rest(program)
    names = [program.neuron.names, {key: state.names for key, state in program.groups.items()}]
    point = dict(zip(pytree.tree_leaves(names), pytree.tree_leaves(rest), strict=True))
    for recovery in recoveries.values():
        if not cells.steps.passes(recovery.quiet.names):
            raise CannotSleep("what cells keep for their releases is read or moved in every step")
        point = {name: own for name, own in point.items() if name not in recovery.quiet.names}
    try:
        quiet = quiet_near(cells.steps, point)
    except NotAffine:
        return None, _unmoved(program, rest)
    if len(quiet.moving) > PAIRS:
        raise CannotSleep(
            f"the state of a cell moves by {len(quiet.moving)} numbers, more than are worth "
            "compiling"
        )
    return quiet, quiet.share()


def _unmoved(program: Program, rest: Any) -> float:
    """Share of the cells at rest that a step without input leaves as they are."""
    network, nothing = program.network, torch.zeros_like(program.like)
    state, groups = rest
    current, after = nothing, {}
    for key, synapse in network.groups():
        after[key], flowing = synapse.step(groups[key], nothing, state.v, program.task.dt)
        current = current + flowing
    then, given = network.neuron.step(state, current, program.task.dt)
    same = given == 0
    pairs = zip(pytree.tree_leaves((then, after)), pytree.tree_leaves(rest), strict=True)
    for new, old in pairs:
        same = same & (new == old)
    return float(same.float().mean())
