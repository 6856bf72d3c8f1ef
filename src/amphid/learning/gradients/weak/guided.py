"""Directions that lie more in the space of past gradients than elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from amphid.learning.gradients.credit import Credit, credit_of
from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.weak.calls import Asked, Calls
from amphid.learning.gradients.weak.designs import (
    Design,
    Directions,
    Gaussian,
    Shapes,
    drawn,
    entries,
    split,
)
from amphid.learning.gradients.weak.mollified import Antithetic
from amphid.learning.gradients.weak.report import WeakReport, reported
from amphid.learning.gradients.weak.sampling import Sampling
from amphid.learning.gradients.weak.schedules import Radius
from amphid.learning.gradients.weak.scopes import Everything, Scope
from amphid.learning.gradients.weak.settings import check_settings

COORDINATES = 0x2545F4914F6CDD1D  # sets the stream of coordinates apart from that of directions


@dataclass(frozen=True, eq=False)
class Subspace:
    """Normal directions, of which a share of the variance is spread over the whole space.

    basis: [k, P], orthonormal rows, which the rest of the variance lies in.
    """

    basis: Tensor
    share: float

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""
        size, rank = entries(shapes), len(self.basis)
        wide = drawn(key, range(first, stop), size)
        inside = torch.zeros_like(wide)
        coordinates = drawn(key ^ COORDINATES, range(first, stop), rank)
        # not one product, whose sums may depend on how many rows it has
        for own, row in zip(coordinates.T, self.basis, strict=True):
            inside += own[:, None] * row
        return split(
            math.sqrt(self.share) * wide + math.sqrt((1 - self.share) * size / rank) * inside,
            shapes,
        )


@dataclass(eq=False)
class Guided:
    r"""Pairs along directions half of whose variance lies in the space of the last gradients.

    .. math:: z \sim N\Bigl(0,\ \alpha I + (1 - \alpha) \frac{P}{k} U U^\top\Bigr), \qquad
              \hat g = \frac{1}{r} \Bigl\langle \frac{L(\theta + r z) - L(\theta - r z)}{2}\, z
              \Bigr\rangle

    with U a basis of the last k gradients, in which slopes are measured with far less noise. There
    the gradient keeps its length; what is at right angles to it counts less by the ratio of the
    variances, so that the estimate is turned towards that space.

    generator, samples, radius, absolute, credit, scope: as `Mollified` has them. guide: an
        estimator whose gradients span the space, such as `Backprop()` through a surrogate; the own
        past ones when None. share: :math:`\alpha`. past: k, how many gradients are remembered.
    Reference: Maheswaranathan et al. 2019, doi 10.48550/arXiv.1806.10230.
    """

    generator: torch.Generator = field(repr=False)
    samples: int = 8
    radius: Radius = 0.3
    absolute: bool = False
    guide: Estimator | None = None
    share: float = 0.5
    past: int = 4
    credit: Credit | None = None
    scope: Scope = Everything()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        check_settings(self, pairs=2)
        if not 0 < self.share <= 1 or self.past < 1:
            raise ValueError(
                f"share must be above 0, at most 1, and past at least 1, got {self.share!r} and "
                f"{self.past!r}."
            )
        self.design: Design = Gaussian()
        self._calls = Calls()
        self._gradients: dict[str, Tensor] = {}  # [k, *shape], the last one last

    @torch.no_grad()
    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the losses, and the gradients."""
        if self.guide is not None:
            self._remember(self.guide(loss, params)[1])
        sampling = self._calls.sampling(self, params, self.samples // 2)
        sampling = replace(sampling, design=self._design(sampling))
        losses = sampling.losses(loss, Antithetic().signs)
        weights = Antithetic().weights(losses)
        weights = weights / _inside(sampling.design, sampling.size)
        gradients = sampling.combined(weights, credit := credit_of(loss, params, self.credit))
        self._calls.done(Asked(sampling, losses, weights, credit, gradients))
        if self.guide is None:
            self._remember({name: gradients[name] for name in sampling.moving})
        return losses.mean(), gradients

    def report(self, against: Params | None = None) -> WeakReport:
        """What the last call tells of its gradient, compared with another one where given."""
        return reported(self._calls, against)

    def state_dict(self) -> dict[str, Any]:
        """The gradients that it remembers, and how often it was called."""
        guide = getattr(self.guide, "state_dict", dict)
        return self._calls.state_dict() | {
            "gradients": dict(self._gradients),
            "guide": dict(guide()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember those."""
        self._calls.load_state_dict(state)
        self._gradients = dict(state["gradients"])
        if self.guide is not None and hasattr(self.guide, "load_state_dict"):
            self.guide.load_state_dict(state["guide"])

    def _remember(self, gradients: Params) -> None:
        for name, gradient in gradients.items():
            before = self._gradients.get(name, gradient[None][:0])
            self._gradients[name] = torch.cat((before, gradient.detach()[None]))[-self.past :]

    def _design(self, sampling: Sampling) -> Design:
        """Directions in the space of the gradients, each in units of its parameter."""
        if any(name not in self._gradients for name in sampling.moving):
            return Gaussian()
        past = {name: self._gradients[name] for name in sampling.moving}
        rows = torch.cat(
            [own.reshape(len(own), -1) * sampling.units[name] for name, own in past.items()], 1
        )
        basis, upper = torch.linalg.qr(rows.T.double())
        known = upper.diagonal().abs() > 1e-9 * upper.diagonal().abs().max().clamp(min=1e-300)
        return Subspace(basis.T[known].float(), self.share) if known.any() else Gaussian()


def _inside(design: Design, size: int) -> float:
    """Variance of directions along each axis of their subspace."""
    if not isinstance(design, Subspace):
        return 1.0
    return design.share + (1 - design.share) * size / len(design.basis)
