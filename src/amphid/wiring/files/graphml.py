"""GraphML, as networkx, igraph, Gephi and Cytoscape read and write it.

Each cell is a node with its name as id and the data ``kind``, ``cell_class``, ``transmitter``,
``x``, ``y``, ``z``; each connection an edge with ``kind``, ``synapses``, ``sign``, ``delay``. What
is not known is left out. All edges are written as directed, since a graph that mixes both kinds is
not understood everywhere; an electrical connection stands once and says so in ``kind``.

In files of other programs the data may go by any of the names in `amphid.wiring.files.words`,
a node may carry its name as data, and an undirected edge without a kind is electrical.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from amphid.wiring.connectome import KINDS, Cells, Connectome
from amphid.wiring.files import heading, words
from amphid.wiring.files.drafts import replaced
from amphid.wiring.files.prolog import refuse_doctype
from amphid.wiring.files.rows import Listed, Rows, connections, parse_cells, parse_rows
from amphid.wiring.files.words import number_texts

_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_UNDIRECTED = "\0"  # no key of data can have this name
_KEYS = {
    "graph": {"amphid_format": "int", "name": "string", "references": "string"},
    "node": {
        **dict.fromkeys(("kind", "cell_class", "transmitter"), "string"),
        **dict.fromkeys(("x", "y", "z"), "double"),
    },
    "edge": {"kind": "string", "synapses": "float", "sign": "int", "delay": "float"},
}


def write(connectome: Connectome, path: Path) -> None:
    """Write the connectome as one directed graph."""
    with replaced(path) as (draft,), draft.open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(f'<graphml xmlns="{_NAMESPACE}">\n')
        for half, attributes in _KEYS.items():
            file.writelines(
                f'<key id="{half}_{name}" for="{half}" attr.name="{name}" attr.type="{type_}"/>\n'
                for name, type_ in attributes.items()
            )
        file.write('<graph id="connectome" edgedefault="directed">\n')
        file.writelines(_graph_lines(connectome))
        file.writelines(_node_lines(connectome.cells))
        file.writelines(_edge_lines(connectome))
        file.write("</graph>\n</graphml>\n")


def _graph_lines(connectome: Connectome) -> Iterator[str]:
    yield _data("graph", "amphid_format", str(heading.FORMAT)) + "\n"
    yield _data("graph", "name", connectome.name) + "\n"
    yield _data("graph", "references", heading.references_to_json(connectome)) + "\n"


def _node_lines(cells: Cells) -> Iterator[str]:
    columns = {"kind": cells.kind, "cell_class": cells.cell_class, "transmitter": cells.transmitter}
    for axis, name in enumerate("xyz"):
        columns[name] = number_texts(cells.position[:, axis])
    for name, *texts in zip(cells.name, *columns.values(), strict=True):
        yield f"<node id={quoteattr(name)}>{_all_data('node', columns, texts)}</node>\n"


def _edge_lines(connectome: Connectome) -> Iterator[str]:
    wires = connectome.connections
    quoted = np.array([quoteattr(name) for name in connectome.cells.name], dtype=object)
    columns = {
        "kind": np.array(KINDS, dtype=object)[wires.kind],
        "synapses": number_texts(wires.synapses),
        "sign": np.array(["", "1", "-1"], dtype=object)[wires.sign],
        "delay": number_texts(wires.delay),
    }
    ends = (quoted[wires.pre], quoted[wires.post])
    for pre, post, *texts in zip(*ends, *columns.values(), strict=True):
        yield f"<edge source={pre} target={post}>{_all_data('edge', columns, texts)}</edge>\n"


def _all_data(half: str, names: Any, texts: list[str]) -> str:
    pairs = zip(names, texts, strict=True)
    return "".join(_data(half, name, text) for name, text in pairs if text)


def _data(half: str, name: str, text: str) -> str:
    return f'<data key="{half}_{name}">{escape(text)}</data>'


def read(path: Path) -> Connectome:
    """Read the graphs of a file as one connectome."""
    refuse_doctype(path)
    graph = _Graph()
    try:
        with path.open("rb") as file:
            for event, element in ElementTree.iterparse(file, ("start", "end")):
                graph.take(event, element)
    except ElementTree.ParseError as error:
        raise ValueError(f"the XML is damaged or cut short ({error}).") from None
    return graph.connectome(path.stem)


class _Graph:
    """The nodes and edges met so far."""

    def __init__(self) -> None:
        self.directed: bool | None = None  # until a graph has begun
        self.keys: dict[str, dict[str, str]] = {"graph": {}, "node": {}, "edge": {}}  # id to name
        self.defaults: dict[str, str] = {}
        self.about: dict[str, str] = {}
        self.nodes: dict[str, dict[str, str]] = {}
        self.edges: list[tuple[str, str, dict[str, str]]] = []

    def take(self, event: str, element: ElementTree.Element) -> None:
        """Take in an element that begins or ends."""
        tag = _tag(element)
        if tag == "hyperedge":
            raise ValueError("the graph has hyperedges, but a connection joins two cells.")
        if event == "start":
            if tag == "graph":
                self.directed = element.get("edgedefault") != "undirected"
        elif tag == "key":
            self._take_key(element)
        elif tag in self.keys:
            data = self._data(tag, element)
            if tag == "node":
                self._take_node(element, data)
            elif tag == "edge":
                self._take_edge(element, data)
            else:
                self.about |= data
            element.clear()

    def _take_key(self, key: ElementTree.Element) -> None:
        identity, half = key.get("id", ""), key.get("for", "all")
        for names in self.keys.values() if half == "all" else [self.keys.get(half, {})]:
            names[identity] = key.get("attr.name", identity)
        for child in key:
            if _tag(child) == "default":
                self.defaults[identity] = child.text or ""

    def _take_node(self, node: ElementTree.Element, data: dict[str, str]) -> None:
        identity = node.get("id", "")
        if identity in self.nodes:
            raise ValueError(f"two nodes have the id {identity[:40]!r}.")
        self.nodes[identity] = data

    def _take_edge(self, edge: ElementTree.Element, data: dict[str, str]) -> None:
        source, target = edge.get("source"), edge.get("target")
        if source is None or target is None:
            raise ValueError(f"edge {len(self.edges)} lacks its source or its target.")
        directed = edge.get("directed", str(self.directed)).lower() == "true"
        self.edges.append((source, target, data if directed else {_UNDIRECTED: ""} | data))

    def _data(self, half: str, element: ElementTree.Element) -> dict[str, str]:
        names = self.keys[half]
        data = {names[key]: text for key, text in self.defaults.items() if key in names}
        for child in element:
            key = child.get("key", "")
            if _tag(child) == "data" and key in names:
                data[names[key]] = child.text or ""
        return data

    def connectome(self, stem: str) -> Connectome:
        """What the elements amount to."""
        if self.directed is None:
            raise ValueError("the file is XML, but holds no GraphML graph.")
        ours = "amphid_format" in self.about
        if ours:
            heading.check_format(self.about["amphid_format"])
        return Connectome(
            self._cells(),
            connections(self._rows()),
            name=self.about.get("name", "" if ours else stem),
            references=heading.references_from_json(self.about["references"])
            if ours and "references" in self.about
            else (),
        )

    def _cells(self) -> Cells:
        identities, nodes = list(self.nodes), list(self.nodes.values())
        known = self.keys["node"].values()
        found = {c: words.find(known, names) for c, names in words.CELL_COLUMNS.items()}
        texts = {c: [node.get(n, "") for node in nodes] for c, n in found.items() if n is not None}
        names = texts.setdefault("name", identities)
        if "" in names or len(set(names)) < len(nodes):
            texts["name"] = identities
        return parse_cells(texts, lambda number: f"node {identities[number][:40]!r}")

    def _rows(self) -> Rows:
        known = self.keys["edge"].values()
        found = {c: words.find(known, names) or "" for c, names in words.COLUMNS.items()}
        texts = {
            "pre": [source for source, _, _ in self.edges],
            "post": [target for _, target, _ in self.edges],
            "kind": [_kind(data, found["kind"]) for _, _, data in self.edges],
            "synapses": [data.get(found["synapses"]) or "1" for _, _, data in self.edges],
            "sign": [data.get(found["sign"], "") for _, _, data in self.edges],
            "delay": [data.get(found["delay"], "") for _, _, data in self.edges],
        }
        return parse_rows(texts, Listed(self.nodes, "the nodes"), self._edge_label)

    def _edge_label(self, number: int) -> str:
        source, target, _ = self.edges[number]
        return f"edge {number} ({source[:40]!r} to {target[:40]!r})"


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _kind(data: dict[str, str], key: str) -> str:
    return data.get(key) or ("electrical" if _UNDIRECTED in data else "")
