"""NeuroML 2 networks, laid out as c302 does: one population of size 1 per cell.

The name of a cell is the id of its population; where NeuroML does not allow it as an id, the id is
made of its letters and digits and the name stands in a ``property``, as do ``type`` (kind),
``class`` and ``neurotransmitter``. The synapses of a connection are its weight. A file is complete:
it defines a generic integrate-and-fire cell and generic synapses (one that excites, one that
inhibits, one of unknown sign, a gap junction) under the ids that the network names. They are there
to be replaced; a connectome has no equations.

What NeuroML has no place for is kept in properties of the network: the delay and the sign of an
electrical connection, the name and the references of the connectome. The id of a connection is its
number in the connectome. The delay "0ms" means that none is given, "0.0ms" that it is zero.

Reading is in `amphid.wiring.files.neuroml_reader`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from amphid.wiring.connectome import Cells, Connectome
from amphid.wiring.files import heading
from amphid.wiring.files.drafts import replaced
from amphid.wiring.files.neuroml_reader import read
from amphid.wiring.files.neuroml_schema import UNKNOWN_COORDINATES, schema
from amphid.wiring.files.words import number_text

__all__ = ["read", "write"]

_CELL = "generic_cell"
_SYNAPSES = {0: "unsigned_synapse", 1: "excitatory_synapse", -1: "inhibitory_synapse"}
_JUNCTION = "gap_junction"


def write(connectome: Connectome, path: Path) -> None:
    """Write the network and the generic components that it names."""
    nml = schema()
    if not len(connectome):
        raise ValueError("A NeuroML network has at least one cell, and this connectome has none.")
    document = _document(nml, connectome)
    from neuroml.writers import NeuroMLWriter

    with replaced(path) as (draft,), draft.open("w", encoding="utf-8", newline="\n") as file:
        NeuroMLWriter.write(document, file, close=False)


def _document(nml: Any, connectome: Connectome) -> Any:
    document = nml.NeuroMLDocument(id=_safe(connectome.name or "connectome"))
    document.iaf_cells.append(
        nml.IafCell(
            id=_CELL,
            notes="Stands for every cell: put cells of your own in its place.",
            leak_reversal="-65mV",
            thresh="-50mV",
            reset="-65mV",
            C="200pF",
            leak_conductance="10nS",
        )
    )
    for sign, name in _SYNAPSES.items():
        reversal = "-80mV" if sign < 0 else "0mV"
        document.exp_one_synapses.append(
            nml.ExpOneSynapse(id=name, gbase="1nS", erev=reversal, tau_decay="5ms")
        )
    document.gap_junctions.append(nml.GapJunction(id=_JUNCTION, conductance="1nS"))
    document.networks.append(_network(nml, connectome, document.id))
    return document


def _network(nml: Any, connectome: Connectome, identity: str) -> Any:
    network = nml.Network(id=identity)
    ids = _unique_ids(connectome.cells.name.tolist())
    network.properties = [
        nml.Property(tag=tag, value=value) for tag, value in _network_properties(connectome)
    ]
    network.populations = list(_populations(nml, connectome.cells, ids))
    _add_connections(nml, network, connectome, [f"../{name}/0/{_CELL}" for name in ids])
    return network


def _network_properties(connectome: Connectome) -> Iterator[tuple[str, str]]:
    yield "amphid_format", str(heading.FORMAT)
    yield "name", connectome.name
    if connectome.references:
        yield "references", heading.references_to_json(connectome)
    wires = connectome.connections
    for number in np.flatnonzero(wires.electrical & ~np.isnan(wires.delay)):
        yield f"delay_of_connection_{number}", number_text(wires.delay[number])
    for number in np.flatnonzero(wires.electrical & (wires.sign != 0)):
        yield f"sign_of_connection_{number}", str(wires.sign[number])


def _populations(nml: Any, cells: Cells, ids: list[str]) -> Iterator[Any]:
    for number, identity in enumerate(ids):
        position = cells.position[number]
        unknown = [axis for axis, value in zip("xyz", position, strict=True) if np.isnan(value)]
        texts = {
            "name": cells.name[number] if cells.name[number] != identity else "",
            "type": cells.kind[number],
            "class": cells.cell_class[number],
            "neurotransmitter": cells.transmitter[number],
            UNKNOWN_COORDINATES: " ".join(unknown),
        }
        location = nml.Location(*np.nan_to_num(position))
        location.gds_format_float = _as_float
        yield nml.Population(
            id=identity,
            component=_CELL,
            size=1,
            type="populationList",
            properties=[nml.Property(tag=t, value=text) for t, text in texts.items() if text],
            instances=[nml.Instance(id=0, location=location)],
        )


def _add_connections(nml: Any, network: Any, connectome: Connectome, cells: list[str]) -> None:
    wires = connectome.connections
    projections: dict[tuple[int, int, int], Any] = {}
    columns = (wires.pre, wires.post, wires.kind, wires.synapses, wires.sign, wires.delay)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for number, (pre, post, electrical, synapses, sign, delay) in enumerate(rows):
        key = (pre, post, 2 if electrical else sign)
        if key not in projections:
            ends = {
                "presynaptic_population": network.populations[pre].id,
                "postsynaptic_population": network.populations[post].id,
            }
            projections[key] = _projection(nml, network, key[2], f"p{len(projections)}", ends)
        if electrical:
            wire = nml.ElectricalConnectionInstanceW(
                id=number, pre_cell=cells[pre], post_cell=cells[post], synapse=_JUNCTION
            )
            projections[key].electrical_connection_instance_ws.append(wire)
        else:
            wire = nml.ConnectionWD(
                id=number, pre_cell_id=cells[pre], post_cell_id=cells[post], delay=_as_time(delay)
            )
            projections[key].connection_wds.append(wire)
        wire.weight = synapses
        wire.gds_format_float = _as_float32


def _projection(nml: Any, network: Any, which: int, identity: str, ends: dict[str, str]) -> Any:
    if which in _SYNAPSES:
        made = nml.Projection(id=identity, synapse=_SYNAPSES[which], **ends)
        network.projections.append(made)
    else:
        made = nml.ElectricalProjection(id=identity, **ends)
        network.electrical_projections.append(made)
    return made


# libNeuroML writes 15 decimals, which loses small numbers: these keep every number as it is.
def _as_float(value: float, input_name: str = "") -> str:
    return number_text(np.float64(value))


def _as_float32(value: float, input_name: str = "") -> str:
    return number_text(np.float32(value))


def _as_time(delay: float) -> str:
    if delay == 0:
        return "0.0ms"
    return f"{number_text(np.float32(delay)) or '0'}ms".replace("e+", "e")


def _unique_ids(names: list[str]) -> list[str]:
    """Ids as NeuroML allows them: the names themselves wherever they can serve."""
    taken = {_CELL, _JUNCTION, *_SYNAPSES.values()}
    taken |= {name for name in names if _safe(name) == name}
    reserved = {_CELL, _JUNCTION, *_SYNAPSES.values()}
    tries: Counter[str] = Counter()
    ids = []
    for name in names:
        identity = base = _safe(name)
        while identity in reserved or (identity != name and identity in taken):
            tries[base] += 1
            identity = f"{base}_{tries[base]}"
        taken.add(identity)
        ids.append(identity)
    return ids


def _safe(name: str) -> str:
    letters = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return letters if re.match(r"[a-zA-Z_]", letters) else f"cell_{letters}"
