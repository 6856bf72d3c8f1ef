"""Step a network through time and keep what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from amphid.simulation.network import Network, NetworkState
from amphid.simulation.plasticity import (
    Governed,
    Learning,
    Plasticity,
    Tagged,
    finished,
    govern,
    moving,
    started,
)
from amphid.simulation.recording import Recording, Spikes
from amphid.simulation.sources import Source
from amphid.simulation.stepping import Stepper, choose
from amphid.simulation.stimulus import Stimulus, spread
from amphid.simulation.wires import Wires

LONG = 256  # steps; longer differentiable runs are checkpointed unless told otherwise
ROOM = 1 << 23  # currents made at once, where no gradient is asked for


class Engine(Protocol):
    """Runs the time loop."""

    def run(self, task: Task) -> Recording:
        """The recording of a task."""


@dataclass(frozen=True, eq=False)
class Task:
    """What an engine is asked to do; made by `simulate`, already checked.

    network, stimulus [T, *B, K] in pA into K cells (all of them, in order, when cells is None) and
    sources on top of it, dt in ms, names of the variables to record, steps between samples, the
    state to start from, who hears of the progress (steps done, steps in all) and the rules by which
    weights move.
    """

    network: Network
    stimulus: Tensor
    cells: Tensor | None
    dt: float
    record: tuple[str, ...]
    every: int
    state: NetworkState | None
    progress: Callable[[int, int], None] | None
    sources: tuple[Source, ...] = ()
    plasticity: tuple[Governed, ...] = ()

    @property
    def steps(self) -> int:
        """How many steps to take."""
        return len(self.stimulus)

    def currents(self, first: int, last: int) -> Tensor:
        """The current into every cell [S, *B, N] in pA in the steps first <= t < last."""
        size = len(self.network.connectome)
        return spread(self.stimulus[first:last], self.cells, size, self.sources, first)

    @property
    def batch(self) -> torch.Size:
        """The axes *B of the trials, those of the stimulus and of third factors."""
        factors = [governed.factor for governed in self.plasticity]
        leads = [factor.signal.shape[1:] for factor in factors if factor]
        leads += [source.batch for source in self.sources]
        return torch.broadcast_shapes(self.stimulus.shape[1:-1], *leads)

    @cached_property
    def moving(self) -> NDArray[np.int64]:
        """Indices [K] of the connections whose weights move."""
        return moving(self.plasticity)


def simulate(
    network: Network,
    stimulus: Stimulus | Tensor,
    *,
    dt: float | None = None,
    record: Sequence[str] | None = None,
    every: int = 1,
    state: NetworkState | None = None,
    plasticity: Sequence[Plasticity] = (),
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Run a network under a stimulus.

    stimulus: a `Stimulus`, or currents [T, *B, N] in pA; axes *B are trials run side by side.
    dt: ms per step; that of the stimulus when None.
    record: "spike", variables of the cells ("v"), or of a group of synapses ("excitatory.g"), or
        "weight" of the connections that are plastic. What the cells give out when None.
    every: steps between samples; spikes are always kept all.
    state: where to start, such as `recording.state`; the network's rest when None. Its weights, if
        it has any, take the place of the network's.
    plasticity: rules such as `learning.STDP(...)` by which spikes move weights during the run; the
        weights at its end [*B, E] are `recording.state.weight`.
    engine: `Torch()` when None; `Compiled()` is faster and gives no gradients.
    progress: called with the steps done and the steps in all.

    The recording is differentiable while torch records gradients and a parameter or the stimulus
    asks for them; under `torch.no_grad()` it is faster and lighter. Interrupted by Ctrl-C it
    returns the part that was run, and says so in its notes.
    Raises ValueError or KeyError when an argument does not fit the network.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}.")
    current, cells, sources, dt = _current(network, stimulus, dt)
    names = (network.neuron.output,) if record is None else _names(record)
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be a number of steps, at least 1, got {every!r}.")
    if state is not None and state.weight is not None:
        network = network.weighted(state.weight)
    rules = govern(plasticity, network, len(current))
    task = Task(network, current, cells, dt, names, every, state, progress, sources, rules)
    if not network.trials:
        return (engine or Torch()).run(task)
    from amphid.simulation.portions import run_trials

    _check_trials(task)
    return run_trials(task, engine or Torch())


@dataclass(frozen=True)
class Torch:
    """The torch engine: `step` as it is written; differentiable, batched, on any device.

    checkpoint: steps between the states that are kept for a gradient; what lies between is computed
        again on the way back. None keeps the square root of all steps when there are many; 0 keeps
        every step.
    implicit: True solves all voltages together, False never does; None lets the network's own
        conductances decide.
    dense: keep spikes as an array [T, *B, N] also where no gradient is asked for, which is what
        `torch.func` transforms need.
    """

    checkpoint: int | None = None
    implicit: bool | None = None
    dense: bool = False

    def run(self, task: Task) -> Recording:
        """The recording of a task."""
        network, dt = task.network, task.dt
        wires = network.wires(dt)
        stepper = choose(network, wires, dt, implicit=self.implicit)
        batch = torch.broadcast_shapes(task.batch, network.batch)
        like = task.stimulus.new_zeros(*batch, len(network.connectome))
        state = first_state(task, like, wires)
        if task.plasticity:
            stepper = Learning(stepper, task.plasticity, dt)
        keeper = _Keeper(task, dense=self.dense)
        graph = torch.is_grad_enabled() and _asks_for_gradient(task, state)
        segment = self._segment(task, like, graph=graph)
        note = "torch engine, " + stepper.note
        try:
            while keeper.done < task.steps:
                last = min(keeper.done + segment, task.steps)
                run = _Segment(stepper, keeper, last)
                if graph and segment < task.steps:
                    state, kept = checkpoint(run, state, use_reentrant=False)
                else:
                    state, kept = run(state)
                keeper.keep(kept, last - keeper.done)
        except KeyboardInterrupt:
            note += f"; interrupted after {keeper.done} of {task.steps} steps"
        return keeper.recording(finished(state, task.plasticity), note)

    def _segment(self, task: Task, like: Tensor, *, graph: bool) -> int:
        """How many steps have their currents made at once."""
        if not graph:
            return max(1, min(64, ROOM // max(like.numel(), 1)))
        if self.checkpoint is None:
            return task.steps if task.steps <= LONG else math.isqrt(task.steps)
        return self.checkpoint or task.steps


class _Segment:
    """Some steps in a row, up to a last one: from a state to a state and what is kept."""

    def __init__(self, stepper: Stepper, keeper: _Keeper, last: int) -> None:
        self.stepper, self.keeper, self.start, self.last = stepper, keeper, keeper.done, last

    def __call__(self, state: NetworkState) -> tuple[NetworkState, dict[str, list[Tensor]]]:
        kept: dict[str, list[Tensor]] = {name: [] for name in self.keeper.task.record}
        current = self.keeper.task.currents(self.start, self.last)
        for step, external in enumerate(current.unbind(0), start=self.start + 1):
            state = self.stepper(state, external)
            for name, values in kept.items():
                if name == "spike" or step % self.keeper.task.every == 0:
                    values.append(read_variable(self.keeper.task, state, name))
        return state, kept


class _Keeper:
    """Collects what is recorded: samples as they are, spikes without a gradient as events."""

    def __init__(self, task: Task, *, dense: bool) -> None:
        self.task, self.dense, self.done = task, dense, 0
        self.samples: dict[str, list[Tensor]] = {name: [] for name in task.record}
        self.events: list[Tensor] = []
        self.shape: tuple[int, ...] = ()

    def keep(self, kept: dict[str, list[Tensor]], steps: int) -> None:
        """Take over what a segment kept."""
        for name, values in kept.items():
            dense = self.dense or any(value.requires_grad for value in values)
            if name == "spike" and not dense:
                self._keep_events(values)
            else:
                self.samples[name] += values
        self.done += steps
        if self.task.progress:
            self.task.progress(self.done, self.task.steps)

    def recording(self, state: NetworkState, note: str) -> Recording:
        """The recording of all that was kept."""
        fields = {name: torch.stack(values) for name, values in self.samples.items() if values}
        weight = fields.pop("weight", None)
        return Recording(
            cells=self.task.network.connectome.cells,
            dt=self.task.dt,
            every=self.task.every,
            fields=fields,
            events=self._all_events(),
            notes=(note,),
            state=state,
            weight=weight,
            edges=None if weight is None else self.task.moving,
        )

    def _keep_events(self, values: list[Tensor]) -> None:
        if values:
            events = torch.stack(values).nonzero().T
            events[0] += self.done
            self.events.append(events)
            self.shape = tuple(values[0].shape)

    def _all_events(self) -> Spikes | None:
        if not self.events:
            return None
        return Spikes(torch.cat(self.events, 1), (self.done, *self.shape), self.task.dt)


def first_state(task: Task, like: Tensor, wires: Mapping[str, Wires]) -> NetworkState:
    """The state to start from, for cells shaped as `like` [*B, N]; rest unless one was given.

    Raises ValueError for the state of another network.
    """
    state = task.network.init(like, wires) if task.state is None else task.state
    if set(state.past) != set(task.network.synapses):
        raise ValueError("state belongs to another network: it has other groups of synapses.")
    return started(state, task.plasticity, task.network, wires, like)


def read_variable(task: Task, state: NetworkState, name: str) -> Tensor:
    """A variable of the cells, of a group of synapses, or the spikes [*B, N].

    Raises KeyError naming what there is.
    """
    output = task.network.neuron.output
    if name == "spike":
        if output != "spike":
            raise KeyError(
                f"record asks for 'spike', but these cells give out {output!r} instead. Record "
                "that, or 'v'."
            )
        return state.given
    if name == "weight":
        return _moving_weight(task, state)
    group, _, field = name.rpartition(".")
    if not group:
        return task.network.neuron.read(state.neuron, field)
    if group not in state.synapses:
        known = ", ".join(state.synapses) or "none"
        raise KeyError(f"record asks for {name!r}, but the groups of synapses are: {known}.")
    if field not in getattr(state.synapses[group], "_fields", ()):
        known = ", ".join(getattr(state.synapses[group], "_fields", ())) or "none"
        raise KeyError(f"record asks for {name!r}; the variables of {group} are: {known}.")
    value: Tensor = getattr(state.synapses[group], field)
    return value


def _moving_weight(task: Task, state: NetworkState) -> Tensor:
    """Weights [*B, K] of the connections that are plastic."""
    if not task.plasticity or state.weight is None:
        raise KeyError(
            "record asks for 'weight', but no weight moves: give plasticity=(rule, ...). The "
            "weights of a network that stay as they are are network.weight."
        )
    weight = state.weight
    for governed, own in zip(task.plasticity, state.traces, strict=True):
        weight = governed.bounded(weight) if isinstance(own, Tagged) else weight
    return weight[..., torch.from_numpy(task.moving).to(weight.device)]


def _current(
    network: Network, stimulus: Stimulus | Tensor, dt: float | None
) -> tuple[Tensor, Tensor | None, tuple[Source, ...], float]:
    """The current [T, *B, K] in the network's type and on its device, into which cells, and dt."""
    driven: Tensor | None = None
    sources: tuple[Source, ...] = ()
    size = len(network.connectome)
    if isinstance(stimulus, Stimulus):
        if dt is not None and not math.isclose(dt, stimulus.dt):
            raise ValueError(
                f"dt must be that of the stimulus: it was made for dt={stimulus.dt:g} ms, "
                f"simulate was given dt={dt!r}."
            )
        held = stimulus.to(network.weight)
        dt, size, driven, stimulus, sources = (
            held.dt,
            held.size,
            held.cells,
            held.current,
            held.sources,
        )
    if not isinstance(stimulus, Tensor):
        raise TypeError(f"stimulus must be a Stimulus or a tensor, got {type(stimulus).__name__}.")
    cells = stimulus.shape[-1] if driven is None and stimulus.dim() else size
    if stimulus.dim() < 2 or cells != len(network.connectome) or not len(stimulus):
        raise ValueError(
            "stimulus must be [T, *B, N] and end in one entry per cell: the network has "
            f"{len(network.connectome)} cells, stimulus has shape "
            f"{[*stimulus.shape[:-1], cells]}."
        )
    if dt is None or not (isinstance(dt, (int, float)) and 0 < dt < math.inf):
        raise ValueError(f"dt must be a positive number of ms per step, got {dt!r}.")
    return stimulus.to(network.weight), driven, sources, float(dt)


def _check_trials(task: Task) -> None:
    """The trials of a stimulus are those of the network, or stand before an axis of their own."""
    own, trials = task.batch, len(task.network.trials)
    if own and own[-1] not in (1, trials):
        raise ValueError(
            f"the network has {trials} trials, the stimulus {own[-1]} of its own: give it the "
            f"shape [T, {own[-1]}, 1, {task.stimulus.shape[-1]}] to run every one with every other."
        )


def _names(record: Sequence[str]) -> tuple[str, ...]:
    if isinstance(record, str):
        raise TypeError(f"record must be a list of names such as ('v', 'spike'), got {record!r}.")
    return tuple(dict.fromkeys(record))


def _asks_for_gradient(task: Task, state: NetworkState) -> bool:
    modules = [task.network, *(governed.rule for governed in task.plasticity)]
    parts = [part for part in modules if isinstance(part, torch.nn.Module)]
    asked: list[Tensor] = [v for part in parts for v in (*part.parameters(), *part.buffers())]
    asked += [task.network.weight, task.stimulus, state.v]
    asked += [source.amplitude for source in task.sources]
    return any(tensor.requires_grad for tensor in asked)
