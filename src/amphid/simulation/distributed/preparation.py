"""What ranks settle before the first step: that they run the same, and who steps which cells."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import MembraneNeuron, Mixed
from amphid.simulation.compiled.share import Array, Lags, Share
from amphid.simulation.distributed.ranks import Ranks
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.simulate import Task, first_like, first_state
from amphid.simulation.sources import Source
from amphid.simulation.stepping import Explicit, choose
from amphid.simulation.wires import Past, Wires
from amphid.wiring.partition import own_range, touching

Prepared = tuple[Task, dict[str, Wires], list[Share], dict[str, Lags]]


def prepared(task: Task, ranks: Ranks) -> Prepared:
    """The task with its first state, the connections of this rank, the shares and lags of all.

    Raises ValueError where ranks do not agree, or where the network cannot be stepped in parts.
    """
    network, dt = task.network, task.dt
    facts = ranks.agreed(lambda: _facts(task))
    _check_alike(ranks.told(facts))
    shares = _shares(network, ranks)
    share = shares[ranks.number]
    wires = ranks.agreed(lambda: own_wires(network, share, dt))
    alone = ranks.told(isinstance(choose(network, wires, dt), Explicit))
    if not all(alone):
        raise ValueError(
            f"the voltages of this network must be solved together at dt={dt:g} ms, which ranks "
            "cannot do: take a smaller dt, or run it in one process by Torch()."
        )
    told = ranks.told({group: asdict(Lags.of(own)) for group, own in wires.items()})
    lags = {group: Lags.together(Lags(**one[group]) for one in told) for group in wires}
    state = _first_state(task, wires, shares, lags, ranks)
    return replace(task, state=state), wires, shares, lags


def own_wires(network: Network, share: Share, dt: float) -> dict[str, Wires]:
    """The connections onto the cells of a share, by group; of junctions, those at them."""
    connections, made = network.connectome.connections, {}
    for group, edges in network.edges.items():
        weight = network.weights_of(group).detach()
        electrical = np.full(len(edges), group == "electrical")
        pre, post = connections.pre[edges], connections.post[edges]
        own = touching(pre, post, electrical, range(share.low, share.high))
        if not own.all():
            edges, weight = edges[own], weight[..., torch.from_numpy(np.flatnonzero(own))]
        made[group] = Wires.of(network.connectome, edges, weight, dt)
    return made


def _facts(task: Task) -> dict[str, Any]:
    """What must be the same on every rank, in words and checksums."""
    network, connectome = task.network, task.network.connectome
    if network.weight.device.type != "cpu":
        raise ValueError(
            f"ranks step on the processor, but the network is on {network.weight.device}: use "
            "network.cpu()."
        )
    facts: dict[str, Any] = {
        "number of cells": len(connectome),
        "names of cells (checksum)": zlib.crc32("\n".join(connectome.cells.name).encode()),
        "neuron": repr(network.neuron),
        "synapses": {key: repr(synapse) for key, synapse in network.groups()},
        "type of numbers": str(network.weight.dtype),
        "dt": task.dt,
        "steps": task.steps,
        "trials": [list(task.batch), list(network.batch)],
        "record": list(task.record),
        "every": task.every,
        "state": task.state is not None,
        "kind of connectome": "whole" if connectome.onto is None else "part",
    }
    driven = [task.stimulus, *([] if task.cells is None else [task.cells])]
    driven += [held for source in task.sources for held in _tensors(source)]
    facts["stimulus (checksum)"] = _checksum([held.detach().numpy() for held in driven])
    if connectome.onto is None:
        facts["connections (checksum)"] = _checksum(vars(connectome.connections).values())
        facts["weights (checksum)"] = _checksum([network.weight.detach().numpy()])
    return facts


def _tensors(source: Source) -> list[Tensor]:
    return [held for held in vars(source).values() if isinstance(held, Tensor)]


def _checksum(columns: Any) -> int:
    total = 0
    for column in columns:
        flat = np.ascontiguousarray(column).reshape(-1).view(np.uint8)
        total = zlib.crc32(flat, total)  # type: ignore[arg-type]
    return total


def _check_alike(told: list[dict[str, Any]]) -> None:
    for number, facts in enumerate(told):
        for name, value in facts.items():
            if told[0].get(name, value) != value:
                raise ValueError(
                    f"every rank must run the same network alike, but the {name} differ: "
                    f"{told[0][name]} on rank 0, {value} on rank {number}. Give all of them the "
                    "same, and draw what is random from the same seed."
                )


def _shares(network: Network, ranks: Ranks) -> list[Share]:
    """Who steps which cells: as the parts say that the ranks hold, or cut here alike on all."""
    connectome, size = network.connectome, len(network.connectome)
    onto = connectome.onto
    if onto is None:
        onto = own_range(connectome.connections, size, *rank_of(ranks))
    held = ranks.told([onto.start, onto.stop])
    ends = [0, *(stop for _, stop in held)]
    if [start for start, _ in held] != ends[:-1] or ends[-1] != size:
        listed = "; ".join(
            f"rank {n} has {low} to {high - 1}" for n, (low, high) in enumerate(held)
        )
        raise ValueError(
            f"the parts of the ranks must follow each other and make up all {size} cells, but "
            f"{listed}. Give each connectome.part(*simulation.rank()), or read it with part=."
        )
    return [Share(low, high, size) for low, high in held]


def rank_of(ranks: Ranks) -> tuple[int, int]:
    """Its number and how many there are."""
    return ranks.number, ranks.count


def _first_state(
    task: Task,
    wires: Mapping[str, Wires],
    shares: list[Share],
    lags: Mapping[str, Lags],
    ranks: Ranks,
) -> NetworkState:
    """The state of all cells to start from, the same on every rank."""
    network, own = task.network, shares[ranks.number]
    state = task.state
    if state is None:
        state = ranks.agreed(lambda: _rest(task, wires))
        past: dict[str, Past] = {
            key: (cast("Tensor", values[0]),) * lags[key].longest
            for key, values in state.past.items()
        }
        state = state._replace(past=past)
    elif state.v.shape[-1] != own.size or state.v.shape[-1] == len(own):
        state = whole_state(state, network, shares, ranks)
    _check_past(state, lags)
    leaves = [leaf.numpy() for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]
    if len(set(ranks.told(_checksum(leaves)))) > 1:
        raise ValueError(
            "every rank must start from the same state, but they differ. Draw what is random from "
            "the same seed on all of them."
        )
    return state


def _rest(task: Task, wires: Mapping[str, Wires]) -> NetworkState:
    network = task.network
    settles = isinstance(network.neuron, MembraneNeuron) and network.neuron.midpoint() is not None
    if not settles:
        return first_state(task, first_like(task), wires)
    if network.connectome.onto is not None:
        raise ValueError(
            "the rest of these cells depends on all connections, of which a rank has a part: give "
            "state=, such as network.rest(dt) of the whole network."
        )
    return first_state(task, first_like(task), network.wires(task.dt))


def _check_past(state: NetworkState, lags: Mapping[str, Lags]) -> None:
    if set(state.past) != set(lags):
        raise ValueError("state belongs to another network: it has other groups of synapses.")
    for group, past in state.past.items():
        if group != "electrical" and len(past) != lags[group].longest:
            raise ValueError(
                f"state belongs to another network or dt: it remembers {len(past)} steps of "
                f"{group} connections, the longest delay here takes {lags[group].longest}."
            )


def whole_state(
    state: NetworkState, network: Network, shares: list[Share], ranks: Ranks
) -> NetworkState:
    """The state of all cells, put together from those that the ranks hold of their own."""
    kinds = network.neuron._cells() if isinstance(network.neuron, Mixed) else []

    def together(own: Tensor, cells: Array | None = None) -> Tensor:
        lead = own.shape[:-1]
        pieces = [piece.reshape(*lead, -1) for piece in ranks.each(own.contiguous().reshape(-1))]
        whole = torch.cat(pieces, -1)
        if cells is None:
            return whole
        order = np.concatenate([share.among(cells) for share in shares])
        return whole[..., torch.from_numpy(np.argsort(order))]

    given, synapses, past = pytree.tree_map(together, (state.given, state.synapses, state.past))
    state = state._replace(given=given, synapses=synapses, past=past)
    if not kinds:
        return state._replace(neuron=pytree.tree_map(together, state.neuron))
    parts = tuple(
        pytree.tree_map(lambda leaf, cells=cells: together(leaf, cells.numpy()), part)
        for part, cells in zip(state.neuron.parts, kinds, strict=True)
    )
    v, output = together(state.neuron.v), together(state.neuron.output)
    return state._replace(neuron=state.neuron._replace(v=v, output=output, parts=parts))
