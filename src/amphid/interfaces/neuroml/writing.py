"""From a network to a NeuroML 2 document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics import AdEx, Exponential, HodgkinHuxley, Mixed, Neuron, Refractory
from amphid.interfaces.neuroml import channels
from amphid.interfaces.neuroml.channels import ChannelCell
from amphid.interfaces.neuroml.components import CELLS, SYNAPSES, Component, attributes
from amphid.simulation import Network
from amphid.wiring import Connections, Connectome
from amphid.wiring.files import neuroml
from amphid.wiring.files.drafts import replaced
from amphid.wiring.files.neuroml_schema import schema


def export_neuroml(network: Network, path: str | Path) -> Path:
    """Write a network of point neurons, its equations and its weights, as one NeuroML document.

    Cells: LIF and AdEx, also in `Refractory`, Izhikevich, HodgkinHuxley, or several in `Mixed`.
    Synapses: exponential, double exponential and alpha conductances, exponential and alpha
    currents, gap junctions. Cells whose values differ are components of their own; the connections
    carry the network's weights and delays. Every digit is kept.

    The file appears whole or not at all. Raises ValueError for another suffix than .nml, and,
    naming it, for a cell or synapse that NeuroML has no component for. Needs the extra `neuroml`.
    """
    nml, path = schema(), Path(path)
    if path.suffix != ".nml":
        raise ValueError(f"the file must end in .nml, got {path.name!r}.")
    if network.batch:
        raise ValueError("a document holds one network: this one has draws or trials side by side.")
    document = _document(nml, network)
    from neuroml.writers import NeuroMLWriter

    with replaced(path) as (draft,), draft.open("w", encoding="utf-8", newline="\n") as file:
        NeuroMLWriter.write(document, file, close=False)
    return path


@dataclass(frozen=True)
class _Told:
    """One cell: its component and the values that make it."""

    component: Component | ChannelCell
    ours: tuple[tuple[str, Any], ...]  # numbers, and the gates of channels
    period: float


def _document(nml: Any, network: Network) -> Any:
    connectome = network.connectome
    document = nml.NeuroMLDocument(id=neuroml._safe(connectome.name or "network"))
    told = _cells(network.neuron, len(connectome))
    names = {one: f"cell_{number}" for number, one in enumerate(dict.fromkeys(told))}
    for one, name in names.items():
        one.component.add(nml, document, name, dict(one.ours), one.period)
    weight, sign = _strengths(network)
    for group, synapse in network.groups():
        _add_synapse(nml, document, group, synapse)
        if isinstance(synapse, Exponential):
            _into_currents(synapse, network.edges[group], weight, sign, signed=group == "chemical")
    components = [names[one] for one in told]
    weighted = _weighted(connectome, weight, sign)
    document.networks.append(_network(nml, weighted, document.id, components))
    if any(one.id == "inhibitory_synapse" for one in document.exp_curr_synapses):
        _turn(document.networks[0])
    return document


def _network(nml: Any, connectome: Connectome, identity: str, components: list[str]) -> Any:
    network = nml.Network(id=identity)
    ids = neuroml._unique_ids(connectome.cells.name.tolist())
    network.properties = [
        nml.Property(tag=tag, value=value) for tag, value in neuroml._network_properties(connectome)
    ]
    network.populations = list(neuroml._populations(nml, connectome.cells, ids))
    for population, component in zip(network.populations, components, strict=True):
        population.component = component
    paths = [f"../{name}/0/{part}" for name, part in zip(ids, components, strict=True)]
    neuroml._add_connections(nml, network, connectome, paths)
    return network


def _cells(neuron: Neuron[Any], cells: int, period: Any = 0.0) -> list[_Told]:
    """The component of every cell, with its values."""
    if isinstance(neuron, Mixed):
        told: dict[int, _Told] = {}
        for part, where in zip(neuron.parts, neuron._cells(), strict=True):
            places = torch.as_tensor(where).tolist()
            told |= dict(zip(places, _cells(part, len(places), period), strict=True))  # type: ignore[arg-type]
        return [told[place] for place in range(cells)]
    if isinstance(neuron, Refractory):
        return _cells(neuron.neuron, cells, neuron.period)
    if isinstance(neuron, HodgkinHuxley):
        return _told(ChannelCell(), channels.values(neuron), np.zeros(cells))
    periods = _each(period, cells)
    name = "IafRefCell" if periods.any() else None
    fitting = [one for one in CELLS if type(neuron) is one.kind and name in (None, one.name)]
    fitting = fitting or [one for one in CELLS if isinstance(neuron, AdEx) and one.kind is AdEx]
    if not fitting:
        raise ValueError(
            f"{type(neuron).__name__} cells {'with a refractory period ' if name else ''}have no "
            "component of NeuroML here: LIF, AdEx, Izhikevich and HodgkinHuxley have, the first "
            "two also in Refractory."
        )
    ours = {key: held for key, held in neuron.values() if isinstance(held, (float, Tensor))}
    return _told(fitting[0], ours, periods)


def _told(component: Component | ChannelCell, ours: dict[str, Any], periods: Any) -> list[_Told]:
    """Each cell by itself; what is no number is the same for all."""
    columns = {
        key: _each(held, len(periods)).tolist() if isinstance(held, (float, Tensor)) else held
        for key, held in ours.items()
    }

    def own(cell: int) -> Iterator[tuple[str, Any]]:
        for key, column in columns.items():
            yield key, column[cell] if isinstance(column, list) else column

    return [_Told(component, tuple(own(k)), float(period)) for k, period in enumerate(periods)]


def _strengths(network: Network) -> tuple[Any, Any]:
    """Magnitude and sign of every connection [E]."""
    weight = network.weight.detach().cpu().double().numpy()
    sign = network.connectome.connections.sign.copy()
    if not network.dale:
        for group, edges in network.edges.items():
            if group == "chemical":
                own = weight[edges]
                sign[edges] = np.where(own != 0, np.sign(own), sign[edges])
            elif (weight[edges] < 0).any():
                raise ValueError(f"{group} connections have negative weights (dale=False).")
    return np.abs(weight), sign


def _into_currents(
    synapse: Exponential, edges: Any, weight: Any, sign: Any, *, signed: bool
) -> None:
    """Weights in nA, as ExpCurrSynapse has them, with the amplitude in them."""
    current = weight[edges] * float(synapse.amplitude) / 1000
    current = current * sign[edges] if signed else current
    weight[edges] = np.abs(current)
    sign[edges] = np.where(current != 0, np.sign(current), sign[edges])


def _turn(network: Any) -> None:
    """Currents that inhibit have negative weights where the component cannot be negative."""
    for projection in network.projections:
        if projection.synapse == "inhibitory_synapse":
            for wire in projection.connection_wds:
                wire.weight = -wire.weight


def _add_synapse(nml: Any, document: Any, group: str, synapse: Any) -> None:
    """The components of a group, named as the connections name them."""
    component = next((one for one in SYNAPSES if type(synapse) is one.kind), None)
    if component is None:
        raise ValueError(
            f"{type(synapse).__name__} synapses ({group}) have no component of NeuroML here: "
            f"{', '.join(one.kind.__name__ for one in SYNAPSES)} have."
        )
    values = {key: _one(synapse, key, held) for key, held in synapse.values()}
    names = {
        "chemical": {"excitatory_synapse": 1.0, "inhibitory_synapse": -1.0},
        "excitatory": {"excitatory_synapse": 1.0},
        "inhibitory": {"inhibitory_synapse": 1.0},
        "electrical": {"gap_junction": 1.0},
    }[group]
    for name, sign in names.items():
        ours = values | {component.scale: sign * values[component.scale]}
        made = getattr(nml, component.name)(id=name, **attributes(component, ours))
        getattr(document, component.home).append(made)


def _weighted(connectome: Connectome, weight: Any, sign: Any) -> Connectome:
    """The connectome with weights in place of counts, and with those signs."""
    wires = connectome.connections
    kept = Connections(
        wires.pre,
        wires.post,
        kind=wires.kind,
        synapses=weight.astype(np.float32),
        sign=sign,
        delay=wires.delay,
    )
    return Connectome(
        connectome.cells, kept, name=connectome.name, references=connectome.references
    )


def _each(value: Any, cells: int) -> Any:
    """A value for every cell."""
    array = value.detach().cpu().double().numpy() if isinstance(value, Tensor) else value
    return np.broadcast_to(np.asarray(array, dtype=np.float64), (cells,))


def _one(synapse: Any, key: str, held: Any) -> float:
    if isinstance(held, Tensor) and held.numel() != 1:
        raise ValueError(
            f"{type(synapse).__name__}: {key} differs from cell to cell, which is not written."
        )
    return float(held)
