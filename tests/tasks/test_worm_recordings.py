"""Recordings of worms are read whole, named as the wiring names them, and prepared causally."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amphid.tasks import (
    WormRecording,
    calibrated,
    common_cells,
    high_passed,
    running_mean,
    worm_recordings,
)
from amphid.tasks.worm_recordings import check_apart
from amphid.wiring import celegans

FRAMES, CELLS = 31, 7
HERE = "the recordings of worms are not on this machine"
DAYS = ("07-26-31", "07-26-38", "07-27-31", "07-27-38", "07-27-45", "08-02-38")
SIX = [f"2022-{day}" for day in DAYS]
COMMON = [42, 75, 96, 106, 139]  # names in 6, 5, 4, 3, 1 of them


def write(folder: Path, name: str, *, trace: str = "trace_array_original", seed: int = 0) -> Path:
    """A made-up animal in the layout of the published files."""
    draw = np.random.default_rng(seed)
    path = folder / f"{name}-data.h5"
    with h5py.File(path, "w") as file:
        file[f"gcamp/{trace}"] = draw.normal(size=(FRAMES, CELLS))
        file["behavior/velocity"] = draw.normal(size=FRAMES)
        file["behavior/reversal_vec"] = (draw.random(FRAMES) < 0.3).astype(int)
        file["timing/timestamp_confocal"] = 100.0 + 0.6 * np.arange(FRAMES)
    return path


def label(folder: Path, animal: str, columns: dict[int, tuple[str, float]], name: str = "") -> None:
    told = {str(k): {"label": cell, "confidence": sure} for k, (cell, sure) in columns.items()}
    (folder / f"neuropal_labels{name}.json").write_text(json.dumps({animal: told}))


def test_columns_get_the_names_of_the_wiring(tmp_path):
    write(tmp_path, "a")
    columns = {1: ("VB02", 3), 2: ("RMF?", 5), 4: ("AVAL", 2), 6: ("AVAL", 4), 7: ("glia", 5)}
    label(tmp_path, "a", columns)
    (worm,) = worm_recordings(tmp_path)
    assert worm.cells == ("VB2", None, None, None, None, "AVAL", None)
    assert worm.named == {"VB2": 0, "AVAL": 5}
    assert worm.interval == pytest.approx(600.0)


def test_any_file_that_is_put_there_is_an_animal_with_or_without_names(tmp_path):
    write(tmp_path, "b", trace="trace_array", seed=1)
    write(tmp_path, "a")
    label(tmp_path, "b", {3: ("AIBL", 3)})
    (tmp_path / "new.hdf5").write_bytes(write(tmp_path, "a").read_bytes())
    label(tmp_path, "new", {2: ("AVER", 3)}, name="_of_mine")
    first, second, third = worm_recordings(tmp_path)
    assert [one.name for one in (first, second, third)] == ["a", "b", "new"]
    assert not first.named
    assert common_cells([second, third]) == ()
    assert common_cells([second, third, first], least=1) == ("AIBL", "AVER")
    assert first.activity.dtype == torch.float32
    assert first.reversal.dtype == torch.bool


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "gcamp/trace_array_original",
            np.nan,
            "in frame 5 and 2 more no cell is known",
        ),
        (
            "behavior/reversal_vec",
            np.nan,
            "reversal_vec should be known in all frames",
        ),
        ("timing/timestamp_confocal", np.inf, "timestamp_confocal should be known in all frames"),
    ],
)
def test_frames_without_cells_labels_or_times_are_told(tmp_path, key, value, told):
    with h5py.File(write(tmp_path, "a"), "r+") as file:
        column = file[key][()].astype(float)
        column[5:8] = value
        del file[key]
        file[key] = column
    with pytest.raises(OSError, match=told):
        worm_recordings(tmp_path)


def test_an_animal_that_is_there_twice_is_not_learned_from_and_held_out(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path, name, seed=ord(name))
    (tmp_path / "copied.hdf5").write_bytes((tmp_path / "b-data.h5").read_bytes())
    with pytest.raises(ValueError, match="b and copied are one animal"):
        check_apart(worm_recordings(tmp_path))
    whole, other = worm_recordings(tmp_path)[:2]
    rest = other.velocity[:-5], other.reversal[:-5], other.interval
    cut = type(other)("cut", other.activity[:-5, 1:], other.cells[1:], *rest)
    check_apart([whole, cut])
    with pytest.raises(ValueError, match="b and cut are one animal"):
        check_apart([whole, other, cut])
    with pytest.raises(ValueError, match="b is there twice"):
        check_apart([worm_recordings(tmp_path)[1]] * 2)


def test_a_cell_with_gaps_is_left_out(tmp_path):
    with h5py.File(write(tmp_path, "a"), "r+") as file:
        file["gcamp/trace_array_original"][5, 2] = np.nan
    label(tmp_path, "a", {3: ("AIBL", 3), 4: ("AIBR", 3)})
    (worm,) = worm_recordings(tmp_path)
    assert worm.activity.shape == (FRAMES, CELLS - 1)
    assert worm.named == {"AIBR": 2}


def test_a_folder_without_animals_and_damaged_files_are_sentences(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recording of a worm"):
        worm_recordings(tmp_path)
    whole = write(tmp_path, "a")
    label(tmp_path, "a", {CELLS + 1: ("AIBL", 3)})
    with pytest.raises(OSError, match=r"its labels name column 8 of 7\.$"):
        worm_recordings(tmp_path)
    (tmp_path / "neuropal_labels.json").write_text("[1]")
    with pytest.raises(OSError, match="holds no labels"):
        worm_recordings(tmp_path)
    (tmp_path / "neuropal_labels.json").unlink()
    with h5py.File(whole, "r+") as file:
        del file["behavior/velocity"]
        file["behavior/velocity"] = np.zeros(3)
    with pytest.raises(OSError, match="velocity should have 31 entries"):
        worm_recordings(tmp_path)
    whole.write_bytes(b"not this")
    with pytest.raises(OSError, match="cannot be read as a recording of a worm"):
        worm_recordings(tmp_path)


def test_a_recording_says_what_does_not_fit():
    activity, frames = torch.zeros(5, 3), torch.zeros(5)
    with pytest.raises(ValueError, match="a name, or None, for each"):
        WormRecording("a", activity, ("AVAL",), frames, frames > 0, 600.0)
    with pytest.raises(ValueError, match="reversal must be"):
        WormRecording("a", activity, (None,) * 3, frames, frames[1:] > 0, 600.0)


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@settings(deadline=None)
@given(now=st.integers(11, 30), scale=st.floats(0.1, 9.0), shift=st.floats(-5.0, 5.0))
def test_no_later_frame_and_no_unit_matters(now: int, scale: float, shift: float) -> None:
    """What stands at a frame behind calibration is the same whatever follows it."""
    activity = seeded(31, 3)
    whole = high_passed(calibrated(activity, calibration=11), frames=7)
    changed = torch.cat([activity[: now + 1], seeded(30 - now, 3) * 5 + 2]) * scale + shift
    other = high_passed(calibrated(changed, calibration=11), frames=7)
    torch.testing.assert_close(whole[: now + 1], other[: now + 1])


def test_the_frames_of_calibration_are_standardized_and_values_clipped():
    scaled = calibrated(seeded(31, 3), calibration=11)
    torch.testing.assert_close(scaled[:11].mean(0), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(scaled[:11].std(0), torch.ones(3, dtype=torch.float64))
    assert calibrated(seeded(31, 3) * 9, calibration=11, clip=0.5).abs().max() == 0.5
    assert not calibrated(torch.ones(31, 3), calibration=11).any()


def test_the_running_mean_is_that_of_the_frames_so_far():
    activity = seeded(31, 3)
    for frames in (1, 7, 31):
        mean = running_mean(activity, frames=frames)
        for t in (0, 3, 6, 7, 30):
            expected = activity[max(0, t + 1 - frames) : t + 1].mean(0)
            torch.testing.assert_close(mean[t], expected)


@pytest.mark.parametrize("calibration", [1, 32])
def test_a_wrong_number_of_frames_is_a_sentence(calibration):
    with pytest.raises(ValueError, match=r"calibration must be (2 to T frames|at least 2)"):
        calibrated(seeded(31, 3), calibration=calibration)
    with pytest.raises(ValueError, match="clip must be"):
        calibrated(seeded(31, 3), calibration=7, clip=0.0)


def published() -> tuple[WormRecording, ...]:
    try:
        return worm_recordings()
    except FileNotFoundError:
        pytest.skip(HERE)


def test_the_published_animals_are_read_with_their_names():
    worms = {one.name: one for one in published()}
    six = [worms[name] for name in SIX]
    assert all(set(one.named) <= set(celegans().cells.name) for one in six)
    assert [one.activity.shape[1] for one in six] == [146, 141, 145, 135, 140, 139]
    assert [len(common_cells(six, least)) for least in (6, 5, 4, 3, 1)] == COMMON
    for one in six:
        assert 0.1 < one.reversal.float().mean() < 0.24
        assert one.velocity[one.reversal].mean() < 0 < one.velocity[~one.reversal].mean() + 0.01


def test_times_that_stand_still_and_arrays_are_refused_in_a_sentence(tmp_path):
    path = write(tmp_path, "a")
    with h5py.File(path, "r+") as file:
        file["timing/timestamp_confocal"][...] = 0.0
    with pytest.raises(OSError, match="interval between frames, in ms, must be positive"):
        worm_recordings(tmp_path)
    still = torch.zeros(11)
    with pytest.raises(TypeError, match="activity must be a tensor of floats, got ndarray"):
        WormRecording("a", np.zeros((11, 1)), ("AVAL",), still, still > 0, 600.0)
    with pytest.raises(TypeError, match="reversal must be a tensor of bool"):
        WormRecording("a", torch.zeros(11, 1), ("AVAL",), still, still, 600.0)
    with pytest.raises(TypeError, match="recordings must be a list of WormRecording"):
        common_cells("AVAL")
    with pytest.raises(TypeError, match="activity must be a tensor of floats"):
        calibrated(torch.zeros(11, 3, dtype=torch.long))
