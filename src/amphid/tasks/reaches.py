"""Reaches of a monkey from the center to a target, with the spikes of its motor cortex."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics.values import is_number
from amphid.wiring import checks
from amphid.wiring.data import data_folder

FOLDER = "motor_center_out"
SECOND = 1000.0  # ms


@dataclass(frozen=True, eq=False)
class Reach:
    """One trial in bins of time; go and end count them from 0.

    spikes: [T, N] counts. velocity: [T, 2] cm/s. position: [T, 2] cm. target: direction from the
    center, rad. go: the bin of the cue to move. end: the bin in which the trial is over; bins
    go to end - 1 are the reach.
    """

    spikes: Tensor
    velocity: Tensor
    position: Tensor
    target: float
    go: int
    end: int

    def __post_init__(self) -> None:
        for name in ("spikes", "velocity", "position"):
            if not isinstance(given := getattr(self, name), Tensor):
                raise TypeError(f"{name} must be a tensor, got {type(given).__name__}.")
        checks.whole("go", self.go, least=-1)
        checks.whole("end", self.end, least=-1)
        if not is_number(self.target):
            raise ValueError(f"target must be a direction in rad, got {self.target!r}.")
        steps = len(self.spikes)
        if self.spikes.dim() != 2 or not steps:
            raise ValueError(f"spikes must be [T, N], got shape {list(self.spikes.shape)}.")
        for name in ("velocity", "position"):
            if (shape := tuple(getattr(self, name).shape)) != (steps, 2):
                raise ValueError(f"{name} must be [{steps}, 2] as spikes are, got {list(shape)}.")
        if not 0 <= self.go < self.end < steps:
            raise ValueError(
                f"go and end must be bins of the trial, 0 <= go < end < {steps}, got "
                f"{self.go} and {self.end}."
            )

    def __len__(self) -> int:
        return len(self.spikes)


@dataclass(frozen=True, eq=False)
class Reaches:
    """Trials in the order in which they were recorded, with the same cells in all of them.

    bin: ms. A slice of it is again one: `reaches[:184]`.
    """

    trials: tuple[Reach, ...]
    bin: float

    def __post_init__(self) -> None:
        checks.positive("bin, of a positive length in ms,", self.bin)
        listed = isinstance(self.trials, tuple) and len(self.trials)
        if not listed or not all(isinstance(trial, Reach) for trial in self.trials):
            raise ValueError(
                f"trials must be a tuple of at least one trial, a Reach, got {self.trials!r:.60}."
            )
        if len(cells := {trial.spikes.shape[1] for trial in self.trials}) > 1:
            raise ValueError(f"all trials must have the same cells, got {sorted(cells)} of them.")

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Reach]:
        return iter(self.trials)

    @overload
    def __getitem__(self, which: int) -> Reach: ...

    @overload
    def __getitem__(self, which: slice) -> Reaches: ...

    def __getitem__(self, which: int | slice) -> Reach | Reaches:
        if isinstance(which, slice):
            return Reaches(self.trials[which], self.bin)
        return self.trials[which]

    @property
    def cells(self) -> int:
        """How many cells were recorded."""
        return self.trials[0].spikes.shape[1]


def center_out(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
) -> Reaches:
    """Reaches to eight targets with 84 cells of the motor cortex, in bins of 50 ms.

    path: a file, a folder whose `.mat` files are read in the order of their names, or several
    files; `AMPHID_DATA`/motor_center_out when None. Files hold the struct array `trial_data` of
    the Miller laboratory, of any number of trials, whose indices count bins from 1; here they
    count from 0. A trial that an earlier file holds already is left out: one whose target, cue and
    spikes are the same.

    Raises FileNotFoundError, with the way out, where there is no file; OSError for one that is
    damaged or holds something else; ValueError for files whose cells or bins differ.
    Reference: the layout is that of Perich, Gallego and Miller 2018, doi
    10.1016/j.neuron.2018.09.030; which session this is, its source does not say.
    """
    parts = [_read(file) for file in reach_files(path)]
    if len(bins := {part.bin for part in parts}) > 1:
        raise ValueError(f"all files must have the same bins, got {sorted(bins)} ms.")
    return Reaches(_once(parts), parts[0].bin)


def reach_files(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None,
) -> list[Path]:
    """The files that `center_out` reads, in their order."""
    if path is not None and not isinstance(path, (str, os.PathLike)):
        if not isinstance(path, Iterable) or isinstance(path, Tensor):
            raise TypeError(f"path must be a file, a folder or a list of files, got {path!r}.")
        files = [file for one in path for file in reach_files(one)]
        if not files:
            raise FileNotFoundError("path names no file of reaches: it is empty.")
        return files
    place = data_folder(FOLDER) if path is None else Path(path)
    found = sorted(place.glob("*.mat")) if place.is_dir() else [place]
    if not found or not found[0].is_file():
        raise FileNotFoundError(
            f"There are no reaches in {place}: name a .mat file, or a folder that holds some."
        )
    return found


def _once(parts: Iterable[Reaches]) -> tuple[Reach, ...]:
    """The trials of all files, without those that an earlier file holds."""
    kept: list[Reach] = []
    seen: set[tuple[float, int, int, bytes]] = set()
    for part in parts:
        keys = [(one.target, one.go, one.end, one.spikes.numpy().tobytes()) for one in part]
        kept += [one for one, key in zip(part, keys, strict=True) if key not in seen]
        seen.update(keys)
    return tuple(kept)


def _read(path: Path) -> Reaches:
    """All trials of a file."""
    from scipy.io import loadmat

    try:
        rows = loadmat(path, squeeze_me=False, struct_as_record=True)["trial_data"].ravel()
    except Exception as error:  # scipy raises whatever its parser runs into
        raise OSError(
            f"{path} is not a whole MATLAB file with the struct array trial_data "
            f"({type(error).__name__}: {error})."
        ) from None
    try:
        bins = {float(_number(row, "bin_size")) for row in rows}
        if len(bins) != 1:
            raise ValueError(f"its trials should have one bin_size, they have {sorted(bins)}")
        return Reaches(tuple(_trial(row) for row in rows), SECOND * bins.pop())
    except (ValueError, TypeError, IndexError) as error:
        raise OSError(f"{path} does not hold reaches as it should: {error}") from None


def _trial(row: Any) -> Reach:
    spikes = _matrix(row, "M1_spikes")
    if not bool(torch.isfinite(spikes).all()) or bool((spikes < 0).any()):
        raise ValueError("M1_spikes should be counts, some are negative or not finite")
    return Reach(
        spikes=spikes,
        velocity=_matrix(row, "vel"),
        position=_matrix(row, "pos"),
        target=_number(row, "target_direction"),
        go=round(_number(row, "idx_go_cue")) - 1,  # MATLAB counts from 1
        end=round(_number(row, "idx_trial_end")) - 1,
    )


def _matrix(row: Any, name: str) -> Tensor:
    return torch.from_numpy(np.asarray(_field(row, name), np.float32))


def _number(row: Any, name: str) -> float:
    value = np.asarray(_field(row, name), np.float64)
    if value.size != 1 or not np.isfinite(value).all():
        raise ValueError(f"{name} should be one number in every trial, got {value.tolist()}")
    return float(value.item())


def _field(row: Any, name: str) -> Any:
    if not isinstance(row, np.void) or name not in (row.dtype.names or ()):
        raise ValueError(f"a trial should have the field {name}")
    return row[name]
