"""What will the cells of a worm that was never seen do next?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from amphid.models.evaluating import evaluating
from amphid.models.forecasts import Recorded, cell_weights
from amphid.models.forecasts.forecaster import check_recording
from amphid.tasks.task import NINETY_FIVE, Reference, Score, Split, Task
from amphid.tasks.worm_recordings import (
    WormRecording,
    check_apart,
    check_length,
    check_recordings,
)
from amphid.tasks.worm_signals import CALIBRATION, DRIFT, calibrated, high_passed
from amphid.wiring import checks

BLOCKS = 8  # successive parts of a recording, for the interval of a score


@dataclass(frozen=True)
class Forecasts:
    """Pairs (activity [T, N], the same `horizon` frames later [T, N]), one worm at a time.

    What comes is nan where there is no frame, within calibration, and for cells that do not count.
    """

    recordings: tuple[WormRecording, ...]
    horizon: int
    generator: torch.Generator | None = None

    def __len__(self) -> int:
        return len(self.recordings)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.recordings)
        order = (
            range(count)
            if self.generator is None
            else torch.randperm(count, generator=self.generator).tolist()
        )
        for place in order:
            one = self.recordings[place]
            yield one.activity, coming(one, self.horizon)


@final
class WormForecast(Task):
    """What will each cell of a worm that nobody has learned from do, `horizon` frames later?

    recordings: as from `worm_recordings`, of two worms at least. held: name of the one that is
    tested on. watched: name of the one that is "validation"; the one after it when None. horizon:
    frames. drift: frames of `high_passed`; no drift is removed when None. All others are "train".

    The score is the squared error relative to that of persistence (every cell stays as it is), on
    the frames behind calibration, each cell in units of its own variance: 1 is no better than
    persistence, less is better. The cells that have a name count; all cells, in a worm without any.
    Its interval is that of the jackknife over 8 successive parts of the recording; between worms,
    repeat with another one held.
    Reference: Wang et al. 2021, doi 10.3389/frai.2021.618372 (no figure that could be compared).
    """

    name: ClassVar[str] = "worm-forecast"
    question: ClassVar[str] = "What will the cells of an unseen worm do next?"
    reference: ClassVar[tuple[Reference, ...]] = ()

    def __init__(
        self,
        recordings: Sequence[WormRecording],
        *,
        held: str,
        watched: str | None = None,
        horizon: int = 10,
        drift: int | None = DRIFT,
    ) -> None:
        check_recordings(recordings)
        check_apart(recordings)
        names = [one.name for one in recordings]
        if len(names) < 2 or held not in names or watched not in (None, *names):
            raise ValueError(
                f"recordings must be of two worms at least, and held and watched two of them: got "
                f"{held!r} and {watched!r} of {', '.join(names) or 'none'}."
                f"{checks.closest(watched if held in names else held, names)}"
            )
        self.horizon, self.held = checks.whole("horizon", horizon), held
        self.watched = watched or names[(names.index(held) + 1) % len(names)]
        if self.watched == held:
            raise ValueError(f"watched must be another worm than the one that is held, {held!r}.")
        ready = {one.name: prepared_recording(one, drift=drift) for one in recordings}
        self.recordings: dict[str, tuple[WormRecording, ...]] = {
            "train": tuple(r for n, r in ready.items() if n not in (held, self.watched)),
            "validation": (ready[self.watched],),
            "test": (ready[held],),
        }

    @property
    def chance(self) -> float:
        """The relative error of a constant: the mean of the frames of calibration."""
        (one,) = self.recordings["test"]
        return relative_error(torch.zeros_like(one.activity), one, self.horizon)

    def batches(
        self, split: Split, *, size: int = 1, generator: torch.Generator | None = None
    ) -> Forecasts:
        """Pairs (activity [T, N], what comes [T, N]) of a split; worms differ in their cells.

        Raises ValueError for a size other than 1.
        """
        worms = self._worms(split)
        if size != 1:
            raise ValueError(f"size must be 1: worms differ in their cells; got {size!r}.")
        return Forecasts(worms, self.horizon, generator)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error [T, N] of the cells and frames that have a target."""
        checks.reals("outputs", outputs)
        checks.reals("targets", targets)
        if outputs.shape != targets.shape:
            raise ValueError(
                f"outputs must be [T, N] = {list(targets.shape)} as targets are, got "
                f"{list(outputs.shape)}."
            )
        counted = targets.isfinite()
        return (outputs[counted] - targets[counted]).square().mean()

    def score(self, model: nn.Module, split: Split = "test") -> Score:
        """Relative error of a `Forecaster`, or of any module that is called with a recording."""
        worms = self._worms(split)
        if not worms:
            raise ValueError(f"no worm is left to be {split!r}: give more recordings.")
        with evaluating(model), torch.no_grad():
            parts = [_parts(model(one), one, self.horizon) for one in worms]
        errors, still = (torch.cat(side) for side in zip(*parts, strict=True))
        value = float(errors.sum() / still.sum())
        left = ((errors.sum() - errors) / (still.sum() - still)).tolist()
        spread = (len(left) - 1) / math.sqrt(len(left)) * stdev(left)
        middle, reach = mean(left), NINETY_FIVE * spread
        return Score(value, min(middle - reach, value), max(middle + reach, value), len(left))

    def _worms(self, split: Split) -> tuple[WormRecording, ...]:
        if not isinstance(split, str) or split not in self.recordings:
            raise KeyError(f"split must be one of {', '.join(self.recordings)}, got {split!r}.")
        return self.recordings[split]


