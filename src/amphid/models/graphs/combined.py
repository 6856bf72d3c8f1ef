"""Rules made of other rules, and the twins that show what a graph is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from amphid.models.graphs.given import Given, Weights, check_weights
from amphid.models.graphs.graph import Edges, Graph, check_edges, others, shares


@dataclass(frozen=True)
class NoEdges:
    """Nobody tells anybody anything: the twin of a model that lacks its graph."""

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """None."""
        return []


@dataclass(frozen=True)
class Together:
    """The graphs of several rules."""

    rules: tuple[Edges, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.rules, Sequence) or not self.rules:
            raise ValueError(
                "rules must hold at least one rule of edges, got "
                f"{self.rules!r}: NoEdges() has none."
            )
        for rule in self.rules:
            check_edges(rule)

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """Those of all."""
        return [
            graph for rule in self.rules for graph in rule.graphs(signals, cells, horizon, pool)
        ]


@dataclass(frozen=True)
class Wired:
    """The edges of a rule that the wiring has as well, in any of its kinds.

    Those that are left sum to one for each listener.
    """

    edges: Edges
    weights: Weights

    def __post_init__(self) -> None:
        check_edges(self.edges)
        check_weights(self.weights)

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """As many as the rule has."""
        kinds = Given(self.weights).graphs(signals, cells, horizon, pool)
        wired = torch.stack([kind.weights != 0 for kind in kinds]).any(0)
        found = self.edges.graphs(signals, cells, horizon, pool)
        return [replace(graph, weights=shares(graph.weights * wired)) for graph in found]


@dataclass(frozen=True)
class Shuffled:
    """The same edges between other cells: every listener gets what was meant for another.

    How many edges leave a cell, how strong they are, and how many arrive, are as before: degrees
    and weights are kept, only who is at the end is not: it may come to be the cell itself. A pool,
    the only listener there is, hears from other cells instead.

    draws: gives the generator of the permutation for a number of cells; called anew for each
    recording, so that the same recording is shuffled alike whenever it comes.
    """

    edges: Edges
    draws: Callable[[int], torch.Generator]

    def __post_init__(self) -> None:
        check_edges(self.edges)
        if not callable(self.draws):
            raise TypeError(
                f"draws must be a function from a number of cells to a generator, got "
                f"{self.draws!r}."
            )

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """As many as the rule has."""
        tellers = list(range(len(cells))) if pool is None else others(len(cells), pool)
        draw = self.draws(len(tellers))
        order = torch.tensor(tellers)[torch.randperm(len(tellers), generator=draw)]
        found = self.edges.graphs(signals, cells, horizon, pool)
        if pool is None:
            return [replace(graph, weights=graph.weights[..., order]) for graph in found]
        return [replace(graph, weights=_moved(graph.weights, tellers, order)) for graph in found]


def _moved(weights: Tensor, tellers: list[int], order: Tensor) -> Tensor:
    """Weights [S, N, R] whose rows stand at other cells."""
    moved = torch.zeros_like(weights)
    moved[:, order] = weights[:, tellers]
    return moved
