"""Every worm is held out once: what models that learned from the others foretell of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean

import torch
from torch import Tensor

from amphid.models.forecasts import (
    Autoregression,
    Corrector,
    Forecaster,
    GraphForecast,
)
from amphid.models.graphs import Edges, Pace
from amphid.studies.worm_nets import trained
from amphid.tasks import WormRecording, relative_error

Errors = tuple[float, ...]
"""Relative error on each worm that was held out."""

Net = Callable[[torch.Generator], Corrector]


class Folds:
    """Worms, each held out once, and one horizon.

    What does not depend on training is computed once for each worm. The worms that a model learns
    from are those behind the one that is held, in a ring.
    """

    def __init__(self, worms: Sequence[WormRecording], horizon: int) -> None:
        self.worms, self.horizon = tuple(worms), horizon
        self._bases: dict[int, Autoregression] = {}

    def known(self, held: int, count: int | None = None) -> tuple[WormRecording, ...]:
        """The worms that are learned from when one is held: `count` of them, or all."""
        return (*self.worms[held + 1 :], *self.worms[:held])[:count]

    def fitted(self, model: Forecaster) -> Errors:
        """Errors of a model that is fitted in closed form."""
        return tuple(
            relative_error(model.fit(self.known(place))(held), held, self.horizon)
            for place, held in enumerate(self.worms)
        )

    def graph(self, edges: Edges, pace: Pace = Pace()) -> Graph:  # noqa: B008  frozen
        """A graph network on these worms."""
        return Graph(self, GraphForecast(self.horizon, edges, pace=pace))

    def trained(self, make: Net, seeds: Sequence[int], *, steps: int) -> tuple[Errors, ...]:
        """Errors of a network that is trained by gradients, for each seed."""
        inputs: dict[str, Tensor] = {}
        return tuple(
            tuple(
                self._trained(make, inputs, place, seed, steps) for place in range(len(self.worms))
            )
            for seed in seeds
        )

    def _trained(
        self, make: Net, inputs: dict[str, Tensor], place: int, seed: int, steps: int
    ) -> float:
        draw, held = torch.Generator().manual_seed(seed), self.worms[place]
        net = make(draw)
        net.base = self._base(place)
        for worm in self.worms:
            if worm.name not in inputs:
                inputs[worm.name] = net.inputs(worm)
        trained(net, self.known(place), inputs, steps=steps, generator=draw)
        with torch.no_grad():
            told = net.base(held) + net.correction(inputs[held.name], held.cells)
        return relative_error(told, held, self.horizon)

    def _base(self, held: int) -> Autoregression:
        """The autoregression of all worms but one, fitted once for all networks."""
        if held not in self._bases:
            self._bases[held] = Autoregression(self.horizon).fit(self.known(held))
        return self._bases[held]


class Graph:
    """A graph network in closed form, on worms whose features are computed once."""

    def __init__(self, folds: Folds, model: GraphForecast) -> None:
        self.folds, self.model = folds, model
        self.features = {worm.name: model.features(worm) for worm in folds.worms}

    def errors(self, count: int | None = None, cells: Sequence[str] | None = None) -> Errors:
        """Errors after learning from `count` other worms, of some cells only or of all."""
        return tuple(
            self.error(self.folds.known(place, count), held, cells)
            for place, held in enumerate(self.folds.worms)
        )

    def error(
        self,
        known: Sequence[WormRecording],
        held: WormRecording,
        cells: Sequence[str] | None = None,
    ) -> float:
        """Error on one worm after learning from some."""
        self.model.fit_features(known, [self.features[worm.name] for worm in known])
        seen = self.features.get(held.name)
        told = self.model.corrected(held, self.model.features(held) if seen is None else seen)
        return relative_error(told, held, self.folds.horizon, cells)


def over_seeds(errors: Sequence[Errors]) -> Errors:
    """Errors on each worm, the mean over seeds."""
    return tuple(mean(one) for one in zip(*errors, strict=True))


def chosen(candidates: Sequence[Graph]) -> tuple[Errors, tuple[int, ...]]:
    """Errors of the graph network that does best on inner worms, and which one that is each time.

    For each worm that is held, every candidate is tried on each of the others, held in its turn.
    """
    errors, picked = [], []
    for place, held in enumerate(candidates[0].folds.worms):
        known = candidates[0].folds.known(place)
        inner = [
            mean(graph.error([w for w in known if w is not one], one) for one in known)
            for graph in candidates
        ]
        picked.append(inner.index(min(inner)))
        errors.append(candidates[picked[-1]].error(known, held))
    return tuple(errors), tuple(picked)
