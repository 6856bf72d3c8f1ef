"""Dynamics that unfold from one state, which an encoder reads out of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from amphid.models.latents.ensemble import EnsembleRates
from amphid.models.latents.model import check_shown
from amphid.models.latents.training import Training, check_batch, draw, mean_level
from amphid.wiring import checks


@final
class SequentialAutoencoder(nn.Module):
    """Log rates [B, T, N] of all cells that a recurrent net makes without input from one state.

    A bidirectional GRU reads the counts [B, T, K] of the shown cells and tells the mean and the
    logarithm of the variance of that state; a second one runs on from it, and its units drive few
    factors, which drive all cells. Weights are drawn by the generator. width: units of either.
    factors: how many.
    """

    def __init__(
        self,
        shown: int,
        cells: int,
        *,
        width: int = 64,
        factors: int = 12,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        given = {"shown": shown, "cells": cells, "width": width, "factors": factors}
        for name, size in given.items():
            checks.whole(name, size)
        with torch.device("meta"):  # weights are drawn below, by the generator
            self.encoder = nn.GRU(shown, width, bidirectional=True, batch_first=True)
            self.start = nn.Linear(2 * width, 2 * width)
            self.dynamics = nn.GRU(1, width, batch_first=True)
            self.factors = nn.Linear(width, factors, bias=False)
            self.told = nn.Linear(factors, cells)
        self.to_empty(device="cpu")
        draw(self, generator)

    def state(self, counts: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, W] of the state in which trials [B, T, K] of a length begin."""
        check_batch(counts, self.encoder.input_size)
        packed = nn.utils.rnn.pack_padded_sequence(
            counts.sqrt(), length.cpu(), batch_first=True, enforce_sorted=False
        )
        both = self.encoder(packed)[1].transpose(0, 1).flatten(1)
        mean, spread = self.start(both).chunk(2, -1)
        return mean, spread.clamp(-8.0, 4.0)

    def forward(self, state: Tensor, steps: int) -> Tensor:
        """Log rates [B, steps, N] that follow a state [B, W]."""
        nothing = state.new_zeros(len(state), steps, 1)
        units = self.dynamics(nothing, state[None].contiguous())[0]
        told: Tensor = self.told(self.factors(units))
        return told


@final
class AutoencoderRates(EnsembleRates[SequentialAutoencoder]):
    """A sequential autoencoder, trained on the Poisson likelihood of all cells.

    As in LFADS a trial is one state and what follows from it; without inputs that are inferred, so
    that what is not foreseeable from its state is noise. ahead: the dynamics run on. A share of the
    counts is hidden from the encoder at random in each step.

    epochs, size, lr, penalty: as in `Training`. dropped: share of the counts that is hidden. cost:
    what a nat of the state's divergence from a standard normal one counts, in nats of counts; it
    rises from zero over the first half of the training. members: nets that are trained and
    averaged. generator: of all draws.
    Reference: Pandarinath et al. 2018, doi 10.1038/s41592-018-0109-9.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        factors: int = 12,
        epochs: int = 150,
        size: int = 32,
        lr: float = 1e-2,
        dropped: float = 0.3,
        cost: float = 0.3,
        penalty: float = 0.1,
        members: int = 1,
        generator: torch.Generator,
    ) -> None:
        checks.whole("width", width)
        checks.whole("factors", factors)
        checks.fraction("dropped", dropped)
        checks.least("cost", cost)
        super().__init__(
            Training(epochs=epochs, size=size, lr=lr, penalty=penalty), members, generator
        )
        self.width, self.factors = width, factors
        self.dropped, self.cost = dropped, cost

    @torch.no_grad()
    def rates(self, shown: Tensor, *, ahead: int = 0) -> Tensor:
        """Expected counts [T + ahead, K + H] of a trial [T, K]."""
        shown = check_shown(shown, self.cells, ahead)
        length = torch.tensor([len(shown)])
        told = [
            net(net.state(shown.float()[None], length)[0], len(shown) + ahead)[0].exp()
            for net in self.nets
        ]
        return torch.stack(told).mean(0).to(shown)

    def _trained(self, targets: Sequence[Tensor], cells: int) -> SequentialAutoencoder:
        """One net."""
        net = SequentialAutoencoder(
            cells, targets[0].shape[1], width=self.width, factors=self.factors,
            generator=self.generator,
        ).to(targets[0].device)  # fmt: skip
        with torch.no_grad():
            net.told.bias.copy_(mean_level(targets))
        half = self.training.epochs * -(-len(targets) // self.training.size) / 2
        done = 0

        def loss(counts: Tensor, seen: Tensor) -> Tensor:
            nonlocal done
            done += 1
            return self._loss(net, counts, seen, self.cost * min(1.0, done / half))

        self.training.run(net, loss, targets, generator=self.generator)
        return net

    def _loss(
        self, net: SequentialAutoencoder, counts: Tensor, seen: Tensor, cost: float
    ) -> Tensor:
        """Bound on the unlikeliness of the counts, nats per count."""
        shown = counts[..., : self.cells]
        kept = torch.rand(shown.shape, generator=self.generator).to(shown.device) >= self.dropped
        mean, spread = net.state(shown * kept / (1 - self.dropped), seen.sum(1))
        drawn = torch.randn(mean.shape, generator=self.generator).to(mean.device)
        told = net(mean + drawn * (0.5 * spread).exp(), counts.shape[1])
        unlikely = (told.exp() - counts * told)[seen].sum()
        apart = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum()
        return (unlikely + cost * apart) / (seen.sum() * counts.shape[-1])
