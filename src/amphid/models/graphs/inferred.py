"""Edges out of what a brain has done so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from amphid.models.graphs.graph import Graph, check_asked, others
from amphid.models.graphs.past import TINY, Pace, surprises
from amphid.wiring import checks

JOINT_SPANS = (4.0, 15.0)  # frames
LEAD_LAG = 2  # frames


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

    def __post_init__(self) -> None:
        checks.positive("ridge", self.ridge)
        checks.instance("pace", self.pace, Pace, "a Pace(...)")

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """Leading and joint edges."""
        check_asked(signals, cells, horizon, pool)
        if pool is None:
            return self._between(signals, horizon)
        tellers = others(signals.shape[1], pool)
        joined = torch.cat([signals[:, tellers], signals[:, list(pool)].mean(1, keepdim=True)], 1)
        return [_to_last(graph, tellers, signals) for graph in self._between(joined, horizon)]

    def _between(self, signals: Tensor, horizon: int) -> list[Graph]:
        none = signals.new_zeros(signals.shape[1], signals.shape[1])
        leading, joint, starts = [none], [none], [0]
        for known, coming in self.pace.spans(len(signals)):
            leading.append(_leading(signals, known, horizon))
            joint.append(_joint(signals[known], self.ridge).mT)
            starts.append(coming.start)
        return [  # joint weights by columns, as `inv` gives them: by rows, products round otherwise
            Graph(torch.stack(leading), starts, lags=(0, LEAD_LAG)),
            Graph(torch.stack(joint).mT, starts, spans=JOINT_SPANS),
        ]


def _to_last(graph: Graph, tellers: list[int], signals: Tensor) -> Graph:
    """The edges to the last listener only, from the columns that cells have in signals [T, N]."""
    weights = signals.new_zeros(len(graph.weights), signals.shape[1], 1)
    weights[:, tellers] = graph.weights[:, :-1, -1:]
    return replace(graph, weights=weights)


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
