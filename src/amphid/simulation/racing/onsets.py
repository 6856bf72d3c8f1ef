"""What sets signals going: which cells are struck from outside, and when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.receivers import LONGEST

NO_BATCH = torch.Size(())


@dataclass(frozen=True, eq=False, repr=False)
class Onsets:
    """Events from outside: signals that reach cells at given times.

    cell: [K] which cell. time: [K] ms from the start, not negative. weight: of each signal, a
    number or [K]; infinite, one fires any cell that is not refractory. batch: the axes *B of the
    trials. trial: [K] which of the trials, counted through all axes; None where all share them.

    Raises TypeError for what is no tensor, ValueError for columns of another length and for values
    out of range.
    """

    cell: Tensor
    time: Tensor
    weight: float | Tensor = math.inf
    batch: torch.Size = NO_BATCH
    trial: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("cell", "time"):
            column = getattr(self, name)
            if not isinstance(column, Tensor) or column.dim() != 1:
                raise TypeError(f"{name} must be a tensor of one axis [K], got {column!r:.60}.")
        self._check_types()
        columns = {"cell": self.cell, "time": self.time, "trial": self.trial, "weight": self.weight}
        for name, column in columns.items():
            if isinstance(column, Tensor) and column.shape != self.cell.shape:
                raise ValueError(
                    f"{name} must have one entry for each of {len(self.cell)} events, got shape "
                    f"{list(column.shape)}."
                )
        if not bool((torch.isfinite(self.time) & (self.time >= 0)).all()):
            raise ValueError("time must be finite and not negative, in ms from the start.")
        if not bool((torch.as_tensor(self.weight) > -math.inf).all()):
            raise ValueError("weight must be a number above minus infinity, and not nan.")
        if self.trial is not None and self._beyond(self.trial, self.batch.numel()):
            raise ValueError(f"trial must be a number below {self.batch.numel()}.")

    def __repr__(self) -> str:
        return f"Onsets({len(self.cell)} events, trials {list(self.batch)})"

    def sorted(self, size: int, dt: float) -> Sequence[NDArray[np.int64] | NDArray[np.float32]]:
        """By trial and tick: where each trial starts [B + 1], tick, cell and weight [K].

        Raises ValueError for cells that are not there.
        """
        if self._beyond(self.cell, size):
            raise ValueError(f"cell must be the index of one of {size} cells.")
        tick = np.rint(self.time.detach().double().numpy() / dt).clip(max=LONGEST).astype(np.int64)
        trials = self.batch.numel()
        cell, weight = self.cell.numpy().astype(np.int64), self._weights()
        which = np.zeros_like(cell) if self.trial is None else self.trial.numpy().astype(np.int64)
        if self.trial is None and trials > 1:
            tick, cell = np.tile(tick, trials), np.tile(cell, trials)
            weight = np.tile(weight, trials)
            which = np.repeat(np.arange(trials), len(self.cell))
        order = np.lexsort((cell, tick, which))
        start = np.searchsorted(which[order], np.arange(trials + 1))
        return start.astype(np.int64), tick[order], cell[order], weight[order]

    def _check_types(self) -> None:
        """Raise TypeError for columns that hold something else."""
        if not isinstance(self.batch, torch.Size):
            raise TypeError(f"batch must be a torch.Size, as of a tensor, got {self.batch!r:.60}.")
        for name, column in {"cell": self.cell, "trial": self.trial}.items():
            if column is not None and not _is_whole(column):
                raise TypeError(
                    f"{name} must hold indices of {name}s, whole numbers, got {column!r:.60}."
                )
        if self.time.is_complex() or not _is_real(self.weight):
            raise TypeError(
                "time must be real, and weight a number or a tensor of real numbers, got weight "
                f"{self.weight!r:.80}."
            )

    def _weights(self) -> NDArray[np.float32]:
        weight = torch.as_tensor(self.weight, dtype=torch.float32).detach()
        return weight.expand(len(self.cell)).numpy().copy()

    @staticmethod
    def _beyond(number: Tensor, size: int) -> bool:
        return bool(((number < 0) | (number >= size)).any())


def onsets(times: Tensor) -> Onsets:
    """At most one event for each cell: its time [*B, N] in ms, infinite or nan where there is none.

    Such as pixels that fire the earlier the brighter they are.
    """
    if not isinstance(times, Tensor) or times.is_complex() or not times.dim():
        raise TypeError(f"times must be a tensor [*B, N] in ms, got {times!r:.80}.")
    if not times.shape[-1]:
        raise ValueError(f"times must have a cell, got shape {list(times.shape)}.")
    flat = times.reshape(-1, times.shape[-1])
    trial, cell = torch.isfinite(flat).nonzero(as_tuple=True)
    return Onsets(cell, flat[trial, cell], batch=times.shape[:-1], trial=trial)


def _is_whole(column: object) -> bool:
    """Whether it is a tensor of whole numbers."""
    if not isinstance(column, Tensor) or column.dtype == torch.bool:
        return False
    return not column.is_floating_point() and not column.is_complex()


def _is_real(weight: object) -> bool:
    """Whether it is a number or a tensor of real ones."""
    if isinstance(weight, Tensor):
        return not weight.is_complex() and weight.dtype != torch.bool
    return isinstance(weight, Real) and not isinstance(weight, bool)
