"""What should go up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from amphid.learning.gradients.objective import Criterion


@dataclass(frozen=True)
class Reward:
    """The loss of a criterion that should go up: its negative.

    criterion: of (outputs, targets), such as an accuracy or what an agent earned. Penalties keep
        their sign: they are added to the loss and go down.
    """

    criterion: Criterion

    def __post_init__(self) -> None:
        if isinstance(self.criterion, type) or not callable(self.criterion):
            raise TypeError(
                f"criterion must be a function of (outputs, targets), got {self.criterion!r}."
            )

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The negative of the criterion."""
        return -self.criterion(outputs, targets)