def prepared_recording(recording: WormRecording, *, drift: int | None = DRIFT) -> WormRecording:
    """The recording with activity as models see it: z-scores of its first frames, without drift."""
    check_recordings([recording])
    check_length(recording, CALIBRATION)
    scaled = calibrated(recording.activity)
    if drift is None:
        return replace(recording, activity=scaled)
    return replace(recording, activity=high_passed(scaled, frames=checks.whole("drift", drift)))


def coming(recording: Recorded, horizon: int) -> Tensor:
    """What comes `horizon` frames later [T, N]; nan within calibration and where none is scored."""
    ahead = torch.full_like(recording.activity, math.nan)
    ahead[CALIBRATION:-horizon] = recording.activity[CALIBRATION + horizon :]
    return torch.where(cell_weights(recording) > 0, ahead, math.nan)


def relative_error(
    forecast: Tensor,
    recording: Recorded,
    horizon: int,
    cells: Sequence[str] | None = None,
) -> float:
    """Squared error of a forecast [T, N] over that of persistence; of some cells by name only."""
    errors, still = _parts(forecast, recording, horizon, cells)
    return float(errors.sum() / still.sum())


def _parts(
    forecast: Tensor, recording: Recorded, horizon: int, cells: Sequence[str] | None = None
) -> tuple[Tensor, Tensor]:
    """Squared errors of the forecast and of persistence, in 8 successive parts each."""
    check_recording(recording)
    checks.whole("horizon", horizon)
    activity = recording.activity.double()
    if not isinstance(forecast, Tensor) or forecast.is_complex():
        got = forecast.dtype if isinstance(forecast, Tensor) else type(forecast).__name__
        raise TypeError(f"a forecast must be a tensor of real numbers [T, N], got {got}.")
    if forecast.shape != activity.shape:
        raise ValueError(
            f"a forecast must be [T, N] = {list(activity.shape)}, got {list(forecast.shape)}."
        )
    weights = cell_weights(recording)
    if cells is not None:
        weights = weights * torch.tensor([cell in cells for cell in recording.cells])
    frames = slice(CALIBRATION, len(activity) - horizon)
    ahead = activity[CALIBRATION + horizon :]
    if len(ahead) < BLOCKS or not bool(weights.any()):
        raise ValueError(
            f"a forecast is scored on more than {BLOCKS} frames behind {CALIBRATION} + {horizon} "
            f"and on one cell at least, got shape {list(activity.shape)}."
        )
    if not bool(forecast[frames][:, weights > 0].isfinite().all()):
        raise ValueError("a forecast must be finite wherever it is scored, it is not.")
    errors, still = (
        torch.stack(
            [part.sum() for part in ((told[frames] - ahead).square() @ weights).chunk(BLOCKS)]
        )
        for told in (forecast.double(), activity)
    )
    return errors, still
