"""Reading NeuroML 2 networks, our own and those of other programs.

Populations of any size are read (the cells of one larger than 1 are "pop[0]", "pop[1]", ...), and
projections, electrical and continuous projections and single synaptic connections; weight 1 where
there is none. Kind, class and transmitter come from the properties ``type``, ``class`` and
``neurotransmitter`` of a population, the positions from its instances. An electrical connection
listed from both sides, as c302 does, is taken once. A synapse is inhibitory or excitatory when its
id has "inh" or "exc" in it, or its weight is negative, and electrical when its id has "elec" or
"gap" in it. A document must hold one network; files that it includes are not looked at.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amphid.wiring.connectome import Cells, Connectome
from amphid.wiring.files import heading, words
from amphid.wiring.files.neuroml_schema import UNKNOWN_COORDINATES, schema
from amphid.wiring.files.prolog import refuse_doctype
from amphid.wiring.files.rows import Rows, connections

_PATH = re.compile(r"(?:\.\./)*([a-zA-Z_][a-zA-Z0-9_]*)(?:\[(\d{1,9})\]|/(\d{1,9})(?:/.*)?)")
_TIME = re.compile(r"([-+.0-9eE]+)\s*(ms|s)")
_EXTRA = re.compile(r"(delay|sign)_of_connection_(\d{1,18})")
_NO_DELAY = "0ms"
_MOST_UNLISTED = 1_000_000  # a population larger than that has to list its cells
_Places = dict[tuple[str, int], int]  # by population and number in it


def read(path: Path) -> Connectome:
    """Read the network of a document."""
    nml = schema()
    refuse_doctype(path)
    document = _parsed(nml, path)
    if not isinstance(document, nml.NeuroMLDocument):
        raise ValueError("the file is XML, but no NeuroML 2 document.")
    if len(document.networks) != 1:
        raise ValueError(
            f"a document must hold one network, this one has {len(document.networks)}."
        )
    try:
        return _connectome(document.networks[0], path.stem)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"the network lacks an attribute ({error}).") from None


def _parsed(nml: Any, path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return nml.parse(str(path), silence=True, print_warnings=False)
        except Exception as error:  # its parser raises whatever the damage leads to
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"the NeuroML is damaged or cut short ({reason}).") from None


def _connectome(network: Any, stem: str) -> Connectome:
    tags = [(tag.tag, tag.value) for tag in network.properties]
    about = dict(tags)
    ours = "amphid_format" in about
    if ours:
        heading.check_format(about["amphid_format"])
    places: _Places = {}
    cells = _cells(network.populations, places)
    wires = list(_wires(network, places))
    rows = _rows(_in_order(wires) if ours else wires)
    if ours:
        _take_extras(tags, rows)
    return Connectome(
        cells,
        connections(rows),
        name=about.get("name", "") if ours else stem,
        references=heading.references_from_json(about.get("references", "[]")) if ours else (),
    )


def _cells(populations: list[Any], places: _Places) -> Cells:
    """The cells; `places` is told where each member of each population stands."""
    columns: dict[str, list[Any]] = {"": [], "type": [], "class": [], "neurotransmitter": []}
    position = []
    for population in populations:
        members = _members(population)
        texts = {tag.tag: tag.value for tag in population.properties}
        base = texts.get("name", population.id)
        alone = len(members) == 1
        for number, location in members.items():
            if (population.id, number) in places:
                raise ValueError(f"two populations have the id {population.id!r}.")
            places[population.id, number] = len(places)
            columns[""].append(base if alone else f"{base}[{number}]")
            position.append(_position(location, texts.get(UNKNOWN_COORDINATES, "").split()))
        for tag in ("type", "class", "neurotransmitter"):
            columns[tag] += [texts.get(tag, "")] * len(members)
    return Cells(
        columns[""],
        kind=columns["type"],
        cell_class=columns["class"],
        transmitter=columns["neurotransmitter"],
        position=np.array(position, dtype=np.float64).reshape(len(places), 3),
    )


def _members(population: Any) -> dict[int, Any]:
    """The numbers of the cells of a population, each with its location or None."""
    if population.instances:
        listed = {int(member.id): member.location for member in population.instances}
        if len(listed) < len(population.instances):
            raise ValueError(f"two instances of the population {population.id!r} have one id.")
        return listed
    size = int(population.size)
    if not 0 <= size <= _MOST_UNLISTED:
        raise ValueError(f"the population {population.id!r} declares {size} cells, and lists none.")
    return dict.fromkeys(range(size))


def _position(location: Any, unknown: list[str]) -> list[float]:
    return [
        np.nan if location is None or axis in unknown else float(getattr(location, axis))
        for axis in "xyz"
    ]


class _Wire(NamedTuple):
    """A connection, its cells by their places."""

    number: int
    pre: int
    post: int
    kind: int
    weight: float
    sign: int
    delay: float
    synapse: str = ""  # the id of its component
    negative: bool = False  # whether its weight was, which is no longer


def _wires(network: Any, places: _Places) -> Iterator[_Wire]:
    for owner in network.projections:
        for link in (*owner.connections, *owner.connection_wds):
            ends = (link.pre_cell_id, link.post_cell_id)
            yield _wire(places, owner, link, ends, owner.synapse)
    for owner in network.electrical_projections:
        for link in (
            *owner.electrical_connections,
            *owner.electrical_connection_instances,
            *owner.electrical_connection_instance_ws,
        ):
            ends = (link.pre_cell, link.post_cell)
            yield _wire(places, owner, link, ends, link.synapse, electrical=True)
    for owner in network.continuous_projections:
        for link in (
            *owner.continuous_connections,
            *owner.continuous_connection_instances,
            *owner.continuous_connection_instance_ws,
        ):
            ends = (link.pre_cell, link.post_cell)
            yield _wire(places, owner, link, ends, link.post_component)
    for link in network.synaptic_connections:
        yield _wire(places, None, link, (link.from_, link.to), link.synapse)


def _wire(
    places: _Places,
    owner: Any,
    link: Any,
    ends: tuple[str, str],
    synapse: str,
    *,
    electrical: bool = False,
) -> _Wire:
    """The connection of a link between two cells given by their paths."""
    word = synapse.casefold()
    electrical = electrical or "elec" in word or "gap" in word
    weight = float(getattr(link, "weight", 1.0))
    pre = _place(ends[0], getattr(owner, "presynaptic_population", ""), places)
    post = _place(ends[1], getattr(owner, "postsynaptic_population", ""), places)
    return _Wire(
        int(getattr(link, "id", 0)),
        pre,
        post,
        kind=int(electrical),
        weight=abs(weight),
        sign=-1 if weight < 0 else 0 if electrical else _sign(word),
        delay=_delay(getattr(link, "delay", _NO_DELAY)),
        synapse=synapse,
        negative=weight < 0,
    )


def _place(text: str, population: str, places: _Places) -> int:
    path = _PATH.fullmatch(text)
    if text.isascii() and text.isdecimal():
        found = places.get((population, int(text)))
    else:
        found = path and places.get((path[1], int(path[2] or path[3])))
    if found is None:
        raise ValueError(f"a connection names the cell {text[:80]!r}, which no population has.")
    return found


def _sign(word: str) -> int:
    return -1 if "inh" in word else int("exc" in word)


def _delay(text: str) -> float:
    time = _TIME.fullmatch(text)
    if time is None:
        raise ValueError(f"a delay must be a time in ms or s, got {text[:40]!r}.")
    if time[1] == "0":
        return float("nan")
    return words.delay(time[1]) * (1000.0 if time[2] == "s" else 1.0)


def _in_order(wires: list[_Wire]) -> list[_Wire]:
    wires = sorted(wires, key=lambda wire: wire.number)
    if any(wire.number != place for place, wire in enumerate(wires)):
        raise ValueError(f"the ids of the {len(wires)} connections must count from 0 on.")
    return wires


def _rows(wires: list[_Wire]) -> Rows:
    return Rows(
        pre=np.array([wire.pre for wire in wires], dtype=np.int32),
        post=np.array([wire.post for wire in wires], dtype=np.int32),
        kind=np.array([wire.kind for wire in wires], dtype=np.uint8),
        weight=np.array([wire.weight for wire in wires], dtype=np.float32),
        sign=np.array([wire.sign for wire in wires], dtype=np.int8),
        delay=np.array([wire.delay for wire in wires], dtype=np.float32),
    )


def _take_extras(tags: list[tuple[str, str]], rows: Rows) -> None:
    """Fill in what the properties of the network say about connections."""
    for tag, value in tags:
        if extra := _EXTRA.fullmatch(tag):
            number = int(extra[2])
            if number >= len(rows.pre):
                raise ValueError(f"the property {tag} is about a connection that is not there.")
            if extra[1] == "delay":
                rows.delay[number] = words.delay(value)
            else:
                rows.sign[number] = words.sign_code(value)
