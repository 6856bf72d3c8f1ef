"""Waves that flood what is not ink: how long is the way around it?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics import Winner
from amphid.dynamics.values import is_number
from amphid.models.waves.checks import check_counts, check_positive, checked_ink
from amphid.simulation import GeometricNetwork, Onsets, first_spikes
from amphid.wiring import Cells, Connections, Connectome

DT = 1.0  # ms
AT_ONCE = 500  # images
HEADINGS = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""Rows and columns that each of the four waves goes on by."""


@dataclass(frozen=True)
class FloodWaves:
    r"""A wave from each border of the image, over cells that ink keeps refractory throughout.

    A cell stands on each pixel, and on a rim of one around them; it is connected to its four
    neighbors, 1 ms away, and fires once. In the sheet of a wave the connections that lead straight
    back to where it comes from are absent, so that it has to go around ink and does not come into
    every bay. What is read is the detour: the time of arrival, less that on an empty image, `most`
    ms where the wave comes later or never; 0 on ink. It is blurred by `blur` pixels, then averaged
    over blocks of `block` x `block`.

    levels: how much ink keeps a cell refractory; what comes of each is averaged.
    block: pixels, a divisor of side. share: what its numbers are multiplied by, beside those of
        other waves.

    The recipe is one of this package. The wave is a flood fill and does no more than one.
    Raises ValueError where blocks do not fit.
    """

    side: int = 28
    levels: tuple[float, ...] = (0.25, 0.6)
    most: float = 24.0
    blur: float = 0.7
    block: int = 4
    share: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError for settings that make no sense."""
        check_counts(self, "side", "block")
        check_positive(self, "most", "blur", "share")
        if (
            not isinstance(self.levels, tuple)
            or not self.levels
            or not all(is_number(one) and 0 <= one < 1 for one in self.levels)
        ):
            raise ValueError(
                f"levels must be a tuple of numbers from 0 to below 1, got {self.levels!r}."
            )
        if self.side % self.block:
            raise ValueError(f"block must divide {self.side} pixels, got {self.block}.")

    @cached_property
    def network(self) -> GeometricNetwork:
        """The four sheets, one for each heading, [N] = 4 (side + 2)^2 cells in all."""
        own = [self._sheet(*heading) for heading in HEADINGS]
        size = (self.side + 2) ** 2
        pre, post = np.concatenate(
            [ends + number * size for number, ends in enumerate(own)], axis=1
        )
        cells = Cells([f"C{number}" for number in range(size * len(HEADINGS))])
        wired = Connectome(cells, Connections(pre, post, sign=1, delay=1.0), name="flood")
        return GeometricNetwork(wired, Winner(period=math.inf))

    @cached_property
    def empty(self) -> Tensor:
        """[4, side + 2, side + 2] when the waves arrive where there is no ink, ms."""
        line = torch.arange(self.side + 2.0)
        wide = line.expand(self.side + 2, -1)
        return torch.stack([wide, wide.flip(1), wide.T, wide.T.flip(0)])

    def times(self, ink: Tensor, level: float, *, threads: int | None = None) -> Tensor:
        """When the waves arrive [B, 4, side + 2, side + 2], ms; infinite for never."""
        start = torch.nonzero(self.empty.flatten() == 0).flatten()
        struck = Onsets(start, torch.zeros(len(start)))
        parts = [
            first_spikes(
                self.network,
                struck,
                duration=self.side + 2 + self.most,
                dt=DT,
                refractory=self._held(some > level),
                threads=threads,
            )
            for some in ink.split(AT_ONCE)
        ]
        return torch.cat(parts).unflatten(1, self.empty.shape)

    def detours(self, ink: Tensor, level: float, *, threads: int | None = None) -> Tensor:
        """[B, 4, side, side] by how much later the waves arrive, from 0 to 1 for `most` ms."""
        late = (self.times(ink, level, threads=threads) - self.empty).clamp(max=self.most)
        inner = late[..., 1:-1, 1:-1] / self.most
        return inner.masked_fill((ink > level)[:, None], 0.0)

    def encode(self, ink: Tensor, *, threads: int | None = None) -> Tensor:
        """Numbers [B, 4 (side / block)^2] of ink [B, side, side].

        The squares of an image add up to share^2.
        """
        ink = checked_ink(self, ink, self.side)
        total = torch.zeros(())
        for level in self.levels:
            detour = self.detours(ink, level, threads=threads)
            total = total + self._pool.T @ detour @ self._pool
        return self.share * torch.nn.functional.normalize(total.flatten(1), dim=1)

    @cached_property
    def _pool(self) -> Tensor:
        """[side, side / block] what each pixel of a line gives to each block."""
        line = torch.arange(float(self.side))
        bell = torch.exp(-((line[:, None] - line) ** 2) / (2 * self.blur**2))
        bell = bell / bell.sum(1, keepdim=True)
        return bell.unflatten(1, (-1, self.block)).mean(2)

    def _held(self, dark: Tensor) -> Tensor:
        """[B, N] ms for which cells are refractory: infinite on ink, in all four sheets."""
        rimmed = torch.nn.functional.pad(dark, (1, 1, 1, 1))[:, None]
        wide = rimmed.expand(-1, len(HEADINGS), -1, -1).flatten(1)
        return torch.zeros(wide.shape).masked_fill_(wide, math.inf)

    def _sheet(self, down: int, right: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """[2, E] ends of the connections of a sheet whose wave has that heading."""
        number = np.arange((self.side + 2) ** 2).reshape(self.side + 2, -1)
        pairs = [
            (number[:, :-1], number[:, 1:], right),
            (number[:, 1:], number[:, :-1], -right),
            (number[:-1], number[1:], down),
            (number[1:], number[:-1], -down),
        ]
        kept = [(pre.ravel(), post.ravel()) for pre, post, onward in pairs if onward >= 0]
        return np.concatenate([np.stack(ends) for ends in kept], axis=1)
