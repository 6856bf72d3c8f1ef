"""Calcium of whole worm brains, frame by frame, beside what the animal did.

One HDF5 file per animal, as the Flavell lab publishes them, and one JSON file that says which
column is which cell. Dag et al. 2023, Cell 186, doi 10.1016/j.cell.2023.04.023.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from amphid.wiring import celegans, checks
from amphid.wiring.data import checked_path, data_folder

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

FOLDER = "celegans_calcium_flavell"
LABELS = "*labels*.json"
ENDING = "-data"
TRACES = ("gcamp/trace_array_original", "gcamp/trace_array")  # the first that is there is read
VELOCITY = "behavior/velocity"  # mm/s, the only one that may have gaps
TIMES = "timing/timestamp_confocal"  # s
SECOND = 1000.0  # ms

Labels = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class WormRecording:
    """One animal: what its cells and its body did, frame by frame.

    activity: [T, N], ratio of calcium to reference fluorescence as recorded, no drift removed and
    not standardized. cells: N names as in `wiring.celegans`, None where nobody knows which cell it
    is. velocity: [T] mm/s, negative backward. reversal: [T] bool. interval: ms between frames.
    """

    name: str
    activity: Tensor
    cells: tuple[str | None, ...]
    velocity: Tensor
    reversal: Tensor
    interval: float

    def __post_init__(self) -> None:
        checks.instance("name", self.name, str, "the name of an animal")
        checks.instance("cells", self.cells, Sequence, "a name, or None, for each cell")
        _check_real("activity", self.activity)
        if self.activity.dim() != 2 or self.activity.shape[1] != len(self.cells):
            raise ValueError(
                f"activity must be [T, N] with a name, or None, for each of N cells: got shape "
                f"{list(self.activity.shape)} and {len(self.cells)} names."
            )
        for name, values in (("velocity", self.velocity), ("reversal", self.reversal)):
            _check_real(name, values, truth=name == "reversal")
            if values.shape != self.activity.shape[:1]:
                raise ValueError(
                    f"{name} must be [T], one value for each of {len(self.activity)} frames, got "
                    f"shape {list(values.shape)}."
                )
        checks.positive("interval between frames, in ms,", self.interval)

    @property
    def named(self) -> Mapping[str, int]:
        """Column of every cell that has a name."""
        return {cell: place for place, cell in enumerate(self.cells) if cell is not None}


def worm_recordings(folder: str | os.PathLike[str] | None = None) -> tuple[WormRecording, ...]:
    """All animals of a folder by name; of `AMPHID_DATA`/celegans_calcium_flavell, or the cache.

    Every HDF5 file there is read as one animal, so a new one is added by copying it there: gcamp/
    trace_array_original or trace_array [T, N], behavior/velocity, behavior/reversal_vec and
    timing/timestamp_confocal (s). Names come from the JSON files called *labels*: {animal: {column
    from 1: {label, confidence}}}; an animal that is not in them has cells without names.

    Names are written as in the wiring (VB02 is VB2). A doubtful one (RMF?) or one that is no cell
    of the wiring is None, and one that several columns have goes to the most confident. Cells with
    gaps are left out.

    Raises FileNotFoundError, with the way out, when there is none; OSError for damaged files, and
    for those without a whole cell.
    Reference: Dag et al. 2023, doi 10.1016/j.cell.2023.04.023; github.com/flavell-lab.
    """
    place = data_folder(FOLDER) if folder is None else checked_path("folder", folder)
    paths = sorted(path for ending in ("*.h5", "*.hdf5") for path in place.glob(ending))
    if not paths:
        raise FileNotFoundError(f"there is no recording of a worm (*.h5) in {place}.")
    labels = _labels(place)
    return tuple(_recording(path, labels) for path in paths)


def check_recordings(recordings: Sequence[object]) -> None:
    """Raise TypeError, in a sentence, for what are no recordings."""
    listed = isinstance(recordings, Sequence)
    if not listed or not all(isinstance(one, WormRecording) for one in recordings):
        raise TypeError(
            "recordings must be a list of WormRecording, as `worm_recordings()` gives them, got "
            f"{type(recordings).__name__}"
            f"{f' of {type(recordings[0]).__name__}' if listed and len(recordings) else ''}."
        )


def check_length(recording: WormRecording, calibration: int) -> None:
    """Raise ValueError, in a sentence, for an animal that is not recorded for long enough."""
    if len(recording.activity) <= checks.whole("calibration", calibration, least=2):
        raise ValueError(
            f"{recording.name} has {len(recording.activity)} frames: more than the {calibration} "
            "of its calibration are needed. Leave it out, or calibrate by fewer."
        )


def check_apart(recordings: Sequence[WormRecording]) -> None:
    """Raise ValueError, in a sentence, for an animal that is there twice.

    Held out as one it would be learned from as the other.
    """
    for place, one in enumerate(recordings):
        for other in recordings[:place]:
            if one.name == other.name:
                raise ValueError(f"{one.name} is there twice: leave one out, or name it otherwise.")
            if _share_a_cell(one.activity, other.activity):
                raise ValueError(
                    f"{other.name} and {one.name} are one animal, with the same activity: leave "
                    "one of them out."
                )


def _share_a_cell(one: Tensor, other: Tensor) -> bool:
    """Whether a trace [T, N] that is not flat stands in both, as far as the shorter one reaches."""
    frames = min(len(one), len(other))

    def traces(activity: Tensor) -> set[bytes]:
        columns = activity[:frames].double().T.contiguous()
        return {own.numpy().tobytes() for own in columns if bool((own != own[0]).any())}

    return bool(traces(one) & traces(other))


def _check_real(name: str, values: object, *, truth: bool = False) -> None:
    kind = "bool" if truth else "floats"
    fits = isinstance(values, Tensor) and (
        values.dtype == torch.bool if truth else values.is_floating_point()
    )
    if not fits:
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name} must be a tensor of {kind}, got {got}.")


def common_cells(recordings: Sequence[WormRecording], least: int | None = None) -> tuple[str, ...]:
    """Names, sorted, that at least `least` of the recordings have; all of them when None."""
    check_recordings(recordings)
    count = [cell for one in recordings for cell in one.named]
    least = len(recordings) if least is None else checks.whole("least", least)
    return tuple(sorted(cell for cell in set(count) if count.count(cell) >= least))


def _labels(folder: Path) -> Labels:
    """What all files of labels in a folder say, by animal."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(folder.glob(LABELS)):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            found |= {animal: dict(columns) for animal, columns in told.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise OSError(f"{path} holds no labels by animal and column ({error}).") from None
    return found


