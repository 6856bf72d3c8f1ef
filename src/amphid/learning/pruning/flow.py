"""Flow through a network as numbers on its connections: how much of a whole each one carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.learning.starting.listening import parameters_in_use
from amphid.learning.starting.order import WeightLayer
from amphid.measures.emerging.calls import Call, Slot
from amphid.measures.emerging.connecting import EMBEDDING, connecting
from amphid.measures.emerging.walking import Structure

AtUnit = Callable[[int, Tensor], Tensor]
"""From the number of a layer of units and what arrives there [1, *N] to what they pass on."""


def shares(
    model: nn.Module,
    made: Structure,
    layers: Sequence[WeightLayer],
    sizes: Sequence[Tensor],
    whole: Callable[[Mapping[int, Tensor]], Tensor],
    at_unit: AtUnit,
) -> list[Tensor]:
    """How much of a whole flows through each connection, shaped as the weights.

    sizes: of the connections, not negative, shaped as the weights. at_unit: what units pass on.
    whole: of what arrives at each layer of units, by number. A connection's share is its size times
    the slope of the whole by it: what would be missing without it, where no path uses it twice.
    """
    held = [size.double().cpu().requires_grad_() for size in sizes]
    owners = parameters_in_use(model)
    of = {id(layer.weight): size for layer, size in zip(layers, held, strict=True)}
    known = {at: of[id(own)] for at, own in owners.items() if id(own) in of}
    with torch.enable_grad():
        arriving = _arriving(made, known, at_unit)
        slopes = torch.autograd.grad(whole(arriving), held, allow_unused=True)
    return [
        torch.zeros_like(own) if slope is None else (size * slope).detach().to(own.device)
        for own, size, slope in zip(sizes, held, slopes, strict=True)
    ]


def _arriving(made: Structure, known: Mapping[int, Tensor], at_unit: AtUnit) -> dict[int, Tensor]:
    passed: dict[int, Tensor] = {}
    arriving: dict[int, Tensor] = {}

    def arrive(number: int, flow: Tensor) -> None:
        if number in made.units:
            arriving[number] = flow
            flow = at_unit(number, flow)
        passed[number] = flow

    for number in made.inputs:
        arrive(number, torch.zeros(made.shapes[number], dtype=torch.float64))
    for call in made.calls:
        flows = [passed[number] for number in call.inputs]
        result = pytree.tree_leaves(_carried(call, flows, known))
        for number, flow in zip(call.outputs, result, strict=True):
            arrive(number, flow)
    return arriving


def _carried(call: Call, flows: Sequence[Tensor], known: Mapping[int, Tensor]) -> Any:
    if call.name in EMBEDDING:
        return torch.zeros(call.shapes[0], dtype=torch.float64)
    if not any(_sized(held, known) is not None for held in call.held):
        return connecting(call)(*flows)
    given = list(flows)

    def put(leaf: Any) -> Any:
        if isinstance(leaf, Slot):
            return given[leaf.number]
        if not isinstance(leaf, Tensor):
            return leaf
        size = _sized(leaf, known)
        return torch.zeros(leaf.shape, dtype=torch.float64) if size is None else size

    filled = pytree.tree_map(put, (call.args, dict(call.kwargs)), is_leaf=_is_slot)
    return call.function(*filled[0], **filled[1])


def _sized(held: Tensor, known: Mapping[int, Tensor]) -> Tensor | None:
    """The sizes that stand for weights, or for weights that were turned or cut out of others."""
    if id(held) in known:
        return known[id(held)]
    whole = held._base
    if whole is None or id(whole) not in known or not whole.is_contiguous():
        return None
    sizes = known[id(whole)].contiguous()
    away = held.storage_offset() - whole.storage_offset()
    return sizes.as_strided(held.shape, held.stride(), away)


def _is_slot(leaf: Any) -> bool:
    return isinstance(leaf, Slot)
