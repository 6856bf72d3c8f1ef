"""What a fit tells while it goes on, and what it was once it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a fit is, for callbacks: after every update, and once more at the end of an epoch."""

    model: nn.Module
    optimizer: Optimizer
    epoch: int
    """The epoch under way, from 0."""
    update: int
    """How many updates were done in all."""
    loss: float
    """Loss of the last update."""
    row: Mapping[str, float] | None
    """What was measured of the epoch, once it has ended; None within."""
    best: bool
    """Whether early stopping found this epoch to be the best so far."""


Callback = Callable[[Progress], object]
"""Told of the progress; stops the fit by returning True or "stop"."""


@dataclass(frozen=True)
class History:
    """What a fit was.

    rows: for each epoch "epoch", "update", "loss" (mean over its batches), "learning_rate",
        "seconds" and what was validated. updates: how many in all. why: why it ended: "done",
        "early stopping", "callback" or "interrupted". best: the epoch whose parameters the model
        was given back, where early stopping chose one. folder: where it was kept.
    """

    rows: tuple[Mapping[str, float], ...]
    updates: int
    why: str
    best: int | None = None
    folder: Path | None = None

    @property
    def losses(self) -> list[float]:
        """Mean loss of each epoch."""
        return self["loss"]

    def __getitem__(self, name: str) -> list[float]:
        """One thing measured, epoch by epoch. Raises KeyError naming what there is."""
        known = list(dict.fromkeys(key for row in self.rows for key in row))
        if name not in known:
            raise KeyError(f"this fit has no {name!r}; it has {', '.join(known) or 'no epoch'}.")
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        """How many epochs were done."""
        return len(self.rows)

    def __repr__(self) -> str:
        last = f", loss {self.losses[-1]:.6g}" if self.rows else ""
        return f"History({len(self)} epochs, {self.updates} updates{last}, {self.why})"
