"""A graph between the cells of a recording, and the messages that go along it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from amphid.models.graphs.past import lagged, slow_means
from amphid.wiring import checks

SMALL = 1e-12


@dataclass(frozen=True, eq=False)
class Graph:
    """Weights of one kind of message, from N cells to R listeners, that may change with time.

    weights: [S, N, R], row tells column, for S successive stretches of frames. starts: the first
    frame of each, 0 first. lags: frames ago at which a message is heard. spans: frames of running
    means of it that are heard besides.
    """

    weights: Tensor
    starts: Sequence[int] = (0,)
    lags: tuple[int, ...] = (0,)
    spans: tuple[float, ...] = ()

    def told(self, signals: Tensor) -> Tensor:
        """What listeners are told [T, R] by signals [T, N]."""
        frames = len(signals)
        if self.weights.shape[2] == 1:
            still = len(self.weights) == 1
            weights = self.weights if still else self._by_frame(self.weights, frames)
            return (weights * signals[..., None]).sum(1)
        return torch.cat([signals[own] @ self.weights[k] for k, own in self._stretches(frames)])

    def heard(self, signals: Tensor) -> Tensor:
        """What comes of it [T, R, M]: the message at each lag, then its mean over each span."""
        told = self.told(signals)
        late = lagged(told, max(self.lags) + 1)[..., list(self.lags)]
        return torch.cat([late, slow_means(told, self.spans)], -1) if self.spans else late

    def reached(self, frames: int) -> Tensor:
        """Whether anybody tells a listener anything, frame by frame [T, R]."""
        return self._by_frame((self.weights != 0).any(1), frames)

    def _stretches(self, frames: int) -> Iterator[tuple[int, slice]]:
        for place, (first, end) in enumerate(zip(self.starts, self._ends(frames), strict=True)):
            yield place, slice(first, end)

    def _by_frame(self, values: Tensor, frames: int) -> Tensor:
        """Values [S, ...] of stretches, for each frame [T, ...]."""
        lengths = torch.tensor(self._ends(frames)) - torch.tensor(self.starts)
        return values.repeat_interleave(lengths, 0)

    def _ends(self, frames: int) -> list[int]:
        return [*self.starts[1:], frames]


class Edges(Protocol):
    """A rule of edges. Nothing in it is trained: models weigh its messages, alike for all cells."""

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """Graphs between cells with signals [T, N] and names, one for each kind of message.

        horizon: frames ahead that listeners want to know. pool: columns of cells that listen as
        one, by their mean, and tell it nothing, so that R is 1; every cell listens for itself when
        None, and R is N.
        """


def messages(graphs: Sequence[Graph], signals: Tensor) -> Tensor:
    """What each listener hears [T, R, M] of signals [T, N]; [T, N, 0] where there is no graph."""
    if checks.reals("signals", signals).dim() != 2:
        raise ValueError(f"signals must be [T, N], got shape {list(signals.shape)}.")
    for graph in checks.instance("graphs", graphs, Sequence, "a list of Graph"):
        checks.instance("each of graphs", graph, Graph, "a Graph")
    if not graphs:
        return signals[..., None][..., :0]
    return torch.cat([graph.heard(signals) for graph in graphs], -1)


def shares(weights: Tensor) -> Tensor:
    """Weights [..., N, R] that sum to one for each listener, signs aside, or stay zero."""
    return weights / weights.abs().sum(-2, keepdim=True).clamp_min(SMALL)


def others(count: int, pool: Sequence[int]) -> list[int]:
    """Columns of the cells that are not in a pool."""
    return sorted(set(range(count)) - set(pool))


def check_asked(
    signals: object, cells: Sequence[str | None], horizon: int, pool: Sequence[int] | None
) -> None:
    """Raise TypeError or ValueError, in a sentence, for what no rule can make graphs of."""
    shape = checks.reals("signals", signals).shape
    checks.instance("cells", cells, Sequence, "a name, or None, for each cell")
    if len(shape) != 2 or not shape.numel() or shape[1] != len(cells):
        raise ValueError(
            f"signals must be [T, N] of at least one frame and cell, with N names, got "
            f"{list(shape)} and {len(cells)} names."
        )
    checks.whole("horizon", horizon)
    if pool is not None and (
        not isinstance(pool, Sequence) or not pool or not set(pool) <= set(range(len(cells)))
    ):
        raise ValueError(
            f"pool must be columns of some of the {len(cells)} cells, got {pool!r:.60}."
        )


def check_edges(edges: object) -> None:
    """Raise TypeError, in a sentence, for what is no rule of edges."""
    if isinstance(edges, type) or not hasattr(edges, "graphs"):
        raise TypeError(f"edges must be a rule of edges such as graphs.Inferred(), got {edges!r}.")
