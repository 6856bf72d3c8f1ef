"""Networks that are trained by gradients: corrections of AR(8) that begin at zero."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor, nn

from amphid.models.behavior.animal import named_cells
from amphid.models.forecasts.autoregression import Autoregression
from amphid.models.forecasts.forecaster import Forecaster, Recorded
from amphid.models.forecasts.graph import GraphForecast
from amphid.models.forecasts.vector import by_name
from amphid.models.graphs import Edges, messages
from amphid.models.graphs.past import lagged
from amphid.wiring import checks


class Corrector(Forecaster):
    """AR(8) by name, and a network that learns to correct it. Abstract.

    `fit` fits the autoregression and leaves the correction at zero; training is by gradients, on
    `correction` of any stretch of `inputs`, which hold all that does not depend on the weights.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__(horizon)
        self.base = Autoregression(horizon)

    def fit(self, recordings: Sequence[Recorded]) -> Self:
        """The autoregression; the correction stays."""
        self.base.fit(recordings)
        return self

    @abstractmethod
    def inputs(self, recording: Recorded) -> Tensor:
        """What the network sees [T, ...] in float32."""

    @abstractmethod
    def correction(self, inputs: Tensor, cells: Sequence[str | None]) -> Tensor:
        """What is added to the autoregression [P, N], of P successive frames of inputs."""

    def forward(self, recording: Recorded) -> Tensor:
        """Forecasts [T, N]."""
        return self.base(recording) + self.correction(self.inputs(recording), recording.cells)


@final
class Attention(nn.Module):
    """Edges inferred frame by frame: each cell asks all others, and hears the mean of answers.

    features: F of a cell. size: of questions, keys and answers. Softmax over the other cells.
    """

    def __init__(self, features: int, size: int = 8, *, generator: torch.Generator) -> None:
        super().__init__()
        checks.whole("features", features)
        self.size = checks.whole("size", size)
        self.asked = nn.Linear(features, 3 * size)
        draw(self, generator)

    def forward(self, features: Tensor) -> Tensor:
        """What each cell hears [P, N, size], of features [P, N, F]."""
        question, key, answer = self.asked(features).split(self.size, -1)
        fit = question @ key.transpose(1, 2) / math.sqrt(self.size)
        itself = torch.eye(fit.shape[-1], dtype=torch.bool, device=fit.device)
        return fit.masked_fill(itself, -math.inf).softmax(-1) @ answer


@final
class GraphNetwork(Corrector):
    """A network of two hidden layers that all cells share, on a cell's own past and on messages.

    edges: as in `GraphForecast`, whose features it has. attention: a size of messages that it
    infers from the features frame by frame, besides; none when 0.
    """

    def __init__(
        self,
        horizon: int,
        edges: Edges,
        *,
        attention: int = 0,
        hidden: int = 64,
        generator: torch.Generator,
    ) -> None:
        super().__init__(horizon)
        checks.whole("attention", attention, least=0)
        checks.whole("hidden", hidden)
        self.seen = GraphForecast(horizon, edges)
        features = _feature_count(self.seen)
        self.attention = Attention(features, attention, generator=generator) if attention else None
        self.shared = nn.Sequential(
            nn.Linear(features + attention, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.out = nn.Linear(hidden, 1)
        draw(self.shared, generator)
        nothing(self.out)

    def inputs(self, recording: Recorded) -> Tensor:
        """Features [T, N, F]."""
        return self.seen.features(recording).float()

    def correction(self, inputs: Tensor, cells: Sequence[str | None]) -> Tensor:
        """Corrections [P, N]."""
        heard = [self.attention(inputs)] if self.attention else []
        return self.out(self.shared(torch.cat([inputs, *heard], -1)))[..., 0]


class _Named(Corrector):
    """A network with one input and one output for each name: it knows no structure. Abstract."""

    def __init__(self, horizon: int, names: Sequence[str]) -> None:
        super().__init__(horizon)
        self.names = named_cells(names)

    def _placed(self, told: Tensor, cells: Sequence[str | None]) -> Tensor:
        """Corrections [P, N] of cells out of those of names [P, names]; 0 without a name."""
        place = {name: column for column, name in enumerate(self.names)}
        padded = nn.functional.pad(told, (0, 1))
        return padded[:, [place.get(cell or "", len(self.names)) for cell in cells]]


@final
class MultilayerPerceptron(_Named):
    """Four frames of all cells in, a correction of each of them out, one hidden layer between.

    Cells that are not there count as 0.
    """

    LAGS = 4

    def __init__(
        self, horizon: int, names: Sequence[str], *, hidden: int = 10, generator: torch.Generator
    ) -> None:
        super().__init__(horizon, names)
        checks.whole("hidden", hidden)
        self.inner = nn.Sequential(nn.Linear(self.LAGS * len(names), hidden), nn.GELU())
        self.out = nn.Linear(hidden, len(names))
        draw(self.inner, generator)
        nothing(self.out)

    def inputs(self, recording: Recorded) -> Tensor:
        """Frames of all names [T, 4 names]."""
        table = by_name(recording.activity.float(), recording.cells, self.names)
        return lagged(table, self.LAGS).flatten(1)

    def correction(self, inputs: Tensor, cells: Sequence[str | None]) -> Tensor:
        """Corrections [P, N]."""
        return self._placed(self.out(self.inner(inputs)), cells)


@final
class GatedRecurrent(_Named):
    """All cells into gated recurrent units, a correction of each of them out.

    Cells that are not there count as 0.
    """

    def __init__(
        self, horizon: int, names: Sequence[str], *, hidden: int = 12, generator: torch.Generator
    ) -> None:
        super().__init__(horizon, names)
        checks.whole("hidden", hidden)
        self.units = nn.GRU(len(names), hidden)
        self.out = nn.Linear(hidden, len(names))
        draw(self.units, generator)
        nothing(self.out)

    def inputs(self, recording: Recorded) -> Tensor:
        """All names [T, names]."""
        return by_name(recording.activity.float(), recording.cells, self.names)

    def correction(self, inputs: Tensor, cells: Sequence[str | None]) -> Tensor:
        """Corrections [P, N]; the units begin at rest."""
        return self._placed(self.out(self.units(inputs)[0]), cells)


def draw(module: nn.Module, generator: torch.Generator) -> None:
    """Draw all parameters uniformly, up to one over the root of how many inputs they weigh."""
    checks.drawing(generator)
    for parameter in module.parameters():
        reach = parameter.shape[-1] ** -0.5
        nn.init.uniform_(parameter, -reach, reach, generator=generator)


def nothing(layer: nn.Linear) -> None:
    """Let a layer give zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _feature_count(model: GraphForecast) -> int:
    """How many features a cell has under its edges."""
    frames = torch.zeros(model.pace.early + 1, 2, dtype=torch.float64)
    heard = messages(model.edges.graphs(frames, (None, None), model.horizon), frames)
    return heard.shape[-1] + 19
