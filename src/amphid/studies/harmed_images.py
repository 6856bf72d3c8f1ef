"""Images that something was done to, as tests of what describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Harm = Callable[[Tensor, torch.Generator], Tensor]
SHIFT = 2 / 28  # of the side: as far as an image is moved
PATCH = 8 / 28  # of the side of an image, what hides a part of it
MIDDLE = 4 / 28  # of the side, the margin that nothing is hidden in
NOISE = 0.3  # standard deviation, in units of the brightest pixel
SPECKLED = 0.1  # share of pixels that become black or white


def blanked(images: Tensor, patch: int, *, margin: int = 0, generator: torch.Generator) -> Tensor:
    """Images [B, H, W] with a square of `patch` pixels set to 0, each at a place of its own.

    margin: pixels along the frame that it keeps off.
    """
    height, width = images.shape[1:]
    top, left = (
        margin + torch.randint(side - 2 * margin - patch + 1, (len(images), 1), generator=generator)
        for side in (height, width)
    )
    rows, columns = torch.arange(height), torch.arange(width)
    covered = ((rows >= top) & (rows < top + patch))[:, :, None] & (
        (columns >= left) & (columns < left + patch)
    )[:, None, :]
    return images.masked_fill(covered, 0.0)


def occluded(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B, H, W] of which a square of 8 of 28 pixels is hidden, anywhere in the middle 20."""
    side = min(images.shape[1:])
    patch, margin = max(round(PATCH * side), 1), round(MIDDLE * side)
    return blanked(images, patch, margin=margin, generator=generator)


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B, H, W] moved by up to 2 of 28 pixels down or up and right or left."""
    height, width = images.shape[1:]
    most = max(round(SHIFT * min(height, width)), 1)
    wide = functional.pad(images, (most,) * 4)
    down, right = torch.randint(2 * most + 1, (2, len(images), 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    which = torch.arange(len(images))[:, None, None]
    return wide[which, rows[:, :, None], columns[:, None, :]]


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B, H, W] from 0 to 1 with normal noise of 0.3 on each pixel, kept from 0 to 1."""
    return (images + NOISE * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def speckled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B, H, W] of which a tenth of the pixels became 0 or 1."""
    drawn = torch.rand(images.shape, generator=generator)
    return images.masked_fill(drawn < SPECKLED / 2, 0.0).masked_fill(drawn > 1 - SPECKLED / 2, 1.0)


HARMS: Mapping[str, Harm] = {
    "occlusion": occluded,
    "shift": shifted,
    "noise": noisy,
    "speckles": speckled,
}
"""What images are put through, by name."""
