"""HDF5 files that do not hold what they should, or reach for what is not theirs, are refused."""

import h5py
import numpy as np
import pytest

from amphid.wiring.files import read, write


def refusal(path) -> str:
    """The sentence with which a file is refused: one line that begins with its name."""
    with pytest.raises(ValueError, match=r".") as caught:
        read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    return sentence


def replace(group, name, value):
    attributes = dict(group[name].attrs) if name in group else {}
    if name in group:
        del group[name]
    dataset = group.create_dataset(name, data=value)
    dataset.attrs.update(attributes)


EDGES = "edges/cells_to_cells"
HOSTILE = {
    "no nodes": lambda file: file.pop("nodes"),
    "no edges": lambda file: file.pop("edges"),
    "no population": lambda file: file["edges"].pop("cells_to_cells"),
    "no names": lambda file: file["nodes/cells/0"].pop("name"),
    "no description": lambda file: file.pop("amphid"),
    "description": lambda file: replace(file, "amphid", "no JSON"),
    "description of numbers": lambda file: replace(file, "amphid", 3),
    "references": lambda file: replace(file, "amphid", '{"amphid_format": 1, "references": [1]}'),
    "source too large": lambda file: replace(file[EDGES], "source_node_id", [0, 0, 0, 0, 0, 0, 5]),
    "source negative": lambda file: replace(file[EDGES], "source_node_id", [0, 0, 0, 0, 0, 0, -1]),
    "target huge": lambda file: replace(
        file[EDGES], "target_node_id", np.full(7, 2**63, dtype=np.uint64)
    ),
    "targets too few": lambda file: replace(file[EDGES], "target_node_id", [0, 0, 0]),
    "targets in a table": lambda file: replace(
        file[EDGES], "target_node_id", np.zeros((7, 2), int)
    ),
    "targets of text": lambda file: replace(file[EDGES], "target_node_id", ["a"] * 7),
    "targets not whole": lambda file: replace(file[EDGES], "target_node_id", np.full(7, 0.5)),
    "targets in a group": lambda file: (
        file[EDGES].pop("target_node_id"),
        file[EDGES].create_group("target_node_id"),
    ),
    "sizes negative": lambda file: replace(file[EDGES]["0"], "nsyns", np.full(7, -1.0)),
    "sizes not finite": lambda file: replace(file[EDGES]["0"], "nsyns", np.full(7, np.inf)),
    "sizes too many": lambda file: replace(file[EDGES]["0"], "nsyns", np.ones(8)),
    "signs too large": lambda file: replace(file[EDGES]["0"], "sign", np.full(7, 2)),
    "signs of fractions": lambda file: replace(file[EDGES]["0"], "sign", np.full(7, 0.5)),
    "delays negative": lambda file: replace(file[EDGES]["0"], "delay", np.full(7, -1.0)),
    "kinds out of range": lambda file: replace(file[EDGES]["0"], "kind", np.full(7, 2)),
    "kinds of no kind": lambda file: replace(file[EDGES]["0/@library"], "kind", ["x", "y"]),
    "kinds of numbers": lambda file: replace(file[EDGES]["0/@library"], "kind", [1, 2]),
    "classes out of range": lambda file: replace(
        file["nodes/cells/0"], "cell_class", np.full(5, -1)
    ),
    "names twice": lambda file: replace(file["nodes/cells/0"], "name", ["a"] * 5),
    "names not UTF-8": lambda file: replace(file["nodes/cells/0"], "name", [b"\xff"] * 5),
    "positions of text": lambda file: replace(file["nodes/cells/0"], "x", ["a"] * 5),
}


@pytest.mark.parametrize("harm", HOSTILE)
def test_hdf5_that_does_not_hold_what_it_should_is_refused(harm, small, tmp_path):
    path = write(small, tmp_path / "c.h5")
    with h5py.File(path, "r+") as file:
        HOSTILE[harm](file)
    refusal(path)


@pytest.mark.parametrize("name", ["source_node_id", "0/nsyns", "0/sign", "0/kind"])
@pytest.mark.parametrize("form", ["unwritten", "packed", "scalar"])
def test_hdf5_that_declares_absurd_sizes_is_refused(name, form, small, tmp_path):
    path = write(small, tmp_path / "c.h5")
    with h5py.File(path, "r+") as file:
        edges = file[EDGES]
        del edges[name]
        if form == "scalar":
            edges[name] = 1
        else:
            packing = {"compression": "gzip"} if form == "packed" else {}
            made = edges.create_dataset(name, (10**15,), "i4", chunks=(10**6,), **packing)
            if form == "packed":
                made[:9] = 1
    refusal(path)


def test_hdf5_that_declares_absurd_numbers_of_cells_and_connections_is_refused(tmp_path):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        nodes, edges = file.create_group("nodes/n"), file.create_group("edges/e")
        nodes.create_dataset("node_type_id", (10**15,), "i8", chunks=True)
        for end in ("source", "target"):
            edges.create_dataset(f"{end}_node_id", (10**15,), "i8", chunks=True)
    assert "none was written" in refusal(path)


@pytest.mark.parametrize("name", ["nodes", "edges", f"{EDGES}/0/nsyns", f"{EDGES}/source_node_id"])
@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/nowhere")])
def test_hdf5_that_points_elsewhere_is_refused(name, link, small, tmp_path):
    path = write(small, tmp_path / "c.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = link
    assert "links are not followed" in refusal(path)


def test_hdf5_whose_data_lie_in_other_files_is_refused(small, tmp_path):
    path = write(small, tmp_path / "c.h5")
    (tmp_path / "raw").write_bytes(bytes(28))
    with h5py.File(path, "r+") as file:
        del file[EDGES]["0/nsyns"]
        file[EDGES].create_dataset("0/nsyns", (7,), "f4", external=[(tmp_path / "raw", 0, 28)])
    assert "lies in another file" in refusal(path)
    with h5py.File(path, "r+") as file:
        del file[EDGES]["0/nsyns"]
        layout = h5py.VirtualLayout((7,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (7,))
        file[EDGES].create_virtual_dataset("0/nsyns", layout)
    assert "lies in another file" in refusal(path)


def test_hdf5_of_another_use_is_told_what_it_lacks(tmp_path):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file["trace"] = np.zeros(3)
    assert "there is no group 'nodes'" in refusal(path)
