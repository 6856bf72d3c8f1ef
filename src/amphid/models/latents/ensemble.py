"""Nets that tell rates together: trained on the same trials, each from weights of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from amphid.models.latents.model import LatentModel, check_trials
from amphid.models.latents.training import Training
from amphid.wiring import checks

Net = TypeVar("Net", bound=nn.Module)


class EnsembleRates(LatentModel, Generic[Net]):
    """Latent models whose rates are the mean of those of some nets. Abstract.

    training: of each net. members: how many nets. generator: draws weights, orders and masks.
    """

    def __init__(self, training: Training, members: int, generator: torch.Generator) -> None:
        checks.whole("members", members)
        checks.drawing(generator)
        self.training, self.members, self.generator = training, members, generator
        self.cells: int | None = None
        self.nets: list[Net] = []

    def fit(self, shown: Sequence[Tensor], hidden: Sequence[Tensor]) -> Self:
        """Train the nets on trials of any length."""
        check_trials(shown, hidden)
        cells = self.cells = shown[0].shape[1]
        targets = [torch.cat(pair, 1).float() for pair in zip(shown, hidden, strict=True)]
        self.nets = [self._trained(targets, cells) for _ in range(self.members)]
        return self

    @abstractmethod
    def _trained(self, targets: Sequence[Tensor], cells: int) -> Net:
        """One net, trained on counts [T, K + H] of which the first K = cells are shown."""
