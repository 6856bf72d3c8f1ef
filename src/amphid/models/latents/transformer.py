"""A small transformer that learns rates by telling masked bins from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.models.latents.ensemble import EnsembleRates
from amphid.models.latents.model import check_shown
from amphid.models.latents.training import Training, check_batch, draw, mean_level
from amphid.wiring import checks


class _Block(nn.Module):
    """Attention over bins and a layer of its own for each bin, both added to what comes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: [B, T, W]; bias: of every bin towards every other [B or 1, H, T, T]."""
        split = self.queries(self.before(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + self.joined(seen.transpose(1, 2).flatten(2))
        return x + self.narrow(functional.gelu(self.wide(self.between(x))))


@final
class MaskedTransformer(nn.Module):
    """Log rates [B, T, N] of all cells from the counts [B, T, K] of some.

    Bins attend to all others by what they hold and by how far apart they are, up to `reach` bins;
    a masked bin is told apart from one without spikes. Weights are drawn by the generator.
    width: features of a bin. layers: blocks of attention. heads: of each.
    """

    def __init__(
        self,
        shown: int,
        cells: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        reach: int = 40,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        given = {"shown": shown, "cells": cells, "width": width, "layers": layers, "heads": heads}
        for name, size in given.items():
            checks.whole(name, size)
        checks.whole("reach", reach, least=0)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}.")
        self.reach = reach
        with torch.device("meta"):  # weights are drawn below, by the generator
            self.embedded, self.masked = nn.Linear(shown, width), nn.Parameter(torch.empty(width))
            self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
            self.apart = nn.Parameter(torch.empty(heads, 2 * reach + 1))
            self.last, self.told = nn.LayerNorm(width), nn.Linear(width, cells)
        self.to_empty(device="cpu")
        draw(self, generator)

    def forward(self, counts: Tensor, masked: Tensor | None = None) -> Tensor:
        """masked: bins [B, T] that are not shown; counts in them do not matter."""
        check_batch(counts, self.embedded.in_features)
        x = self.embedded(counts.sqrt())
        if masked is not None:
            x = torch.where(masked[..., None], self.masked, x)
        place = torch.arange(x.shape[1], device=x.device)
        apart = (place - place[:, None]).clamp(-self.reach, self.reach) + self.reach
        bias = self.apart[:, apart][None]
        for block in self.blocks:
            x = block(x, bias)
        told: Tensor = self.told(self.last(x))
        return told


@final
class TransformerRates(EnsembleRates[MaskedTransformer]):
    """A masked transformer, trained on the Poisson likelihood of all cells.

    In each step a share of the bins and of the cells' counts is hidden from it at random, and it
    tells them, and the hidden cells, from what is left. Up to `tail` bins at the end of a trial are
    hidden together, so that it can foretell. Several nets may be averaged.

    epochs, size, lr, penalty: as in `Training`. masked: share of bins that are hidden in a step.
    tail: bins. dropped: share of the counts in the other bins. members: nets that are trained and
    averaged. generator: of all draws.
    Reference: Ye and Pandarinath 2021, arXiv 2108.01210.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        layers: int = 2,
        epochs: int = 150,
        size: int = 32,
        lr: float = 3e-3,
        masked: float = 0.25,
        tail: int = 4,
        dropped: float = 0.4,
        penalty: float = 0.1,
        members: int = 1,
        generator: torch.Generator,
    ) -> None:
        checks.whole("width", width)
        checks.whole("layers", layers)
        checks.whole("tail", tail, least=0)
        checks.fraction("masked", masked)
        checks.fraction("dropped", dropped)
        super().__init__(
            Training(epochs=epochs, size=size, lr=lr, penalty=penalty), members, generator
        )
        self.width, self.layers = width, layers
        self.masked, self.tail, self.dropped = masked, tail, dropped

    @torch.no_grad()
    def rates(self, shown: Tensor, *, ahead: int = 0) -> Tensor:
        """Expected counts [T + ahead, K + H] of a trial [T, K]."""
        shown = check_shown(shown, self.cells, ahead)
        counts = functional.pad(shown.float(), (0, 0, 0, ahead))[None]
        masked = (torch.arange(counts.shape[1]) >= len(shown))[None]
        told = torch.stack([net(counts, masked)[0].exp() for net in self.nets])
        return told.mean(0).to(shown)

    def _trained(self, targets: Sequence[Tensor], cells: int) -> MaskedTransformer:
        """One net."""
        net = MaskedTransformer(
            cells, targets[0].shape[1], width=self.width, layers=self.layers,
            generator=self.generator,
        ).to(targets[0].device)  # fmt: skip
        with torch.no_grad():
            net.told.bias.copy_(mean_level(targets))

        def loss(counts: Tensor, seen: Tensor) -> Tensor:
            return self._loss(net, counts, seen)

        self.training.run(net, loss, targets, generator=self.generator)
        return net

    def _loss(self, net: MaskedTransformer, counts: Tensor, seen: Tensor) -> Tensor:
        """Poisson loss per count of bins that exist, when others are hidden."""
        left = seen.flip(1).cumsum(1).flip(1)  # bins to the end of the trial
        tail = (self._uniform(seen[:, 0]) * (self.tail + 1)).floor()
        masked = (self._uniform(seen) < self.masked) | (left <= tail[:, None])
        shown = counts[..., : self.cells]
        kept = self._uniform(shown) >= self.dropped
        told = net(shown * kept / (1 - self.dropped), masked)
        return (told.exp() - counts * told)[seen].mean()

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator).to(like.device)
