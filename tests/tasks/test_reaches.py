"""Reaches are read as their files say, counted from 0, from one file or several."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from amphid.tasks import Reach, Reaches, center_out

DATA = Path(os.environ.get("AMPHID_DATA", "/nowhere")) / "motor_center_out"


def rows(*lengths: int, cells: int = 5, bin_size: float = 0.05, **other: Any) -> np.ndarray:
    """Trials of so many bins; cell 0 of a trial counts its bins."""
    names = (
        "target_direction", "bin_size", "idx_go_cue", "idx_trial_end", "pos", "vel", "M1_spikes",
    )  # fmt: skip
    table = np.empty((1, len(lengths)), dtype=[(name, object) for name in names])
    for row, steps in zip(table[0], lengths, strict=True):
        counts = np.zeros((steps, cells), np.uint8)
        counts[:, 0] = np.arange(steps)
        place = np.linspace(0.0, 1.0, 2 * steps).reshape(steps, 2)
        values = {
            "target_direction": 0.5, "bin_size": bin_size, "idx_go_cue": 3,
            "idx_trial_end": steps - 1, "pos": place, "vel": -place, "M1_spikes": counts,
        } | other  # fmt: skip
        for name in names:
            row[name] = values[name]
    return table


def written(path: Path, *lengths: int, **other: Any) -> Path:
    savemat(path, {"trial_data": rows(*lengths, **other)}, do_compression=True)
    return path


def test_indices_of_matlab_count_from_zero_here(tmp_path: Path) -> None:
    reaches = center_out(written(tmp_path / "one.mat", 7, 11, 13))
    assert [(len(r), r.go, r.end) for r in reaches] == [(7, 2, 5), (11, 2, 9), (13, 2, 11)]
    assert reaches.bin == pytest.approx(50.0)
    assert reaches.cells == 5
    first = reaches[0]
    assert first.spikes[first.go, 0] == 2.0
    torch.testing.assert_close(first.velocity, -first.position)
    assert {x.dtype for x in (first.spikes, first.velocity, first.position)} == {torch.float32}


def test_several_files_follow_each_other_in_the_order_of_their_names(tmp_path: Path) -> None:
    second, first = written(tmp_path / "b.mat", 11), written(tmp_path / "a.mat", 7, 13)
    assert [len(r) for r in center_out(tmp_path)] == [7, 13, 11]
    assert [len(r) for r in center_out([second, first])] == [11, 7, 13]
    assert [len(r) for r in center_out(tmp_path)[1:]] == [13, 11]


def test_a_trial_that_two_files_hold_counts_once(tmp_path: Path) -> None:
    part = written(tmp_path / "a.mat", 7, 11)
    whole = written(tmp_path / "b.mat", 7, 11, 13)
    assert [len(r) for r in center_out(tmp_path)] == [7, 11, 13]
    assert [len(r) for r in center_out([whole, part])] == [7, 11, 13]
    other = written(tmp_path / "c.mat", 7, 11, target_direction=0.25)
    assert [r.target for r in center_out([part, other])] == [0.5, 0.5, 0.25, 0.25]


def test_without_a_file_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=r"Set AMPHID_DATA .*fetch motor-center-out"):
        center_out()
    (tmp_path / "motor_center_out").mkdir()
    with pytest.raises(FileNotFoundError, match="no reaches in"):
        center_out()
    with pytest.raises(FileNotFoundError, match="no reaches in"):
        center_out(tmp_path / "absent.mat")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"vel": np.zeros((3, 2))}, "velocity must be"),
        ({"M1_spikes": -np.ones((7, 5))}, "counts"),
        ({"M1_spikes": np.full((7, 5), np.nan)}, "counts"),
        ({"idx_go_cue": 0}, "go and end"),
        ({"idx_trial_end": 99}, "go and end"),
        ({"idx_go_cue": np.nan}, "idx_go_cue should be one number"),
        ({"target_direction": np.zeros(3)}, "target_direction should be one number"),
        ({"pos": "text"}, "does not hold reaches"),
        ({"bin_size": 0.0}, "positive length"),
    ],
)
def test_trials_that_make_no_sense_are_a_sentence(
    tmp_path: Path, other: dict[str, Any], told: str
) -> None:
    with pytest.raises(OSError, match=told):
        center_out(written(tmp_path / "odd.mat", 7, **other))


def test_files_that_differ_are_not_joined(tmp_path: Path) -> None:
    one = written(tmp_path / "a.mat", 7)
    with pytest.raises(ValueError, match="same bins"):
        center_out([one, written(tmp_path / "b.mat", 7, bin_size=0.01)])
    with pytest.raises(ValueError, match="same cells"):
        center_out([one, written(tmp_path / "c.mat", 7, cells=3)])


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0.0, 0.999))
def test_a_file_that_was_cut_is_a_sentence(tmp_path: Path, share: float) -> None:
    path = written(tmp_path / "cut.mat", 7, 11)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(OSError, match=r"cut\.mat is not a whole"):
        center_out(path)


def test_a_foreign_file_is_a_sentence(tmp_path: Path) -> None:
    savemat(tmp_path / "other.mat", {"x": np.arange(3)})
    (tmp_path / "words.mat").write_text("words\n" * 101)
    savemat(tmp_path / "flat.mat", {"trial_data": np.arange(3.0)})
    for name in ("other", "words", "flat"):
        with pytest.raises(OSError, match=f"{name}.mat"):
            center_out(tmp_path / f"{name}.mat")


def test_trials_are_checked_where_they_are_made() -> None:
    flat = torch.zeros(7, 2)
    with pytest.raises(ValueError, match="at least one trial"):
        Reaches((), 50.0)
    with pytest.raises(ValueError, match=r"spikes must be \[T, N\]"):
        Reach(torch.zeros(7), flat, flat, 0.0, 1, 3)


@pytest.mark.skipif(not DATA.is_dir(), reason="AMPHID_DATA does not hold motor_center_out")
def test_the_recorded_reaches_are_what_their_source_counts() -> None:
    reaches = center_out(DATA / "center_out_trials_000_229.mat")
    assert (len(reaches), reaches.cells, reaches.bin) == (230, 84, 50.0)
    assert sum(len(r) for r in reaches) == 17_900
    assert sum(int(r.spikes.sum()) for r in reaches) == 871_399
    assert len({round(r.target, 3) for r in reaches}) == 8
    apart = [(r.position[1:] - r.position[:-1]) / 0.05 - r.velocity[1:] for r in reaches]
    assert torch.cat(apart).abs().mean() < 1.0


def test_no_files_are_refused_in_a_sentence():
    with pytest.raises(FileNotFoundError, match="path names no file"):
        center_out([])
    with pytest.raises(TypeError, match="path must be a file"):
        center_out(3)
