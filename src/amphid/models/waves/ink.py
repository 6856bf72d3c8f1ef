"""From any image to ink: what stands out from the background, of one size, upright."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

AT_ONCE = 2000  # images that are sheared at once
DARK = 0.5  # what has more ink than this counts for the slant


def pictures(images: ArrayLike | Tensor) -> Tensor:
    """Images [B, H, W] in single precision; rows of pixels [B, P] are squares, as scikit-learn's.

    Raises ValueError for other shapes, for rows that are no squares, and for what is not finite.
    """
    given: Any = images if isinstance(images, Tensor) else np.asarray(images)
    try:
        values = torch.as_tensor(given).detach().cpu()
    except TypeError:
        raise TypeError(f"images must be numbers, got an array of {given.dtype}.") from None
    if values.is_complex():
        raise TypeError(f"images must be real numbers, got {values.dtype}.")
    values = values.to(torch.float32)
    if values.dim() == 2 and (side := round(values.shape[1] ** 0.5)) ** 2 == values.shape[1]:
        values = values.reshape(-1, side, side)
    if values.dim() != 3 or 0 in values.shape:
        raise ValueError(
            "images must be [B, H, W], one or more, or [B, P] with P pixels of a square in each "
            f"row, got shape {list(values.shape)}."
        )
    if not bool(torch.isfinite(values).all()):
        raise ValueError("images must hold finite numbers.")
    return values


def ink_of(images: Tensor, side: int) -> Tensor:
    """Ink [B, side, side] from 0 to 1 of images [B, H, W], bright on dark or dark on bright.

    Ink is the distance of a pixel from the median of the frame of its image, over the greatest
    such distance. Images of another size are scaled to fit, and centered where they are no squares.
    """
    height, width = images.shape[1:]
    frame = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    apart = (images - frame.median(1).values[:, None, None]).abs()
    most = apart.amax((1, 2), keepdim=True)
    ink = apart / torch.where(most > 0, most, 1.0)
    return ink if height == width == side else _fitted(ink, side)


def upright(ink: Tensor) -> Tensor:
    r"""Ink [B, H, W] sheared along its rows so that it no longer leans.

    .. math:: s = \frac{1}{2} \left( \frac{\sum (x - \bar x)(y - \bar y)}{\sum (y - \bar y)^2}
        - \frac{\sum \partial_x I \, \partial_y I}{\sum (\partial_x I)^2} \right)

    the first over what is dark, the second over the slopes of the ink, blurred by 3 x 3 pixels:
    sheared by the one, moments no longer lean, by the other, slopes no longer do. Slopes are those
    of each place by itself, so that what is hidden turns them less. A row moves by s pixels for
    each row that it is away from the center.
    """
    return torch.cat([_sheared(part, _slant(part)) for part in ink.split(AT_ONCE)])


def _fitted(ink: Tensor, side: int) -> Tensor:
    height, width = ink.shape[1:]
    scale = side / max(height, width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    scaled = functional.interpolate(
        ink[:, None], size, mode="bilinear", antialias=True, align_corners=False
    )[:, 0]
    down, right = side - size[0], side - size[1]
    return functional.pad(scaled, (right // 2, right - right // 2, down // 2, down - down // 2))


def _slant(ink: Tensor) -> Tensor:
    """By how many columns the ink of each image [B] moves to the right from row to row."""
    return (_slant_of_moments(ink) + _slant_of_slopes(ink)) / 2


def _slant_of_slopes(ink: Tensor) -> Tensor:
    blurred = functional.avg_pool2d(ink[:, None], 3, 1, 1)[:, 0]
    down = blurred[:, 2:, 1:-1] - blurred[:, :-2, 1:-1]
    right = blurred[:, 1:-1, 2:] - blurred[:, 1:-1, :-2]
    return -(down * right).sum((1, 2)) / (right**2).sum((1, 2)).clamp(min=1e-6)


def _slant_of_moments(ink: Tensor) -> Tensor:
    dark = (ink > DARK).to(ink.dtype)
    row, column = (torch.arange(size, dtype=ink.dtype) for size in ink.shape[1:])
    amount = dark.sum((1, 2)).clamp(min=1)[:, None]
    down = row - (dark.sum(2) @ row)[:, None] / amount
    right = column - (dark.sum(1) @ column)[:, None] / amount
    leaning = torch.einsum("bhw,bh,bw->b", dark, down, right)
    return leaning / torch.einsum("bhw,bh->b", dark, down**2).clamp(min=1)


def _sheared(ink: Tensor, slant: Tensor) -> Tensor:
    turn = torch.zeros(len(ink), 2, 3)
    turn[:, 0, 0] = turn[:, 1, 1] = 1
    turn[:, 0, 1] = slant * ink.shape[1] / ink.shape[2]
    shape = [len(ink), 1, *ink.shape[1:]]
    grid = functional.affine_grid(turn, shape, align_corners=False)
    return functional.grid_sample(ink[:, None], grid, align_corners=False)[:, 0]
