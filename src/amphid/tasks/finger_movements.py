"""Which hand is about to move a finger? Electroencephalograms of one subject."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.tasks.batches import Batches
from amphid.tasks.task import Reference, Score, Split, Task, accuracy, over_time
from amphid.wiring.data import checked_path, data_folder

FOLDER = "eeg_bci2_iv"
ADDRESS = "bbci.de/competition/ii"
PARTS = ("train", "test")
AT_ONCE = 500  # trials that are scored together


@final
class FingerMovements(Task):
    """Which hand is about to type? 500 ms of EEG that end 130 ms before a key press.

    BCI Competition II, data set IV: one subject, self-paced typing, 28 channels, 100 Hz. trials
    [split] is [B, 28, 50] in microvolt, classes[split] [B], 0 left and 1 right; `channels` are
    their names.

    path: a MATLAB file with `x_train` [50, 28, trials] and `y_train`, or a folder of them;
    `AMPHID_DATA`/eeg_bci2_iv when None. test: a file, or folder, with the trials of the test, under
    `x_test` and `y_test`, else `x_train` and `y_train`. When None they are those called `x_test` at
    `path`; without any, the last `held` trials of `path` are the test. validation: trials kept for
    choosing settings, the last before those. Splits are blocks in the order of the file, so that
    neighbors in time are never on both sides.

    The winner's figure on the unpublished test trials is not known here first hand, so no reference
    is printed.

    Raises FileNotFoundError, with the address, where there is no file; OSError for a foreign or
    damaged one; ValueError for more trials than there are.
    Reference: Blankertz, Curio and Mueller 2002, Advances in Neural Information Processing 14.
    """

    name: ClassVar[str] = "finger-movements"
    question: ClassVar[str] = "Which hand is about to move a finger?"
    reference: ClassVar[tuple[Reference, ...]] = ()

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        test: str | os.PathLike[str] | None = None,
        held: int = 76,
        validation: int = 40,
    ) -> None:
        found = _read(_files(path))
        tests = found if test is None else _read(_files(test))
        own = tests.get("test", None if test is None else tests.get("train"))
        if "train" not in found:
            raise OSError(
                f"{path} holds no x_train to learn from: give a file of test trials as `test`."
            )
        blocks = _blocks(found["train"], own, held, validation)
        self.trials = {split: trials.values for split, trials in blocks.items()}
        self.classes = {split: trials.classes for split, trials in blocks.items()}
        self.channels = found["train"].channels

    @property
    def chance(self) -> float:
        """The share of the test trials that are of the more frequent hand."""
        return float(self.classes["test"].bincount().max()) / len(self.classes["test"])

    def batches(
        self, split: Split, *, size: int = 64, generator: torch.Generator | None = None
    ) -> Batches:
        """Pairs (trials [B, 28, 50] in microvolt, hands [B]) of a split."""
        if split not in self.trials:
            raise KeyError(f"split must be one of {', '.join(self.trials)}, got {split!r}.")
        return Batches(self.trials[split], self.classes[split], size, generator)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of outputs [B, 2], or of [T, B, 2] summed over time, in nats."""
        return functional.cross_entropy(over_time(outputs, targets), targets)

    def score(self, model: nn.Module, split: Split = "test") -> Score:
        """Share of trials whose hand gets the larger output, with its 95 % interval."""
        return accuracy(model, self.batches(split, size=AT_ONCE))


class Trials(NamedTuple):
    """Trials [B, C, T] in microvolt, the hand [B] of each, and names of channels, if known."""

    values: Tensor
    classes: Tensor
    channels: tuple[str, ...]

    def part(self, first: int, end: int) -> Trials:
        """Those from the first to the one before the end."""
        return Trials(self.values[first:end], self.classes[first:end], self.channels)


def _files(path: str | os.PathLike[str] | None) -> list[Path]:
    """The MATLAB files at a path, in the order of their names."""
    try:
        place = data_folder(FOLDER) if path is None else checked_path("path", path)
    except FileNotFoundError:
        raise FileNotFoundError(_absent("AMPHID_DATA and the cache")) from None
    found = sorted(place.glob("*.mat")) if place.is_dir() else [place]
    if not found or not all(file.is_file() for file in found):
        raise FileNotFoundError(_absent(str(place)))
    return found


