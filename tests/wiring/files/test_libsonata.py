"""The native file is a SONATA circuit: libsonata opens it and finds the same."""

import h5py
import numpy as np
import pytest

from amphid.wiring import KINDS, Cells, Connections, Connectome
from amphid.wiring.files import write

libsonata = pytest.importorskip("libsonata", reason="needs libsonata")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A connectome of 13 cells and 211 unsorted connections, and its file."""
    rng = np.random.default_rng(17)
    cells = Cells([f"c{k}" for k in range(13)], kind="inter", position=rng.normal(size=(13, 3)))
    wires = Connections(
        rng.integers(0, 11, 211),
        rng.integers(2, 13, 211),
        kind=rng.integers(0, 2, 211),
        synapses=rng.integers(1, 9, 211),
        sign=rng.integers(-1, 2, 211),
        delay=rng.random(211, dtype=np.float32),
    )
    connectome = Connectome(cells, wires, name="drawn")
    return connectome, write(connectome, tmp_path_factory.mktemp("files") / "c.h5")


def nodes(path):
    return libsonata.NodeStorage(str(path)).open_population("cells")


def edges(path):
    return libsonata.EdgeStorage(str(path)).open_population("cells_to_cells")


def test_libsonata_finds_every_cell_with_its_attributes(small, tmp_path):
    found = nodes(write(small, tmp_path / "c.h5"))
    every = found.select_all()
    assert found.size == 5
    assert list(found.get_attribute("name", every)) == list(small.cells.name)
    assert found.enumeration_names == {"kind", "cell_class", "transmitter"}
    assert list(found.get_attribute("kind", every)) == list(small.cells.kind)
    assert list(found.get_attribute("cell_class", every)) == list(small.cells.cell_class)
    assert list(found.get_attribute("transmitter", every)) == list(small.cells.transmitter)
    place = np.stack([found.get_attribute(axis, every) for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(place, small.cells.position)


def test_libsonata_finds_every_connection_in_order(drawn):
    connectome, path = drawn
    wires, found = connectome.connections, edges(path)
    every = found.select_all()
    assert (found.source, found.target) == ("cells", "cells")
    np.testing.assert_array_equal(found.source_nodes(every), wires.pre)
    np.testing.assert_array_equal(found.target_nodes(every), wires.post)
    np.testing.assert_array_equal(found.get_attribute("nsyns", every), wires.synapses)
    np.testing.assert_array_equal(found.get_attribute("sign", every), wires.sign)
    np.testing.assert_array_equal(found.get_attribute("delay", every), wires.delay)
    assert list(found.get_attribute("kind", every)) == [KINDS[code] for code in wires.kind]


def test_libsonata_looks_up_what_leaves_and_what_enters_a_cell(drawn):
    connectome, path = drawn
    wires, found = connectome.connections, edges(path)
    for cell in range(len(connectome)):
        entering, leaving = found.afferent_edges([cell]), found.efferent_edges([cell])
        assert entering.flatten().tolist() == np.flatnonzero(wires.post == cell).tolist()
        assert leaving.flatten().tolist() == np.flatnonzero(wires.pre == cell).tolist()
    between = np.flatnonzero((wires.pre == 3) & (wires.post == 7)).tolist()
    assert found.connecting_edges([3], [7]).flatten().tolist() == between


def test_the_index_is_the_one_that_libsonata_makes(drawn, tmp_path):
    _, path = drawn
    other = tmp_path / "other.h5"
    other.write_bytes(path.read_bytes())
    with h5py.File(other, "r+") as file:
        del file["edges/cells_to_cells/indices"]
    libsonata.EdgePopulation.write_indices(str(other), "cells_to_cells", 13, 13)
    with h5py.File(path) as ours, h5py.File(other) as theirs:
        for way in ("source_to_target", "target_to_source"):
            for table in ("node_id_to_ranges", "range_to_edge_id"):
                name = f"edges/cells_to_cells/indices/{way}/{table}"
                np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize("names", [[], ["alone"]])
def test_libsonata_opens_circuits_of_nothing(names, tmp_path):
    path = write(Connectome(Cells(names), Connections()), tmp_path / "c.h5")
    assert nodes(path).size == len(names)
    assert edges(path).size == 0
    if names:
        assert edges(path).afferent_edges([0]).flat_size == 0


def test_the_root_says_that_it_is_sonata(drawn):
    with h5py.File(drawn[1]) as file:
        assert file.attrs["magic"] == 0x0A7A
        assert file.attrs["version"].tolist() == [0, 1]
        assert file.attrs["amphid_format"] == 1
        population = file["edges/cells_to_cells"]
        for column in ("edge_type_id", "edge_group_id", "edge_group_index"):
            assert population[column].shape == (211,)
