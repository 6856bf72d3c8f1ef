"""By what a loss is mollified: how far to go along a direction, and what the loss there tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from amphid.learning.gradients.weak.designs import drawn

if TYPE_CHECKING:
    from amphid.learning.gradients.weak.sampling import Sampling

POINTS = 8192
LEVELS = 0x5DEECE66D  # sets the stream of levels apart from that of directions


class Kernel(Protocol):
    """A density that a loss is convolved with, of unit variance in every entry.

    `reach` and `score` are factors of a direction z: the point is reach z, and minus the gradient
    of the logarithm of the density there is score z.
    """

    def __call__(self, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """Reach and score [K] of the directions."""


@dataclass(frozen=True)
class GaussianKernel:
    """The normal density: a direction is its own point, and its own score."""

    def __call__(self, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """Reach and score [K], all one."""
        ones = torch.ones(sampling.count)
        return ones, ones


@dataclass(frozen=True)
class BumpKernel:
    r"""The bump, smooth and of compact support: no point is further away than its radius.

    .. math:: \varphi(x) = k \exp\frac{1}{|x|^2 - 1}, \qquad
              -\nabla \log \varphi(x) = \frac{2 x}{(1 - |x|^2)^2}, \qquad |x| < 1

    in all P entries at once, scaled so that each has unit variance. The norm is drawn from its own
    distribution, the direction is uniform. For directions of a `Gaussian` or `Orthogonal` design.
    """

    def __call__(self, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """Reach and score [K] of the directions."""
        norms, size = sampling.norms().double().cpu(), sampling.size
        levels, shares, square = _radial(size)
        uniform = drawn(
            sampling.key ^ LEVELS, range(sampling.count), 1, Tensor.uniform_, torch.float64
        )[:, 0]
        place = torch.searchsorted(shares, uniform).clamp(1, len(shares) - 1)
        low, high = shares[place - 1], shares[place]
        within = (uniform - low) / (high - low)
        level = levels[place - 1] + within * (levels[place] - levels[place - 1])
        radius, scale = (1 - 1 / level).sqrt(), math.sqrt(size / square)
        return scale * radius / norms, 2 * radius * level.square() / (scale * norms)


@lru_cache(maxsize=64)
def _radial(size: int) -> tuple[Tensor, Tensor, float]:
    """Levels 1 / (1 - |x|^2), the share of the bump below each, and the mean of |x|^2."""
    levels = torch.linspace(0, 1, POINTS + 1, dtype=torch.float64)[1:].square()
    levels = 1 + levels * (60 + 20 * math.sqrt(size))
    square = 1 - 1 / levels
    logarithm = (size / 2 - 1) * square.log() - levels - 2 * levels.log()
    density = (logarithm - logarithm.max()).exp()
    mass = torch.cat((torch.zeros(1).double(), torch.cumulative_trapezoid(density, levels)))
    mean = torch.trapezoid(density * square, levels) / mass[-1]
    return levels, mass / mass[-1], float(mean)
