"""The slope of a plane through losses that were asked around a point."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

GRID = 29
PEAK = (0.7, 1.5)  # samples for each parameter between which plain least squares is at its worst


class Slope(NamedTuple):
    """What a fit found."""

    slope: Tensor  # [P]
    explained: float | None = None  # share of variance foretold for samples that were left out
    error: Tensor | None = None  # standard error of each entry [P], over samples and their noise


class Solver(Protocol):
    """Fits answers [S] by a slope of rows [S, P]."""

    def __call__(self, rows: Tensor, answers: Tensor, taken: float = 0.0) -> Slope:
        """The slope, where an intercept of so much leverage was taken off rows and answers."""


@dataclass(frozen=True)
class LeastSquares:
    """Plain least squares; it needs many more samples than parameters.

    With about as many samples as parameters it fits noise as if it were slope, which is worse than
    half as many: a warning says so.
    """

    def __call__(self, rows: Tensor, answers: Tensor, taken: float = 0.0) -> Slope:
        """The slope. Raises ValueError for fewer samples than parameters."""
        samples, count = rows.shape
        if samples < count:
            raise ValueError(
                "least squares needs more samples than parameters to determine a slope: got "
                f"{samples} for {count}. Raise samples, perturb one block at a time with "
                "scope=Alternating(), or take solver=Ridge(), or solver=MinimumNorm() as published."
            )
        warn_at_peak(samples, count)
        basis, upper = torch.linalg.qr(rows)
        inverse = torch.linalg.solve_triangular(upper, torch.eye(count).to(rows), upper=True)
        slope = inverse @ (basis.T @ answers)
        residuals, free = answers - rows @ slope, 1 - basis.square().sum(1) - taken
        scale = inverse.square().sum(1).sqrt()
        return Slope(slope, _foretold(residuals / free, answers), _noise(residuals, free) * scale)


@dataclass(frozen=True)
class MinimumNorm:
    """Least squares; the shortest of all slopes that fit where samples are fewer than parameters.

    As published for weak gradients; it is at its worst for as many samples as parameters.
    """

    def __call__(self, rows: Tensor, answers: Tensor, taken: float = 0.0) -> Slope:
        """The slope."""
        warn_at_peak(*rows.shape)
        return Slope(torch.linalg.lstsq(rows, answers[:, None]).solution[:, 0])


@dataclass(frozen=True)
class Ridge:
    r"""Least squares with a price on the square of the slope.

    .. math:: \min_m \sum_s (y_s - d_s \cdot m)^2 + \lambda S\, |m|^2

    for rows d of unit variance. strength: :math:`\lambda`; when None that of a grid by which each
    sample is foretold best from the others, in closed form.
    Reference: Hoerl & Kennard 1970, doi 10.1080/00401706.1970.10488634; Golub, Heath & Wahba 1979,
    doi 10.1080/00401706.1979.10489751 (leaving one out).
    """

    strength: float | None = None

    def __post_init__(self) -> None:
        if self.strength is not None and not self.strength > 0:
            raise ValueError(
                f"strength must be above zero, or None to choose it, got {self.strength!r}."
            )

    def __call__(self, rows: Tensor, answers: Tensor, taken: float = 0.0) -> Slope:
        """The slope, and how well samples that were left out are foretold."""
        samples, count = rows.shape
        if self.strength is None:
            strengths = max(samples, count) * torch.logspace(-5, 2, GRID, dtype=rows.dtype)
        else:
            strengths = torch.tensor([self.strength * samples], dtype=rows.dtype)
        strengths = strengths.to(rows.device)
        found = (_wide if samples <= count else _tall)(rows, answers, strengths)
        free = 1 - found.leverage - taken
        left_out = found.residuals / free
        best = int(left_out.square().sum(0).argmin())
        slope, scale = found.fit(best)
        noise = _noise(found.residuals[:, best], free[:, best])
        return Slope(slope, _foretold(left_out[:, best], answers), noise * scale)


def warn_at_peak(samples: int, count: int) -> None:
    """Warn where samples are so near the number of parameters that a fit interpolates noise."""
    if count > 1 and PEAK[0] * count <= samples <= PEAK[1] * count:
        warnings.warn(
            f"{samples} samples for {count} parameters is where plain least squares is at its "
            "worst: it fits noise as if it were slope. Take fewer samples, more than "
            f"{PEAK[1] * count:.0f}, or solver=Ridge().",
            stacklevel=2,
        )


class _Solved(NamedTuple):
    """Fits at several strengths."""

    fit: Callable[[int], tuple[Tensor, Tensor]]  # slope and its error [P] for noise of one
    residuals: Tensor  # [S, strengths]
    leverage: Tensor  # [S, strengths]


def _wide(rows: Tensor, answers: Tensor, strengths: Tensor) -> _Solved:
    """Fits of no more samples than parameters."""
    values, basis = torch.linalg.eigh(rows @ rows.T)
    whole = values.clamp(min=0)[:, None] + strengths  # [S, strengths]
    residuals = basis @ (strengths / whole * (basis.T @ answers)[:, None])

    def fit(place: int) -> tuple[Tensor, Tensor]:
        slope = rows.T @ (residuals[:, place] / strengths[place])
        return slope, ((rows.T @ basis) / whole[:, place]).norm(dim=1)

    return _Solved(fit, residuals, 1 - basis.square() @ (strengths / whole))


def _tall(rows: Tensor, answers: Tensor, strengths: Tensor) -> _Solved:
    """Fits of more samples than parameters."""
    values, basis = torch.linalg.eigh(rows.T @ rows)
    whole = values.clamp(min=0)[:, None] + strengths  # [P, strengths]
    turned = rows @ basis
    slopes = (turned.T @ answers)[:, None] / whole

    def fit(place: int) -> tuple[Tensor, Tensor]:
        scale = values.clamp(min=0).sqrt() / whole[:, place]
        return basis @ slopes[:, place], (basis * scale).norm(dim=1)

    return _Solved(fit, answers[:, None] - turned @ slopes, turned.square() @ (1 / whole))


def _foretold(left_out: Tensor, answers: Tensor) -> float:
    """The share of the variance that is foretold, of errors for samples that were left out."""
    spread = float(answers.square().sum())
    return 1 - float(left_out.square().sum()) / spread if spread > 0 else 0.0


def _noise(residuals: Tensor, free: Tensor) -> Tensor:
    """Standard deviation of the noise of an answer, of residuals and how free each is to be one."""
    return (residuals.square() / free).mean().clamp(min=0).sqrt()
