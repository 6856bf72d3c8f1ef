"""One estimator first, another after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Loss, Params


class Then:
    """The first estimator for so many updates, the second from then on.

    first, second: any estimators. updates: how often the first is asked.

    A surrogate brings a network close, a weak gradient with a small radius polishes it: half of the
    updates each is a good start. A fit that goes on knows where it stood.
    """

    def __init__(self, first: Estimator, updates: int, second: Estimator) -> None:
        if isinstance(updates, bool) or not isinstance(updates, int) or updates < 0:
            raise ValueError(f"updates must be a number, not negative, got {updates!r}.")
        for one in (first, second):
            if isinstance(one, type) or not callable(one):
                raise TypeError(f"first and second must be estimators, got {one!r}.")
        self.first, self.updates, self.second = first, updates, second
        self.asked = 0

    def __repr__(self) -> str:
        return f"Then({self.first!r}, {self.updates}, {self.second!r})"

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """What the one whose turn it is says."""
        found = self.now(loss, params)
        self.asked += 1
        return found

    @property
    def now(self) -> Estimator:
        """The one whose turn it is."""
        return self.first if self.asked < self.updates else self.second

    def state_dict(self) -> dict[str, Any]:
        """How often it was asked, and what both remember."""
        return {"asked": self.asked, **remembered(first=self.first, second=self.second)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember that."""
        self.asked = int(state["asked"])
        remember(state, first=self.first, second=self.second)

    def report(self) -> Any:
        """What the one whose turn it is tells, None where it tells nothing."""
        tell = getattr(self.now, "report", None)
        return tell() if tell else None


def remembered(**estimators: Estimator) -> dict[str, Any]:
    """The states of those estimators that have one."""
    return {
        name: own.state_dict() for name, own in estimators.items() if hasattr(own, "state_dict")
    }


def remember(state: Mapping[str, Any], **estimators: Any) -> None:
    """Give those estimators that have a state their own back."""
    for name, own in estimators.items():
        if hasattr(own, "load_state_dict"):
            own.load_state_dict(state[name])
