"""Recordings: choosing cells, and files."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import amphid as am
from amphid.simulation import Recording, Spikes
from amphid.wiring import Cells

CELLS = Cells(["a", "b", "c1", "c2", "c3"], cell_class=["", "", "C", "C", "C"])


def recording(*batch: int, every: int = 2, steps: int = 7) -> Recording:
    generator = torch.Generator().manual_seed(0)
    shape = (steps, *batch, 5)
    spikes = (torch.rand(shape, generator=generator) < 0.3).nonzero().T
    v = torch.randn(steps // every, *batch, 5, generator=generator, dtype=torch.float64)
    return Recording(
        CELLS, 0.5, every, {"v": v, "excitatory.g": v.abs()}, Spikes(spikes, shape, 0.5), ("how",)
    )


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_choosing_cells_keeps_their_columns_in_the_order_asked_for(batch):
    run = recording(*batch)
    some = run["c3", "a"]
    assert some.names.tolist() == ["c3", "a"]
    assert torch.equal(some.v, run.v[..., [4, 0]])
    assert torch.equal(some.spike, run.spike[..., [4, 0]])
    assert torch.equal(run["C"].v, run.v[..., 2:])
    with pytest.raises(KeyError, match="Did you mean 'c1'"):
        run["c11"]


def test_events_tell_when_and_who():
    run = recording()
    dense = run.spike
    for time, cell in zip(run.spikes.time.tolist(), run.spikes.cell.tolist(), strict=True):
        assert dense[round(time / 0.5) - 1, cell] == 1
    assert len(run.spikes) == dense.sum()


def test_what_is_not_recorded_is_named_with_what_is():
    with pytest.raises(AttributeError, match=r"no 'w'; it holds spike \(\d+ events\), v"):
        _ = recording().w


@settings(max_examples=20, deadline=None)
@given(batch=st.lists(st.integers(1, 3), max_size=2), every=st.integers(1, 3))
def test_a_recording_survives_its_file(tmp_path_factory, batch, every):
    run = recording(*batch, every=every)
    back = Recording.load(run.save(tmp_path_factory.mktemp("runs") / "run.h5"))
    assert back.cells == run.cells
    assert (back.dt, back.every, back.notes, back.steps) == (0.5, every, ("how",), 7)
    assert torch.equal(back.v, run.v)
    assert torch.equal(back.fields["excitatory.g"], run.fields["excitatory.g"])
    assert torch.equal(back.spike, run.spike)


def test_a_file_names_its_dimensions_and_units(tmp_path):
    h5py = pytest.importorskip("h5py")
    recording(3).save(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        v = file["fields/v"]
        assert [dim.label for dim in v.dims] == ["time", "batch0", "cell"]
        assert v.attrs["units"] == "mV"
        assert file["fields/excitatory.g"].attrs["units"] == "nS"
        assert file["time"].attrs["units"] == "ms"


def test_a_truncated_file_is_refused_in_a_sentence(tmp_path):
    path = recording().save(tmp_path / "run.h5")
    whole = path.read_bytes()
    for size in np.linspace(0, len(whole) - 1, 23, dtype=int):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cannot be read as a recording"):
            Recording.load(path)


def test_foreign_and_newer_files_are_refused_in_a_sentence(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="HDF5, but no recording"):
        Recording.load(tmp_path / "foreign.h5")
    path = recording().save(tmp_path / "newer.h5")
    with h5py.File(path, "a") as file:
        file.attrs["amphid_recording"] = 99
    with pytest.raises(ValueError, match="upgrade amphid"):
        Recording.load(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        Recording.load(tmp_path / "nowhere.h5")


def test_writing_needs_a_folder_and_a_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"kept as \.h5"):
        recording().save(tmp_path / "run.txt")
    with pytest.raises(FileNotFoundError, match="no folder"):
        recording().save(tmp_path / "nowhere" / "run.h5")


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = recording(steps=7).save(tmp_path / "run.h5")
    before = path.read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("amphid.simulation.recording_file._name_dimensions", fail)
    with pytest.raises(KeyboardInterrupt):
        recording(steps=13).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_worm_recording_can_be_asked_by_class():
    from amphid import dynamics, wiring

    worm = wiring.celegans(signs=wiring.by_transmitter)
    net = am.Network(worm, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses())
    touch = am.pulse(worm, "PLML", "PLMR", amplitude=20.0, duration=50.0, dt=10.0)
    with torch.no_grad():
        run = am.simulate(net, touch, record=("v",))
    assert run["AVB"].names.tolist() == ["AVBL", "AVBR"]
    assert run["PLM"].v[-1].min() > run["AVA"].v[-1].max()
