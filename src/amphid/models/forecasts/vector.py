"""Every cell by all cells that are known by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor

from amphid.models.forecasts.autoregression import Autoregression
from amphid.models.forecasts.forecaster import (
    WARM,
    Forecaster,
    Recorded,
    cell_weights,
    check_recording,
)
from amphid.wiring import checks


def by_name(activity: Tensor, cells: Sequence[str | None], names: Sequence[str]) -> Tensor:
    """Activity [T, names] of cells by name; 0 for those that are not there."""
    place = {name: column for column, name in enumerate(names)}
    found = [(column, place[name]) for column, name in enumerate(cells) if name in place]
    table = activity.new_zeros(len(activity), len(names))
    if found:
        sources, ends = map(list, zip(*found, strict=True))
        table[:, ends] = activity[:, sources]
    return table


@final
class VectorAutoregression(Forecaster):
    r"""AR(8) by name, and what it leaves by ridge regression on the present of all cells.

    .. math:: \hat x_i(t + h) = \mathrm{AR}_i(t) + \sum_j A_{ji} x_j(t)

    ridge: in units of the power of a cell over all frames; the weights A, one for each pair of
    names, are 0 where a name was not known. Cells that are not there count as 0.
    """

    weights: Tensor

    def __init__(self, horizon: int, *, ridge: float = 3.0) -> None:
        super().__init__(horizon)
        checks.positive("ridge", ridge)
        self.ridge, self.base = ridge, Autoregression(horizon)
        self.names: tuple[str, ...] = ()
        self.register_buffer("weights", torch.zeros(0, 0, dtype=torch.float64))

    def fit(self, recordings: Sequence[Recorded]) -> Self:
        """Ridge regression in closed form; each name by the recordings that have it."""
        self.base.fit(recordings)
        self.names = self.base.names
        size = len(self.names)
        if not size:
            self.weights = self.weights.new_zeros(0, 0)
            return self
        gram = torch.zeros(size, size, size, dtype=torch.float64)  # that of each target's own
        moment = torch.zeros(size, size, dtype=torch.float64)
        for one in recordings:
            sources, wanted, known = self._table(one)
            gram[known] += sources.T @ sources
            moment += sources.T @ wanted
        power = gram.diagonal(dim1=1, dim2=2).amax(-1).clamp_min(1.0)
        held = gram + (self.ridge * power)[:, None, None] * torch.eye(size, dtype=gram.dtype)
        self.weights = torch.linalg.solve(held, moment.T)  # [target, source]
        return self

    def forward(self, recording: Recorded) -> Tensor:
        """Forecasts [T, N]."""
        check_recording(recording)
        activity, place = recording.activity.double(), {n: k for k, n in enumerate(self.names)}
        told = by_name(activity, recording.cells, self.names) @ self.weights.T
        nothing = torch.zeros_like(activity[:, 0])
        columns = [told[:, place[c]] if c in place else nothing for c in recording.cells]
        return self.base(recording) + torch.stack(columns, -1)

    def _table(self, recording: Recorded) -> tuple[Tensor, Tensor, list[int]]:
        """Sources [P, names], what the base leaves of them [P, names], which names are there."""
        activity, cells = recording.activity.double(), recording.cells
        left = activity[self.horizon :] - self.base(recording)[: -self.horizon]
        counted = left[WARM:] * (cell_weights(recording) > 0)
        sources = by_name(activity[WARM : -self.horizon], cells, self.names)
        known = [place for place, name in enumerate(self.names) if name in cells]
        return sources, by_name(counted, cells, self.names), known
