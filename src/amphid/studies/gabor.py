"""Gabor functions: how well one describes a small filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Gabors:
    r"""Candidate Gabor functions on a square of pixels, and the best for a filter among them.

    .. math:: g(x, y) = e^{-(x'^2 + \gamma^2 y'^2) / 2 \sigma^2} \cos(2 \pi f x' + \phi)

    with :math:`x', y'` turned by :math:`\theta` about a center. Amplitude and phase come from least
    squares on the even and the odd function; the others from a grid of starts, refined by
    Nelder-Mead. Frequencies f are bounded by 1/2 a pixel, and sigma such that the function is an
    oriented one: `lowest` cycles of it within two sigma at least.
    """

    side: int
    lowest: float = 0.25

    def fit(self, weights: Tensor) -> tuple[float, dict[str, float]]:
        """R2 of the best Gabor function for weights [side, side], and its parameters.

        R2 is the share of the sum of squares of the weights that it explains, the weights taken
        about zero, since a Gabor function has no constant.
        """
        from scipy.optimize import minimize

        target = weights.detach().double().numpy().reshape(-1)
        starts = self._starts()
        losses = [self._unexplained(start, target) for start in starts]
        best = min(
            (minimize(self._unexplained, starts[k], args=(target,), method="Nelder-Mead",
                      options={"maxiter": 400, "xatol": 1e-3, "fatol": 1e-5})
             for k in np.argsort(losses)[:3]),
            key=lambda found: float(found.fun),
        )  # fmt: skip
        names = ("x", "y", "theta", "frequency", "sigma", "gamma")
        return 1.0 - float(best.fun), dict(zip(names, map(float, best.x), strict=True))

    def pair(self, values: Any) -> Any:
        """The even and the odd function [2, side * side] of x, y, theta, f, sigma and gamma."""
        x0, y0, theta, frequency, sigma, gamma = values
        at = np.arange(self.side) - (self.side - 1) / 2
        y, x = np.meshgrid(at - y0, at - x0, indexing="ij")
        along = x * np.cos(theta) + y * np.sin(theta)
        across = -x * np.sin(theta) + y * np.cos(theta)
        envelope = np.exp(-(along**2 + (gamma * across) ** 2) / (2 * sigma**2))
        phase = 2 * np.pi * frequency * along
        return np.stack([envelope * np.cos(phase), envelope * np.sin(phase)]).reshape(2, -1)

    def _unexplained(self, values: Any, target: Any) -> float:
        x0, y0, _, frequency, sigma, gamma = values
        reach = self.side / 2
        possible = (
            abs(x0) <= reach and abs(y0) <= reach and 0.04 <= frequency <= 0.5
            and 0.5 <= sigma <= self.side and 0.3 <= gamma <= 1.5
            and 2 * sigma * frequency >= self.lowest
        )  # fmt: skip
        if not possible:
            return 1.0
        basis = self.pair(values)
        gram = basis @ basis.T + 1e-9 * np.eye(2)
        along = basis @ target
        return float(1 - along @ np.linalg.solve(gram, along) / (target @ target + 1e-30))

    def _starts(self) -> list[Any]:
        angles = np.arange(8) * np.pi / 8
        return [
            np.array([0.0, 0.0, theta, frequency, sigma, 0.7])
            for theta in angles
            for frequency in (0.1, 0.17, 0.25, 0.35)
            for sigma in (1.3, 2.0, 3.0)
        ]


def fits(filters: Tensor) -> list[float]:
    """R2 of the best Gabor function for each of filters [F, side, side]."""
    gabors = Gabors(filters.shape[-1])
    return [gabors.fit(weights)[0] for weights in filters]


def random_filters(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Filters [F, side, side] of independent normal weights, which have no orientation."""
    return torch.randn(count, side, side, generator=generator)
