"""Step a network through time and keep what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.kernels import common_shape
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.plasticity import (
    Governed,
    Plasticity,
    Tagged,
    govern,
    moving,
    started,
)
from amphid.simulation.recording import Recording
from amphid.simulation.sources import Source
from amphid.simulation.stimulus import Stimulus, check_finite, spread
from amphid.simulation.wires import Wires, rounded_delays

Record = Sequence[str] | Mapping[str, Sequence[str | int] | None]


class Engine(Protocol):
    """Runs the time loop."""

    def run(self, task: Task) -> Recording:
        """The recording of a task."""


@dataclass(frozen=True, eq=False)
class Task:
    """What an engine is asked to do; made by `simulate`, already checked.

    network, stimulus [T, *B, K] in pA into K cells (all of them, in order, when cells is None) and
    sources on top of it, dt in ms, names of the variables to record, steps between samples, the
    state to start from, who hears of the progress (steps done, steps in all), the rules by which
    weights move, and the cells [K] of the variables that are recorded for some of them only.
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
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many steps to take."""
        return len(self.stimulus)

    def kept_of(self, name: str, value: Tensor) -> Tensor:
        """A variable [*B, N] of the cells for which it is kept [*B, K]."""
        if name not in self.kept:
            return value
        return value.expand(*value.shape[:-1], len(self.network.connectome))[..., self.kept[name]]

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
        return common_shape(self.stimulus.shape[1:-1], *leads)

    @cached_property
    def moving(self) -> NDArray[np.int64]:
        """Indices [K] of the connections whose weights move."""
        return moving(self.plasticity)

    @cached_property
    def moving_place(self) -> Tensor:
        """The same [K], where the weights are."""
        return torch.from_numpy(self.moving).to(self.network.weight.device)


def simulate(
    network: Network,
    stimulus: Stimulus | Tensor,
    *,
    dt: float | None = None,
    record: Record | None = None,
    every: int = 1,
    state: NetworkState | None = None,
    plasticity: Sequence[Plasticity] = (),
    engine: Engine | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Recording:
    """Run a network under a stimulus.

    stimulus: a `Stimulus`, or currents [T, *B, N] in pA; axes *B are trials run side by side.
    dt: ms per step; that of the stimulus when None.
    record: "spike", variables of the cells ("v"), or of a group of synapses ("excitatory.g"), or
        "weight" of the connections that are plastic. What the cells give out when None. Of chosen
        cells only where it says which, by name, class or pattern:
        `{"spike": None, "v": ["AVAL", "AVB*"]}`, None for all cells.
    every: steps between samples; spikes are always kept all.
    state: where to start, such as `recording.state`; the network's rest when None. Its weights, if
        it has any, take the place of the network's.
    plasticity: rules such as `learning.STDP(...)` by which spikes move weights during the run; the
        weights at its end [*B, E] are `recording.state.weight`.
    engine: `Torch()` is differentiable, `Compiled()` is fast. None takes `Compiled()` where no
        gradient is asked for, the network is on the processor, all of it can be compiled and the
        run is long enough to be worth it, else `Torch()`; the notes of the recording say which and
        why. Their spikes are the same in double precision.
    progress: True draws a bar on a terminal; a function is called with the steps done and in all.

    The recording is differentiable while torch records gradients and a parameter or the stimulus
    asks for them, as the weights of a network do unless they were given as a tensor; wrap the call
    in `torch.no_grad()` where no gradient is wanted: it is much faster and lighter. Interrupted by
    Ctrl-C it returns the part that was run, and says so in its notes.
    Raises ValueError or KeyError when an argument does not fit the network, MemoryError, before
    anything is allocated, when the run would need more memory than there is.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}.")
    check_types(network)
    current, cells, sources, dt = _current(network, stimulus, dt)
    record = (network.neuron.output,) if record is None else record
    names, kept = _names(record), _kept(network, record)
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be a number of steps, at least 1, got {every!r}.")
    if state is not None and state.weight is not None:
        network = network.weighted(state.weight)
    rules = govern(plasticity, network, len(current))
    from amphid.simulation.memory import check_memory
    from amphid.simulation.progress import heard

    with heard(progress) as told:
        task = Task(network, current, cells, dt, names, every, state, told, sources, rules, kept)
        _check_trials(task)
        check_memory(task)
        run = _run(task, engine)
    rounded = rounded_delays(network.connectome, dt)
    return replace(run, notes=(*run.notes, rounded)) if rounded else run


