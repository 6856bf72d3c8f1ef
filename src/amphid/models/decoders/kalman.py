"""The Kalman filter whose state is the velocity."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from amphid.models.decoders.decoder import FittedDecoder

FLOOR = 1e-6  # least variance of a cell, as a share of the mean over cells


class KalmanState(NamedTuple):
    """What the filter believes."""

    velocity: Tensor  # its mean [*B, D]
    covariance: Tensor  # of the velocity, the same in every sequence [D, D]


@final
class KalmanDecoder(FittedDecoder):
    r"""Velocity Kalman filter: a velocity that drifts, and counts that depend on it linearly.

    .. math:: v_t = A v_{t-1} + w_t, \quad w \sim \mathcal N(0, W), \qquad
              y_t = b + C v_t + q_t, \quad q \sim \mathcal N(0, Q)

    It starts at rest, which it takes as certain. A, W, C, b and Q are the least-squares and
    maximum-likelihood estimates of the trials it is fitted to. What counts tell is kept as
    `reading` = C' Q^-1, so that a step costs N D products and no solve of the size of the cells.

    cells: N. axes: D.
    Reference: Wu et al. 2006, doi 10.1162/089976606774841585.
    """

    transition: Tensor  # A [D, D]
    drift: Tensor  # W [D, D]
    tuning: Tensor  # C [N, D]
    baseline: Tensor  # b [N]
    noise: Tensor  # Q [N, N]
    reading: Tensor  # C' Q^-1 [D, N]

    def __init__(self, cells: int, axes: int) -> None:
        super().__init__(cells, axes)
        shapes = {
            "transition": (axes, axes), "drift": (axes, axes), "tuning": (cells, axes),
            "baseline": (cells,), "noise": (cells, cells), "reading": (axes, cells),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def init(self, like: Tensor) -> KalmanState:
        """At rest, for certain."""
        self.check_fitted()
        still = self.baseline.new_zeros(*self.taken(like).shape[:-1], self.axes)
        return KalmanState(still, torch.zeros_like(self.drift))

    def run(self, counts: Tensor, state: KalmanState | None = None) -> tuple[Tensor, KalmanState]:
        """Velocities [T, *B, D] of counts [T, *B, N], and what it believes after them."""
        counts, state = self.begin(counts, state)
        told = (counts - self.baseline) @ self.reading.T  # C' Q^-1 (y - b)
        velocity, covariance = state
        found = []
        for present in told.unbind(0):
            covariance = self.updated(covariance)
            expected = velocity @ self.transition.T
            surprise = present - expected @ self.information.T
            velocity = expected + surprise @ covariance.T
            found.append(velocity)
        return torch.stack(found), KalmanState(velocity, covariance)

    @property
    def information(self) -> Tensor:
        """What the counts of one bin tell of the velocity, C' Q^-1 C [D, D]."""
        return self.reading @ self.tuning

    def updated(self, covariance: Tensor) -> Tensor:
        """Covariance [D, D] of the velocity after one more bin."""
        before = self.transition @ covariance @ self.transition.T + self.drift
        whole = torch.eye(self.axes, dtype=before.dtype, device=before.device)
        return torch.linalg.solve(whole + before @ self.information, before)

    def steady_covariance(self) -> Tensor:
        """The covariance [D, D] at which `updated` stands still."""
        from numpy.linalg import LinAlgError
        from scipy.linalg import solve_discrete_are

        self.check_fitted()
        a, w, c, q = (
            held.detach().double().cpu().numpy()
            for held in (self.transition, self.drift, self.tuning, self.noise)
        )
        try:
            before = torch.from_numpy(solve_discrete_are(a.T, c.T, w, q))  # before it is updated
        except LinAlgError:
            raise ValueError(
                "KalmanDecoder does not settle: the velocities that it was fitted to do not drift."
            ) from None
        information = self.information.double().cpu()
        after = torch.linalg.solve(torch.eye(self.axes).double() + before @ information, before)
        return after.to(self.drift)

    def steady_gain(self) -> Tensor:
        """The gain [D, N] by which a surprise in counts moves the velocity, once it has settled."""
        return self.steady_covariance() @ self.reading

    def _fit(self, trials: list[tuple[Tensor, Tensor]]) -> None:
        before = torch.cat([velocity[:-1] for _, velocity in trials])
        after = torch.cat([velocity[1:] for _, velocity in trials])
        counts = torch.cat([counts for counts, _ in trials])
        velocity = torch.cat([velocity for _, velocity in trials])
        self._check_enough(before, velocity)
        transition = torch.linalg.lstsq(before, after).solution
        design = torch.cat((velocity, torch.ones_like(velocity[:, :1])), 1)
        tuning = torch.linalg.lstsq(design, counts).solution
        noise = floored(covariance(counts - design @ tuning))
        reading = torch.linalg.solve(noise, tuning[:-1], left=False)
        self.transition.copy_(transition.T)
        self.drift.copy_(covariance(after - before @ transition))
        self.tuning.copy_(tuning[:-1].T)
        self.baseline.copy_(tuning[-1])
        self.noise.copy_(noise)
        self.reading.copy_(reading)

    def _check_enough(self, before: Tensor, velocity: Tensor) -> None:
        """Raise ValueError where velocities do not span their axes."""
        spread = velocity - velocity.mean(0)
        if (
            len(velocity) <= self.cells + self.axes
            or torch.linalg.matrix_rank(before) < self.axes
            or torch.linalg.matrix_rank(spread) < self.axes
        ):
            raise ValueError(
                f"KalmanDecoder needs more bins than cells and axes together, and movements along "
                f"every axis: got {len(velocity)} bins of {self.cells} cells, {self.axes} axes."
            )


def covariance(residual: Tensor) -> Tensor:
    """Mean of products [K, K] of residuals [T, K]."""
    return residual.T @ residual / len(residual)


def floored(noise: Tensor) -> Tensor:
    """The covariance with a little on its diagonal, so that a silent cell, which tells nothing,
    does not make it singular."""
    least = FLOOR * noise.diagonal().mean() + torch.finfo(noise.dtype).tiny
    return noise + least * torch.eye(len(noise), dtype=noise.dtype, device=noise.device)
