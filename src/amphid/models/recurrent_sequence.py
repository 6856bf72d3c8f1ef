"""Recurrent cells over a whole sequence in machine code, with the gradient of everything in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.dynamics import Neuron
from amphid.dynamics.coupled import CoupledCells
from amphid.dynamics.sequence import settings_of, tensors_of, why_unsteady
from amphid.kernels import Traffic, is_watched
from amphid.models.connections import Connections
from amphid.models.folding import is_untouched
from amphid.models.layer import nothing

# copies times pairs of a linear map, above which a matrix product costs less than going through
# them one by one, with its gradient: where few cells fire at once, and where all give out something
SPIKES, VALUES = 2**20, 2**18


@dataclass(frozen=True, eq=False)
class _Way:
    """How what cells give out comes back to them: over which connections, and how long it takes."""

    weight: Tensor  # [K]
    bias: Tensor | None  # [N] pA
    longest: int  # lag in steps
    known: Any  # what the connections are told by
    traffic: Callable[[], Traffic]


def run_recurrent(
    owner: nn.Module,
    neuron: Neuron[Any],
    projection: nn.Module,
    x: Tensor,
    state: tuple[Any, Tensor, Any],
    dt: float,
) -> tuple[Tensor, tuple[Any, Tensor, Any]] | None:
    """Output [T, *B, N] and state after it, or None where only one step after another will do.

    state: of the cells, what they gave out last, and what is under way.
    """
    way = _way(neuron, projection, x, dt)
    if way is None or _looked_at(way, x, state):
        return None
    inside, given, carried = state
    copies, size, cells = math.prod(x.shape[1:-1]), x.shape[-1], x.shape[1:]
    before = x.new_zeros(way.longest - 1, *cells) if nothing(carried) else carried
    if before.shape != (way.longest - 1, *cells):
        return None
    past = torch.cat((before, given.expand(cells)[None])).reshape(-1, copies, size)
    flat = pytree.tree_map(lambda leaf: leaf.expand(cells).reshape(copies, size), inside)
    coupled = _cells(owner, neuron, way, dt)
    found = coupled.run(x.reshape(-1, copies, size), flat, [past], [way.weight])
    if found is None:
        return None
    output, after, (tail,) = found
    after = pytree.tree_map(lambda leaf: leaf.reshape(cells), after)
    tail = tail.reshape(-1, *cells)
    under_way = tail[:-1] if isinstance(projection, Connections) else ()
    return output.reshape(x.shape), (after, tail[-1], under_way)


def _cells(owner: nn.Module, neuron: Neuron[Any], way: _Way, dt: float) -> CoupledCells:
    values = [
        (f"neuron.{name}", own) for name, own in tensors_of(neuron) if own.is_floating_point()
    ]
    values += [] if way.bias is None else [("bias", way.bias)]
    return CoupledCells(
        owner=owner,
        stepping=_Hearing(neuron, way.bias),
        values=values,
        settings=[*settings_of(neuron), way.known],
        traffic=lambda: [way.traffic()],
        dt=dt,
    )


def _way(neuron: Neuron[Any], projection: nn.Module, x: Tensor, dt: float) -> _Way | None:
    """The way back through a projection that consists of connections from cell to cell."""
    size = x.shape[-1]
    if not is_untouched(projection) or why_unsteady(neuron):
        return None
    if type(projection) is nn.Linear and projection.in_features == projection.out_features == size:
        if size * x[0].numel() > (SPIKES if neuron.output == "spike" else VALUES):
            return None
        weight = projection.weight.t().reshape(-1)
        return _Way(weight, projection.bias, 1, nn.Linear, lambda: Traffic.all_pairs(size))
    if type(projection) is Connections and len(projection.connectome) == size:
        wires, lag = projection.connectome.connections, projection.lag(dt)
        return _Way(
            projection.weight,
            None,
            int(lag.max(initial=1)),
            projection,
            lambda: Traffic.of(wires.pre, wires.post, lag, size),
        )
    return None


def _looked_at(way: _Way, x: Tensor, state: Any) -> bool:
    """Whether any number is of another kind than the sequence, or must pass through torch."""
    leaves = [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]
    real = [way.weight, *leaves, *([] if way.bias is None else [way.bias])]
    if not x.numel() or not len(way.weight) or is_watched(x):
        return True
    return any(
        own.is_floating_point() and (is_watched(own) or own.dtype != x.dtype) for own in real
    )


class _Hearing(nn.Module):
    """Cells whose call is one step between two deliveries of what they gave out."""

    bias: Tensor | None

    def __init__(self, neuron: Neuron[Any], bias: Tensor | None) -> None:
        super().__init__()
        self.neuron = neuron
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(
        self, state: Any, external: Tensor, arriving: Sequence[Tensor], dt: float
    ) -> list[Tensor]:
        """Variables, what the cells give out, and the same once more to be sent."""
        (current,) = arriving
        if self.bias is not None:
            current = current + self.bias
        after, given = self.neuron.step(state, external + current, dt)
        return [*pytree.tree_leaves(after), given, given]
