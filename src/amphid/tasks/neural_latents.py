"""The data sets of the Neural Latents Benchmark, cut as its tools cut them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.tasks.nwb import Session, read_nwb
from amphid.wiring.checks import closest
from amphid.wiring.data import cache_folder, checked_path, data_folder

SPLITS = ("train", "val")  # those of the test split are hidden from everyone
FORWARD = 200.0  # ms that are foretold


@dataclass(frozen=True)
class Published:
    """Figures that the tools of the benchmark print for what they describe."""

    what: str
    co_bps: float
    velocity_r2: float
    psth_r2: float | None = None


@dataclass(frozen=True)
class LatentSet:
    """One data set of the benchmark and how its trials are cut.

    dandi: its number at dandiarchive.org. align: the time of a trial that is zero. window: ms from
    there. lag: ms by which velocity follows spikes. behavior: the series of the velocity, None
    where there is none. conditions: columns that make trials alike. width: of the Gaussian that
    smooths average responses, ms. apart: column whose values are decoded each by itself. after:
    time of a trial before which hidden spikes are not scored.
    Reference: Pei et al. 2021, arXiv 2109.04463; numbers as in nlb_tools.
    """

    name: str
    dandi: str
    align: str
    window: tuple[float, float]
    lag: float = 0.0
    behavior: str | None = "hand_vel"
    conditions: tuple[str, ...] = ()
    width: float = 50.0
    apart: str | None = None
    after: str | None = None
    published: tuple[Published, ...] = ()


def _maze(name: str, dandi: str, lag: float, width: float, *published: Published) -> LatentSet:
    return LatentSet(
        name, dandi, "move_onset_time", (-250.0, 450.0), lag,
        conditions=("trial_type", "trial_version"), width=width, published=published,
    )  # fmt: skip


LATENT_SETS: dict[str, LatentSet] = {
    own.name: own
    for own in (
        _maze("mc_maze", "000128", 100.0, 70.0),
        _maze(
            "mc_maze_large", "000138", 120.0, 50.0,
            Published("50 ms Gaussian and ridge on log rates, 5 ms bins", 0.1528, 0.5224, 0.3871),
            Published("smoothing, tutorial of nlb_tools", 0.2251, 0.5419),
            Published("GPFA, tutorial of nlb_tools", 0.2286, 0.5843, 0.1882),
        ),
        _maze("mc_maze_medium", "000139", 120.0, 50.0),
        _maze(
            "mc_maze_small", "000140", 120.0, 50.0,
            Published("SLDS, tutorial of nlb_tools", 0.1533, 0.6514, 0.2186),
        ),
        LatentSet("mc_rtt", "000129", "start_time", (0.0, 600.0), 140.0, "finger_vel"),
        LatentSet(
            "area2_bump", "000127", "move_onset_time", (-100.0, 500.0), -20.0,
            conditions=("cond_dir", "ctr_hold_bump"), width=40.0, apart="ctr_hold_bump",
        ),
        LatentSet(
            "dmfc_rsg", "000130", "go_time", (-1500.0, 0.0), behavior=None, width=70.0,
            conditions=("is_eye", "theta", "is_short", "ts"), after="set_time",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class LatentTrials:
    """Trials of one split of the benchmark: what is shown, what is hidden, what is to come.

    shown: [B, T, K] counts, hidden: [B, T, H]; later: [B, F, K + H] counts of all cells in the
    200 ms that follow. velocity: [B, T, D] at the set's lag, NaN where unknown; None where there is
    none. condition: number of each trial's condition [B], -1 of one without. group: trials that are
    decoded together have the same number [B]. psth: average response [C, T, K + H] to each
    condition over the trials of all splits, None without conditions. bin: ms.
    """

    shown: Tensor
    hidden: Tensor
    later: Tensor
    velocity: Tensor | None
    condition: Tensor
    group: Tensor
    psth: Tensor | None
    bin: float

    def __len__(self) -> int:
        return len(self.shown)

    def only(self, which: Tensor) -> LatentTrials:
        """Those trials [B] alone; average responses stay as they are."""
        return replace(
            self,
            shown=self.shown[which],
            hidden=self.hidden[which],
            later=self.later[which],
            velocity=None if self.velocity is None else self.velocity[which],
            condition=self.condition[which],
            group=self.group[which],
        )


def neural_latents(
    name: str, path: str | os.PathLike[str] | None = None, *, bin: float = 5.0
) -> dict[str, LatentTrials]:
    """Trials of the splits "train" and "val" of a data set of the Neural Latents Benchmark.

    name: of LATENT_SETS. path: a file, or a folder in which all `.nwb` files are looked at, as
    `dandi download DANDI:000140` makes it; `AMPHID_DATA` or the cache with the set's number when
    None. Files without held-out units are those whose answers nobody has, and are passed over.
    bin: ms; the benchmark scores 5 and 20.

    Bins begin at the very time a trial is aligned to and velocity is the mean over a bin, where
    nlb_tools rounds to its bins and filters: figures agree to about the third digit.

    Raises FileNotFoundError, with the way out, where there are no files; OSError for files in
    another layout.
    """
    own = latent_set(name)
    place = _place(own) if path is None else checked_path("path", path)
    found = sorted(place.rglob("*.nwb")) if place.is_dir() else [place]
    if not found:
        raise FileNotFoundError(f"There is no .nwb file in {place}. {_way_out(own)}")
    wanted = () if own.behavior is None else (own.behavior,)
    sessions = [(file, read_nwb(file, series=wanted)) for file in found]
    whole = [(file, session) for file, session in sessions if _is_whole(session)]
    if not whole:
        raise OSError(
            f"None of {', '.join(file.name for file in found)} in {place} has units that are held "
            "out and trials with a split, as files of the Neural Latents Benchmark have."
        )
    if len(whole) > 1:
        raise OSError(
            f"One file with held-out units is expected, there are "
            f"{', '.join(str(file) for file, _ in whole)}: name one of them."
        )
    file, session = whole[0]
    try:
        return _cut(session, own, bin)
    except KeyError as error:
        raise OSError(f"{file} is not in the layout of {name}: {error.args[0]}") from None


def latent_set(name: str) -> LatentSet:
    """The data set of that name. Raises KeyError, with the names that there are."""
    if not isinstance(name, str) or name not in LATENT_SETS:
        raise KeyError(
            f"There is no data set {name!r} of the Neural Latents Benchmark: "
            f"{', '.join(LATENT_SETS)}.{closest(name, LATENT_SETS)}"
        )
    return LATENT_SETS[name]


def _place(own: LatentSet) -> Path:
    try:
        return data_folder(own.dandi)
    except FileNotFoundError:
        raise FileNotFoundError(f"{own.name} is not on this machine. {_way_out(own)}") from None


def _way_out(own: LatentSet) -> str:
    return (
        f"Get it with: pip install dandi; dandi download DANDI:{own.dandi} (in {cache_folder()}, "
        "or in the folder that AMPHID_DATA names)."
    )


def _is_whole(session: Session) -> bool:
    held = session.units.get("heldout")
    return held is not None and bool(np.any(held)) and "split" in session.trials


def _cut(session: Session, own: LatentSet, bin: float) -> dict[str, LatentTrials]:
    """All splits of a session."""
    zero = _column(session.trials, own.align).astype(np.float64)
    split = _column(session.trials, "split").astype(str)
    kept = np.isin(split, SPLITS) & np.isfinite(zero)
    if not kept.any():
        raise KeyError(f"no trial with a {own.align} is of the splits {' and '.join(SPLITS)}.")
    trials = {name: values[kept] for name, values in session.trials.items()}
    zero, split = zero[kept], split[kept]
    condition = _numbered(trials, own.conditions)
    shown, hidden, later = _counted(session, own, trials, zero, bin)
    velocity = None
    if own.behavior is not None:
        start = zero + own.window[0] + own.lag
        velocity = session.behavior(own.behavior, start, bins=_bins(own, bin), bin=bin)
    group = _numbered(trials, (own.apart,)) if own.apart else np.zeros(len(zero), np.int64)
    whole = LatentTrials(
        shown, hidden, later, velocity, torch.from_numpy(condition), torch.from_numpy(group),
        _responses(session, own, zero, condition, bin) if own.conditions else None, bin,
    )  # fmt: skip
    return {
        name: whole.only(torch.from_numpy(split == name))
        for name in SPLITS
        if bool((split == name).any())
    }


def _counted(
    session: Session,
    own: LatentSet,
    trials: Mapping[str, NDArray[Any]],
    zero: NDArray[np.float64],
    bin: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Counts of shown and of hidden cells, and those of all that follow."""
    start, bins = zero + own.window[0], _bins(own, bin)
    order, shown = _order(session)
    ahead = math.ceil(FORWARD / bin)
    counts = session.counts(start, bins=bins + ahead, bin=bin)[..., order]
    hidden = counts[:, :bins, shown:].clone()
    if own.after is not None:
        first = _column(trials, own.after).astype(np.float64)[:, None]
        early = start[:, None] + bin * np.arange(bins) < first
        hidden[torch.from_numpy(early)] = math.nan
    return counts[:, :bins, :shown], hidden, counts[:, bins:]


