"""What is a worm doing? Told from the activity of its brain, for a worm never seen before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.measures import balanced_accuracy, recalls
from amphid.models.behavior import Animal, lagged
from amphid.models.evaluating import evaluating
from amphid.tasks.batches import Batches
from amphid.tasks.task import NINETY_FIVE, Reference, Score, Split, Task, over_time
from amphid.tasks.worm_recordings import (
    WormRecording,
    check_apart,
    check_length,
    check_recordings,
    common_cells,
    worm_recordings,
)
from amphid.tasks.worm_signals import CALIBRATION, calibrated, high_passed
from amphid.wiring import checks

WINDOW = 9  # frames that a model of the task sees at once
SMOOTHED = 5  # frames of the median of velocity
FAST = 0.6  # quantile of velocity above which a worm that does not back up goes forward
BLOCK = 40  # frames, 24 s, that are left out together for an interval
AT_ONCE = 1000  # frames that are scored together


@final
class WormBehavior(Task):
    """What is the worm doing? Reversal or not, or reversal, forward and pause, frame by frame.

    Labels are derived, by us, from what the camera saw, and are not published states: reversal as
    recorded; forward where the median of five frames of velocity is above the worm's own 60 %
    quantile of all frames without reversal; pause the rest. That quantile makes a label from the
    whole recording; inputs never do.

    held: name of the worm that is the test; the last one when None. watched: that of "validation",
    the last of the others when None; the remaining ones are "train". recordings: those of
    `worm_recordings()` when None; worms without names of cells are left out. classes: 2 (0 not, 1
    reversal) or 3 (0 reversal, 1 forward, 2 pause).

    Signals are z-scores by a worm's own first `calibration` frames, less their running mean of the
    last minute. Only frames behind the calibration are learned from and scored. `batches` gives
    windows [B, 9, N] of the cells that all worms have; `animals` holds all cells of each worm.

    Raises FileNotFoundError, with the way out, where there are no recordings.
    Reference: Dag et al. 2023, doi 10.1016/j.cell.2023.04.023.
    """

    name: ClassVar[str] = "worm-behavior"
    question: ClassVar[str] = "What is the worm doing?"
    reference: ClassVar[tuple[Reference, ...]] = ()

    def __init__(
        self,
        held: str | None = None,
        *,
        watched: str | None = None,
        classes: int = 2,
        recordings: Sequence[WormRecording] | None = None,
        calibration: int = CALIBRATION,
    ) -> None:
        found = worm_recordings() if recordings is None else recordings
        check_recordings(found)
        named = [one for one in found if one.named]
        if (own := len({one.name for one in named})) < 3:
            raise ValueError(
                f"recordings must hold at least three worms with names of cells, got {own}."
            )
        check_apart(named)
        self.classes = classes
        self.cells = common_cells(named)
        self.animals = {one.name: labeled(one, classes, calibration) for one in named}
        names = list(self.animals)
        held = _chosen("held", held, names)
        others = [name for name in names if name != held]
        watched = _chosen("watched", watched, others)
        rest = tuple(name for name in others if name != watched)
        self.worms: dict[str, tuple[str, ...]] = {
            "train": rest, "validation": (watched,), "test": (held,),
        }  # fmt: skip

    @property
    def chance(self) -> float:
        """Balanced accuracy of one answer for all: one over the number of classes."""
        return 1 / self.classes

    def batches(
        self, split: Split, *, size: int = 64, generator: torch.Generator | None = None
    ) -> Batches:
        """Pairs (windows [B, 9, N] that end in a frame, class [B] of that frame)."""
        animals = self._animals(split)
        windows = torch.cat([self._windows(one) for one in animals])
        classes = torch.cat([one.classes[one.first :] for one in animals])
        return Batches(windows, classes, size, generator)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of outputs [B, K], each class with the same weight, in nats."""
        rows = over_time(outputs, targets)
        if (
            rows.shape[1] != self.classes
            or targets.dtype != torch.int64
            or (len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < self.classes)
        ):
            raise ValueError(
                f"outputs must be [B, {self.classes}] and targets int64 [B], 0 to "
                f"{self.classes - 1}, got {list(outputs.shape)} and {targets.dtype}."
            )
        counts = targets.bincount(minlength=self.classes).clamp_min(1)
        return functional.cross_entropy(rows, targets, weight=(1 / counts).to(rows))

    def score(self, model: nn.Module, split: Split = "test") -> Score:
        """Balanced accuracy over all frames of a split, for a model of windows [B, 9, N].

        Its interval is that of the jackknife over blocks of 24 s, since neighboring frames are
        nearly copies.
        """
        with evaluating(model), torch.no_grad():
            walked = list(self.batches(split, size=AT_ONCE))
            chosen = torch.cat([over_time(model(x), y).argmax(-1).cpu() for x, y in walked])
        return blocked(chosen, torch.cat([y for _, y in walked]))

    def scored(self, outputs: Tensor, worm: str) -> Score:
        """The score of outputs [T, K] for all frames of one worm."""
        one = self.animals[_chosen("worm", worm, list(self.animals))]
        if not isinstance(outputs, Tensor) or outputs.shape != (len(one.classes), self.classes):
            raise ValueError(
                f"outputs must be [{len(one.classes)}, {self.classes}] for all frames of {worm}, "
                f"got {list(outputs.shape) if isinstance(outputs, Tensor) else outputs!r:.60}."
            )
        return blocked(outputs[one.first :].argmax(-1), one.classes[one.first :])

    def _animals(self, split: Split) -> list[Animal]:
        if not isinstance(split, str) or split not in self.worms:
            raise KeyError(f"split must be one of {', '.join(self.worms)}, got {split!r}.")
        return [self.animals[name] for name in self.worms[split]]

    def _windows(self, one: Animal) -> Tensor:
        """Windows [B, 9, N], the oldest frame first."""
        if not self.cells:
            raise ValueError(
                f"no cell has a name in all of {', '.join(self.animals)}, so that there are no "
                "windows: leave a recording out, or use `animals`."
            )
        rows = lagged(one.filled(self.cells), range(WINDOW - 1, -1, -1))
        return rows.unflatten(1, (WINDOW, len(self.cells)))[one.first :]


