"""EEG trials are read as the file says, and split into blocks of time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from amphid.models import finger_classifier, window_classifier
from amphid.tasks import FingerMovements

DATA = Path(os.environ.get("AMPHID_DATA", "/nowhere"))


def written(path: Path, *parts: str, first: int = 0, count: int = 23) -> Path:
    """A file whose trials [7, 3, count] say in their first value which one they are."""
    content: dict[str, np.ndarray] = {}
    for part in parts:
        values = np.zeros((7, 3, count))
        values[0, 0] = first + np.arange(count)
        values[1, 2] = 0.5
        content |= {f"x_{part}": values, f"y_{part}": (np.arange(count) % 2).astype(np.uint8)}
    savemat(path, content)
    return path


def numbers(task: FingerMovements, split: str) -> list[int]:
    return task.trials[split][:, 0, 0].long().tolist()


def test_splits_are_blocks_in_the_order_of_the_file(tmp_path: Path) -> None:
    task = FingerMovements(written(tmp_path / "a.mat", "train"), held=5, validation=7)
    assert numbers(task, "train") == list(range(11))
    assert numbers(task, "validation") == list(range(11, 18))
    assert numbers(task, "test") == list(range(18, 23))
    assert task.trials["train"].shape == (11, 3, 7)
    assert task.trials["train"][:, 2, 1].tolist() == [0.5] * 11
    assert task.classes["test"].tolist() == [0, 1, 0, 1, 0]
    assert task.chance == 0.6


def test_test_trials_come_from_the_same_file_the_folder_or_a_file_of_their_own(
    tmp_path: Path,
) -> None:
    known = written(tmp_path / "a.mat", "train")
    (tmp_path / "held").mkdir()
    held = written(tmp_path / "held" / "b.mat", "test", first=100, count=11)
    own = FingerMovements(known, test=held, validation=7)
    assert numbers(own, "test") == list(range(100, 111))
    assert numbers(own, "train") + numbers(own, "validation") == list(range(23))
    named_otherwise = written(tmp_path / "held" / "c.mat", "train", first=200, count=5)
    assert numbers(FingerMovements(known, test=named_otherwise, validation=7), "test") == list(
        range(200, 205)
    )
    both = written(tmp_path / "held" / "d.mat", "train", "test", count=13)
    assert numbers(FingerMovements(both, validation=3), "test") == list(range(13))
    (tmp_path / "held" / "d.mat").unlink()
    (tmp_path / "held" / "c.mat").unlink()
    written(tmp_path / "held" / "a.mat", "train")
    assert numbers(FingerMovements(tmp_path / "held", validation=3), "test") == [*range(100, 111)]


def test_a_trial_that_two_files_hold_counts_once(tmp_path: Path) -> None:
    written(tmp_path / "a.mat", "train", count=11)
    written(tmp_path / "b.mat", "train", count=17)
    task = FingerMovements(tmp_path, held=5, validation=3)
    assert [*numbers(task, "train"), *numbers(task, "validation")] == list(range(12))
    assert numbers(task, "test") == list(range(12, 17))


def test_what_is_not_there_or_foreign_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for path in (None, tmp_path, tmp_path / "none.mat"):
        with pytest.raises(FileNotFoundError, match=r"bbci\.de/competition/ii"):
            FingerMovements(path)
    (tmp_path / "x.mat").write_bytes(b"nothing of that kind" * 20)
    with pytest.raises(OSError, match=r"x\.mat is not a whole MATLAB file"):
        FingerMovements(tmp_path / "x.mat")
    with pytest.raises(OSError, match="as `test`"):
        FingerMovements(written(tmp_path / "t.mat", "test"))
    savemat(tmp_path / "u.mat", {"x_train": np.zeros((7, 3, 5))})
    with pytest.raises(OSError, match="but not y_train"):
        FingerMovements(tmp_path / "u.mat")
    savemat(tmp_path / "u.mat", {"x_train": np.zeros((7, 3, 5)), "y_train": np.arange(5)})
    with pytest.raises(OSError, match="hands 0 and 1"):
        FingerMovements(tmp_path / "u.mat")
    savemat(tmp_path / "u.mat", {"x_train": np.zeros((7, 3, 5)), "y_train": np.zeros(4)})
    with pytest.raises(OSError, match="a hand for each trial"):
        FingerMovements(tmp_path / "u.mat")
    with pytest.raises(ValueError, match="leave some of 23"):
        FingerMovements(written(tmp_path / "a.mat", "train"), held=20, validation=3)


@pytest.mark.skipif(not (DATA / "eeg_bci2_iv").is_dir(), reason="AMPHID_DATA/eeg_bci2_iv not here")
def test_fingers_are_told_from_potentials_and_rhythms() -> None:
    """The sane level of a linear classifier on means of 50 ms is about 74 % in 10 folds."""
    task = FingerMovements()
    assert [len(task.classes[split]) for split in ("train", "validation", "test")] == [200, 40, 76]
    assert len(task.channels) == 28
    trials = torch.cat([task.trials[split] for split in ("train", "validation", "test")])
    classes = torch.cat([task.classes[split] for split in ("train", "validation", "test")])
    assert classes.bincount().tolist() == [159, 157]

    def share(make) -> float:
        right = 0
        for fold in torch.arange(len(classes)).tensor_split(10):
            others = torch.ones(len(classes), dtype=torch.bool)
            others[fold] = False
            model = make().fit(trials[others], classes[others])
            right += int((model(trials[fold]).argmax(-1) == classes[fold]).sum())
        return right / len(classes)

    assert share(window_classifier) > 0.70
    assert share(finger_classifier) > 0.76


@pytest.mark.parametrize("hands", [["left"] * 20, np.zeros(20) * 1j])
def test_hands_that_are_no_numbers_are_refused_in_a_sentence(tmp_path, hands):
    savemat(tmp_path / "a.mat", {"x_train": np.zeros((50, 28, 20)), "y_train": hands})
    with pytest.raises(OSError, match="should hold real numbers as y_train"):
        FingerMovements(tmp_path)
