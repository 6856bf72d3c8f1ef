"""What an estimator remembers of its calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from amphid.learning.gradients.objective import Params
from amphid.learning.gradients.weak.designs import Design
from amphid.learning.gradients.weak.sampling import Sampling, units_of
from amphid.learning.gradients.weak.schedules import Radius, at_call
from amphid.learning.gradients.weak.scopes import Scope
from amphid.learning.gradients.weak.settings import check_params


class Perturbing(Protocol):
    """An estimator that perturbs parameters."""

    generator: torch.Generator
    radius: Radius
    absolute: bool
    design: Design
    scope: Scope


@dataclass(frozen=True, eq=False)
class Asked:
    """The last call: where it asked, and what it was told.

    losses: [sides, K, *owners]. weights: of the directions [K, *owners], whose weighted mean the
    gradient is; None where it is no such mean. explained: share of the variance of the losses that
    the slope foretells for samples it was not fitted to, and error the standard error of the
    gradients, where these are known.
    """

    sampling: Sampling
    losses: Tensor
    weights: Tensor | None
    credit: Mapping[str, int]
    gradients: Params
    explained: float | None = None
    error: float | None = None


class Calls:
    """How often an estimator was called, and what it was told the last time."""

    def __init__(self) -> None:
        self.calls = self.evaluations = 0
        self.last: Asked | None = None

    def sampling(self, own: Perturbing, params: Params, count: int) -> Sampling:
        """Where to ask at this call: its key is drawn from the generator of the estimator."""
        check_params(params)
        held = {name: value.detach() for name, value in params.items()}
        moving = own.scope(held, self.calls)
        return Sampling(
            params=held,
            moving=moving,
            units=units_of(held, moving, absolute=own.absolute),
            radius=at_call(own.radius, self.calls),
            design=own.design,
            key=new_key(own.generator),
            count=count,
        )

    def done(self, last: Asked) -> None:
        """Remember a call."""
        self.last = last
        self.calls += 1
        self.evaluations += last.losses.shape[:2].numel()

    def state_dict(self) -> dict[str, Any]:
        """What has to be remembered to go on."""
        return {"calls": self.calls, "evaluations": self.evaluations}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.calls, self.evaluations = int(state["calls"]), int(state["evaluations"])


def new_key(generator: torch.Generator) -> int:
    """A key for the directions of one call."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))