def _absent(place: str) -> str:
    return (
        f"There are no EEG trials in {place}. BCI Competition II, data set IV, is at {ADDRESS}, "
        f"which asks for a name: save its MATLAB file in the folder {FOLDER} under AMPHID_DATA, or "
        "name it as `path`."
    )


def _read(files: Sequence[Path]) -> dict[str, Trials]:
    """All trials to learn from and to be tested on, by what the files call them."""
    found: dict[str, list[Trials]] = {}
    for file in files:
        content = _content(file)
        for part in PARTS:
            if f"x_{part}" in content:
                found.setdefault(part, []).append(_trials(content, part, file))
    if not found:
        raise OSError(f"{files[0]} should hold x_train and y_train, or x_test and y_test.")
    return {part: _joined(several, files[0]) for part, several in found.items()}


def _content(file: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(str(file), squeeze_me=False)
    except Exception as error:  # scipy raises whatever the damaged bytes lead it to
        raise OSError(f"{file} is not a whole MATLAB file ({error}).") from None
    return content


def _trials(content: dict[str, Any], part: str, file: Path) -> Trials:
    values = torch.as_tensor(_numbers(content[f"x_{part}"], f"x_{part}", file)).float()
    if f"y_{part}" not in content:
        raise OSError(f"{file} holds x_{part}, but not y_{part}, the hand of each trial.")
    classes = torch.as_tensor(_numbers(content[f"y_{part}"], f"y_{part}", file)).flatten()
    if values.dim() != 3 or values.shape[2] != len(classes) or not len(classes):
        raise OSError(
            f"{file} should hold x_{part} [samples, channels, trials] and a hand for each trial, "
            f"it holds {list(values.shape)} and {len(classes)} hands."
        )
    if not set(classes.tolist()) <= {0, 1} or not bool(values.isfinite().all()):
        raise OSError(f"{file} should hold hands 0 and 1, and numbers that are finite.")
    names = tuple(str(name.item()) for name in content["clab"].flatten()) if (
        "clab" in content
    ) else ()  # fmt: skip
    return Trials(values.permute(2, 1, 0).contiguous(), classes.long(), names)


def _numbers(values: Any, name: str, file: Path) -> Any:
    """Values as float64; OSError for words, structs and complex numbers."""
    if values.dtype.kind not in "buif":
        raise OSError(f"{file} should hold real numbers as {name}, it holds {values.dtype}.")
    return values.astype("float64")


def _joined(several: Sequence[Trials], file: Path) -> Trials:
    if len({one.values.shape[1:] for one in several}) > 1:
        raise OSError(f"{file} and the files beside it hold trials of different shapes.")
    fresh = _not_before(several)
    values = torch.cat([one.values[new] for one, new in zip(several, fresh, strict=True)])
    classes = torch.cat([one.classes[new] for one, new in zip(several, fresh, strict=True)])
    return Trials(values, classes, several[0].channels)


def _not_before(several: Sequence[Trials]) -> list[list[int]]:
    """Which trials of each file no earlier one holds: two data sets may have some in common."""
    fresh, seen = [], set[bytes]()
    for one in several:
        keys = [trial.numpy().tobytes() for trial in one.values]
        fresh.append([place for place, key in enumerate(keys) if key not in seen])
        seen.update(keys)
    return fresh


def _blocks(known: Trials, test: Trials | None, held: int, validation: int) -> dict[str, Trials]:
    """The three splits, blocks in time."""
    count = len(known.classes)
    for name, value, least in (("held", held, 1), ("validation", validation, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a number of trials, at least {least}, got {value!r}.")
    end = count - (held if test is None else 0)
    if end - validation < 1:
        raise ValueError(
            f"held and validation must leave some of {count} trials to learn from, got {held} and "
            f"{validation}."
        )
    if test is not None and test.values.shape[1:] != known.values.shape[1:]:
        raise ValueError(
            f"test trials must be like those learned from, [B, {known.values.shape[1]}, "
            f"{known.values.shape[2]}], got {list(test.values.shape)}."
        )
    return {
        "train": known.part(0, end - validation),
        "validation": known.part(end - validation, end),
        "test": known.part(end, count) if test is None else test,
    }
