"""A task traced: its state by the names of arrays, the loops over cells, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Mixed, Synapse
from amphid.kernels import common_shape
from amphid.simulation.compiled.edges import Array, PerTrial, Rows
from amphid.simulation.compiled.parts import Part, State, cells, part, passes_on
from amphid.simulation.compiled.plastic import CompiledPlasticity
from amphid.simulation.compiled.readings import Reading, readings
from amphid.simulation.compiled.remembered import remembered, shapes
from amphid.simulation.compiled.share import Share
from amphid.simulation.network import NetworkState
from amphid.simulation.plasticity import Tagged
from amphid.simulation.simulate import Task, first_like, first_state, read_variable
from amphid.simulation.wires import Past, UnderWay, Wires


class TracedTask:
    """What machine code for a task is made of, however its trials are laid out in memory.

    Abstract: `Program` steps one trial after another, `Tiles` many side by side.
    """

    lanes = False  # whether trials stand side by side
    joint = False  # whether all voltages are solved together
    arrays: dict[str, PerTrial]
    rows: dict[str, Rows]
    by_hand: dict[str, Tensor]
    share: Share

    def __init__(self, task: Task, wires: Mapping[str, Wires]) -> None:
        self.task, self.wires = task, wires
        self.network, self.size = task.network, len(task.network.connectome)
        self._start(first_state(task, first_like(task), wires))
        self._trace()
        self._settle_batch()

    def longest_piece(self, steps: int) -> int:
        """How many steps can be taken at once: to the next sample where the loop cannot sample."""
        if not self.by_hand:
            return steps
        every = self.task.every
        return every - int(self.counters[0][0]) % every

    def sample(self, done: int) -> None:
        """Keep the variables that the loop cannot keep by itself."""
        if self.by_hand and done % self.task.every == 0:
            self.keep(self.state(done), done)

    def state(self, done: int) -> NetworkState:
        """The state of all trials after that many steps."""
        state = self.state_of(self.held(done))
        return self.plasticity.after(state, self._filled, done) if self.task.plasticity else state

    def held(self, done: int) -> dict[str, Array]:
        """The arrays of that state [trials, K] by name; what was released, by group and age."""
        names = [*pytree.tree_leaves((self.neuron.names, self._group_names())), "GIVEN"]
        held = {name: self._by_trial(name) for name in names}
        for group, own in self.rows.items():
            queued = group in self.queued
            rows = self._by_trial(f"{'RING' if queued else 'PAST'}_{group}")
            for age in range(own.longest):
                at = (done + age if queued else done - 1 - age) % own.longest
                held[f"PAST_{group}_{age}"] = rows[:, at]
        return held

    def _by_trial(self, name: str) -> Array:
        """An array of a state [trials, ..., cells]."""
        rows: Array = self.arrays[name].rows
        return rows

    def keep(self, state: NetworkState, done: int) -> None:
        """Keep what the loop cannot, of the state of all cells."""
        if self.by_hand:
            for name, values in self.by_hand.items():
                read = read_variable(self.task, state, name).expand(*self.batch, self.size)
                values[done // self.task.every - 1] = self.task.kept_of(name, read)

    def state_of(self, held: Mapping[str, Array]) -> NetworkState:
        """The state that such arrays are."""

        def shaped(name: str) -> Tensor:
            values = torch.from_numpy(held[name].copy())
            return values.reshape(*self.batch, values.shape[-1])

        past: dict[str, Past] = dict(self.first.past)
        for group, rows in self.rows.items():
            sent = tuple(shaped(f"PAST_{group}_{age}") for age in range(rows.longest))
            past[group] = UnderWay(sent) if group in self.queued else sent
        neuron = pytree.tree_map(shaped, self.neuron.names)
        groups = pytree.tree_map(shaped, self._group_names())
        given = shaped("GIVEN")
        if isinstance(self.network.neuron, Mixed):
            neuron = neuron._replace(output=given)
        return NetworkState(neuron, given, groups, past, self.first.weight, self.first.traces)

    def _filled(self, names: Any) -> Any:
        """The tensors of all trials by the names of their arrays."""

        def shaped(name: str) -> Tensor:
            values = self.arrays[name].rows
            return torch.from_numpy(values.copy()).reshape(*self.batch, *values.shape[1:])

        return pytree.tree_map(shaped, names)

    def _group_names(self) -> dict[str, Any]:
        return {group: state.names for group, state in self.groups.items()}

    def _start(self, state: NetworkState) -> None:
        """The state to start from, and one trial of it as an example."""
        self.first, self.dtype = state, self.network.weight.dtype
        traces = [own.traces if isinstance(own, Tagged) else own for own in state.traces]
        leaves = pytree.tree_leaves((state.neuron, state.synapses, state.given, traces))
        other = {leaf.dtype for leaf in leaves if leaf.is_floating_point()} - {self.dtype}
        if other:
            raise ValueError(
                f"the state to start from is in {other.pop()}, the network in {self.dtype}: start "
                "from a state of the same type, such as network.rest(dt)."
            )

        def alone(tensor: Tensor) -> Tensor:
            return tensor.detach().reshape(-1, tensor.shape[-1])[0].clone()

        parts = (state.neuron, state.synapses, state.given, traces)
        example = pytree.tree_map(alone, parts)
        self.neuron = State.of(example[0], "NEURON_")
        self.groups = {key: State.of(tree, f"{key.upper()}_") for key, tree in example[1].items()}
        self.like = example[2]
        self.traces = traces
        self.plasticity = CompiledPlasticity(self.task, state, example[3], self.like)
        past = state.past.items()
        self.queued = [group for group, sent in past if isinstance(sent, UnderWay)]
        kinds = self.neuron.names.parts if isinstance(self.network.neuron, Mixed) else ()
        leaves = [pytree.tree_leaves(names) for names in kinds]
        self.kind_of = {name: number for number, own in enumerate(leaves) for name in own}

    def _trace(self) -> None:
        """The loops over cells, and what they are called with."""
        for name in self.task.record:  # one that is not there is an error before anything runs
            read_variable(self.task, self.first, name)
        self.sampled = [name for name in self.task.record if name not in ("spike", "weight")]
        self.events = "spike" in self.task.record
        owner = self.network.connectome
        traced = remembered(owner, self._read_by_steps(), self._traced)
        self.parts, self.releases, self.readings = traced

    def _read_by_steps(self) -> Any:
        """All that what is traced depends on."""
        task, states = self.task, (self.neuron, *self.groups.values())
        modules = self.network.neuron, dict(self.network.groups())
        kept = {name: task.kept.get(name) for name in self.sampled}
        names = [state.names for state in states]
        given = shapes([state.tree for state in states]), shapes(self.like)
        return (*modules, task.dt, kept, names, given, self.lanes, self.joint)

    def _traced(self) -> tuple[list[Part], dict[str, Part], list[Reading] | None]:
        """The loops that step cells, that let go what they release, and that keep variables."""
        parts = self._cell_parts()
        releases = {key: self._release(key, synapse) for key, synapse in self.network.groups()}
        kept = readings(self) if self.sampled else []
        return parts, {key: loop for key, loop in releases.items() if loop}, kept

    def _release(self, key: str, synapse: Synapse[Any]) -> Part | None:
        """The loop of a group that lets go something else than what its cells give out."""
        state, given = self.groups[key], State(self.like.clone(), "GIVEN")

        def release(state: Any, output: Tensor) -> Any:
            return synapse.release(state, output, self.task.dt)

        if key == "electrical" or passes_on(release, state, given.tree):
            return None
        results = [state.names, f"RELEASED_{key}"]
        return part(f"release_{key}", release, [state, given], results, "n", lanes=self.lanes)

    def _cell_parts(self) -> list[Part]:
        """The loops that step the cells under what arrives."""
        return cells(self.network, self.neuron, self.groups, self.like, self.task.dt)

    def _settle_batch(self) -> None:
        """The trials there are: those of the stimulus, the weights, the state and the values."""
        kept = [reading.loop for reading in self.readings or ()]
        everything = [*self.parts, *self.releases.values(), *kept, *self.plasticity.steps]
        self.constants = {name: c for loop in everything for name, c in loop.constants.items()}
        self.kind_of |= {
            name: int(name.split("_")[1]) for name in self.constants if name.startswith("PART_")
        }
        start = self.first
        first = pytree.tree_leaves((start.neuron, start.synapses, start.given, self.traces))
        values = [*self.constants.values(), *self.plasticity.constants.values()]
        leads = [tensor.shape[:-1] for tensor in (*first, *values)]
        leads += [self.task.batch, self.network.batch]
        self.batch = common_shape(*leads)
        self.trials = self.items = self.batch.numel()
        self.counters = np.zeros((self.trials, 5), dtype=np.int64)

    @cached_property
    def v(self) -> str:
        """The name of the voltages."""
        neuron = self.neuron
        mixed = isinstance(self.network.neuron, Mixed)
        name: str = neuron.names.v if mixed else neuron.name_of(neuron.tree.v)
        return name

    def hold(self, current: Array) -> None:
        """Change the current [N] in pA that stays, of a task that has one row of it."""
        self.arrays["STIMULUS"].rows[..., 0, :] = current[self.share.low : self.share.high]

    def voltage(self) -> Array:
        """Where all cells are now [trials, N], mV."""
        return self._by_trial(self.v)

    @property
    def sampling(self) -> list[str]:
        """Lines that keep a sample of all variables in the row `row`."""
        return [line for reading in self.readings or () for line in reading.call()]

    @property
    def reading_text(self) -> str:
        """The source of what these lines call."""
        return "\n".join(reading.loop.text for reading in self.readings or ())

    @property
    def _type(self) -> Any:
        return np.float64 if self.dtype is torch.float64 else np.float32
