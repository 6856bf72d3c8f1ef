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


Solved = tuple[Callable[[int], Tensor], Tensor, Tensor]


class Slope(NamedTuple):
    """What a fit found."""

    slope: Tensor  # [P]
    explained: float | None = None  # share of variance foretold for samples that were left out


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
        return Slope(torch.linalg.lstsq(rows, answers[:, None]).solution[:, 0])


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
        slopes, residuals, leverage = (_wide if samples <= count else _tall)(
            rows, answers, strengths
        )
        errors = (residuals / (1 - leverage - taken)).square().sum(0)
        best = int(errors.argmin())
        spread = answers.square().sum()
        explained = float(1 - errors[best] / spread) if spread > 0 else 0.0
        return Slope(slopes(best), explained)


def warn_at_peak(samples: int, count: int) -> None:
    """Warn where samples are so near the number of parameters that a fit interpolates noise."""
    if count > 1 and PEAK[0] * count <= samples <= PEAK[1] * count:
        warnings.warn(
            f"{samples} samples for {count} parameters is where plain least squares is at its "
            "worst: it fits noise as if it were slope. Take fewer samples, more than "
            f"{PEAK[1] * count:.0f}, or solver=Ridge().",
            stacklevel=2,
        )


def _wide(rows: Tensor, answers: Tensor, strengths: Tensor) -> Solved:
    """Slope by the place of a strength; residuals and leverage of each sample [S, strengths]."""
    values, basis = torch.linalg.eigh(rows @ rows.T)
    share = strengths / (values.clamp(min=0)[:, None] + strengths)  # [S, strengths]
    residuals = basis @ (share * (basis.T @ answers)[:, None])
    slope = lambda place: rows.T @ (residuals[:, place] / strengths[place])  # noqa: E731
    return slope, residuals, 1 - basis.square() @ share


def _tall(rows: Tensor, answers: Tensor, strengths: Tensor) -> Solved:
    """The same for more samples than parameters."""
    values, basis = torch.linalg.eigh(rows.T @ rows)
    inverse = 1 / (values.clamp(min=0)[:, None] + strengths)  # [P, strengths]
    turned = rows @ basis
    slopes = inverse * (turned.T @ answers)[:, None]
    residuals = answers[:, None] - turned @ slopes
    return lambda place: basis @ slopes[:, place], residuals, turned.square() @ inverse
