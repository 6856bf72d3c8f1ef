"""Readouts of behavior: a rule, regressions, and one that passes messages first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from amphid.models.behavior.animal import (
    COMMAND,
    LAGS,
    Animal,
    check_animal,
    check_animals,
    lagged,
    named_cells,
)
from amphid.models.behavior.logistic import Logistic
from amphid.models.graphs import Edges, NoEdges, messages
from amphid.models.graphs.alike import rises
from amphid.models.graphs.graph import check_edges
from amphid.wiring import checks


class CommandRule:
    """Nothing is trained: backing up is a rise of the command cells that is high for this animal.

    Outputs are [T, 2]: the rise over `frames` frames less its own `quantile` in the frames of
    calibration, for class 1, and zero for class 0.
    """

    def __init__(self, *, frames: int = 4, quantile: float = 0.8) -> None:
        checks.whole("frames", frames, least=0)
        checks.share("quantile", quantile)
        self.frames, self.quantile = frames, quantile

    def __call__(self, animal: Animal) -> Tensor:
        """Outputs [T, 2]."""
        check_animal(animal)
        rise = rises(animal.mean(COMMAND), self.frames)
        high = rise - rise[: animal.first].quantile(self.quantile)
        return torch.stack((torch.zeros_like(high), high), 1)


class CommandReadout(nn.Module):
    r"""Graph network in closed form: messages to the command cells, then a logistic readout.

    .. math:: h(t) = (1 - s) \, \bar z(t) + s \sum_j a_j(t) \, z_j(t)

    with :math:`\bar z` the mean signal of the command cells, which listen as one, a the weights of
    `edges`, and s the `share` of messages, of several the mean; classes [T, K] are read from h at
    several lags. With `NoEdges` h is :math:`\bar z`: the logistic rule on AVA and AVE. Only the
    weights of the readout are learned, the same for all animals; edges are inferred anew for each
    one, without labels.
    """

    def __init__(
        self,
        classes: int = 2,
        *,
        edges: Edges = NoEdges(),  # noqa: B008  frozen
        share: float = 0.5,
        ridge: float = 1e-3,
    ) -> None:
        super().__init__()
        checks.share("share of messages", share)
        check_edges(edges)
        self.edges, self.share = edges, share
        self.readout = Logistic(len(LAGS), classes, ridge=ridge)

    def hidden(self, animal: Animal) -> Tensor:
        """What the command cells hold [T] once messages have come."""
        own, seed = animal.places(COMMAND), animal.mean(COMMAND)
        graphs = self.edges.graphs(animal.signals, animal.cells, pool=own) if own else []
        if not graphs:
            return seed
        came = messages(graphs, animal.signals)[:, 0].mean(-1)
        told = torch.cat([graph.reached(len(seed)) for graph in graphs], 1).any(1)
        return torch.where(told, (1 - self.share) * seed + self.share * came, seed)

    def fit(self, animals: Sequence[Animal]) -> Self:
        """Learn from animals, from the frames behind their calibration."""
        check_animals(animals)
        features = [lagged(self.hidden(one)[:, None])[one.first :] for one in animals]
        classes = [one.classes[one.first :] for one in animals]
        self.readout.fit(torch.cat(features), torch.cat(classes))
        return self

    def forward(self, animal: Animal) -> Tensor:
        """Outputs [T, K]."""
        check_animal(animal)
        answer: Tensor = self.readout(lagged(self.hidden(animal)[:, None]))
        return answer


class CellsReadout(nn.Module):
    """Logistic regression on cells by name at several lags; cells that are missing are zero."""

    def __init__(self, cells: Sequence[str], classes: int = 2, *, ridge: float = 1e-2) -> None:
        super().__init__()
        self.cells = named_cells(cells)
        self.readout = Logistic(len(cells) * len(LAGS), classes, ridge=ridge)

    def fit(self, animals: Sequence[Animal]) -> Self:
        """Learn from animals, from the frames behind their calibration."""
        check_animals(animals)
        there = {cell for one in animals for cell in one.cells if cell is not None}
        if absent := [cell for cell in self.cells if cell not in there]:
            raise ValueError(
                f"cells must be cells that one of the animals has: none has {absent[0]!r}."
                f"{checks.closest(absent[0], there)}"
            )
        features = [lagged(one.filled(self.cells))[one.first :] for one in animals]
        classes = [one.classes[one.first :] for one in animals]
        self.readout.fit(torch.cat(features), torch.cat(classes))
        return self

    def forward(self, animal: Animal) -> Tensor:
        """Outputs [T, K]."""
        check_animal(animal)
        answer: Tensor = self.readout(lagged(animal.filled(self.cells)))
        return answer
