"""A network over a whole sequence in machine code, with the gradient of everything in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.dynamics.coupled import CoupledCells
from amphid.dynamics.sequence import settings_of, tensors_of, why_unsteady
from amphid.kernels import Traffic, is_watched
from amphid.simulation.network import Network
from amphid.simulation.stepping import Explicit, choose


def run_coupled(network: Network, stimulus: Tensor, dt: float) -> Tensor | None:
    """What the cells give out [T, *B, N], from rest, or None where only torch can tell.

    Machine code takes explicit steps of chemical synapses with one weight for each connection.
    """
    inside = (stimulus, network.weight)
    plain = any(map(is_watched, inside)) or stimulus.dtype != network.weight.dtype
    if plain or network.trials or network.weight.dim() > 1 or "electrical" in network.edges:
        return None
    if not stimulus.numel() or not network.edges or why_unsteady(network.neuron):
        return None
    wires = network._connected(dt)
    if not isinstance(choose(network, wires, dt), Explicit):
        return None
    copies, size = math.prod(stimulus.shape[1:-1]), stimulus.shape[-1]
    state = network.init(torch.zeros_like(stimulus[0]).reshape(copies, size), wires)
    groups, past = dict(state.synapses), []
    for key, synapse in network.groups():
        groups[key], released = synapse.release(groups[key], state.given, dt)
        rows = [row.expand(copies, size) for row in (*state.past[key][1:], released)]
        past.append(torch.stack(rows))
    cells = CoupledCells(
        owner=network,
        stepping=_Stepping(network),
        values=_values(network),
        settings=[
            own for p in (network.neuron, *network.synapses.values()) for own in settings_of(p)
        ],
        traffic=lambda: [
            Traffic.of(own.pre.numpy(), own.post.numpy(), own.lag, size) for own in wires.values()
        ],
        dt=dt,
    )
    weight = [own.weight for own in wires.values()]
    current = stimulus.reshape(-1, copies, size)
    found = cells.run(current, (state.neuron, groups), past, weight)
    return None if found is None else found[0].reshape(stimulus.shape)


def _values(network: Network) -> list[tuple[str, Tensor]]:
    """Real numbers that the equations of a network read, by the names of its modules."""
    parts = {"neuron": network.neuron, **{f"synapses.{k}": s for k, s in network.groups()}}
    return [
        (f"{part}.{name}", own)
        for part, module in parts.items()
        for name, own in tensors_of(module)
        if own.is_floating_point()
    ]


class _Stepping(nn.Module):
    """The cells and synapses of a network, whose call is one step between two deliveries."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.neuron, self.synapses = network.neuron, network.synapses

    def forward(
        self, state: Any, external: Tensor, arriving: Sequence[Tensor], dt: float
    ) -> list[Tensor]:
        """Variables, what the cells give out, and what they let go in each group."""
        cells, groups = state
        current, groups, released = external, dict(groups), []
        synapses: list[tuple[str, Any]] = list(self.synapses.items())
        for (key, synapse), own in zip(synapses, arriving, strict=True):
            groups[key], flowing = synapse.step(groups[key], own, cells.v, dt)
            current = current + flowing
        cells, given = self.neuron.step(cells, current, dt)
        for key, synapse in synapses:
            groups[key], own = synapse.release(groups[key], given, dt)
            released.append(own)
        return [*pytree.tree_leaves((cells, groups)), given, *released]