def _recording(path: Path, labels: Labels) -> WormRecording:
    import h5py

    name = path.stem.removesuffix(ENDING)
    try:
        with h5py.File(path, "r") as file:
            traces = np.asarray(file[next((t for t in TRACES if t in file), TRACES[0])][()], float)
            velocity, reversal, time = (
                _one_per_frame(file, key, len(traces))
                for key in (VELOCITY, "behavior/reversal_vec", TIMES)
            )
        whole = _whole(traces)
        cells = _cells(labels.get(name, {}), traces.shape[1])
        return WormRecording(
            name=name,
            activity=torch.from_numpy(traces[:, whole]).float(),
            cells=tuple(cell for cell, kept in zip(cells, whole, strict=True) if kept),
            velocity=torch.from_numpy(velocity).float(),
            reversal=torch.from_numpy(reversal > 0),
            interval=float(np.median(np.diff(time))) * SECOND,
        )
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        reason = str(error.args[0] if error.args else error).rstrip(".")
        raise OSError(f"{path} cannot be read as a recording of a worm: {reason}.") from None


def _one_per_frame(file: h5py.File, key: str, frames: int) -> NDArray[np.float64]:
    values = np.asarray(file[key][()], float)
    if values.shape != (frames,):
        raise ValueError(f"{key} should have {frames} entries, it has shape {list(values.shape)}")
    if key != VELOCITY and (gaps := int((~np.isfinite(values)).sum())):
        raise ValueError(f"{key} should be known in all frames, it is not in {gaps}")
    return values


def _whole(traces: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which cells [N] have no gaps; ValueError where none is without."""
    known = np.isfinite(traces)
    whole = np.asarray(known.all(0))
    if not whole.any():
        gaps = np.flatnonzero(~known.any(1))
        where = (
            f", in frame {gaps[0]} and {len(gaps) - 1} more no cell is known" if len(gaps) else ""
        )
        raise ValueError(f"no cell is known in all frames{where}")
    return whole


def _cells(columns: Mapping[str, Mapping[str, Any]], count: int) -> list[str | None]:
    """The cell of each column; the most confident of those that claim the same name."""
    claims: dict[str, tuple[float, int]] = {}
    for column, told in columns.items():
        place, sure = int(column) - 1, float(told.get("confidence") or 0)
        name = _normal(str(told["label"]))
        if not 0 <= place < count:
            raise ValueError(f"its labels name column {column} of {count}")
        if name is not None and (name not in claims or sure > claims[name][0]):
            claims[name] = (sure, place)
    by_place = {place: name for name, (_, place) in claims.items()}
    return [by_place.get(place) for place in range(count)]


def _normal(label: str) -> str | None:
    """The cell of the wiring that a label names without doubt."""
    name = re.sub(r"(?<=\D)0+(?=\d)", "", label.strip())
    return name if name in _known() else None


@cache
def _known() -> frozenset[str]:
    return frozenset(celegans().cells.name)
