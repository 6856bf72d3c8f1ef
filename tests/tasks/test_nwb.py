"""NWB files are binned as they say; the sets of the benchmark are cut as its own tools cut them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amphid.interfaces.exports import export_nwb
from amphid.simulation import Recording, Spikes
from amphid.tasks import LATENT_SETS, latent_set, neural_latents, read_nwb
from amphid.wiring import Cells

pynwb = pytest.importorskip("pynwb", reason="the extra nwb is not installed")

UNITS, HELD = 5, (1, 3)
TRIALS, PERIOD = 11, 2.0  # s


def spikes(unit: int) -> np.ndarray:
    """One spike every 10 (unit + 1) ms, in s, from 2.5 ms on."""
    return np.arange(0.0025, TRIALS * PERIOD, 0.01 * (unit + 1))


def a_file(path: Path, write: Callable[[Any], None] = lambda file: None, **columns: Any) -> Path:
    """A file in the layout of the benchmark; velocity is time, and minus time."""
    file = pynwb.NWBFile(
        session_description="made", identifier=path.name,
        session_start_time=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    add_units(file)
    add_trials(file, **columns)
    time = np.arange(0.0, TRIALS * PERIOD, 0.001)
    behavior = file.create_processing_module(name="behavior", description="made")
    behavior.add(
        pynwb.TimeSeries(
            name="hand_vel", data=np.stack((time, -time), 1), unit="m/s", conversion=2.0,
            timestamps=time,
        )
    )  # fmt: skip
    file.add_acquisition(
        pynwb.TimeSeries(name="eye", data=time, unit="m", rate=1000.0, starting_time=0.0)
    )
    write(file)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def add_units(file: Any, held: tuple[int, ...] | None = HELD) -> None:
    if held is not None:
        file.add_unit_column("heldout", "made")
    for unit in range(UNITS):
        more = {} if held is None else {"heldout": unit in held}
        file.add_unit(
            spike_times=spikes(unit), obs_intervals=[[0.0, 15.0], [15.5, TRIALS * PERIOD]], **more
        )


def add_trials(file: Any, **columns: Any) -> None:
    """Movement begins 0.75 s after the start; trials 8 and later are of the split "val"."""
    names = {"split": None, "move_onset_time": None, "trial_type": None, "trial_version": None}
    for name in names | columns:
        file.add_trial_column(name, "made")
    for k in range(TRIALS):
        start = k * PERIOD
        row = {
            "split": "train" if k < 8 else "val", "move_onset_time": start + 0.75,
            "trial_type": k % 2, "trial_version": 0,
        } | {name: values[k] for name, values in columns.items()}  # fmt: skip
        file.add_trial(start_time=start, stop_time=start + 1.5, **row)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nwb") / "000140" / "sub-Made"
    folder.mkdir(parents=True)
    return a_file(folder / "sub-Made_desc-train.nwb")


def test_spikes_are_counted_in_the_bins_that_they_are_in(made: Path) -> None:
    session = read_nwb(made)
    start = np.array([0.0, 1000.0])
    counts = session.counts(start, bins=7, bin=20.0)
    assert counts.shape == (2, 7, UNITS)
    edges = start[:, None] + 20.0 * np.arange(8)
    for unit in range(UNITS):
        by_hand = [np.histogram(1000 * spikes(unit), row)[0] for row in edges]
        np.testing.assert_array_equal(counts[..., unit].numpy(), by_hand)
    assert counts.nansum() == sum(
        ((1000 * spikes(u) >= a) & (1000 * spikes(u) < a + 140)).sum()
        for u in range(UNITS)
        for a in start
    )


def test_a_spike_on_an_edge_belongs_to_the_later_bin(made: Path) -> None:
    counts = read_nwb(made).counts(np.array([-7.5]), bins=3, bin=10.0)
    assert counts[0, :, 0].isnan().tolist() == [True, False, False]
    assert counts[0, 1:, 0].tolist() == [1.0, 1.0]


def test_bins_in_which_nobody_looked_are_nan(made: Path) -> None:
    counts = read_nwb(made).counts(np.array([14_900.0]), bins=7, bin=100.0)
    assert counts[0, :, 0].isnan().tolist() == [False, *[True] * 5, False]


def test_behavior_is_the_mean_over_a_bin(made: Path) -> None:
    session = read_nwb(made)
    assert set(session.series) == {"hand_vel", "eye"}
    assert session.series["hand_vel"].unit == "m/s"
    found = session.behavior("hand_vel", np.array([1000.0]), bins=3, bin=20.0)
    middle = 2.0 * (1.0095 + 0.02 * torch.arange(3.0))
    torch.testing.assert_close(found[0], torch.stack((middle, -middle), 1), rtol=1e-5, atol=0)
    late = session.behavior("eye", np.array([21_990.0]), bins=2, bin=10.0)
    assert late[0, :, 0].isnan().tolist() == [False, True]
    assert set(read_nwb(made, series=("eye",)).series) == {"eye"}
    with pytest.raises(KeyError, match="eye, hand_vel"):
        session.behavior("pupil", np.array([0.0]), bins=2, bin=10.0)


def test_tables_keep_their_columns_and_times_are_milliseconds(made: Path) -> None:
    session = read_nwb(made)
    assert session.units["heldout"].tolist() == [unit in HELD for unit in range(UNITS)]
    assert session.trials["move_onset_time"][3] == pytest.approx(6750.0)
    assert session.trials["split"][-1] == "val"
    with pytest.raises(ValueError, match="bins must be"):
        session.counts(np.array([0.0]), bins=0, bin=10.0)
    with pytest.raises(ValueError, match="start must be"):
        session.counts(np.array([np.nan]), bins=1, bin=10.0)


def test_a_set_of_the_benchmark_is_cut_around_the_movement(made: Path) -> None:
    found = neural_latents("mc_maze_small", made.parent.parent, bin=20.0)
    train, val = found["train"], found["val"]
    assert (len(train), len(val)) == (8, 3)
    assert train.shown.shape == (8, 35, UNITS - len(HELD))
    assert train.hidden.shape == (8, 35, len(HELD))
    assert train.later.shape == (8, 10, UNITS)
    session = read_nwb(made)
    start = 1000 * (0.5 + PERIOD * np.arange(8))
    counts = session.counts(start, bins=45, bin=20.0)
    torch.testing.assert_close(train.shown, counts[:, :35, [0, 2, 4]], equal_nan=True)
    torch.testing.assert_close(train.hidden, counts[:, :35, [1, 3]], equal_nan=True)
    torch.testing.assert_close(train.later, counts[:, 35:, [0, 2, 4, 1, 3]], equal_nan=True)
    first = val.velocity[0, 0, 0]
    assert float(first) == pytest.approx(2.0 * (16.5 + 0.120 + 0.0095), rel=1e-5)
    assert val.condition.tolist() == [0, 1, 0]
    assert val.group.tolist() == [0, 0, 0]


def test_average_responses_are_smoothed_means_over_all_trials(made: Path) -> None:
    psth = neural_latents("mc_maze_small", made, bin=20.0)["val"].psth
    assert psth.shape == (2, 35, UNITS)
    expected = torch.tensor([20.0 / (10 * (unit + 1)) for unit in (0, 2, 4, 1, 3)])
    torch.testing.assert_close(psth.mean((0, 1)), expected, rtol=0.02, atol=0)


def test_spikes_before_the_interval_are_not_scored(tmp_path: Path) -> None:
    start = PERIOD * np.arange(TRIALS)
    columns = dict.fromkeys(("is_eye", "theta", "is_short"), np.ones(TRIALS)) | {
        "ts": np.full(TRIALS, 500.0), "go_time": start + 1.6, "set_time": start + 1.0,
    }  # fmt: skip
    trials = neural_latents("dmfc_rsg", a_file(tmp_path / "a.nwb", **columns), bin=20.0)["train"]
    assert trials.velocity is None
    assert trials.hidden[2, :, 0].isnan().tolist() == [True] * 45 + [False] * 30
    assert not trials.shown[2].isnan().any()


def test_touches_and_reaches_are_decoded_apart(tmp_path: Path) -> None:
    bump = np.array([0, 1] * 5 + [0])
    path = a_file(tmp_path / "a.nwb", ctr_hold_bump=bump, cond_dir=45.0 * bump)
    trials = neural_latents("area2_bump", path, bin=20.0)["train"]
    assert trials.group.tolist() == bump[:8].tolist()
    assert trials.psth.shape[0] == 2


def test_trials_without_their_event_are_left_out(tmp_path: Path) -> None:
    onset = PERIOD * np.arange(TRIALS) + 0.75
    onset[[0, 9]] = np.nan
    found = neural_latents("mc_maze", a_file(tmp_path / "a.nwb", move_onset_time=onset), bin=20.0)
    assert (len(found["train"]), len(found["val"])) == (7, 2)


def test_numbers_and_windows_are_those_of_the_benchmark() -> None:
    assert {own.dandi for own in LATENT_SETS.values()} == {
        "000127", "000128", "000129", "000130", "000138", "000139", "000140",
    }  # fmt: skip
    assert latent_set("mc_maze").lag == 100.0
    assert latent_set("mc_maze_large").published[0].co_bps == 0.1528
    with pytest.raises(KeyError, match="mc_maze_small"):
        latent_set("maze")


def test_a_set_that_is_not_here_tells_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match="dandi download DANDI:000140"):
        neural_latents("mc_maze_small")
    (tmp_path / "000140").mkdir()
    with pytest.raises(FileNotFoundError, match="dandi download DANDI:000140"):
        neural_latents("mc_maze_small")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_nwb(tmp_path / "absent.nwb")


def test_a_set_is_found_by_its_number(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(made.parent.parent.parent))
    assert len(neural_latents("mc_maze_small", bin=20.0)["val"]) == 3
    with pytest.raises(ValueError, match="bin must divide"):
        neural_latents("mc_maze_small", bin=30.0)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_file_that_was_cut_is_a_sentence(made: Path, tmp_path: Path, share: float) -> None:
    content = made.read_bytes()
    path = tmp_path / "cut.nwb"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(OSError, match=r"cut\.nwb"):
        read_nwb(path)


def test_files_in_another_layout_are_a_sentence(made: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no column go_time"):
        neural_latents("dmfc_rsg", made)
    with pytest.raises(OSError, match="not in the layout of mc_rtt"):
        neural_latents("mc_rtt", made, bin=20.0)
    plain = tmp_path / "plain.nwb"
    file = pynwb.NWBFile(
        session_description="made", identifier="plain",
        session_start_time=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    with pynwb.NWBHDF5IO(plain, "w") as io:
        io.write(file)
    with pytest.raises(OSError, match="no table of units"):
        read_nwb(plain)


def test_a_file_whose_answers_nobody_has_is_passed_over(made: Path, tmp_path: Path) -> None:
    file = pynwb.NWBFile(
        session_description="made", identifier="test",
        session_start_time=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    add_units(file, held=())
    with pynwb.NWBHDF5IO(tmp_path / "test.nwb", "w") as io:
        io.write(file)
    with pytest.raises(OSError, match="held out"):
        neural_latents("mc_maze_small", tmp_path)
    (tmp_path / "train.nwb").write_bytes(made.read_bytes())
    assert len(neural_latents("mc_maze_small", tmp_path, bin=20.0)["train"]) == 8
    (tmp_path / "again.nwb").write_bytes(made.read_bytes())
    with pytest.raises(OSError, match="name one of them"):
        neural_latents("mc_maze_small", tmp_path)


def test_a_recording_that_was_exported_is_read_back(tmp_path: Path) -> None:
    spike = torch.rand(31, 2, 3, generator=torch.Generator().manual_seed(5)) > 0.7
    events = Spikes(spike.nonzero().T, tuple(spike.shape), 2.0)
    v = torch.randn(31, 2, 3, generator=torch.Generator().manual_seed(5))
    run = Recording(Cells(["a", "b", "c"]), dt=2.0, fields={"v": v}, events=events)
    path = export_nwb(
        run, tmp_path / "run.nwb", description="noise",
        session_start=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    session = read_nwb(path)
    assert session.trials == {}
    assert session.units["cell"].tolist() == ["a", "b", "c"] * 2
    counts = session.counts(np.array([1.0]), bins=31, bin=2.0)[0]
    order = session.units["trial"].astype(int) * 3 + np.tile(np.arange(3), 2)
    torch.testing.assert_close(counts, spike.flatten(1)[:, order].float())
    assert session.series["v"].values.shape == (31, 6)


def test_without_the_extra_the_install_line_is_told(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'amphid\[nwb\]'"):
        read_nwb(made)
