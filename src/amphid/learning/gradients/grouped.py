"""Different parameters, different estimators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Loss, Mean, Objective, Params
from amphid.learning.gradients.population import Members, losses_of


@dataclass(frozen=True)
class Frozen:
    """No gradient: what it is asked for stays as it is.

    The value of the loss is still found. An optimizer with weight decay of its own moves even
    parameters whose gradient is zero: leave those out of it.
    """

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the loss, and zeros."""
        with torch.no_grad():
            value = loss(params).mean()
        return value, {name: torch.zeros_like(held) for name, held in params.items()}


@dataclass(frozen=True, eq=False)
class Grouped:
    """Parameter groups with an estimator each, side by side: exact, surrogate, weak or frozen.

    groups: estimators by patterns of names, such as {"readout.*": Backprop(), "0.*": EProp()}.
        Every parameter must fit exactly one pattern, or is named by one, which comes first.

    Each estimator sees the loss as a function of its own group, all others held where they are, so
    that noise of one does not reach the others. The value is what the first that is not `Frozen`
    found.
    """

    groups: Mapping[str, Estimator]

    def __post_init__(self) -> None:
        if not isinstance(self.groups, Mapping) or not self.groups:
            raise TypeError(
                "groups must map patterns of names to estimators, such as "
                f'{{"readout.*": Backprop()}}, got {self.groups!r}.'
            )
        for pattern, estimator in self.groups.items():
            if isinstance(estimator, type) or not callable(estimator):
                raise TypeError(
                    f"the group {pattern!r} needs an estimator such as Backprop(), got "
                    f"{estimator!r}."
                )

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The value of the loss and the gradients of all groups."""
        values: list[Tensor] = []
        found: Params = {}
        for pattern, own in self._shared(params).items():
            if isinstance(self.groups[pattern], Frozen):
                found |= {name: torch.zeros_like(held) for name, held in own.items()}
                continue
            others = {name: held.detach() for name, held in params.items() if name not in own}
            value, gradients = self.groups[pattern](held_at(loss, others), own)
            values.append(value)
            found |= gradients
        value = values[0] if values else Frozen()(loss, params)[0]
        return value, {name: found[name] for name in params}

    def state_dict(self) -> dict[str, Any]:
        """What the estimators remember, by their patterns."""
        return {pattern: own.state_dict() for pattern, own in self._remembering()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember that."""
        for pattern, own in self._remembering():
            own.load_state_dict(state[pattern])

    def report(self) -> dict[str, Any]:
        """What those estimators tell that have something to tell, by their patterns."""
        telling = {pattern: getattr(own, "report", None) for pattern, own in self.groups.items()}
        return {pattern: tell() for pattern, tell in telling.items() if tell}

    def _remembering(self) -> Iterator[tuple[str, Any]]:
        return ((name, own) for name, own in self.groups.items() if hasattr(own, "state_dict"))

    def _shared(self, params: Params) -> dict[str, Params]:
        """The parameters of each group that has some."""
        shared: dict[str, Params] = {pattern: {} for pattern in self.groups}
        for name, held in params.items():
            shared[self._pattern(name)][name] = held
        if idle := [pattern for pattern, own in shared.items() if not own]:
            raise KeyError(
                f"the group {idle[0]!r} fits no parameter; there are {', '.join(params)}."
            )
        return shared

    def _pattern(self, name: str) -> str:
        """The one pattern that a name fits."""
        if name in self.groups:
            return name
        fitting = [pattern for pattern in self.groups if fnmatchcase(name, pattern)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise KeyError(
                f"the parameter {name!r} fits no group of {', '.join(self.groups)}: every "
                "parameter needs one. Add a pattern for it; Frozen() leaves it as it is."
            )
        raise KeyError(
            f"the parameter {name!r} fits the groups {' and '.join(fitting)}: it must fit one. "
            "Narrow a pattern, or give the parameter a group by its full name."
        )


@dataclass(frozen=True, eq=False)
class HeldAt:
    """Any loss as a function of some parameters, the others held at `fixed`."""

    loss: Loss
    fixed: Params

    def __call__(self, params: Params) -> Tensor:
        """The loss at these parameters."""
        return self.loss({**self.fixed, **params})

    def population(self, members: Members) -> Tensor:
        """The losses of members of those parameters."""
        return losses_of(self.loss, {**self._expanded(members), **members})

    def _expanded(self, members: Members) -> Params:
        count = len(next(iter(members.values())))
        return {name: held.expand(count, *held.shape) for name, held in self.fixed.items()}


def held_at(loss: Loss, fixed: Params) -> Loss:
    """The loss as a function of the other parameters; an objective stays one."""
    if not fixed:
        return loss
    if isinstance(loss, Objective):
        return replace(loss, fixed={**loss.fixed, **fixed})
    if isinstance(loss, Mean):
        return Mean(tuple(replace(own, fixed={**own.fixed, **fixed}) for own in loss.parts))
    return HeldAt(loss, fixed)
