"""GraphML is what networkx reads and writes."""

import networkx
import numpy as np
import pytest

from amphid.wiring import KINDS, Connections
from amphid.wiring.files import read, write


def test_networkx_opens_the_graph_with_typed_attributes(small, tmp_path):
    graph = networkx.read_graphml(write(small, tmp_path / "c.graphml"))
    assert isinstance(graph, networkx.MultiDiGraph)
    assert list(graph) == list(small.cells.name)
    assert graph.graph["name"] == "small"
    place = {"x": 1.0, "y": 2.0, "z": 3.0}
    told = {"kind": "inter", "cell_class": "AVA", "transmitter": "acetylcholine"}
    assert graph.nodes["AVAL"] == told | place
    assert graph.nodes["alone"] == {"y": 1.0, "z": 2.0}
    parallel = [graph.edges["AVAL", "VA 2", key] for key in graph["AVAL"]["VA 2"]]
    assert parallel == [
        {"kind": "chemical", "synapses": 1.0, "sign": -1, "delay": 1.5},
        {"kind": "chemical", "synapses": 2.5, "delay": 0.0},
    ]
    assert isinstance(parallel[0]["synapses"], float)
    assert isinstance(parallel[0]["sign"], int)


def test_a_graph_that_networkx_wrote_is_the_same_connectome(small, tmp_path):
    graph = networkx.MultiDiGraph()
    for number, name in enumerate(small.cells.name):
        place = dict(zip("xyz", small.cells.position[number].tolist(), strict=True))
        known = {axis: value for axis, value in place.items() if not np.isnan(value)}
        texts = {c: getattr(small.cells, c)[number] for c in ("kind", "cell_class", "transmitter")}
        graph.add_node(name, **texts, **known)
    wires = small.connections
    order = np.lexsort((np.arange(7), wires.pre))  # networkx keeps edges by the node they leave
    wires = wires.take(order)
    for number in range(7):
        delay = {} if np.isnan(wires.delay[number]) else {"delay": wires.delay[number].item()}
        graph.add_edge(
            small.cells.name[wires.pre[number]],
            small.cells.name[wires.post[number]],
            type=KINDS[wires.kind[number]],
            weight=wires.synapses[number].item(),
            sign=wires.sign[number].item(),
            **delay,
        )
    networkx.write_graphml(graph, tmp_path / "theirs.graphml")
    theirs = read(tmp_path / "theirs.graphml")
    assert theirs.cells == small.cells
    assert sorted(rows(theirs.connections)) == sorted(rows(wires))


def rows(wires):
    columns = (wires.pre, wires.post, wires.kind, wires.synapses, wires.sign)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def graphml(tmp_path, keys, body, edgedefault="directed"):
    path = tmp_path / "c.graphml"
    path.write_text(
        f'<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{keys}'
        f'<graph edgedefault="{edgedefault}">{body}</graph></graphml>'
    )
    return path


def test_the_names_of_igraph_and_its_defaults_are_followed(tmp_path):
    keys = (
        '<key id="v_name" for="node" attr.name="name" attr.type="string"/>'
        '<key id="role" for="all" attr.name="role"><default>motor</default></key>'
        '<key id="e_weight" for="edge" attr.name="weight" attr.type="double"/>'
    )
    body = (
        '<edge source="n1" target="n0"><data key="e_weight">2</data></edge>'
        '<node id="n0"><data key="v_name">DA1</data></node>'
        '<node id="n1"><data key="v_name">AVAL</data><data key="role">inter</data></node>'
        '<edge source="n0" target="n0"/>'
    )
    read_ = read(graphml(tmp_path, keys, body))
    assert list(read_.cells.name) == ["DA1", "AVAL"]
    assert list(read_.cells.kind) == ["motor", "inter"]
    assert read_.connections == Connections([1, 0], [0, 0], synapses=[2, 1])


def test_an_edge_without_direction_and_kind_is_electrical(tmp_path):
    keys = '<key id="k" for="edge" attr.name="synapse_type" attr.type="string"/>'
    body = (
        '<node id="a"/><node id="b"/><edge source="b" target="a"/>'
        '<edge source="b" target="a" directed="true"/>'
        '<edge source="b" target="a"><data key="k">C</data></edge>'
    )
    wires = read(graphml(tmp_path, keys, body, "undirected")).connections
    assert wires == Connections([0, 1, 1], [1, 0, 0], kind=["electrical", "chemical", "chemical"])


EDGE = '<node id="a"/><edge source="a" target="{}">{}</edge>'
KEY = '<key id="w" for="edge" attr.name="weight"/><key id="x" for="node" attr.name="x"/>'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (EDGE.format("b", ""), "edge 0 .*the cell 'b' is not listed in the nodes"),
        (EDGE.format("a", '<data key="w">x</data>'), r"edge 0 \('a' to 'a'\): synapses must be"),
        ('<node id="a"><data key="x">far</data></node>', "node 'a': a position must be a number"),
        ('<node id="a"/><node id="a"/>', "two nodes have the id 'a'"),
        ('<node id="a"/><edge source="a"/>', "edge 0 lacks its source or its target"),
        ('<node id="a"/><hyperedge/>', "hyperedges"),
        ("<node/>", "empty"),
    ],
)
def test_what_is_wrong_in_a_graph_is_told_with_its_place(body, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        read(graphml(tmp_path, KEY, body))
