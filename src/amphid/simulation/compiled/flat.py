"""A mixture inside of other neurons, as one mixture of neurons that hold none.

The loops of the compiled engine step kind by kind; `Refractory(Mixed({"A": a, "*": b}))` steps as
`Mixed({"A": Refractory(a), "*": Refractory(b)})` does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from amphid.dynamics import Ablated, Mixed, Neuron, Refractory
from amphid.dynamics.wrappers import MixedState, RefractoryState
from amphid.simulation.network import NetworkState
from amphid.simulation.recording import Recording
from amphid.simulation.simulate import Task


def flat_task(task: Task) -> Task:
    """The task with one mixture of plain cells; itself where there is nothing to flatten."""
    neuron, size = task.network.neuron, len(task.network.connectome)
    if not _holds_mixture(neuron):
        return task
    leaves = list(_leaves(neuron, size))
    kinds = {f"kind {number}": leaf for number, (_, leaf) in enumerate(leaves)}
    where = dict(zip(kinds, (cells for cells, _ in leaves), strict=True))
    network = copy.copy(task.network)
    network._modules = {**task.network._modules}
    network.neuron = Mixed(kinds, where=where).to(task.network.weight.dtype)
    state = task.state
    if state is not None:
        parts = tuple(_parted(neuron, state.neuron, size))
        state = state._replace(neuron=MixedState(state.neuron.v, state.given, parts))
    return replace(task, network=network, state=state)


def as_asked(task: Task, recording: Recording) -> Recording:
    """The recording of the flat task, its state that of the task's own cells."""
    if recording.state is None:
        return recording
    return replace(recording, state=state_as_asked(task, recording.state))


def state_as_asked(task: Task, state: NetworkState) -> NetworkState:
    """The state of the flat task as that of the task's own cells."""
    neuron = task.network.neuron
    if not _holds_mixture(neuron):
        return state
    whole = _joined(neuron, list(state.neuron.parts), state.neuron.v, state.neuron.output)
    return state._replace(neuron=whole)


def _holds_mixture(neuron: Neuron[Any]) -> bool:
    """Whether there is a mixture anywhere but at the very top, where it is plain already."""
    inside = [part for part in neuron.modules() if part is not neuron]
    return any(isinstance(part, Mixed) for part in inside)


def _around(neuron: Neuron[Any]) -> bool:
    return isinstance(neuron, Refractory | Ablated) and _holds_mixture(neuron)


def _leaves(neuron: Neuron[Any], size: int) -> Iterator[tuple[Tensor, Neuron[Any]]]:
    """Neurons without a mixture, each with its places among the cells of the whole."""
    if isinstance(neuron, Mixed):
        for part, own in zip(neuron._parts(), neuron._cells(), strict=True):
            for place, leaf in _leaves(part, len(own)):
                yield own[place], leaf
    elif isinstance(neuron, Refractory) and _around(neuron):
        for place, leaf in _leaves(neuron.neuron, size):
            yield place, Refractory(leaf, period=_of(neuron.period, place))
    elif isinstance(neuron, Ablated) and _around(neuron):
        for place, leaf in _leaves(neuron.neuron, size):
            yield place, Ablated(leaf, alive=_of(neuron.alive, place))
    else:
        yield torch.arange(size), neuron


def _of(value: Any, place: Tensor) -> Any:
    """A value of those cells."""
    if not isinstance(value, Tensor) or not value.dim() or value.shape[-1] == 1:
        return value
    return value.detach()[..., place]


def _parted(neuron: Neuron[Any], state: Any, size: int) -> Iterator[Any]:
    """The state of every leaf, in their order."""
    if isinstance(neuron, Mixed):
        for part, own, cells in zip(neuron._parts(), state.parts, neuron._cells(), strict=True):
            yield from _parted(part, own, len(cells))
    elif isinstance(neuron, Refractory) and _around(neuron):
        places = (place for place, _ in _leaves(neuron.neuron, size))
        inside = _parted(neuron.neuron, state.neuron, size)
        for place, own in zip(places, inside, strict=True):
            yield RefractoryState(own, state.held[..., place])
    elif isinstance(neuron, Ablated) and _around(neuron):
        yield from _parted(neuron.neuron, state, size)
    else:
        yield state


def _joined(neuron: Neuron[Any], leaves: Sequence[Any], v: Tensor, output: Tensor) -> Any:
    """The state of a neuron from those of its leaves, and from v and the output of its cells."""
    if isinstance(neuron, Mixed):
        parts, rest = [], list(leaves)
        for part, own in zip(neuron._parts(), neuron._cells(), strict=True):
            count = len(list(_leaves(part, len(own))))
            parts.append(_joined(part, rest[:count], v[..., own], output[..., own]))
            rest = rest[count:]
        return MixedState(v, output, tuple(parts))
    if isinstance(neuron, Refractory) and _around(neuron):
        held = torch.zeros_like(v)
        for (place, _), own in zip(_leaves(neuron.neuron, v.shape[-1]), leaves, strict=True):
            held[..., place] = own.held
        inside = [own.neuron for own in leaves]
        return RefractoryState(_joined(neuron.neuron, inside, v, output), held)
    if isinstance(neuron, Ablated) and _around(neuron):
        return _joined(neuron.neuron, leaves, v, output)
    return leaves[0]
