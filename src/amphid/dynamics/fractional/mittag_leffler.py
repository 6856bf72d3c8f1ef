"""The function that relaxations of fractional order follow, as the exponential is of order one."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics.fractional.weights import check_order

DIGITS = 37.0  # -log of what is left out, relative to what is kept
NEAREST = 1e-5  # to 0 and 1, where the sum takes ever more terms
GREATEST = 745.0  # of what exp(-x) is not zero


def mittag_leffler(order: float, z: Tensor) -> Tensor:
    r"""Mittag-Leffler function :math:`E_p(z) = \sum_k z^k / \Gamma(p k + 1)` for z <= 0, to 1e-13.

    A relaxation :math:`d^p u / dt^p = -\lambda u` from 1 is :math:`u = E_p(-\lambda t^p)`. It is a
    mixture of exponentials, which the trapezoidal rule sums up along a logarithmic axis, where it
    converges exponentially:

    .. math:: E_p(-x) = \frac{\sin \pi p}{\pi p} \int_{-\infty}^\infty
              \frac{\exp(-(x e^y)^{1/p})}{2 (\cosh y + \cos \pi p)} \, dy

    order: p, 1 or from 1e-5 to 1 - 1e-5. Raises ValueError for others and for z above zero.
    Reference: Gorenflo & Mainardi 1997, doi 10.1007/978-3-7091-2664-6_5.
    """
    order = check_order("mittag_leffler", order)
    _check_argument(z)
    if not bool((z <= 0).all()):
        raise ValueError(
            f"mittag_leffler: z must be at most zero, as it is in a relaxation, got {z.max():g}."
        )
    if order == 1:
        return z.exp()
    if not NEAREST <= order <= 1 - NEAREST:
        raise ValueError(
            f"mittag_leffler: order must be 1, or between {NEAREST:g} and 1 - {NEAREST:g}, got "
            f"{order!r}: nearer to the ends its sum has too many terms."
        )
    x = -z.detach().double().cpu().numpy().reshape(-1)
    values = np.array([_mixture(order, float(one)) for one in x])
    return torch.from_numpy(values.reshape(z.shape)).to(z)


def _check_argument(z: object) -> None:
    if not isinstance(z, Tensor):
        raise TypeError(
            f"mittag_leffler: z must be a tensor, such as torch.tensor([-1.0]), got {z!r}."
        )
    if not z.is_floating_point():
        raise TypeError(
            f"mittag_leffler: z must hold real numbers with a fraction, got {z.dtype}: give "
            "z.double()."
        )


def _mixture(order: float, x: float) -> float:
    """E_p(-x)."""
    if x == 0 or math.isinf(x):
        return float(x == 0)
    far = DIGITS + max(0.0, math.log(x))
    end = min(DIGITS, order * math.log(GREATEST) - math.log(x))
    pole = min(math.pi * (1 - order), math.pi * order / 2)
    y = np.arange(-far, end, 2 * math.pi * pole / DIGITS)
    rates = np.exp(-np.exp((y + math.log(x)) / order))
    density = rates / (2 * (np.cosh(y) + math.cos(math.pi * order)))
    step = y[1] - y[0]
    return float(density.sum() * step * math.sin(math.pi * order) / (math.pi * order))
