"""A prior gradient, such as a surrogate's, corrected by a weak one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amphid.learning.gradients.credit import credit_of
from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.population import Members, dense, losses_of
from amphid.learning.gradients.then import remember, remembered


@dataclass(frozen=True, eq=False)
class Corrected:
    r"""A prior gradient p, and as much of what it misses as a weak estimator can tell.

    .. math:: g = p + s\, \hat\nabla \bigl[L(\theta') - p \cdot (\theta' - \theta)\bigr]

    prior: any estimator, such as `Backprop()` with surrogates. weak: one that perturbs parameters,
        such as `Mollified(...)`; it only has to find what the prior does not explain.
    shrink: s. One makes the sum as unbiased as the weak estimator, and as noisy. None takes
        :math:`h / (h + n / 2)` for h pairs of samples and n parameters, by which the noise stays
        below the prior.

    The value is that of the prior; the prior serves as a control variate.
    Reference: Maheswaranathan et al. 2019, doi 10.48550/arXiv.1806.10230 (random search that
    surrogate gradients guide).
    """

    prior: Estimator
    weak: Any
    shrink: float | None = None

    def __post_init__(self) -> None:
        for one in (self.prior, self.weak):
            if isinstance(one, type) or not callable(one):
                raise TypeError(f"prior and weak must be estimators, got {one!r}.")
        if self.shrink is None and not hasattr(self.weak, "samples"):
            raise TypeError(
                "shrink=None needs a weak estimator that has `samples`, such as Mollified; give a "
                f"number between 0 and 1 for {type(self.weak).__name__}."
            )
        if self.shrink is not None and not 0 <= self.shrink <= 1:
            raise ValueError(f"shrink must be between 0 and 1, got {self.shrink!r}.")

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The value of the loss, and the corrected gradients."""
        value, prior = self.prior(loss, params)
        here = {name: held.detach() for name, held in params.items()}
        _, missed = self.weak(Residual(loss, prior, here), params)
        share = self._share(params)
        return value, {name: own + share * missed[name] for name, own in prior.items()}

    def state_dict(self) -> dict[str, Any]:
        """What both remember."""
        return remembered(prior=self.prior, weak=self.weak)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember that."""
        remember(state, prior=self.prior, weak=self.weak)

    def report(self) -> Any:
        """What the weak estimator tells of what the prior missed; None where it tells nothing."""
        tell = getattr(self.weak, "report", None)
        return tell() if tell else None

    def _share(self, params: Params) -> float:
        if self.shrink is not None:
            return self.shrink
        pairs = float(self.weak.samples) / 2
        return pairs / (pairs + sum(held.numel() for held in params.values()) / 2)


@dataclass(frozen=True, eq=False)
class Residual:
    """A loss less the plane that a gradient foretells around some parameters.

    Where the loss has an entry for each owner, and some parameters answer to one owner alone, the
    plane of each owner is steep in its own, so that the mean over owners is the whole plane.
    """

    loss: Loss
    slope: Params
    here: Params

    @property
    def parts(self) -> tuple[Residual, ...]:
        """Residuals whose mean it is."""
        parts = getattr(self.loss, "parts", (self.loss,))
        return tuple(Residual(part, self.slope, self.here) for part in parts)

    def __call__(self, params: Params) -> Tensor:
        """What is left of the loss at these parameters."""
        members = {name: held[None] for name, held in params.items()}
        value = self.loss(params)
        return value - self.plane(members, value[None]).squeeze(0)

    def population(self, members: Members) -> Tensor:
        """What is left of the loss of each member [S, *owners]."""
        losses = losses_of(self.loss, members)
        return losses - self.plane(dense(members), losses)

    def credit(self, params: Params) -> dict[str, int]:
        """The credit that the loss tells."""
        return credit_of(self.loss, params)

    def plane(self, members: Mapping[str, Tensor], losses: Tensor) -> Tensor:
        """What the slope foretells of the losses [S, *owners] of members."""
        credit, plane = self.credit(self.here), torch.zeros_like(losses)
        for name, each in members.items():
            foretold = (each - self.here[name]) * self.slope[name]
            if name in credit:
                rows = foretold.movedim(credit[name] + 1, 1)
                rows = rows.reshape(*rows.shape[:2], -1).sum(2)  # [S, owners]
                rows = rows * rows.shape[1]
            else:
                rows = foretold.flatten(1).sum(1, keepdim=True)
            plane += _among(rows, losses)
        return plane


def _among(rows: Tensor, losses: Tensor) -> Tensor:
    """Rows [S, owners or 1] so shaped that they go with losses [S, *owners]."""
    if losses.dim() == 1:
        return rows[:, 0]
    return rows.view(len(rows), *(1,) * (losses.dim() - 2), -1)
