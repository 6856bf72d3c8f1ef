"""Decoders made of recorded trials, in closed form or by training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amphid.learning import EachUpdate, fit
from amphid.models.decoders.decoder import Decoder, FittedDecoder
from amphid.models.decoders.trained import TrainedDecoder

Windows = tuple[Tensor, Tensor]
"""Counts [T, B, N] and velocities [T, B, D] of windows of equal length."""


@dataclass(frozen=True)
class Training:
    """How a decoder is trained: AdamW on the squared error of windows drawn from trials.

    updates: steps, whose rate falls along a cosine. batch: windows of each. window: bins of a
    window; at most those of the shortest trial. Windows start anywhere in a trial, so that when
    does not tell what.
    """

    updates: int = 150
    batch: int = 32
    window: int = 25
    rate: float = 3e-3
    decay: float = 0.1


def learned_from(
    decoder: Decoder,
    counts: list[Tensor],
    velocity: list[Tensor],
    *,
    training: Training,
    generator: torch.Generator,
) -> Decoder:
    """The decoder, fitted to or trained on counts [T, N] and velocities [T, D] of trials."""
    if isinstance(decoder, FittedDecoder):
        return decoder.fit(counts, velocity)
    if not isinstance(decoder, TrainedDecoder):
        raise TypeError(f"{type(decoder).__name__} is neither fitted nor trained.")
    decoder.scaled_to(counts, velocity)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=training.rate, weight_decay=training.decay
    )
    fit(
        decoder,
        lambda epoch: drawn(counts, velocity, training, generator),
        functional.mse_loss,
        optimizer=optimizer,
        schedule=EachUpdate(
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.updates)
        ),
        guard=None,
        progress=None,
    )
    return decoder.eval()


def drawn(
    counts: list[Tensor], velocity: list[Tensor], training: Training, generator: torch.Generator
) -> Iterator[Windows]:
    """So many batches of windows, each from a trial and a bin drawn by the generator."""
    lengths = torch.tensor([len(one) for one in counts])
    starts = torch.cat((torch.zeros(1, dtype=torch.long), lengths.cumsum(0)[:-1]))
    bins = min(training.window, int(lengths.min()))
    seen, moved = torch.cat(counts), torch.cat(velocity)
    for _ in range(training.updates):
        trial = torch.randint(len(lengths), (training.batch,), generator=generator)
        share = torch.rand(training.batch, generator=generator)
        first = starts[trial] + (share * (lengths[trial] - bins + 1)).long()
        which = first + torch.arange(bins)[:, None]
        yield seen[which], moved[which]
