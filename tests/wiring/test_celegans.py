"""The shipped worm against the published numbers."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from amphid.wiring.celegans import (
    COMMAND_INTERNEURONS,
    TOUCH_RECEPTORS,
    celegans,
    celegans_receptors,
)
from amphid.wiring.signs import all_positive

ROOT = Path(__file__).resolve().parents[2]
TABLES = [ROOT / f"src/amphid/wiring/celegans_{name}.csv" for name in ("cells", "connections")]

WORM = celegans()
MUSCLE = WORM.cells.kind == "muscle"

CLASSES = set(
    """
    ADA ADE ADF ADL AFD AIA AIB AIM AIN AIY AIZ ALA ALM ALN AQR AS ASE ASG ASH ASI ASJ ASK AUA AVA
    AVB AVD AVE AVF AVG AVH AVJ AVK AVL AVM AWA AWB AWC BAG BDU CAN CEP DA DB DD DVA DVB DVC FLP HSN
    I1 I2 I3 I4 I5 I6 IL1 IL2 LUA M1 M2 M3 M4 M5 MC MI NSM OLL OLQ PDA PDB PDE PHA PHB PHC PLM PLN
    PQR PVC PVD PVM PVN PVP PVQ PVR PVT PVW RIA RIB RIC RID RIF RIG RIH RIM RIP RIR RIS RIV RMD RME
    RMF RMG RMH SAA SAB SDQ SIA SIB SMB SMD URA URB URX URY VA VB VC VD
    """.split()  # noqa: SIM905
)


def among(kind, *, onto_muscles, from_muscles=False):
    wires = WORM.connections
    ends = (MUSCLE[wires.pre] == from_muscles) & (MUSCLE[wires.post] == onto_muscles)
    return wires.take(ends & getattr(wires, kind))


def test_it_has_302_neurons_and_95_muscles():
    assert len(WORM) == 397
    kinds = {"motor": 123, "inter": 89, "sensory": 83, "polymodal": 5, "unknown": 2, "muscle": 95}
    assert Counter(WORM.cells.kind) == kinds
    assert list(WORM.cells.name[WORM.select("unknown")]) == ["CANL", "CANR"]


def test_its_chemical_connections_are_those_of_cook_2019():
    wires = among("chemical", onto_muscles=False)
    assert (len(wires), wires.synapses.sum()) == (3709, 20965)
    assert (wires.pre == wires.post).sum() == 38
    onto = among("chemical", onto_muscles=True)
    assert (len(onto), onto.synapses.sum()) == (956, 5515)
    assert not among("chemical", onto_muscles=True, from_muscles=True)


def test_its_gap_junctions_are_those_of_cook_2019():
    wires = among("electrical", onto_muscles=False)
    own = wires.pre == wires.post
    assert ((~own).sum(), own.sum()) == (1091, 14)
    symmetric = WORM.subset(*np.flatnonzero(~MUSCLE)).matrix("electrical")
    assert symmetric.sum() == 11523
    assert (symmetric == symmetric.T).all()
    assert len(among("electrical", onto_muscles=True)) == 5


def test_its_muscles_are_coupled_along_their_rows():
    wires = among("electrical", onto_muscles=True, from_muscles=True)
    row = WORM.cells.cell_class
    assert Counter(wires.synapses.tolist()) == {15.0: 95, 2.0: 1}
    assert (row[wires.pre] == row[wires.post]).sum() == 95


@pytest.mark.parametrize(
    ("pre", "post", "sections"),
    [("AVAL", "VA8", 7), ("I1L", "I2L", 10), ("I1L", "M3L", 8), ("ADAL", "AIBL", 2)],
)
def test_single_connections_are_as_published(pre, post, sections):
    assert WORM.matrix()[WORM.index(pre), WORM.index(post)] == sections


def test_no_cell_pair_is_connected_twice_by_one_kind():
    wires = WORM.connections
    pairs = Counter(zip(wires.kind.tolist(), wires.pre.tolist(), wires.post.tolist(), strict=True))
    assert set(pairs.values()) == {1}
    assert (wires.synapses >= 1).all()


def test_no_neuron_is_isolated():
    wires = WORM.connections
    between = wires.take(wires.pre != wires.post)
    assert np.isin(np.flatnonzero(~MUSCLE), [between.pre, between.post]).all()


def test_its_neurons_fall_into_the_118_classes_of_white_1986():
    assert len(CLASSES) == 118
    assert set(WORM.cells.cell_class[~MUSCLE]) == CLASSES
    rows = {"MDL": 24, "MDR": 24, "MVL": 23, "MVR": 24}
    assert Counter(WORM.cells.cell_class[MUSCLE]) == rows


def test_every_name_starts_with_its_class():
    cells = WORM.cells
    rests = {
        name.removeprefix(of) for name, of in zip(cells.name, cells.cell_class, strict=True) if of
    }
    sides = {"", "L", "R", "D", "V", "DL", "DR", "VL", "VR"}
    assert rests - sides <= {f"{n:02}" for n in range(1, 25)} | {str(n) for n in range(1, 14)}


@pytest.mark.parametrize(
    ("name", "cell_class"),
    [
        *[(name, name) for name in ("AVL", "DVA", "RID", "RIS", "PVT", "ALA", "AVM", "AQR", "PVR")],
        ("AVAL", "AVA"),
        ("ASER", "ASE"),
        ("AS11", "AS"),
        ("VB2", "VB"),
        ("IL1DL", "IL1"),
        ("IL1L", "IL1"),
        ("IL2VR", "IL2"),
        ("SMBDL", "SMB"),
        ("RMED", "RME"),
        ("RMDVL", "RMD"),
        ("SABD", "SAB"),
        ("MCL", "MC"),
    ],
)
def test_its_cells_know_their_class(name, cell_class):
    assert WORM.cells.cell_class[WORM.index(name)] == cell_class


def test_the_gaba_neurons_are_the_classical_26_and_those_of_the_atlas():
    classical = [*WORM.select("DD", "VD", "RME", "AVL", "DVB", "RIS")]
    assert len(classical) == 26
    first = [text.split("; ")[0] == "GABA" for text in WORM.cells.transmitter]
    assert set(np.flatnonzero(first)) == {*classical, *WORM.select("RIB", "AVJ", "ALA")}
    beside = [text == "acetylcholine; GABA" for text in WORM.cells.transmitter]
    assert set(np.flatnonzero(beside)) == {*WORM.select("SMD")}


def test_transmitters_have_known_names_and_18_neurons_have_none():
    known = {"acetylcholine", "glutamate", "GABA", "betaine"}
    known |= {"dopamine", "serotonin", "octopamine", "tyramine"}
    named = [text.split("; ") for text in WORM.cells.transmitter if text]
    assert {name for texts in named for name in texts} == known
    assert all(len(set(texts)) == len(texts) for texts in named)
    assert (WORM.cells.transmitter[~MUSCLE] == "").sum() == 18
    assert (WORM.cells.transmitter[MUSCLE] == "").all()


@pytest.mark.parametrize(
    ("cell_class", "transmitter"),
    [
        ("VB", "acetylcholine"),
        ("AWC", "glutamate"),
        ("CEP", "dopamine"),
        ("NSM", "serotonin; betaine"),
        ("RIC", "octopamine; glutamate"),
        ("RIM", "glutamate; tyramine; betaine"),
        ("AIM", "glutamate"),  # takes serotonin up but cannot load it into vesicles
        ("AVF", ""),  # takes GABA up but has no vesicular transporter for it
        ("PVW", ""),  # serotonin in males alone
    ],
)
def test_transmitters_follow_the_atlas(cell_class, transmitter):
    assert set(WORM.cells.transmitter[WORM.select(cell_class)]) == {transmitter}


def test_neurons_have_a_position_and_muscles_none():
    assert np.isfinite(WORM.cells.position[~MUSCLE]).all()
    assert np.isnan(WORM.cells.position[MUSCLE]).all()
    x, y, z = WORM.cells.position[WORM.select("CEPDL", "CEPDR", "CEPVL", "PLML")].T
    assert x[0] > x[1]
    assert y[3] > y[0] + 600
    assert z[0] > z[2]


def test_without_a_rule_no_sign_is_known():
    assert not WORM.connections.sign.any()


def test_with_a_rule_the_signs_are_those_of_the_rule():
    signed = celegans(signs=all_positive)
    assert signed == WORM.signed(all_positive)
    assert (signed.connections.sign == WORM.connections.chemical).all()
    assert not celegans().connections.sign.any()


def test_it_says_where_it_comes_from():
    assert WORM.name == "celegans"
    text = " ".join(WORM.references)
    for doi in ("10.1038/s41586-019-1352-7", "10.7554/eLife.95402", "10.1098/rstb.2017.0379"):
        assert doi in text


def test_the_groups_name_classes_of_the_worm():
    assert len(WORM.select(*TOUCH_RECEPTORS)) == 6
    assert len(WORM.select(*COMMAND_INTERNEURONS)) == 10


def test_receptors_are_given_for_its_own_cells():
    receptors = celegans_receptors()
    assert set(receptors) == set(WORM.cells.name)
    assert {"GLC-3", "ACR-14"} <= receptors["AIYL"]
    assert {"UNC-29", "UNC-49"} <= receptors["MDL08"]
    assert sum(bool(receptors[name]) for name in WORM.cells.name[~MUSCLE]) == 264
    with pytest.raises(TypeError):
        receptors["AIYL"] = frozenset()


def test_its_tables_are_small_enough_to_ship():
    assert sum(path.stat().st_size for path in TABLES) < 200_000


@pytest.mark.reference
def test_the_script_makes_the_shipped_bytes(tmp_path):
    data = os.environ.get("AMPHID_DATA")
    if data is None or importlib.util.find_spec("cect") is None:
        pytest.skip("needs `pip install cect==0.3.5` and AMPHID_DATA with celegans_anatomy")
    positions = Path(data) / "celegans_anatomy" / "c302_positions.csv"
    script = [sys.executable, "-W", "ignore", ROOT / "scripts/make_celegans.py"]
    subprocess.run([*script, "--positions", positions, "--out", tmp_path], check=True)
    for table in TABLES:
        assert (tmp_path / table.name).read_bytes() == table.read_bytes()
