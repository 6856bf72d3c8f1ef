"""Exports: read back, they are what was recorded."""

import builtins
import csv
import warnings
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from amphid.interfaces.exports import export_csv, export_nwb, export_spikes
from amphid.simulation import Recording, Spikes, stimulus_from_file
from amphid.wiring import Cells, Connections, Connectome

NAMES = ["a", 'b "quoted", with comma', "c", "émile", "e"]
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def recording(*batch, steps=31, every=3):
    generator = torch.Generator().manual_seed(7)
    spike = torch.rand(steps, *batch, 5, generator=generator) > 0.8
    v = torch.randn(steps // every, *batch, 5, generator=generator)
    return Recording(
        Cells(NAMES, kind="inter", cell_class=["A", "B", "A", "B", ""], position=[[1.0, 2, 3]] * 5),
        dt=0.1,
        every=every,
        fields={"v": v, "excitatory.g": v.abs(), "release": v.sigmoid()},
        events=Spikes(spike.nonzero().T, tuple(spike.shape), 0.1),
    )


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def nwb():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what pynwb imports
        return pytest.importorskip("pynwb", reason="needs pynwb")


def test_a_table_holds_every_value_exactly(tmp_path):
    run = recording()
    header, *body = rows(export_csv(run, tmp_path / "v.csv"))
    assert header == ["time (ms)", *NAMES]
    table = np.array(body, dtype=float)
    np.testing.assert_allclose(table[:, 0], run.time, rtol=1e-9)
    np.testing.assert_array_equal(table[:, 1:].astype(np.float32), run.v.numpy())


def test_a_table_of_a_batch_names_the_trial(tmp_path):
    run = recording(2, 3)
    header, *body = rows(export_csv(run, tmp_path / "g.csv", field="excitatory.g"))
    assert header[:2] == ["trial", "time (ms)"]
    table = np.array(body, dtype=float).reshape(6, 10, 7)
    assert (table[..., 0] == np.arange(6)[:, None]).all()
    expected = run.fields["excitatory.g"].flatten(1, 2).movedim(1, 0)
    np.testing.assert_array_equal(table[..., 2:].astype(np.float32), expected)


def test_a_table_of_currents_is_a_stimulus_again(tmp_path):
    run = recording()
    wires = Connectome(run.cells, Connections())
    again = stimulus_from_file(wires, export_csv(run, tmp_path / "i.csv"), dt=0.3)
    torch.testing.assert_close(again.dense().float(), run.v)


@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
def test_a_table_of_spikes_holds_every_event(tmp_path, batch):
    run = recording(*batch)
    header, *body = rows(export_spikes(run, tmp_path / "spikes.csv"))
    assert header == ["time_ms", "cell", "trial"][: 2 + bool(batch)]
    dense = torch.zeros(31, 6 if batch else 1, 5)
    assert all(len(time) <= 3 for time, *_ in body)  # 0.3, not 0.30000001
    for time, cell, *trial in body:
        step = round(float(time) / 0.1) - 1
        dense[step, int(trial[0]) if trial else 0, NAMES.index(cell)] += 1
    torch.testing.assert_close(dense.reshape(run.spike.shape), run.spike)


@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
def test_nwb_reads_back_as_it_was_recorded(tmp_path, batch):
    pynwb, run = nwb(), recording(*batch)
    path = export_nwb(
        run, tmp_path / "run.nwb", description="noise", session_start=START, identifier="x-1"
    )
    assert not pynwb.validate(path=str(path))
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert (file.identifier, file.session_description) == ("x-1", "noise")
        assert file.session_start_time == START
        series = file.processing["simulation"]["v"]
        flat = run.v.flatten(1, 2) if batch else run.v
        np.testing.assert_array_equal(series.data[:], flat)
        assert (series.unit, series.conversion) == ("volts", 1e-3)
        times = series.starting_time + np.arange(len(series.data)) / series.rate
        np.testing.assert_allclose(times * 1000, run.time)
        assert file.processing["simulation"]["excitatory.g"].conversion == 1e-9
        cells = file.processing["simulation"]["cells"]
        assert list(cells["cell"][:]) == NAMES
        np.testing.assert_array_equal(cells["z"][:], [3.0] * 5)
        check_units(file.units, run)


def check_units(units, run):
    spike = run.spike.reshape(31, -1, 5)
    assert len(units) == spike[0].numel()
    for row in range(len(units)):
        trial, cell = int(units["trial"][row]), NAMES.index(units["cell"][row])
        steps = spike[:, trial, cell].nonzero()[:, 0] + 1
        np.testing.assert_allclose(units["spike_times"][row], steps.double() * 1e-4)


def test_nwb_of_voltages_alone_has_no_units(tmp_path):
    pynwb = nwb()
    run = Recording(Cells(["a"]), dt=1.0, fields={"v": torch.zeros(3, 1)})
    path = export_nwb(run, tmp_path / "run.nwb", description="rest", session_start=START)
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert file.units is None
        assert len(file.identifier) == 36


@pytest.mark.parametrize(
    ("write", "error", "sentence"),
    [
        (lambda run, at: export_csv(run, at / "v.txt"), ValueError, "end in .csv, got 'v.txt'"),
        (lambda run, at: export_csv(run, at / "no" / "v.csv"), FileNotFoundError, "no folder"),
        (lambda run, at: export_csv(run, at / "v.csv", field="u"), ValueError, "no 'u' to write"),
        (lambda run, at: export_spikes(run["a"], at / "s.txt"), ValueError, "end in .csv"),
        (
            lambda run, at: export_spikes(Recording(run.cells, dt=1.0), at / "s.csv"),
            ValueError,
            r"no spikes: simulate\(\.\.\., record=",
        ),
        (
            lambda run, at: export_nwb(
                run, at / "r.nwb", description="", session_start=datetime(2026, 1, 2)
            ),
            ValueError,
            "session_start needs a time zone",
        ),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path, write, error, sentence):
    with pytest.raises(error, match=sentence):
        write(recording(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("old")
    run = recording()
    broken = replace(run, every=10)  # more samples than times
    with pytest.raises(ValueError, match="longer"):
        export_csv(broken, path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.csv"]


def test_without_pynwb_the_install_line_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pynwb"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'amphid\[nwb\]'"):
        export_nwb(recording(), tmp_path / "r.nwb", description="", session_start=START)
