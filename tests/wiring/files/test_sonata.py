"""SONATA circuits of other programs are read, or told what they lack."""

import h5py
import numpy as np
import pytest

from amphid.wiring import Connections
from amphid.wiring.files import read


def foreign(path, **nodes_and_edges):
    """A SONATA file as other programs write it: only what the standard asks for, and more."""
    with h5py.File(path, "w") as file:
        for name, columns in nodes_and_edges.items():
            population = file.create_group(name.replace("__", "/"))
            for column, values in columns.items():
                population[column] = values
    return path


def join(path, edges, source, target):
    with h5py.File(path, "r+") as file:
        for end, population in (("source", source), ("target", target)):
            file[f"edges/{edges}/{end}_node_id"].attrs["node_population"] = population


def test_a_circuit_of_another_program_is_read_with_numbers_for_names(tmp_path):
    path = foreign(
        tmp_path / "c.h5",
        nodes__v1={"node_type_id": np.full(3, 100), "0/x": np.arange(3.0)},
        edges__v1_to_v1={
            "source_node_id": np.array([2, 0, 1], np.uint64),
            "target_node_id": np.array([0, 1, 1], np.uint64),
            "0/syn_weight": [0.5, -2.0, 1.0],
            "0/delay": [1.0, 2.0, 3.0],
        },
    )
    join(path, "v1_to_v1", "v1", "v1")
    read_ = read(path)
    assert list(read_.cells.name) == ["0", "1", "2"]
    np.testing.assert_array_equal(read_.cells.position[:, 0], [0, 1, 2])
    assert read_.connections == Connections(
        [2, 0, 1], [0, 1, 1], synapses=[0.5, 2, 1], sign=[1, -1, 1], delay=[1, 2, 3]
    )
    assert read_.name == "c"


def test_populations_groups_and_numbering_of_a_circuit_are_followed(tmp_path):
    """Two populations, one with ids of its own, edges in two groups, gap junctions both ways."""
    path = foreign(
        tmp_path / "c.h5",
        nodes__a={"node_type_id": [1, 1], "node_id": [20, 10]},
        nodes__b={"node_type_id": [1, 1, 1], "0/mtype": ["L1", "L2", "L1"]},
        edges__a_to_b={
            "source_node_id": [10, 20, 10],
            "target_node_id": [0, 1, 2],
            "edge_group_id": [1, 0, 1],
            "edge_group_index": [1, 0, 0],
            "0/nsyns": [5],
            "1/nsyns": [7, 11],
            "1/delay": [3.0, 2.0],
        },
        edges__gap_junctions={"source_node_id": [0, 2], "target_node_id": [2, 0]},
    )
    join(path, "a_to_b", "a", "b")
    join(path, "gap_junctions", "b", "b")
    read_ = read(path)
    assert list(read_.cells.name) == ["a:20", "a:10", "b:0", "b:1", "b:2"]
    assert list(read_.cells.cell_class) == ["", "", "L1", "L2", "L1"]
    assert read_.connections == Connections(
        [1, 0, 1, 2],
        [2, 3, 4, 4],
        kind=[0, 0, 0, 1],
        synapses=[11, 5, 7, 1],
        delay=[2, np.nan, 3, np.nan],
    )


def test_names_of_a_circuit_are_taken_when_they_tell_its_cells_apart(tmp_path):
    for names, expected in ((["x", "y"], ["x", "y"]), (["x", "x"], ["0", "1"])):
        path = foreign(
            tmp_path / "c.h5",
            nodes__n={"node_type_id": [0, 0], "0/name": names},
            edges__e={"source_node_id": [0], "target_node_id": [1]},
        )
        assert list(read(path).cells.name) == expected


WHOLE = {
    "nodes__n": {"node_type_id": [0, 0]},
    "edges__e": {"source_node_id": [0], "target_node_id": [1]},
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"edges__e": {"source_node_id": [0]}}, "lacks target_node_id"),
        ({"nodes__n": {"node_id": [0, 1]}}, "lack node_type_id"),
        ({"edges__e": {**WHOLE["edges__e"], "target_node_id": [2]}}, "none of the 2 nodes"),
        ({"edges__e": {**WHOLE["edges__e"], "target_node_id": [0, 1]}}, "1 sources and 2 targets"),
        ({"nodes__n": {"node_type_id": [0, 0], "node_id": [3, 4]}}, "none of the 2 nodes"),
        ({"edges__e": {**WHOLE["edges__e"], "0/nsyns": [1], "1/nsyns": [1]}}, "edge_group_id"),
        (
            {
                "edges__e": {
                    **WHOLE["edges__e"],
                    "edge_group_id": [0],
                    "edge_group_index": [9],
                    "0/nsyns": [1],
                }
            },
            "past the end of group 0",
        ),
    ],
)
def test_what_a_circuit_lacks_is_told(change, sentence, tmp_path):
    assert len(read(foreign(tmp_path / "whole.h5", **WHOLE))) == 2
    with pytest.raises(ValueError, match=sentence):
        read(foreign(tmp_path / "c.h5", **{**WHOLE, **change}))


def test_half_a_circuit_is_told_to_be_half(tmp_path):
    path = foreign(tmp_path / "c.h5", nodes__n=WHOLE["nodes__n"])
    with pytest.raises(ValueError, match=r"no group 'edges'.*both in one file"):
        read(path)
    path = foreign(tmp_path / "d.h5", **WHOLE)
    join(path, "e", "n", "elsewhere")
    with pytest.raises(ValueError, match="population 'elsewhere', which is not in the file"):
        read(path)