def labeled(recording: WormRecording, classes: int, calibration: int = CALIBRATION) -> Animal:
    """A recording as a model sees it: causal signals, and derived classes [T]."""
    check_length(recording, calibration)
    signals = high_passed(calibrated(recording.activity, calibration=calibration))
    backward = recording.reversal
    if not isinstance(classes, int) or classes not in (2, 3):
        raise ValueError(f"classes must be 2 or 3, got {classes!r:.60}.")
    kinds = backward.long() if classes == 2 else states(recording)
    return Animal(recording.name, signals, recording.cells, kinds, calibration)


def states(recording: WormRecording) -> Tensor:
    """Derived states [T]: 0 reversal, 1 forward, 2 pause."""
    reach = SMOOTHED // 2
    padded = functional.pad(recording.velocity[None, None], (reach, reach), "replicate")[0, 0]
    velocity = padded.unfold(0, SMOOTHED, 1).nanmedian(1).values
    if gaps := int(velocity.isnan().sum()):
        raise ValueError(
            f"the velocity of {recording.name} is not known around {gaps} frames: forward and "
            "pause cannot be told; use classes=2, or leave it out."
        )
    if bool(recording.reversal.all()):
        raise ValueError(
            f"{recording.name} backs up in all frames: forward and pause cannot be told; use "
            "classes=2, or leave it out."
        )
    forward = velocity > velocity[~recording.reversal].quantile(FAST)
    return torch.where(recording.reversal, 0, torch.where(forward, 1, 2))


def blocked(chosen: Tensor, classes: Tensor) -> Score:
    """Balanced accuracy, with the interval of the jackknife over blocks of successive frames."""
    value = balanced_accuracy(chosen, classes)
    kinds = set(recalls(chosen, classes))
    without = []
    for block in torch.arange(len(classes)).split(BLOCK):
        left = torch.ones(len(classes), dtype=torch.bool)
        left[block] = False
        if kinds == set(classes[left].tolist()):
            without.append(balanced_accuracy(chosen[left], classes[left]))
    middle = sum(without) / max(len(without), 1)
    spread = sum((one - middle) ** 2 for one in without) * (len(without) - 1) / max(len(without), 1)
    reach = NINETY_FIVE * math.sqrt(max(spread, 0.0))
    return Score(value, max(value - reach, 0.0), min(value + reach, 1.0), len(classes))


def _chosen(which: str, name: str | None, names: Sequence[str]) -> str:
    if name is None:
        return names[-1]
    if name not in names:
        raise KeyError(
            f"{which} must be one of the worms {', '.join(names)}, got {name!r}."
            f"{checks.closest(name, names)}"
        )
    return name
