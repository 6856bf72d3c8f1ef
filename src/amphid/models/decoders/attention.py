"""A causal transformer that looks back over a few bins."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.models.decoders.decoder import check_positive
from amphid.models.decoders.trained import TrainedDecoder, draw


class Past(NamedTuple):
    """What a block can still look back at."""

    keys: Tensor  # [C - 1, *B, W]
    values: Tensor  # [C - 1, *B, W]


class AttentionState(NamedTuple):
    """What all blocks can look back at."""

    pasts: tuple[Past, ...]  # one for each block
    seen: Tensor  # how many bins there were


@final
class AttentionDecoder(TrainedDecoder):
    """A causal transformer whose blocks each look at the last bins, by how long ago they were.

    Every block attends to its last `context` bins, the present one included, with a learned bias
    for each head and lag in place of positions; so a sequence may go on for ever.

    cells: N. axes: D. width: W. heads: of a block, must divide W. blocks: how many. context: C,
    bins. generator: draws the first weights.
    Reference: Vaswani et al. 2017, arXiv 1706.03762.
    """

    def __init__(
        self,
        cells: int,
        axes: int,
        *,
        width: int = 64,
        heads: int = 4,
        blocks: int = 2,
        context: int = 16,
        generator: torch.Generator,
    ) -> None:
        super().__init__(cells, axes)
        check_positive("AttentionDecoder", width=width, heads=heads, blocks=blocks, context=context)
        if width % heads:
            raise ValueError(
                f"AttentionDecoder: heads must divide width, got {heads} heads of {width}."
            )
        self.width, self.context = width, context
        self.embedding = nn.Linear(cells, width)
        self.blocks = nn.ModuleList(Block(width, heads, context) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, axes)
        draw(self, generator)

    def init(self, like: Tensor) -> AttentionState:
        """Nothing to look back at."""
        shape = self.taken(like).shape[:-1]
        empty = self.center.new_zeros(self.context - 1, *shape, self.width)
        return AttentionState(
            tuple(Past(empty, empty) for _ in self.blocks), torch.zeros((), dtype=torch.long)
        )

    def run(
        self, counts: Tensor, state: AttentionState | None = None
    ) -> tuple[Tensor, AttentionState]:
        """Velocities [T, *B, D] of counts [T, *B, N], and what can be looked back at."""
        counts, state = self.begin(counts, state)
        lag = lags(len(counts), self.context, state.seen).to(counts.device)
        x, pasts = self.embedding(self.inward(counts)), []
        for block, past in zip(self.blocks, state.pasts, strict=True):
            x, past = block(x, past, lag)
            pasts.append(past)
        velocity = self.outward(self.readout(self.norm(x)))
        return velocity, AttentionState(tuple(pasts), state.seen + len(counts))


class Block(nn.Module):
    """Attention to the last bins, then a network of one hidden layer, each added to its input."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads, self.kept = heads, context - 1
        self.norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.given = nn.Linear(width, width)
        self.bent = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.bias = nn.Parameter(torch.zeros(heads, context))

    def forward(self, x: Tensor, past: Past, lag: Tensor) -> tuple[Tensor, Past]:
        """Output [T, *B, W], and the keys and values of the last bins.

        lag: of each key at each bin [T, C - 1 + T], -1 where it must not be looked at.
        """
        query, key, value = self.asked(self.norm(x)).chunk(3, -1)
        key, value = torch.cat((past.keys, key)), torch.cat((past.values, value))
        bias = self.bias[:, lag.clamp(min=0)].masked_fill(lag < 0, float("-inf"))
        asked, known, held = self._split(query), self._split(key), self._split(value)
        seen = functional.scaled_dot_product_attention(asked, known, held, attn_mask=bias)
        x = x + self.given(seen.movedim(-2, 0).flatten(-2).reshape(x.shape))
        late = len(key) - self.kept
        return x + self.bent(self.second_norm(x)), Past(key[late:], value[late:])

    def _split(self, part: Tensor) -> Tensor:
        """Heads apart and time last but one [M, heads, T, W / heads]."""
        rows = part.reshape(len(part), -1, part.shape[-1])
        return rows.unflatten(-1, (self.heads, -1)).movedim(0, 2)


def lags(bins: int, context: int, seen: Tensor) -> Tensor:
    """How long ago each key was at each bin [T, C - 1 + T]; -1 where it is no past of that bin.

    The first C - 1 keys are those kept from before, of which only `seen` were ever there.
    """
    keys = torch.arange(1 - context, bins)
    lag = torch.arange(bins)[:, None] - keys
    return torch.where((lag >= 0) & (lag < context) & (keys >= -seen), lag, -1)
