"""Digits are read as their files say, split without overlap, and scored with an interval."""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from amphid.tasks import (
    Batches,
    Digits,
    FingerMovements,
    Score,
    SpikeReplication,
    Task,
    WormBehavior,
    WormForecast,
    accuracy,
    read_idx,
)

DATA = Path(os.environ.get("AMPHID_DATA", "/nowhere"))
TASKS = [Digits, FingerMovements, SpikeReplication, WormForecast, WormBehavior]


def idx(values: np.ndarray, kind: int = 0x08) -> bytes:
    head = bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with 23 images to learn from and 11 to be tested on; pixel 0 is a number."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for which, count, first in (("train", 23, 0), ("t10k", 11, 100)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0] = first + np.arange(count)
        labels = (np.arange(count) % 7).astype(np.uint8)
        (folder / f"{which}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{which}-labels-idx1-ubyte").write_bytes(idx(labels))
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    return folder


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    kind=st.sampled_from([(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4")]),
    packed=st.booleans(),
)
def test_an_idx_file_of_any_shape_is_read_back(
    tmp_path: Path, shape: list[int], kind: tuple[int, str], packed: bool
) -> None:
    values = np.arange(math.prod(shape)).reshape(shape).astype(kind[1])
    content = idx(values, kind[0])
    path = tmp_path / "values.idx"
    path.write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_idx(path).numpy(), values)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), packed=st.booleans())
def test_a_truncated_idx_file_is_a_sentence_wherever_it_was_cut(
    tmp_path: Path, data: st.DataObject, packed: bool
) -> None:
    content = idx(np.arange(30, dtype=np.uint8).reshape(5, 3, 2))
    content = gzip.compress(content) if packed else content
    path = tmp_path / "cut.idx"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(OSError, match=r"cut\.idx (is|should)"):
        read_idx(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=40))
def test_foreign_bytes_are_an_array_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.idx"
    path.write_bytes(content)
    found, said = None, ""
    try:
        found = read_idx(path)
    except OSError as error:
        said = str(error)
    assert (found is None) == ("foreign.idx is" in said)
    assert found is None or (content[:2] == b"\0\0" and found.numel() <= len(content))


def test_a_file_with_bytes_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.idx"
    path.write_bytes(idx(np.zeros(5, np.uint8)) + b"\1")
    with pytest.raises(OSError, match="too long: its header says shape"):
        read_idx(path)


def test_no_image_is_in_two_splits_and_the_test_files_are_the_test(small: Path) -> None:
    for generator in (None, draw(3)):
        task = Digits(13, validation=7, generator=generator)
        seen = {split: set(images[:, 0, 0].tolist()) for split, images in task.images.items()}
        assert [len(found) for found in seen.values()] == [13, 7, 11]
        assert not seen["train"] & seen["validation"]
        assert seen["test"] == set(range(100, 111))
        for split, images in task.images.items():
            numbers = images[:, 0, 0].long() - (100 if split == "test" else 0)
            torch.testing.assert_close(numbers % 7, task.labels[split])


def test_the_same_seed_splits_alike_and_another_does_not(small: Path) -> None:
    one, two, other = (Digits(13, validation=7, generator=draw(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.images["train"], two.images["train"])
    assert not torch.equal(one.images["train"], other.images["train"])


def test_images_come_as_floats_from_nought_to_one(small: Path) -> None:
    (images, labels), *_ = Digits(13, validation=7).batches("train", size=5)
    assert images.dtype == torch.float32
    assert images.shape == (5, 28, 28)
    torch.testing.assert_close(images[:, 0, 0], torch.arange(5) / 255.0)
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_batches_are_shuffled_anew_each_epoch_and_again_the_same_with_the_seed(small: Path) -> None:
    def epochs(seed: int) -> list[list[int]]:
        batches = Digits(13, validation=7).batches("train", size=5, generator=draw(seed))
        assert len(batches) == 3
        return [
            [round(255 * value) for x, _ in batches for value in x[:, 0, 0].tolist()]
            for _ in range(2)
        ]

    first, second = epochs(3)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(13))
    assert epochs(3) == [first, second]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"samples": 24}, "samples must be 1 to 16"),
        ({"samples": 0}, "samples must be"),
        ({"validation": 23}, "validation must be a number of the 23"),
        ({"validation": -1}, "validation must be"),
    ],
)
def test_more_images_than_there_are_is_a_sentence(
    small: Path, given: dict[str, int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Digits(**{"validation": 7, **given})


def test_files_that_do_not_belong_together_are_refused(small: Path) -> None:
    (small / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(10, np.uint8)))
    with pytest.raises(OSError, match="a label of one byte for each of 11 images"):
        Digits(validation=7)
    (small / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(11, 10, np.uint8)))
    with pytest.raises(OSError, match="labels from 0 to 9"):
        Digits(validation=7)
    (small / "t10k-images-idx3-ubyte.gz").write_bytes(idx(np.zeros((11, 27, 28), np.uint8)))
    with pytest.raises(OSError, match=r"images \[B, 28, 28\]"):
        Digits(validation=7)


def test_absent_digits_name_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="amphid connectome fetch mnist"):
        Digits()


class Reads(nn.Module):
    """Answers with the digit that the first pixel says, over time or not."""

    def __init__(self, steps: int = 0) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        answer = nn.functional.one_hot((images[:, 0, 0] * 255 - 100).round().long() % 7, 10).float()
        return answer.expand(self.steps, -1, -1) if self.steps else answer


def test_a_perfect_model_scores_one_and_a_constant_one_scores_chance(small: Path) -> None:
    task = Digits(validation=7)
    for steps in (0, 3):
        model = Reads(steps)
        assert float(task.score(model)) == 1.0
        assert model.training

    class Same(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.eye(10)[:1].expand(len(images), -1)

    assert task.score(Same()).value == task.chance == 2 / 11


def test_wilson_covers_and_stays_within_bounds() -> None:
    """For 8 of 10: 0.490 to 0.943; no error does not mean no doubt."""
    score = Score.of(8, 10)
    assert (score.low, score.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert Score.of(10, 10).high == 1.0
    assert Score.of(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert Score.of(0, 10).low == 0.0
    with pytest.raises(ValueError, match="0 to samples"):
        Score.of(11, 10)


def test_outputs_of_a_wrong_shape_are_a_sentence() -> None:
    batches = Batches(torch.zeros(5, 3), torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"outputs must be \[B, classes\]"):
        accuracy(nn.Flatten(0), batches)
    with pytest.raises(ValueError, match="at least one example"):
        accuracy(nn.Identity(), [])


def test_every_task_is_in_the_list() -> None:
    assert set(Task.__subclasses__()) == set(TASKS)
    for task in TASKS:
        assert task.name
        assert task.question
        assert all(r.source for r in task.reference)


@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="AMPHID_DATA/mnist is not here")
def test_the_digits_are_the_published_ones() -> None:
    task = Digits()
    assert [len(task.labels[split]) for split in task.labels] == [55_000, 5000, 10_000]
    assert task.chance == 0.1135
    assert task.labels["train"][:5].tolist() == [5, 0, 4, 1, 9]
