"""A graph network whose weights all cells share, on top of an autoregression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor

from amphid.models.forecasts.autoregression import Autoregression
from amphid.models.forecasts.forecaster import (
    Forecaster,
    Recorded,
    check_fitted_to,
    check_recording,
    normal_equations,
    solved,
)
from amphid.models.forecasts.history import own_history
from amphid.models.graphs import Edges, Pace, messages
from amphid.models.graphs.graph import check_edges
from amphid.wiring import checks

RIDGE = 1e-3


@final
class GraphForecast(Forecaster):
    r"""AR(8) by name, corrected by a linear graph network: one layer of messages, shared weights.

    .. math:: \hat x_i(t + h) = \mathrm{AR}_i(t) + w \cdot f_i(t) + u \cdot m_i(t)

    f are 19 features of the cell's own past (`own_history`), m the messages along the `edges`. The
    weights w and u are the same for every cell of every animal, so that cells without a name and
    animals never seen are foretold alike; they are zero before `fit`, which finds them in closed
    form. With `NoEdges` it is its own twin without a graph.

    pace: when a cell's own statistics are taken anew; give `edges` the same.
    """

    weights: Tensor

    def __init__(self, horizon: int, edges: Edges, *, pace: Pace = Pace(), ridge: float = RIDGE):  # noqa: B008  frozen
        super().__init__(horizon)
        check_edges(edges)
        checks.instance("pace", pace, Pace, "a Pace(...)")
        checks.positive("ridge", ridge)
        self.edges, self.pace, self.ridge = edges, pace, ridge
        self.base = Autoregression(horizon)
        self.register_buffer("weights", torch.zeros(0, dtype=torch.float64))

    def fit(self, recordings: Sequence[Recorded]) -> Self:
        """The autoregression first, then what its errors have in common with the features."""
        check_fitted_to(recordings)
        return self.fit_features(recordings, [self.features(one) for one in recordings])

    def fit_features(self, recordings: Sequence[Recorded], features: Sequence[Tensor]) -> Self:
        """The same, where the features of the recordings are known already."""
        self.base.fit(recordings)
        gram, moment = torch.zeros(()), torch.zeros(())
        for one, own in zip(recordings, features, strict=True):
            wanted = self._left(one)
            grams, moments = normal_equations(own, one, self.horizon, wanted=wanted)
            gram, moment = gram + grams.sum(0), moment + moments.sum(0)
        self.weights = solved(gram, moment, ridge=self.ridge)
        return self

    def features(self, recording: Recorded) -> Tensor:
        """What each cell knows of itself and hears from others [T, N, F]; nothing is learned."""
        check_recording(recording)
        activity = recording.activity.double()
        heard = messages(self.edges.graphs(activity, recording.cells, self.horizon), activity)
        return torch.cat([own_history(activity, self.horizon, self.pace), heard], -1)

    def forward(self, recording: Recorded) -> Tensor:
        """Forecasts [T, N]."""
        return self.corrected(recording, self.features(recording))

    def corrected(self, recording: Recorded, features: Tensor) -> Tensor:
        """Forecasts [T, N] out of features that are known already."""
        base = self.base(recording)
        return base + features @ self.weights if len(self.weights) else base

    def _left(self, recording: Recorded) -> Tensor:
        """What the autoregression leaves to be foretold [T - horizon, N]."""
        ahead = recording.activity.double()[self.horizon :]
        return ahead - self.base(recording)[: len(ahead)]
