"""Histograms of oriented gradients: a descriptor made by hand, beside waves and against them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amphid.models.waves.checks import check_counts, check_positive, checked_ink

AT_ONCE = 2000  # images
CLIPPED = 0.2  # the most that a number of a normalized block may be


def oriented_gradients(images: Tensor, *, cell: int = 4, bins: int = 9, block: int = 3) -> Tensor:
    """Numbers [B, K] of images [B, H, W] in `bins` directions over half a turn.

    Slopes by central differences, none on the frame; each counts fully for one direction of its
    cell of `cell` x `cell` pixels. Blocks of `block` x `block` cells are normalized, clipped at 0.2
    and normalized again, as all of an image is at the end. Pixels that fill no cell are left out.
    Reference: Dalal and Triggs 2005, doi 10.1109/CVPR.2005.177.
    """
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    down[:, 1:-1] = images[:, 2:] - images[:, :-2]
    right[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    turn = torch.atan2(down, right).remainder(math.pi) * (bins / math.pi)
    which = turn.long().clamp(max=bins - 1)
    voted = torch.hypot(down, right)[..., None] * functional.one_hot(which, bins)
    cells = functional.avg_pool2d(voted.permute(0, 3, 1, 2), cell)
    size = min(block, *cells.shape[2:])
    blocks = functional.unfold(cells, size).transpose(1, 2)
    clipped = functional.normalize(blocks, dim=2).clamp(max=CLIPPED)
    return functional.normalize(functional.normalize(clipped, dim=2).flatten(1), dim=1)


@dataclass(frozen=True)
class GradientHistograms:
    """Histograms of oriented gradients beside waves: no network, but local, so that harm is too.

    cell: pixels. share: what its numbers are multiplied by, beside those of waves.
    """

    side: int = 28
    cell: int = 4
    bins: int = 9
    block: int = 3
    share: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError for settings that make no sense."""
        check_counts(self, "side", "cell", "bins", "block")
        check_positive(self, "share")
        if self.cell > self.side:
            raise ValueError(f"cell must be at most {self.side} pixels, got {self.cell}.")

    def encode(self, ink: Tensor, *, threads: int | None = None) -> Tensor:
        """Numbers [B, K] of ink [B, side, side], the squares of an image adding up to share^2.

        threads: of no account.
        """
        ink = checked_ink(self, ink, self.side)
        parts = [
            oriented_gradients(some, cell=self.cell, bins=self.bins, block=self.block)
            for some in ink.split(AT_ONCE)
        ]
        return self.share * torch.cat(parts)
