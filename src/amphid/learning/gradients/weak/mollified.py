"""The gradient of a loss that is smoothed: from what it gives around the parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from amphid.learning.gradients.credit import Credit, credit_of
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.weak.calls import Asked, Calls
from amphid.learning.gradients.weak.designs import Design, Gaussian
from amphid.learning.gradients.weak.kernels import GaussianKernel, Kernel
from amphid.learning.gradients.weak.report import WeakReport, reported
from amphid.learning.gradients.weak.schedules import Radius
from amphid.learning.gradients.weak.scopes import Everything, Scope
from amphid.learning.gradients.weak.settings import check_settings


class Sides(Protocol):
    """On which sides of the parameters a loss is asked along each direction."""

    @property
    def signs(self) -> tuple[float, ...]:
        """Each side by its sign."""

    def weights(self, losses: Tensor) -> Tensor:
        """How much each direction counts [K, *owners], of losses [sides, K, *owners]."""


@dataclass(frozen=True)
class Antithetic:
    """On both sides: half the difference, in which all that is even about the loss cancels."""

    @property
    def signs(self) -> tuple[float, ...]:
        """Plus and minus."""
        return (1.0, -1.0)

    def weights(self, losses: Tensor) -> Tensor:
        """Half the difference of the sides [K, *owners]."""
        return (losses[0] - losses[1]) / 2


@dataclass(frozen=True)
class OneSided:
    """On one side, each direction against the mean of the others: twice the directions.

    Better than pairs while the loss is nearly linear, worse once it curves.
    """

    @property
    def signs(self) -> tuple[float, ...]:
        """Plus alone."""
        return (1.0,)

    def weights(self, losses: Tensor) -> Tensor:
        """The loss less the mean of the others [K, *owners]."""
        count = losses.shape[1]
        return (losses[0] - losses[0].mean(0)) * (count / (count - 1))


@dataclass(frozen=True)
class Raw:
    """On one side, the loss as it is: as published, and noisy by the size of the loss itself."""

    @property
    def signs(self) -> tuple[float, ...]:
        """Plus alone."""
        return (1.0,)

    def weights(self, losses: Tensor) -> Tensor:
        """The loss [K, *owners]."""
        return losses[0]


def centered_ranks(losses: Tensor) -> Tensor:
    """Ranks of losses [S, *owners] along the first axis, spread evenly from -1/2 to 1/2.

    For rewards with outliers; where the loss is smooth, ranks throw away what it says.
    """
    ranks = losses.argsort(0).argsort(0)
    return ranks.to(losses) / (len(losses) - 1) - 0.5


@dataclass(eq=False)
class Mollified:
    r"""The gradient of the loss convolved with a kernel, of losses at points drawn from it.

    .. math:: \nabla (L * \varphi)(\theta) = -\frac{1}{r}\,
              \mathbb{E}_{x \sim \varphi}\bigl[L(\theta + r x)\, \nabla \log \varphi(x)\bigr]

    It needs no derivative of the loss, and sees the trend of one that is flat, jumps or is a
    staircase. Few samples for many steps serve better than many for few. The value is the mean of
    the losses, that of the smoothed loss.

    generator: a new key is drawn from it at each call. samples: evaluations of the loss per call.
    radius: of the perturbation of each entry, root mean square, in units of the root mean square
        of its parameter tensor, or `Annealed(...)`. absolute: in units of the entry itself.
    design: of the directions. sides: `Antithetic()`, `OneSided()` or `Raw()`. kernel: the density.
    shape: what losses [S, *owners] count as, such as `centered_ranks`. credit: for parameters by
        name, the axis whose entry j only sees owner j of the loss; told by the model when None.
    scope: which parameters are perturbed at a call.
    References: Nesterov & Spokoiny 2017, doi 10.1007/s10208-015-9296-2 (Gaussian smoothing);
    Salimans et al. 2017, doi 10.48550/arXiv.1703.03864 (pairs, ranks).
    """

    generator: torch.Generator = field(repr=False)
    samples: int = 8
    radius: Radius = 0.3
    absolute: bool = False
    design: Design = Gaussian()  # noqa: RUF009  frozen
    sides: Sides = Antithetic()
    kernel: Kernel = GaussianKernel()  # noqa: RUF009  frozen
    shape: Callable[[Tensor], Tensor] | None = None
    credit: Credit | None = None
    scope: Scope = Everything()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        if isinstance(self.sides, type) or not hasattr(self.sides, "signs"):
            raise TypeError(f"sides must be one such as Antithetic(), got {self.sides!r}.")
        check_settings(self, pairs=len(self.sides.signs))
        self._calls = Calls()

    @torch.no_grad()
    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The value and the gradients of the smoothed loss."""
        signs = self.sides.signs
        sampling = self._calls.sampling(self, params, self.samples // len(signs))
        reach, score = self.kernel(sampling)
        losses = sampling.losses(loss, signs, reach)
        shaped = losses if self.shape is None else self.shape(losses.flatten(0, 1)).view_as(losses)
        weights = self.sides.weights(shaped)
        weights = weights * score.to(weights).view(-1, *(1,) * (weights.dim() - 1))
        gradients = sampling.combined(weights, credit := credit_of(loss, params, self.credit))
        self._calls.done(Asked(sampling, losses, weights, credit, gradients))
        return losses.mean(), gradients

    def report(self, against: Params | None = None) -> WeakReport:
        """What the last call tells of its gradient, compared with another one where given."""
        return reported(self._calls, against)

    def state_dict(self) -> dict[str, Any]:
        """How often it was called, and how many evaluations that took."""
        return self._calls.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._calls.load_state_dict(state)
