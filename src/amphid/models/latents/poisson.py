"""Poisson regression of many cells at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amphid.wiring import checks

STEPS = 50  # of Newton, at most
CLOSE = 1e-8  # relative change of the loss at which it ends
STEEPEST = 20.0  # log rates beyond which a step is shortened


@dataclass(frozen=True, eq=False)
class PoissonReadout:
    r"""Rates [*B, N] that are exponential in features [*B, K].

    .. math:: \lambda = \exp(x W + b)

    weight: [K, N]. level: [N].
    """

    weight: Tensor
    level: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Expected counts [*B, N]; features further out than any seen may be made finite."""
        return (features.to(self.weight) @ self.weight + self.level).clamp(max=STEEPEST).exp()

    @classmethod
    def fitted(cls, features: Tensor, counts: Tensor, *, penalty: float = 1.0) -> PoissonReadout:
        r"""The weights that make counts [M, N] likeliest, less :math:`\frac{c}{2} \sum W^2`.

        By Newton's method with steps halved until the loss falls, all cells together; double
        precision. features: [M, K]. penalty: c, in spikes per squared unit of weight.
        Raises ValueError for features and counts that do not fit each other.
        """
        checks.reals("features", features)
        checks.reals("counts", counts)
        flat = features.dim() == 2 and counts.dim() == 2
        if not flat or len(features) != len(counts) or not counts.shape[1]:
            raise ValueError(
                f"features must be [M, K] and counts [M, N] of at least one cell, got "
                f"{list(features.shape)} and {list(counts.shape)}."
            )
        checks.least("penalty", penalty)
        x, y = functional.pad(features.double(), (0, 1), value=1.0), counts.double()
        ridge = x.new_full((x.shape[1],), float(penalty))
        ridge[-1] = 1e-9  # a cell that never fires has no finite level
        weight = x.new_zeros(x.shape[1], y.shape[1])
        weight[-1] = y.mean(0).clamp(min=1e-6).log()
        weight = _newton(x, y, weight, ridge)
        return cls(weight[:-1], weight[-1])


def _newton(x: Tensor, y: Tensor, weight: Tensor, ridge: Tensor) -> Tensor:
    """Weights [K + 1, N] of least loss."""
    loss = _loss(x, y, weight, ridge)
    for _ in range(STEPS):
        step = _step(x, y, weight, ridge)
        weight, found = _shortened(x, y, weight, step, loss, ridge)
        done = bool((loss - found <= CLOSE * loss.abs().clamp(min=1.0)).all())
        loss = found
        if done:
            break
    return weight


def _loss(x: Tensor, y: Tensor, weight: Tensor, ridge: Tensor) -> Tensor:
    """Negative log-likelihood [N] with its penalty, without what does not depend on weights."""
    told = x @ weight
    unlikely = (told.clamp(max=STEEPEST).exp() - y * told).sum(0)
    return unlikely + 0.5 * (ridge[:, None] * weight**2).sum(0)


def _step(x: Tensor, y: Tensor, weight: Tensor, ridge: Tensor) -> Tensor:
    """The step of Newton's method for each cell [K + 1, N]."""
    rates = (x @ weight).clamp(max=STEEPEST).exp()
    slope = x.T @ (rates - y) + ridge[:, None] * weight
    curve = torch.stack([x.T @ (rate[:, None] * x) for rate in rates.T])
    curve.diagonal(dim1=-2, dim2=-1).add_(ridge)
    return -torch.linalg.solve(curve, slope.T[..., None])[..., 0].T


def _shortened(
    x: Tensor, y: Tensor, weight: Tensor, step: Tensor, loss: Tensor, ridge: Tensor
) -> tuple[Tensor, Tensor]:
    """Weights after the longest of ever shorter steps that does not raise a cell's loss."""
    scale = torch.ones_like(loss)
    for _ in range(30):
        moved = weight + scale * step
        found = _loss(x, y, moved, ridge)
        worse = ~(found <= loss)
        if not bool(worse.any()):
            return moved, found
        scale = torch.where(worse, scale / 2, scale)
    kept = ~worse
    return torch.where(kept, moved, weight), torch.where(kept, found, loss)
