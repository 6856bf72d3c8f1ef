"""Networks that know nothing of who is who: a net on windows and a recurrent one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amphid.models.behavior.animal import Animal, check_animal, named_cells
from amphid.wiring import checks

WINDOW = 9  # frames


class CellsNet(nn.Module, ABC):
    """A network on the signals of cells by name; those that are missing are zero. Abstract."""

    def __init__(self, cells: Sequence[str]) -> None:
        super().__init__()
        self.cells = named_cells(cells)

    @abstractmethod
    def outputs(self, signals: Tensor) -> Tensor:
        """Outputs [T, B, K] of signals [T, B, cells], each of them causal."""

    def forward(self, animal: Animal) -> Tensor:
        """Outputs [T, K] for all frames of an animal."""
        check_animal(animal)
        return self.outputs(animal.filled(self.cells)[:, None].float())[:, 0]


class FrameNet(CellsNet):
    """Two layers on the last nine frames.

    units: rectified units of the hidden layer. dropout: share of inputs left out in training.
    """

    def __init__(
        self,
        cells: Sequence[str],
        classes: int,
        *,
        units: int = 24,
        dropout: float = 0.2,
        generator: torch.Generator,
    ) -> None:
        super().__init__(cells)
        _check(classes, units, dropout)
        self.net = nn.Sequential(
            nn.Dropout(dropout),
            nn.utils.skip_init(nn.Linear, len(self.cells) * WINDOW, units),
            nn.ReLU(),
            nn.utils.skip_init(nn.Linear, units, classes),
        )
        _draw(self, generator)

    def outputs(self, signals: Tensor) -> Tensor:
        """Outputs [T, B, K] of signals [T, B, cells]."""
        frames = torch.arange(len(signals))
        past = [signals[(frames - lag).clamp_min(0)] for lag in range(WINDOW)]
        answer: Tensor = self.net(torch.cat(past, -1))
        return answer


class RecurrentNet(CellsNet):
    """Gated recurrent units, frame by frame, and a linear readout.

    units: of the recurrent layer. dropout: share of inputs left out in training.
    """

    def __init__(
        self,
        cells: Sequence[str],
        classes: int,
        *,
        units: int = 16,
        dropout: float = 0.2,
        generator: torch.Generator,
    ) -> None:
        super().__init__(cells)
        _check(classes, units, dropout)
        self.dropout = nn.Dropout(dropout)
        with torch.random.fork_rng(devices=()):  # the first weights of torch are replaced
            self.units = nn.GRU(len(self.cells), units)
        self.readout = nn.utils.skip_init(nn.Linear, units, classes)
        _draw(self, generator)

    def outputs(self, signals: Tensor) -> Tensor:
        """Outputs [T, B, K] of signals [T, B, cells]."""
        held, _ = self.units(self.dropout(signals))
        answer: Tensor = self.readout(held)
        return answer


def _check(classes: int, units: int, dropout: float) -> None:
    checks.whole("classes", classes, least=2)
    checks.whole("units", units)
    checks.fraction("dropout", dropout)


def _draw(net: nn.Module, generator: torch.Generator) -> None:
    """First weights as torch draws them, from a generator."""
    checks.drawing(generator)
    for layer in net.modules():
        for held in layer.parameters(recurse=False):
            fan = layer.hidden_size if isinstance(layer, nn.GRU) else layer.in_features
            reach = 1 / math.sqrt(int(fan))  # type: ignore[arg-type]
            nn.init.uniform_(held, -reach, reach, generator=generator)
