"""Simultaneous perturbation: every entry by plus or minus the same, on both sides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from amphid.learning.gradients.credit import Credit
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.weak.designs import Rademacher
from amphid.learning.gradients.weak.mollified import Mollified
from amphid.learning.gradients.weak.report import WeakReport
from amphid.learning.gradients.weak.schedules import Radius


@dataclass(eq=False)
class SPSA:
    r"""Simultaneous perturbation: two evaluations give a gradient of any number of parameters.

    .. math:: \hat g_i = \frac{L(\theta + c \Delta) - L(\theta - c \Delta)}{2 c \Delta_i},
              \qquad \Delta_i = \pm 1

    averaged over pairs. generator, samples, radius, absolute, credit: as `Mollified` has them; the
    radius is c.
    Reference: Spall 1992, doi 10.1109/9.119632.
    """

    generator: torch.Generator = field(repr=False)
    samples: int = 2
    radius: Radius = 0.3
    absolute: bool = False
    credit: Credit | None = None

    def __post_init__(self) -> None:
        self._pairs = Mollified(
            self.generator, self.samples, self.radius, self.absolute, Rademacher(),
            credit=self.credit,
        )  # fmt: skip

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the losses that were asked for, and the gradients."""
        return self._pairs(loss, params)

    def report(self, against: Params | None = None) -> WeakReport:
        """What the last call tells of its gradient, compared with another one where given."""
        return self._pairs.report(against)

    def state_dict(self) -> dict[str, Any]:
        """How often it was called, and how many evaluations that took."""
        return self._pairs.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._pairs.load_state_dict(state)
