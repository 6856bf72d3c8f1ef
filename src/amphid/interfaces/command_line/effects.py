"""What differs from trial to trial: one number for each trial and cell, beside the control's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from amphid.measures import rate, response
from amphid.simulation import Recording
from amphid.wiring import Connectome

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Effects:
    """A measure of every trial and cell; the first trial is the control.

    trials: [B] names. cells: [N] names. value: [B, N], nan where a cell is dead. measure, unit:
    what it is. readout: the columns that are looked at, by what was asked for; all when empty.
    """

    trials: tuple[str, ...]
    cells: tuple[str, ...]
    value: Numbers
    measure: str
    unit: str
    readout: dict[str, NDArray[np.int64]]

    @cached_property
    def change(self) -> Numbers:
        """[B, N] difference from the control."""
        return self.value - self.value[:1]

    @cached_property
    def looked_at(self) -> NDArray[np.int64]:
        """The columns of all cells that are looked at."""
        if not self.readout:
            return np.arange(len(self.cells))
        return np.unique(np.concatenate(list(self.readout.values())))

    @cached_property
    def size(self) -> Numbers:
        """[B] mean of the absolute changes of the cells that are looked at."""
        return _mean(np.abs(self.change[:, self.looked_at]))

    @property
    def mean_change(self) -> Numbers:
        """[B] mean of the changes, with their sign, of the cells that are looked at."""
        return _mean(self.change[:, self.looked_at])

    @property
    def by_size(self) -> NDArray[np.int64]:
        """All trials but the control, the largest effect first."""
        order = np.argsort(-np.nan_to_num(self.size[1:], nan=-1.0), kind="stable")
        return np.asarray(order + 1)

    def of_readout(self) -> dict[str, Numbers]:
        """[B] mean value of the cells of each thing that was asked for."""
        return {name: _mean(self.value[:, cells]) for name, cells in self.readout.items()}

    def most_changed(self, trial: int, count: int) -> list[tuple[str, float]]:
        """The cells that are looked at whose value changes most, and by how much."""
        change = np.nan_to_num(self.change[trial])
        order = self.looked_at[np.argsort(-np.abs(change[self.looked_at]), kind="stable")]
        return [(self.cells[k], float(change[k])) for k in order[:count] if change[k] != 0]

    def columns(self, count: int) -> NDArray[np.int64]:
        """The cells that are looked at, as asked for, or those whose value changes most overall."""
        if self.readout and len(self.looked_at) <= count:
            return np.concatenate(list(self.readout.values()))
        total = np.nanmax(np.abs(self.change), axis=0, initial=0.0)[self.looked_at]
        return self.looked_at[np.argsort(-total, kind="stable")[:count]]


def effects(
    run: Recording,
    connectome: Connectome,
    dead: Sequence[Sequence[str]],
    *,
    before: float,
    readout: Sequence[str],
) -> Effects:
    """Rates where spikes were recorded, else responses of voltages to what comes after `before`.

    dead: the cells that each trial lacks. Raises ValueError when neither spikes nor voltages were
    recorded.
    """
    if run.spikes is not None:
        value, measure, unit = rate(run), "rate", "Hz"
    else:
        value, measure, unit = response(run, before).double(), "response", "mV"
    numbers: Numbers = torch.where(value.isfinite(), value, torch.nan).numpy().copy()
    for row, killed in zip(numbers, dead, strict=False):
        row[connectome.select(*killed)] = np.nan
    cells = tuple(str(name) for name in run.names)
    chosen = {word: connectome.select(word) for word in readout}
    return Effects(run.trials, cells, numbers, measure, unit, chosen)


def _mean(values: Numbers) -> Numbers:
    """[B] mean over what is known; nan where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(1)
    count = known.sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
