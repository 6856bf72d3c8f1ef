"""Edges that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from amphid.models.graphs.graph import Graph, check_asked, shares
from amphid.wiring import checks

Weights = Callable[[Sequence[str | None]], Tensor]
"""Gives, for the names of N cells, weights [K, N, N] of K kinds of edge, row tells column."""


@dataclass(frozen=True)
class Given:
    """Edges that are known beforehand, such as anatomical ones: `Given(Anatomical(connectome))`.

    Each listener hears, of each kind, the mean of those who tell it. Messages: now, and over
    `spans` frames.
    """

    weights: Weights
    spans: tuple[float, ...] = (4.0,)

    def __post_init__(self) -> None:
        check_weights(self.weights)
        for span in checks.instance("spans", self.spans, tuple, "a tuple of numbers of frames"):
            checks.positive("each of spans", span)

    def graphs(
        self,
        signals: Tensor,
        cells: Sequence[str | None],
        horizon: int = 1,
        pool: Sequence[int] | None = None,
    ) -> list[Graph]:
        """A graph of each kind, which stays."""
        check_asked(signals, cells, horizon, pool)
        weights = self._between(cells)
        if pool is not None:
            weights = weights[..., list(pool)].sum(-1, keepdim=True)
            weights[:, list(pool)] = 0
        return [Graph(kind[None], spans=self.spans) for kind in shares(weights.to(signals))]

    def _between(self, cells: Sequence[str | None]) -> Tensor:
        weights = self.weights(cells)
        if not isinstance(weights, Tensor) or weights.shape[1:] != (len(cells), len(cells)):
            got = list(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
            raise ValueError(
                f"weights must give [K, N, N] for the names of {len(cells)} cells, it gave {got}."
            )
        return weights


def check_weights(weights: object) -> None:
    """Raise TypeError, in a sentence, for what gives no weights for names."""
    if isinstance(weights, type) or not callable(weights):
        raise TypeError(
            "weights must be a function of the names of cells, such as Anatomical(celegans()), got "
            f"{weights!r:.60}."
        )
