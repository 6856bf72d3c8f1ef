"""Who tells whom: the edges of a graph network, and the messages that go along them.

A rule of edges makes messages [T, N, M] out of the activity [T, N] of a brain and the names of its
cells. It has no weights to be trained; the network weighs the M kinds of message, alike for all
cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from amphid.models.forecasts.autoregression import lagged
from amphid.models.forecasts.history import TINY, Pace, slow_means, surprises

JOINT_SPANS = (4.0, 15.0)  # frames
LEAD_LAG = 2  # frames
GIVEN_SPAN = (4.0,)  # frames


class Edges(Protocol):
    """A rule of edges."""

    def messages(self, activity: Tensor, cells: Sequence[str | None], horizon: int) -> Tensor:
        """What each cell hears [T, N, M], of frames up to each frame."""


@dataclass(frozen=True)
class NoEdges:
    """Nobody tells anybody anything: the twin of a graph network that lacks its graph."""

    def messages(self, activity: Tensor, cells: Sequence[str | None], horizon: int) -> Tensor:
        """No message at all [T, N, 0]."""
        return activity[..., None][..., :0]


@dataclass(frozen=True)
class Inferred:
    r"""Edges out of what a brain has done so far, of two kinds.

    *Leading*: cell j leads cell i as far as its activity has foretold, over the horizon, what i's
    own did not. :math:`r_i` is that remainder, of i's regression on itself:

    .. math::
        W_{ji} = \frac{1}{\sqrt N}
            \frac{\langle x_j(t) \, r_i(t + h) \rangle}{\langle x_j(t)^2 \rangle}

    *Joint*: what the others say that i is doing now, by a ridge regression of each cell on all
    others, which tells a cell from the noise of its own measurement.

    ridge: of that regression, in units of a cell's own power. pace: when edges are inferred anew.
    Messages: leading, now and two frames ago; joint, now and over 4 and 15 frames. Cells need no
    names, and no edge is carried from one animal to another.
    """

    ridge: float = 16.0
    pace: Pace = field(default_factory=Pace)

    def messages(self, activity: Tensor, cells: Sequence[str | None], horizon: int) -> Tensor:
        """Messages [T, N, 5]."""
        leading, joint = torch.zeros_like(activity), torch.zeros_like(activity)
        for known, coming in self.pace.spans(len(activity)):
            leading[coming] = activity[coming] @ _leading(activity, known, horizon)
            joint[coming] = activity[coming] @ _joint(activity[known], self.ridge)
        led = lagged(leading, LEAD_LAG + 1)[..., [0, LEAD_LAG]]
        return torch.cat([led, joint[..., None], slow_means(joint, JOINT_SPANS)], -1)


@dataclass(frozen=True)
class Given:
    """Edges that are known beforehand, such as anatomical ones.

    weights: gives, for the names of N cells, weights [K, N, N] of K kinds of edge, row tells
    column. Each cell hears, of each kind, the mean of those who tell it, now and over 4 frames.
    """

    weights: Callable[[Sequence[str | None]], Tensor]

    def messages(self, activity: Tensor, cells: Sequence[str | None], horizon: int) -> Tensor:
        """Messages [T, N, 2 K]."""
        weights = self.weights(cells)
        if not isinstance(weights, Tensor) or weights.shape[1:] != (len(cells), len(cells)):
            got = list(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
            raise ValueError(
                f"weights must give [K, N, N] for the names of {len(cells)} cells, it gave {got}."
            )
        weights = weights.to(activity)
        shares = weights / weights.abs().sum(-2, keepdim=True).clamp_min(TINY)
        heard = [activity @ kind for kind in shares]
        return torch.cat(
            [part for one in heard for part in (one[..., None], slow_means(one, GIVEN_SPAN))], -1
        )


@dataclass(frozen=True)
class Together:
    """The messages of several rules."""

    rules: tuple[Edges, ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("rules must hold at least one rule of edges: NoEdges() has none.")

    def messages(self, activity: Tensor, cells: Sequence[str | None], horizon: int) -> Tensor:
        """Messages [T, N, M], M those of all."""
        return torch.cat([rule.messages(activity, cells, horizon) for rule in self.rules], -1)


@dataclass(frozen=True)
class Shuffled:
    """The same edges, but each ends at another cell: every cell gets what was meant for another.

    How many edges leave a cell, how strong they are, and how many arrive, are as before: degrees
    and weights are kept, only who is at the end is not.

    draws: gives the generator of the permutation for a number of cells; called anew for each
    recording, so that the same recording is shuffled alike whenever it comes.
    """

    edges: Edges
    draws: Callable[[int], torch.Generator]

    def messages(self, activity: Tensor, cells: Sequence[str | None], horizon: int) -> Tensor:
        """Messages [T, N, M], those of other cells."""
        count = activity.shape[1]
        order = torch.randperm(count, generator=self.draws(count))
        return self.edges.messages(activity, cells, horizon)[:, order]


def _leading(activity: Tensor, known: slice, horizon: int) -> Tensor:
    """Weights [N, N] by which the past of the row foretold the unforeseen of the column."""
    _, past, unforeseen = surprises(activity, known, horizon)
    if not len(past):
        return activity.new_zeros(activity.shape[1], activity.shape[1])
    power = past.square().sum(0)[:, None] + TINY
    return (past.T @ unforeseen / power / len(power) ** 0.5).fill_diagonal_(0)


def _joint(activity: Tensor, ridge: float) -> Tensor:
    """Weights [N, N], columns those of a ridge regression of one cell on the others at one time."""
    gram = activity.T @ activity / len(activity)
    power = gram.diagonal() + TINY
    precision = torch.linalg.inv(gram + (ridge * power).diag())
    return (-precision / precision.diagonal()).fill_diagonal_(0)
