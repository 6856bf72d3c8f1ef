"""A linear filter of counts, bent."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from amphid.models.decoders.decoder import FittedDecoder, check_positive
from amphid.models.decoders.linear import HistoryState, Pairs, RidgeDecoder


@final
class WienerCascade(FittedDecoder):
    r"""A linear filter of the last bins, then a polynomial of each axis.

    .. math:: u_t = \text{ridge}(y_t, \ldots, y_{t-H+1}), \qquad v_t = \sum_k c_k (u_t / s)^k

    with s the standard deviation of u. Beyond what u was in the trials the polynomial goes on at
    the value it had at the border.

    cells, axes, history, penalty: as in `RidgeDecoder`. degree: of the polynomial.
    Reference: Glaser et al. 2020, doi 10.1523/ENEURO.0506-19.2020.
    """

    coefficients: Tensor  # [K + 1, D]
    scale: Tensor  # s [D]
    low: Tensor  # of u / s in the trials [D]
    high: Tensor

    def __init__(
        self, cells: int, axes: int, *, history: int = 10, penalty: float = 10.0, degree: int = 3
    ) -> None:
        super().__init__(cells, axes)
        check_positive("WienerCascade", degree=degree)
        self.filter = RidgeDecoder(cells, axes, history=history, penalty=penalty)
        self.degree = degree
        self.register_buffer("coefficients", torch.zeros(degree + 1, axes))
        for name in ("scale", "low", "high"):
            self.register_buffer(name, torch.ones(axes))

    def init(self, like: Tensor) -> HistoryState:
        """That of the filter."""
        self.check_fitted()
        return self.filter.init(like)

    def run(self, counts: Tensor, state: HistoryState | None = None) -> tuple[Tensor, HistoryState]:
        """Velocities [T, *B, D] of counts [T, *B, N], and the last bins."""
        counts, state = self.begin(counts, state)
        straight, state = self.filter.run(counts, state)
        within = (straight / self.scale).clamp(self.low, self.high)
        bent = torch.zeros_like(within)
        for coefficient in self.coefficients.flip(0):
            bent = bent * within + coefficient
        return bent, state

    def _fit(self, trials: Pairs) -> None:
        self.filter.fit(*zip(*trials, strict=True))
        straight = torch.cat([self.filter(counts).double() for counts, _ in trials])
        velocity = torch.cat([velocity for _, velocity in trials])
        scale = straight.std(0).clamp(min=torch.finfo(straight.dtype).tiny)
        within = straight / scale
        powers = torch.stack([within**k for k in range(self.degree + 1)], -1)  # [T, D, K + 1]
        solved = torch.linalg.lstsq(powers.transpose(0, 1), velocity.T[..., None]).solution
        self.coefficients.copy_(solved[..., 0].T)
        self.scale.copy_(scale)
        self.low.copy_(within.amin(0))
        self.high.copy_(within.amax(0))

    def extra_repr(self) -> str:
        """Its sizes and the degree."""
        return f"{super().extra_repr()}, degree={self.degree}"
