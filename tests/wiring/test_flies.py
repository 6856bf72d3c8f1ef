"""The published brains of the fly are read as their files say, and in little memory."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from amphid import wiring
from amphid.wiring import flies

DATA = Path(os.environ.get("AMPHID_DATA", "/nowhere"))
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

IDS = ["720575940596125868", "720575940597856265", "11"]


def index(folder: Path, *, zipped: bool = False) -> Path:
    text = ",Completed\n" + "".join(f"{name},True\n" for name in IDS)
    path = folder / ("Completeness_783.csv.gz" if zipped else "Completeness_783.csv")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


def edges(folder: Path, pre: list[int], post: list[int], weight: list[int]) -> Path:
    """A small edge list with all the columns of the published one."""
    table = pyarrow.table(
        {
            "Presynaptic_ID": [int(IDS[k]) if k < 3 else 0 for k in pre],
            "Postsynaptic_ID": [int(IDS[k]) if k < 3 else 0 for k in post],
            "Presynaptic_Index": pre,
            "Postsynaptic_Index": post,
            "Connectivity": [abs(w) for w in weight],
            "Excitatory": [1 if w > 0 else -1 for w in weight],
            "Excitatory x Connectivity": weight,
        }
    )
    path = folder / "Connectivity_783.parquet"
    parquet.write_table(table, path, row_group_size=2)
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_an_edge_list_of_flywire_becomes_a_connectome(tmp_path: Path, zipped: bool) -> None:
    listed = edges(tmp_path, [0, 1, 2, 2, 0], [1, 1, 0, 1, 2], [-5, 7, 1, 2, 3])
    brain = flies.read_flywire(index(tmp_path, zipped=zipped), listed)
    assert list(brain.cells.name) == IDS
    np.testing.assert_array_equal(brain.matrix(signed=True), [[0, -5, 3], [0, 7, 0], [1, 2, 0]])
    assert brain.references == (flies.FLYWIRE_REFERENCE,)


def test_a_connection_of_flywire_takes_thirteen_bytes(tmp_path: Path) -> None:
    size = 997
    ends = [k % 3 for k in range(size)]
    wires = flies.read_flywire(index(tmp_path), edges(tmp_path, ends, ends, [3] * size)).connections
    kept = (wires.pre, wires.post, wires.synapses, wires.sign)
    assert sum(column.nbytes for column in kept) == 13 * size
    assert wires.kind.strides == wires.delay.strides == (0,)


def test_files_that_do_not_belong_together_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not fit .*an index below 3 cells"):
        flies.read_flywire(index(tmp_path), edges(tmp_path, [0], [3], [1]))
    listed = edges(tmp_path, [0], [1], [1])
    with pytest.raises(ValueError, match="no table of neurons"):
        flies.read_flywire(listed, listed)
    (tmp_path / "names.csv").write_text(",x\nAVAL,True\n")
    with pytest.raises(ValueError, match="must hold root ids"):
        flies.read_flywire(tmp_path / "names.csv", listed)
    parquet.write_table(pyarrow.table({"pre": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="no edge list"):
        flies.read_flywire(index(tmp_path), tmp_path / "other.parquet")


def test_the_published_index_has_a_row_for_every_neuron() -> None:
    path = DATA / flies.FLYWIRE / "Completeness_783.csv.gz"
    if not path.is_file():
        pytest.skip("AMPHID_DATA does not hold the index of FlyWire")
    names = flies.flywire_names(path)
    assert len(names) == len(set(names)) == 138_639
    sugar = json.loads((path.parent / "experiments.json").read_text())["sugar_grn_right_ids"]
    assert len(set(sugar) & set(names)) == 20


def larva(folder: Path, contacts: str) -> Path:
    path = folder / "larva.zip"
    with zipfile.ZipFile(path, "w") as archive:
        matrix = f"Supplementary-Data-S1/{contacts}_connectivity_matrix.csv"
        archive.writestr(matrix, ",5,3,11\n5,0,2,0\n3,0,0,0\n11,7,0,1\n")
        told = (
            "left_id,right_id,celltype,additional_annotations\n5,11,sensory,visual\nno pair,3,KC,\n"
        )
        archive.writestr("Supplementary-Data-S1/annotations.csv", told)
    return path


def test_the_larva_tells_kinds_classes_and_modalities(tmp_path: Path) -> None:
    brain = flies.read_larval_fly(larva(tmp_path, "ad"), "axo-dendritic")
    assert list(brain.cells.kind) == ["sensory", "inter", "sensory"]
    assert list(brain.cells.cell_class) == ["visual", "KC", "visual"]
    np.testing.assert_array_equal(brain.matrix(), [[0, 2, 0], [0, 0, 0], [7, 0, 1]])
    with pytest.raises(ValueError, match="damaged"):
        flies.read_larval_fly(tmp_path / "larva.zip", "axo-axonic")
    with pytest.raises(ValueError, match="contacts must be one of all, axo-dendritic"):
        flies.read_larval_fly(tmp_path / "larva.zip", "ad")  # type: ignore[arg-type]


def test_a_matrix_that_ends_early_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as archive:
        archive.writestr("Supplementary-Data-S1/aa_connectivity_matrix.csv", ",5,3\n5,0,2\n")
        archive.writestr("Supplementary-Data-S1/annotations.csv", "left_id,right_id,celltype\n")
    with pytest.raises(ValueError, match="1 rows for 2 columns"):
        flies.read_larval_fly(tmp_path / "cut.zip", "axo-axonic")


@pytest.mark.reference
def test_the_four_kinds_of_contact_of_the_larva_sum_to_all() -> None:
    if not (DATA / flies.LARVA).is_dir():
        pytest.skip("AMPHID_DATA does not hold the larva")
    totals = {kind: wiring.larval_fly(kind).connections.synapses.sum() for kind in flies.MATRICES}
    assert totals.pop("all") == sum(totals.values()) == 352_611


def test_what_is_not_here_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="connectome fetch larval-fly"):
        wiring.larval_fly()
    with pytest.raises(FileNotFoundError, match="connectome fetch flywire-783"):
        wiring.flywire()
