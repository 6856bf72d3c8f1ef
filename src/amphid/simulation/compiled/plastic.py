"""Weights that move, in machine code: only connections of cells that fired are looked at.

For each cell that fired, its outgoing connections are walked along their row, then its incoming
ones along a column of indices. A connection both of whose ends fired is changed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.kernels import Traced, trace, with_known, write_function
from amphid.simulation.compiled.edges import Array, PerTrial, Rows
from amphid.simulation.compiled.eligibility import Eligibility
from amphid.simulation.compiled.parts import Part, State, part
from amphid.simulation.compiled.walks import Walk
from amphid.simulation.compiled.weights import KEEP, WeightSamples, all_weights
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.plasticity import Governed, Tagged, finished, plastic_groups
from amphid.simulation.simulate import Task

FIRED = {"pre": (1.0, 0.0), "post": (0.0, 1.0), "both": (1.0, 1.0)}
"""Which ends of a connection fired."""


class CompiledRule:
    """One rule: its traces, the source of its changes, and the connections it walks."""

    def __init__(
        self, number: int, governed: Governed, traces: Any, like: Tensor, dt: float
    ) -> None:
        self.governed, self.name, self.dtype = governed, f"RULE{number}", like.dtype
        self.state = State.of(traces, f"{self.name}_TRACE_")
        given = State(like.clone(), "GIVEN")
        step = f"step_rule{number}"
        rule = governed.rule
        self.step: Part = part(
            step, lambda state, spike: rule.step(state, spike, dt), [self.state, given],
            [self.state.names], "n",
        )  # fmt: skip
        self.changes = self._changes(like.dtype)
        factor = governed.factor
        self.eligibility = Eligibility(self.name, factor, dt) if factor else None
        self.constants = {
            f"{self.name}_{symbol.name}": held
            for change in self.changes.values()
            for symbol, held in change.constants
        }

    def walks(self, rows: Mapping[str, Rows], network: Network) -> list[Walk]:
        """The connections it governs, group by group."""
        found = [
            Walk.of(f"{self.name}_{group}", self.governed, group, own, network)
            for group, own in rows.items()
        ]
        return [walk for walk in found if walk]

    def idle(self, fired: str) -> bool:
        """Whether a connection may be passed over when only that end fired."""
        change = self.changes[fired]
        return not self.eligibility and change.outputs[0] == change.inputs[0]

    def functions(self) -> str:
        """Source of the change of one weight, by which ends fired."""
        clamped = self.governed.low, self.governed.high
        texts = [
            write_function(change, f"{self.name.lower()}_{fired}", clamped=clamped)
            for fired, change in self.changes.items()
        ]
        return "\n".join(f"@inner\n{text}\n" for text in texts)

    def walk_source(self, walk: Walk) -> tuple[str, str]:
        """Source of the function that changes the weights of a group, and its call."""
        name = f"{self.name.lower()}_{walk.group}"
        traces = pytree.tree_leaves(self.state.names)
        own = [*walk.arrays, f"WEIGHT_{walk.group}", *traces, *self._constants_of(walk)]
        own += self.eligibility.arrays(walk) if self.eligibility else []
        call = f"{name}(t + 1, counters[2], FIRED, GIVEN, {', '.join(own)})"
        lines = [f"def {name}(now, count, FIRED, GIVEN, {', '.join(own)}):"]
        if not self.idle("pre"):
            lines += self._walk(walk, "post")
        if not self.idle("post"):
            lines += self._walk(walk, "pre")
        return "@inner\n" + "\n".join([*lines, "    return", ""]), call

    def constants_over(self, walk: Walk) -> dict[str, Tensor]:
        """Constants with a value for each connection, laid along the rows of a group."""
        size = int(walk.entry.max()) + 1
        entry, which = torch.from_numpy(walk.entry), torch.from_numpy(walk.which)
        return {
            self._array(name, walk): held.new_zeros(*held.shape[:-1], size).index_copy(
                -1, entry, held[..., which]
            )
            for name, held in self.constants.items()
            if held.numel() > 1
        }

    def _walk(self, walk: Walk, other: str) -> list[str]:
        """Lines that walk the connections of the cells that fired, to or from the other cells."""
        out = other == "post"
        prefix = f"{self.name}_{walk.group}"
        side = "OUT" if out else "IN"
        alone = "pre" if out else "post"
        entry = "place" if out and walk.whole else f"{prefix}_{side}_ENTRY[place]"
        start, ends = f"{prefix}_{side}_START", f"{prefix}_{side}_{other.upper()}"
        here = [f"{leaf}[cell]" for leaf in pytree.tree_leaves(self.state.names)]
        there = [f"{leaf}[other]" for leaf in pytree.tree_leaves(self.state.names)]
        mine = [f"own{k}" for k in range(len(here))]
        traces = [*mine, *there] if out else [*there, *mine]
        once = not out and not self.idle("pre")  # the other walk has changed those already

        def changed(fired: str) -> list[str]:
            given = ["w", *traces, *("1.0" if end else "0.0" for end in FIRED[fired])]
            given += self._constants_in(fired, walk)
            call = f"{self.name.lower()}_{fired}({', '.join(given)})"
            return [f"entry = {entry}", *self._updated(walk, call)]

        lines = ["for k in range(count):", "    cell = FIRED[k]"]
        lines += [f"    {name} = {leaf}" for name, leaf in zip(mine, here, strict=True)]
        lines += [
            f"    for place in range({start}[cell], {start}[cell + 1]):",
            f"        other = {ends}[place]",
            "        if GIVEN[other] == 0:",
            *(f"            {line}" for line in changed(alone)),
        ]
        if not once:
            lines += ["        else:", *(f"            {line}" for line in changed("both"))]
        return [f"    {line}" for line in lines]

    def _updated(self, walk: Walk, call: str) -> list[str]:
        """Lines that change the weight at `entry` to what a call gives for `w`."""
        weight, sign = f"WEIGHT_{walk.group}[entry]", f"{self.name}_{walk.group}_SIGN[entry]"
        before = f"w = {weight} * {sign}" if walk.signed else f"w = {weight}"
        back = f" * {sign}" if walk.signed else ""
        if self.eligibility is None:
            return [before, f"{weight} = {call}{back}"]
        settled = self.eligibility.settled(walk)
        bounds = [*zip((self.governed.low, self.governed.high), "<>", strict=True)]
        held = [
            f"w = {bound!r} if w {sign} {bound!r} else w"
            for bound, sign in bounds
            if np.isfinite(bound)
        ]
        kept = self.eligibility.kept(walk, f"c + ({call} - w)")
        return [before, *settled, *held, *kept, f"{weight} = w{back}"]

    def _constants_of(self, walk: Walk) -> list[str]:
        return [self._array(name, walk) for name in self.constants]

    def _constants_in(self, fired: str, walk: Walk) -> list[str]:
        """The constants that a change takes, as entries of their arrays."""
        names = [f"{self.name}_{symbol.name}" for symbol, _ in self.changes[fired].constants]
        return [
            f"{self._array(name, walk)}[{0 if self.constants[name].numel() == 1 else 'entry'}]"
            for name in names
        ]

    def _array(self, name: str, walk: Walk) -> str:
        return name if self.constants[name].numel() == 1 else f"{name}_{walk.group}"

    def _changes(self, dtype: torch.dtype) -> dict[str, Traced]:
        """The change of a weight, traced, for each of the ends that may have fired."""
        rule, leaves = self.governed.rule, pytree.tree_leaves(self.state.tree)
        held = [*rule.parameters(), *rule.buffers()] if isinstance(rule, torch.nn.Module) else []
        count = len(self.governed.edges)
        each = any(value.shape[-1:] == (count,) for value in held)
        weight = torch.zeros(count if each else 2, dtype=dtype)
        traces = pytree.tree_map(lambda leaf: weight.to(leaf.dtype), self.state.tree)
        spikes = weight.clone(), weight.clone()
        whole = trace(rule.change, weight, traces, traces, *spikes)
        first = 1 + 2 * len(leaves)
        return {
            fired: with_known(whole, {first: pre, first + 1: post})
            for fired, (pre, post) in FIRED.items()
        }


class CompiledPlasticity:
    """All rules of a task: what the time loop calls after each step, and on which arrays.

    groups: those in which weights move. calls: what moves them. keeping: what samples them.
    """

    def __init__(
        self, task: Task, start: NetworkState, traces: Sequence[Any], like: Tensor
    ) -> None:
        self.task, self.start, self.like = task, start, like
        self.rules = [
            CompiledRule(number, governed, tree, like, task.dt)
            for number, (governed, tree) in enumerate(zip(task.plasticity, traces, strict=True))
        ]
        self.groups = plastic_groups(task.plasticity, task.network)
        self.steps = [rule.step for rule in self.rules]
        self.constants = {
            name: held for rule in self.rules for name, held in rule.constants.items()
        }
        self.text, self.calls, self.keeping = "", list[str](), list[str]()

    def lay_out(
        self, arrays: dict[str, PerTrial], rows: Mapping[str, Rows], batch: torch.Size
    ) -> None:
        """Find the connections of each rule, and add the arrays that the loop needs."""
        self.arrays, self.rows, self.batch = arrays, rows, batch
        network = self.task.network
        self.walks = [(rule, walk) for rule in self.rules for walk in rule.walks(rows, network)]
        self.kept = WeightSamples.of(self.task, rows) if "weight" in self.task.record else None
        self._write()
        shared = self.shared() | (self.kept.arrays() if self.kept else {})
        for name, held in shared.items():
            arrays[name] = PerTrial(held[None], np.zeros(batch.numel(), dtype=np.int64))
        for name, tensor in self.broadcast(self.like).items():
            arrays[name] = PerTrial.of(torch.atleast_1d(tensor), batch)
        for name, tensor in self.tags(self.start.traces).items():
            wide = tensor.expand(*batch, tensor.shape[-1]).reshape(batch.numel(), -1)
            self._each(name, wide.clone().numpy())
            self._each(name.replace("_TAG", "_SEEN"), np.zeros(wide.shape, dtype=np.int64))
        if self.kept:
            shape = (batch.numel(), self.task.steps // self.task.every, len(self.task.moving))
            self._each("SAMPLE_WEIGHT", np.zeros(shape, self.like.numpy().dtype))

    def samples(self) -> Tensor | None:
        """Weights [T', *B, K] that were sampled, of the connections that move."""
        if self.kept is None:
            return None
        return self.kept.read(self.arrays["SAMPLE_WEIGHT"].rows, self.batch)

    def after(self, state: NetworkState, filled: Any, done: int) -> NetworkState:
        """The state with weights and traces after that many steps."""
        self.settle(self.batch.numel(), done)
        held = {group: self.arrays[f"WEIGHT_{group}"].rows for group in self.groups}
        before = cast("Tensor", self.start.weight).detach().expand(*self.batch, -1)
        weight = all_weights(before, self.rows, held, self.task.network)
        state = state._replace(weight=weight, traces=self.states(filled))
        return finished(state, self.task.plasticity)

    def _each(self, name: str, values: Array) -> None:
        self.arrays[name] = PerTrial(values, np.arange(self.batch.numel()))

    def _write(self) -> None:
        """The source of what the time loop calls."""
        texts, calls = [rule.functions() for rule in self.rules], list[str]()
        for rule, walk in self.walks:
            text, call = rule.walk_source(walk)
            texts, calls = [*texts, text], [*calls, call]
            if rule.eligibility and self.kept:
                text, call = rule.eligibility.settle_source(walk)
                texts, self.keeping = [*texts, text], [*self.keeping, call]
        if self.kept:
            texts, self.keeping = [*texts, KEEP], [*self.keeping, *self.kept.calls()]
        self.text = "\n\n".join([*texts, *(step.text for step in self.steps)])
        self.calls = [*calls, *(step.call for step in self.steps)]

    def shared(self) -> dict[str, Array]:
        """Arrays that all trials share, by name."""
        return {name: held for _, walk in self.walks for name, held in walk.arrays.items()}

    def broadcast(self, like: Tensor) -> dict[str, Tensor]:
        """What trials may share [*B, ...], by name."""
        found = {name: held for name, held in self.constants.items() if held.numel() == 1}
        for rule in self.rules:
            if rule.eligibility:
                owed, left = rule.eligibility.tables(like)
                found |= {f"{rule.name}_OWED": owed, f"{rule.name}_LEFT": left}
        for rule, walk in self.walks:
            found |= rule.constants_over(walk)
        return found

    def tags(self, states: Sequence[Any]) -> dict[str, Tensor]:
        """Eligibilities [*B, K] along the rows of a group, by name."""
        found = {}
        for rule, walk in self.walks:
            if rule.eligibility:
                state = states[self.rules.index(rule)]
                size = int(walk.entry.max()) + 1
                held = state.eligibility.detach()[..., torch.from_numpy(walk.which)]
                wide = held.new_zeros(*held.shape[:-1], size)
                entry = torch.from_numpy(walk.entry)
                found[f"{rule.name}_{walk.group}_TAG"] = wide.index_copy(-1, entry, held)
        return found

    def states(self, filled: Any) -> tuple[Any, ...]:
        """What each rule remembers, out of settled arrays; `filled` makes tensors of names."""
        found, batch, arrays = list[Any](), self.batch, self.arrays
        for rule in self.rules:
            state = filled(rule.state.names)
            if rule.eligibility:
                tag = torch.zeros(batch.numel(), len(rule.governed.edges), dtype=rule.dtype)
                for walk in (walk for owner, walk in self.walks if owner is rule):
                    rows = arrays[f"{rule.name}_{walk.group}_TAG"].rows
                    tag[:, torch.from_numpy(walk.which)] = torch.from_numpy(rows[:, walk.entry])
                state = Tagged(state, tag.reshape(*batch, -1))
            found.append(state)
        return tuple(found)

    def settle(self, trials: int, now: int) -> None:
        """Bring all weights and eligibilities to a step."""
        arrays = self.arrays
        for rule, walk in self.walks:
            if not rule.eligibility:
                continue
            for trial in range(trials):
                owed, left, tag, seen = (
                    arrays[name][trial] for name in rule.eligibility.arrays(walk)
                )
                entry, weight = walk.entry, arrays[f"WEIGHT_{walk.group}"][trial]
                since = seen[entry]
                rest = left[now - since]
                sign = walk.arrays[f"{rule.name}_{walk.group}_SIGN"][entry] if walk.signed else 1
                weight[entry] += sign * tag[entry] * (owed[since] - rest * owed[now])
                tag[entry] *= rest
                seen[entry] = now
