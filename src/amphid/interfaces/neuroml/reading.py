"""From a NeuroML 2 document to a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from amphid.dynamics import (
    ConductanceSynapse,
    GapJunction,
    Gate,
    Mixed,
    Neuron,
    Refractory,
    Synapse,
)
from amphid.interfaces.neuroml import channels
from amphid.interfaces.neuroml.channels import ChannelCell
from amphid.interfaces.neuroml.components import CELLS, SYNAPSES, Component, Values, values_of
from amphid.simulation import Network
from amphid.wiring import Connectome
from amphid.wiring.files import heading, neuroml_reader
from amphid.wiring.files.neuroml_schema import schema
from amphid.wiring.files.prolog import refuse_doctype
from amphid.wiring.files.rows import connections

_FIRES = -40.0  # mV, of cells that do not say where

_CHANNELS = ChannelCell()

Parts = dict[str, tuple[Component, Values, float]]
Known = tuple[Component | ChannelCell, dict[str, Any], float]
K = TypeVar("K")


def import_neuroml(path: str | Path) -> Network:
    """Read the network of a document, cells and synapses with their equations.

    It reads what `export_neuroml` writes, from any program. Synapses fall in the groups of a
    `Network` by what they do: a conductance excites whose reversal lies above the threshold of the
    cell behind it, a current that is positive. Those of a group must differ in their strength
    alone, which becomes part of the weights. Inputs are not read.

    Raises FileNotFoundError, and ValueError, in a sentence, for a file that is damaged, and, by its
    id, for a component that is not known or does not fit a `Network`. Needs the extra `neuroml`.
    """
    nml, path = schema(), Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    refuse_doctype(path)
    try:
        return _network(nml, neuroml_reader._parsed(nml, path), path)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _network(nml: Any, document: Any, path: Path) -> Network:
    if not isinstance(document, nml.NeuroMLDocument) or len(document.networks) != 1:
        raise ValueError("it is no NeuroML document with one network.")
    network = document.networks[0]
    synapses = _parts(document, SYNAPSES)
    cells: dict[str, Known] = {**_parts(document, CELLS)}
    cells |= {name: (_CHANNELS, values, 0.0) for name, values in channels.read(document)}
    places: Any = {}
    named = neuroml_reader._cells(network.populations, places)
    used = [""] * len(places)
    for population in network.populations:
        for (identity, _), place in places.items():
            if identity == population.id:
                used[place] = population.component
    told = [_known(cells, name, "cell") for name in used]
    about = {tag.tag: tag.value for tag in network.properties}
    listed = list(neuroml_reader._wires(network, places))
    if "amphid_format" in about:
        listed = neuroml_reader._in_order(listed)
    groups, wires = _groups([_judged(wire, synapses, told) for wire in listed], synapses)
    connectome = Connectome(
        named,
        connections(neuroml_reader._rows(wires)),
        name=about.get("name", network.id),
        references=heading.references_from_json(about.get("references", "[]")),
    )
    return Network(connectome, neuron=_neuron(told), synapse=groups)


def _parts(document: Any, table: tuple[Component, ...]) -> Parts:
    """The components of a document by id."""
    return {
        held.id: (component, *values_of(component, held))
        for component in table
        for held in getattr(document, component.home)
        if type(held).__name__ == component.name
    }


def _known(parts: Mapping[str, K], name: str, what: str) -> K:
    if name not in parts:
        raise ValueError(
            f"the {what} component {name!r} is not defined in the document, or of a kind that is "
            "not known here."
        )
    return parts[name]


def _judged(wire: Any, synapses: Parts, told: list[Any]) -> Any:
    """A connection with its kind and sign by what its component does."""
    component, values, _ = _known(synapses, wire.synapse, "synapse")
    if component.kind is GapJunction:
        return wire._replace(kind=1, sign=0)
    if wire.kind:
        raise ValueError(
            f"an electrical connection has the synapse {wire.synapse!r}, which is not."
        )
    if issubclass(component.kind, ConductanceSynapse):
        if wire.negative:
            raise ValueError(f"a connection over {wire.synapse!r} has a negative weight.")
        cell = told[wire.post][1]
        fires = cell.get("v_threshold", cell.get("v_t", _FIRES))
        return wire._replace(sign=1 if values["reversal"] > fires else -1)
    return wire._replace(sign=-1 if (values["amplitude"] < 0) != wire.negative else 1)


def _groups(wires: list[Any], synapses: Parts) -> tuple[dict[str, Synapse[Any]], list[Any]]:
    """A synapse for each group, and the connections with all else in their weights."""
    groups: dict[str, Synapse[Any]] = {}
    first: dict[str, str] = {}
    changed = []
    for wire in wires:
        group = "electrical" if wire.kind else "excitatory" if wire.sign > 0 else "inhibitory"
        component, values, _ = synapses[wire.synapse]
        if group not in groups:
            groups[group], first[group] = _made(component, values, group), wire.synapse
        leading, own, _ = synapses[first[group]]
        scale = component.scale
        if leading is not component or _without(own, scale) != _without(values, scale):
            raise ValueError(
                f"{group} synapses of two kinds, {first[group]!r} and {wire.synapse!r}: a Network "
                "has one for each group."
            )
        share = abs(values[scale] / own[scale])
        changed.append(wire._replace(weight=wire.weight * share))
    return groups, changed


def _made(component: Component, values: Values, group: str) -> Synapse[Any]:
    """The synapse of a group; a current that inhibits is negative there, its weights are not."""
    if "amplitude" in values:
        size = abs(values["amplitude"])
        values = {**values, "amplitude": -size if group == "inhibitory" else size}
    synapse: Synapse[Any] = component.kind(**values)
    return synapse


def _without(values: Values, scale: str) -> Values:
    return {name: value for name, value in values.items() if name != scale}


def _neuron(told: list[Known]) -> Neuron[Any]:
    """One neuron for all cells, `Mixed` where they are of several kinds."""
    kinds: dict[Any, list[int]] = {}
    for place, (component, values, period) in enumerate(told):
        gates = tuple(held for held in values.values() if isinstance(held, Gate))
        kinds.setdefault((component.kind, period > 0, gates), []).append(place)
    made = {
        f"{kind.__name__} {number}": _one_kind([told[place] for place in where])
        for number, ((kind, *_), where) in enumerate(kinds.items())
    }
    if len(made) == 1:
        return next(iter(made.values()))
    return Mixed(made, where=dict(zip(made, kinds.values(), strict=True)))


def _one_kind(told: list[Known]) -> Neuron[Any]:
    component, first, _ = told[0]
    columns = {name: [values[name] for _, values, _ in told] for name in first}
    neuron: Neuron[Any] = component.made({name: _value(held) for name, held in columns.items()})
    periods = [period for *_, period in told]
    return Refractory(neuron, period=_value(periods)) if periods[0] > 0 else neuron


def _value(held: list[Any]) -> Any:
    """What all have where they are the same, else a number for each cell."""
    same = len(set(held)) == 1
    return held[0] if same else torch.from_numpy(np.array(held)).to(torch.get_default_dtype())
