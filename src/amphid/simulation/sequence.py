"""A network over a whole sequence in machine code, with the gradient of everything in it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from amphid.dynamics.sequence import settings_of, tensors_of
from amphid.kernels import Coupled, Traffic, UnknownOperation, is_watched
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.stepping import Explicit, choose
from amphid.simulation.wires import Wires

LANES = 8  # copies of a network that are stepped side by side, in one register
REMEMBERED = 8  # kernels of a network

_made: weakref.WeakKeyDictionary[Network, dict[Any, Coupled | None]] = weakref.WeakKeyDictionary()


def run_coupled(network: Network, stimulus: Tensor, dt: float) -> Tensor | None:
    """What the cells give out [T, *B, N], from rest, or None where only torch can tell.

    Machine code takes explicit steps of chemical synapses with one weight for each connection.
    """
    inside = (stimulus, network.weight)
    plain = any(map(is_watched, inside)) or stimulus.dtype != network.weight.dtype
    if plain or network.trials or network.weight.dim() > 1 or "electrical" in network.edges:
        return None
    if not stimulus.numel() or not network.edges:
        return None
    wires = network._connected(dt)
    if not isinstance(choose(network, wires, dt), Explicit):
        return None
    copies = math.prod(stimulus.shape[1:-1])
    layout = _Layout(copies, stimulus.shape[-1], LANES if copies > LANES // 2 else 1)
    state = network.init(torch.zeros_like(stimulus[0]).reshape(copies, -1), wires)
    coupled = _coupled(network, wires, state, layout, stimulus.dtype, dt)
    if coupled is None:
        return None
    groups, past = dict(state.synapses), []
    for key, synapse in network.groups():
        groups[key], released = synapse.release(groups[key], state.given, dt)
        rows = (*(state.past[key][1:]), released)
        past.append(torch.stack([layout.cells(row) for row in rows], 1))
    leaves = [layout.cells(leaf) for leaf in pytree.tree_leaves((state.neuron, groups))]
    current = layout.rows(stimulus.reshape(len(stimulus), copies, -1))
    weight = [own.weight for own in wires.values()]
    values = [own for _, own in _values(network)]
    given, _, _ = coupled(values, leaves, current, past, weight)
    return layout.back(given).reshape(stimulus.shape)


class _Layout:
    """Copies [B] of N cells as chunks of `lanes` copies, the last chunk filled up with rest."""

    def __init__(self, copies: int, size: int, lanes: int) -> None:
        self.copies, self.size, self.lanes = copies, size, lanes
        self.chunks = -(-copies // lanes)

    def cells(self, tensor: Tensor) -> Tensor:
        """[C, N * lanes] of [B, N], or of what broadcasts to it."""
        return self.rows(tensor.expand(1, self.copies, self.size))[:, 0]

    def rows(self, tensor: Tensor) -> Tensor:
        """[C, T, N * lanes] of [T, B, N]."""
        steps, missing = len(tensor), self.chunks * self.lanes - self.copies
        if missing:
            fill = tensor[:, -1:].expand(-1, missing, -1)
            tensor = torch.cat((tensor, fill), 1)
        parts = tensor.reshape(steps, self.chunks, self.lanes, self.size)
        return parts.permute(1, 0, 3, 2).reshape(self.chunks, steps, -1)

    def back(self, rows: Tensor) -> Tensor:
        """[T, B, N] of [C, T, N * lanes]."""
        parts = rows.view(self.chunks, -1, self.size, self.lanes).permute(1, 0, 3, 2)
        return parts.reshape(len(parts), -1, self.size)[:, : self.copies]


def _values(network: Network) -> list[tuple[str, Tensor]]:
    """Real numbers that the equations of a network read, by the names of its modules."""
    parts = {"neuron": network.neuron, **{f"synapses.{k}": s for k, s in network.groups()}}
    return [
        (f"{part}.{name}", own)
        for part, module in parts.items()
        for name, own in tensors_of(module)
        if own.is_floating_point()
    ]


def _coupled(
    network: Network,
    wires: Mapping[str, Wires],
    state: NetworkState,
    layout: _Layout,
    dtype: torch.dtype,
    dt: float,
) -> Coupled | None:
    """The machine code of a network as it is now, or None where there can be none."""
    known, values = _made.setdefault(network, {}), _values(network)
    shapes = [(name, own.shape, own.dtype) for name, own in values]
    parts = (network.neuron, *network.synapses.values())
    settings = [setting for part in parts for setting in settings_of(part)]
    key = (dt, dtype, layout.lanes, str(shapes), *settings)
    if key not in known:
        while len(known) >= REMEMBERED:
            known.pop(next(iter(known)))
        known[key] = _compiled(network, wires, state, layout, dtype, dt)
    return known[key]


def _compiled(
    network: Network,
    wires: Mapping[str, Wires],
    state: NetworkState,
    layout: _Layout,
    dtype: torch.dtype,
    dt: float,
) -> Coupled | None:
    named, size = _values(network), layout.size
    if any(own.shape not in ((), (1,), (size,)) for _, own in named):
        return None
    stepping, names = _Stepping(network), [f"network.{name}" for name, _ in named]
    leaves, structure = pytree.tree_flatten((state.neuron, state.synapses))

    def step(*given: Tensor) -> list[Tensor]:
        values, rest = given[: len(names)], given[len(names) :]
        now = pytree.tree_unflatten(list(rest[: len(leaves)]), structure)
        arguments = (now, rest[len(leaves)], rest[len(leaves) + 1 :], dt)
        released: list[Tensor] = functional_call(
            stepping, dict(zip(names, values, strict=True)), arguments
        )
        return released

    traffic = [
        Traffic.of(own.pre.numpy(), own.post.numpy(), own.lag, size) for own in wires.values()
    ]
    types, values = [leaf.dtype for leaf in leaves], [own for _, own in named]
    try:
        return Coupled(step, values, types, traffic, layout.lanes, dtype)
    except (UnknownOperation, ModuleNotFoundError):
        return None


class _Stepping(nn.Module):
    """A network whose call is one step between two deliveries."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: Any, external: Tensor, arriving: Any, dt: float) -> list[Tensor]:
        """Variables, what the cells give out, and what they let go in each group."""
        cells, groups = state
        current, groups, released = external, dict(groups), []
        for (key, synapse), own in zip(self.network.groups(), arriving, strict=True):
            groups[key], flowing = synapse.step(groups[key], own, cells.v, dt)
            current = current + flowing
        cells, given = self.network.neuron.step(cells, current, dt)
        for key, synapse in self.network.groups():
            groups[key], own = synapse.release(groups[key], given, dt)
            released.append(own)
        return [*pytree.tree_leaves((cells, groups)), given, *released]