def _run(task: Task, engine: Engine | None) -> Recording:
    """The recording of a task, by an engine or the one that suits it."""
    if not getattr(engine, "takes_parts", False):
        by = f" by {type(engine).__name__}()" if engine else ""
        task.network.connectome.check_whole(f"simulate in one process{by}")
    if engine is None:
        from amphid.simulation.choosing import Chosen

        engine = Chosen()
    if not task.network.trials:
        return engine.run(task)
    from amphid.simulation.portions import run_trials

    return run_trials(task, engine)


def check_types(network: Network) -> None:
    """Raise TypeError where a value would turn states into a wider type than the weights have."""
    kind = network.weight.dtype
    for name, held in (*network.named_parameters(), *network.named_buffers()):
        wider = held.dim() and torch.promote_types(held.dtype, kind) != kind
        if wider and held.is_floating_point():
            raise TypeError(
                f"network holds {name} in {held.dtype}, its weights are in {kind}: bring them to "
                "one type, as network.double() or network.float() does."
            )


def first_like(task: Task) -> Tensor:
    """Zeros [*B, N] of the trials that stimulus and weights tell apart, in the network's type."""
    lead = common_shape(task.batch, task.network.batch)
    return task.network.weight.new_zeros(*lead, len(task.network.connectome))


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
    return weight[..., task.moving_place]


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
    current = stimulus.to(network.weight)
    check_finite(current, driven)
    return current, driven, sources, float(dt)


def _check_trials(task: Task) -> None:
    """The trials of a stimulus are those of the network, or stand before an axis of their own."""
    own, theirs, named = task.batch, task.network.batch, len(task.network.trials)
    if named and own and own[-1] not in (1, named):
        raise ValueError(
            f"the network has {named} trials, the stimulus {own[-1]} of its own: give it the "
            f"shape [T, {own[-1]}, 1, {task.stimulus.shape[-1]}] to run every one with every other."
        )
    if any(1 != a != b != 1 for a, b in zip(own[::-1], theirs[::-1], strict=False)):
        raise ValueError(
            f"the trials of the stimulus, {list(own)}, and those of the network's weights and "
            f"values, {list(theirs)}, must fit: alike, or 1 where one stands for all."
        )


def _names(record: Record) -> tuple[str, ...]:
    if isinstance(record, str):
        raise TypeError(f"record must be a list of names such as ('v', 'spike'), got {record!r}.")
    return tuple(dict.fromkeys(record))


def _kept(network: Network, record: Record) -> dict[str, Tensor]:
    """The cells [K] of the variables that are kept for some of them."""
    kept = {}
    for name, cells in record.items() if isinstance(record, Mapping) else ():
        if isinstance(cells, str) or not (cells is None or isinstance(cells, Sequence)):
            raise TypeError(
                f"record[{name!r}] must be a list of cells such as ['AVAL'], or None for all, got "
                f"{cells!r}."
            )
        if cells is not None and not len(cells):
            raise ValueError(f"record[{name!r}] names no cell: leave it out, or None for all.")
        if cells is not None and name == "weight":
            raise ValueError("record['weight'] takes None: weights are of connections, not cells.")
        if cells is not None:
            chosen = torch.from_numpy(network.connectome.select(*cells))
            kept[name] = chosen.to(network.weight.device)
    return kept


def asks_for_gradient(task: Task, state: NetworkState | None = None) -> bool:
    """Whether anything that a run depends on asks for a gradient."""
    modules = [task.network, *(governed.rule for governed in task.plasticity)]
    parts = [part for part in modules if isinstance(part, torch.nn.Module)]
    asked: list[Tensor] = [v for part in parts for v in (*part.parameters(), *part.buffers())]
    asked += [task.network.weight, task.stimulus]
    asked += [source.amplitude for source in task.sources]
    state = state or task.state
    asked += [state.v] if state else []
    return any(tensor.requires_grad for tensor in asked)
