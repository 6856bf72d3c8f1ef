"""Each cell by its own last frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor

from amphid.models.forecasts.forecaster import (
    Forecaster,
    Recorded,
    check_fitted_to,
    check_recording,
    normal_equations,
    solved,
)
from amphid.models.graphs.past import lagged
from amphid.wiring import checks

RIDGE = 1e-3


def with_one(features: Tensor) -> Tensor:
    """Features [..., F] and a one behind them."""
    return torch.cat([features, torch.ones_like(features[..., :1])], -1)


@final
class Autoregression(Forecaster):
    r"""AR(p), direct: one regression for all cells, and one per name that is drawn to it.

    .. math:: \hat x_i(t + h) = c_i + \sum_{l < p} a_{il} x_i(t - l)

    lags: p. hold: how strongly the weights of a name are held to those shared by all, in units of
    the activity of one recording; math.inf leaves the shared ones only. A cell that is not known by
    name has the shared weights.
    """

    shared: Tensor
    own: Tensor

    def __init__(self, horizon: int, *, lags: int = 8, hold: float = 1.0) -> None:
        super().__init__(horizon)
        checks.whole("lags", lags)
        if not checks.real("hold", hold) >= 0:
            raise ValueError(f"hold must be at least 0, or math.inf, got {hold!r}.")
        self.lags, self.hold = lags, hold
        self.names: tuple[str, ...] = ()
        self.register_buffer("shared", torch.zeros(lags + 1, dtype=torch.float64))
        self.register_buffer("own", torch.zeros(0, lags + 1, dtype=torch.float64))

    def fit(self, recordings: Sequence[Recorded]) -> Self:
        """Least squares in closed form."""
        check_fitted_to(recordings)
        table: dict[str | None, tuple[Tensor, Tensor]] = {}
        for one in recordings:
            rows = zip(*normal_equations(self._features(one), one, self.horizon), strict=True)
            for name, (gram, moment) in zip(one.cells, rows, strict=True):
                before = table.get(name, (torch.zeros_like(gram), torch.zeros_like(moment)))
                table[name] = (before[0] + gram, before[1] + moment)
        gram, moment = (torch.stack(side) for side in zip(*table.values(), strict=True))
        self.shared = solved(gram.sum(0), moment.sum(0), ridge=RIDGE)
        named = [place for place, name in enumerate(table) if name is not None]
        self.names = tuple(name for name in table if name is not None)
        self.own = self._held(gram[named], moment[named])
        return self

    def forward(self, recording: Recorded) -> Tensor:
        """Forecasts [T, N]."""
        check_recording(recording)
        return (self._features(recording) * self._weights(recording.cells)).sum(-1)

    def _features(self, recording: Recorded) -> Tensor:
        return with_one(lagged(recording.activity.double(), self.lags))

    def _held(self, gram: Tensor, moment: Tensor) -> Tensor:
        """Weights of each name [names, F], held to the shared ones."""
        left = moment - (gram @ self.shared)
        held = gram + torch.eye(len(self.shared), dtype=gram.dtype) * min(self.hold, 1e12)
        return self.shared + torch.linalg.solve(held, left)

    def _weights(self, cells: Sequence[str | None]) -> Tensor:
        place = dict(zip(self.names, self.own, strict=True))
        return torch.stack([place.get(cell or "", self.shared) for cell in cells])