def _order(session: Session) -> tuple[NDArray[np.intp], int]:
    """Units with those that are held out behind the others, and how many others there are."""
    held = session.units["heldout"].astype(bool)
    return np.concatenate((np.flatnonzero(~held), np.flatnonzero(held))), int((~held).sum())


def _responses(
    session: Session,
    own: LatentSet,
    zero: NDArray[np.float64],
    condition: NDArray[np.int64],
    bin: float,
) -> Tensor:
    """Smoothed average response [C, T, N] to each condition, shown cells first."""
    bins, margin = _bins(own, bin), math.ceil(4 * own.width / bin)
    order, _ = _order(session)
    start = zero + own.window[0] - margin * bin
    counts = session.counts(start, bins=bins + 2 * margin, bin=bin)[..., order].double()
    place = torch.arange(bins + 2 * margin, dtype=torch.float64)
    apart = place[:, None] - place[margin : margin + bins]
    kernel = (-0.5 * (apart * bin / own.width) ** 2).exp()
    seen = ~counts.isnan()
    mean = torch.stack([
        torch.einsum("btn,ts->sn", counts[condition == c].nan_to_num(), kernel)
        / torch.einsum("btn,ts->sn", seen[condition == c].double(), kernel)
        for c in range(condition.max() + 1)
    ])  # fmt: skip
    return mean.float()


def _numbered(trials: Mapping[str, NDArray[Any]], names: Sequence[str]) -> NDArray[np.int64]:
    """Number of each trial's values in those columns, in their order; -1 where one is NaN."""
    if not names:
        return np.full(len(next(iter(trials.values()))), -1)
    rows = list(zip(*(_column(trials, name).tolist() for name in names), strict=True))
    whole = [all(value == value for value in row) for row in rows]  # NaN is not itself
    known = sorted({row for row, own in zip(rows, whole, strict=True) if own})
    return np.array(
        [known.index(row) if own else -1 for row, own in zip(rows, whole, strict=True)], np.int64
    )


def _bins(own: LatentSet, bin: float) -> int:
    bins = (own.window[1] - own.window[0]) / bin if bin > 0 else 0.0
    if not bins or abs(bins - round(bins)) > 1e-9:
        raise ValueError(
            f"bin must divide the {own.window[1] - own.window[0]:g} ms of a trial, got {bin!r}."
        )
    return round(bins)


def _column(table: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in table:
        raise KeyError(f"its trials have no column {name}, they have {', '.join(table)}.")
    return table[name]
