"""Where a stretch of a sequence starts, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True, eq=False)
class Start:
    """The state in which a model starts a stretch of a sequence; at rest when None.

    ended: the state after the stretch, once it was run at the model's own parameters.
    """

    state: Any = None
    ended: list[Any] = field(default_factory=list)

    def reached(self, after: Any) -> None:
        """Remember where the stretch ended."""
        self.ended[:] = [detached(after)]


def detached(state: Any) -> Any:
    """The same state, through which no gradient passes."""
    return pytree.tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, state)
