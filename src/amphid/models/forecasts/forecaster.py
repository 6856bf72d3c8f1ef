"""What every forecast of activity answers to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, Self

import torch
from torch import Tensor, nn

FLAT = 1e-9  # variance below which a cell has nothing to tell
WARM = 240  # frames before the first that is fitted


class Recorded(Protocol):
    """Activity [T, N] of N cells, and their names; None where nobody knows which cell it is."""

    @property
    def activity(self) -> Tensor:
        """[T, N]."""

    @property
    def cells(self) -> tuple[str | None, ...]:
        """N names or None."""


class Forecaster(nn.Module, ABC):
    """Says at each frame what each cell will do `horizon` frames later. Abstract.

    Recordings have their own cells, of which few are in all: a model shares its weights between
    cells, or knows them by name. A forecast at a frame depends on no later frame.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__()
        if not isinstance(horizon, int) or isinstance(horizon, bool) or horizon < 1:
            raise ValueError(f"horizon must be a number of frames, at least 1, got {horizon!r}.")
        self.horizon = horizon

    @abstractmethod
    def fit(self, recordings: Sequence[Recorded]) -> Self:
        """Learn from recordings, from their frame 240 on; in closed form, or as a start."""

    @abstractmethod
    def forward(self, recording: Recorded) -> Tensor:
        """Forecasts [T, N] in float64; row t is what activity[t + horizon] is thought to be."""


class Persistence(Forecaster):
    """Every cell stays as it is."""

    def fit(self, recordings: Sequence[Recorded]) -> Self:
        """Nothing is learned."""
        return self

    def forward(self, recording: Recorded) -> Tensor:
        """Activity [T, N] as it is."""
        check_recording(recording)
        return recording.activity.double()


def check_recording(recording: object) -> None:
    """Raise TypeError or ValueError, in a sentence, for what a forecaster cannot look at."""
    activity, cells = (getattr(recording, name, None) for name in ("activity", "cells"))
    if not isinstance(activity, Tensor) or activity.is_complex() or not isinstance(cells, Sequence):
        raise TypeError(
            "a forecaster takes a recording with `activity` [T, N] and `cells`, such as a "
            f"WormRecording, got {type(recording).__name__}."
        )
    if activity.dim() != 2 or not activity.numel() or activity.shape[1] != len(cells):
        raise ValueError(
            "a recording must have activity [T, N] of at least one frame and cell, and N names, "
            f"got shape {list(activity.shape)} and {len(cells)} names."
        )


def check_fitted_to(recordings: object) -> None:
    """Raise TypeError or ValueError, in a sentence, for what nothing can be learned from."""
    if not isinstance(recordings, Sequence) or isinstance(recordings, str):
        raise TypeError(f"recordings must be a list of them, got {type(recordings).__name__}.")
    if not len(recordings):
        raise ValueError("recordings must hold at least one to learn from, got none.")
    for one in recordings:
        check_recording(one)
        if not bool(one.activity.isfinite().all()):
            raise ValueError(
                "activity must be finite to be learned from, some is not: leave out those cells."
            )


def cell_weights(recording: Recorded) -> Tensor:
    """One over each cell's variance [N]; zero for flat cells, and for those without a name.

    All cells count in a recording without any name.
    """
    spread = recording.activity.double().var(0)
    named = torch.tensor([cell is not None for cell in recording.cells])
    counted = (named if bool(named.any()) else ~named) & (spread > FLAT)
    return torch.where(counted, 1 / spread.clamp_min(FLAT), 0.0)


def normal_equations(
    features: Tensor, recording: Recorded, horizon: int, *, wanted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gram matrices [N, F, F] of features [T, N, F] and their products [N, F] with what comes.

    Means over the frames from 240 on, in units of each cell's variance. wanted: [T, N], what is to
    be foretold at each frame; the activity `horizon` frames later when None.
    """
    activity = recording.activity.double()
    if len(activity) <= WARM + horizon:
        raise ValueError(
            f"a recording must have more than {WARM} + {horizon} frames to be learned from, got "
            f"{len(activity)}."
        )
    ahead = activity[horizon:] if wanted is None else wanted[: len(activity) - horizon]
    rows, ahead = features[WARM : len(activity) - horizon].transpose(0, 1), ahead[WARM:].T
    scale = cell_weights(recording) / ahead.shape[1]
    gram = rows.transpose(1, 2) @ rows * scale[:, None, None]
    return gram, (rows.transpose(1, 2) @ ahead[..., None])[..., 0] * scale[:, None]


def solved(gram: Tensor, moment: Tensor, *, ridge: float) -> Tensor:
    """Weights [F] of least squares, each held back in proportion to its own power."""
    power = gram.diagonal().clamp_min(FLAT)
    return torch.linalg.solve(gram + ridge * power.diag(), moment)
