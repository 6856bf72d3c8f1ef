"""Waves over cells that know a place and an orientation: how far is ink that runs this way?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from amphid.dynamics import Winner
from amphid.dynamics.values import is_number
from amphid.models.waves.checks import check_counts, check_positive, checked_ink
from amphid.simulation import GeometricNetwork, first_spikes, onsets
from amphid.wiring import conducted, geometric

DT = 1.0  # ms
AT_ONCE = 1000  # images


@dataclass(frozen=True)
class Ridge:
    r"""A dendrite for a line, n um across from it.

    .. math:: e^{-n^2 / 2 w^2} / w - e^{-n^2 / 2 u^2} / u

    width, surround: w and u, um.
    """

    width: float = 0.8
    surround: float = 2.0
    turn: ClassVar[float] = math.pi

    def __post_init__(self) -> None:
        """Raise ValueError for settings that make no sense."""
        check_positive(self, "width", "surround")

    def across(self, distance: Tensor) -> Tensor:
        """What a pixel gives by its distance from the line, um."""
        return _bell(distance, self.width) - _bell(distance, self.surround)


@dataclass(frozen=True)
class Edge:
    r"""A dendrite for an edge with ink on one side, n um across from it.

    .. math:: n \, e^{-n^2 / 2 w^2}

    width: w, um.
    """

    width: float = 0.8
    turn: ClassVar[float] = 2 * math.pi

    def __post_init__(self) -> None:
        """Raise ValueError for settings that make no sense."""
        check_positive(self, "width")

    def across(self, distance: Tensor) -> Tensor:
        """What a pixel gives by its distance from the edge, um."""
        return distance * _bell(distance, self.width)


@dataclass(frozen=True)
class OrientedWaves:
    r"""A sheet of cells for each orientation; each fires once, and its signals make others fire.

    A pixel is 1 um. The cells stand at `places` x `places` points between `margin` and `side` -
    `margin` um, with `orientations` at each, over half a turn or a whole one; all three are moved
    at random, by up to half of the distance to the next. Sheets are `apart` um from each other.
    Cells no farther apart than `reach` are connected, in straight lines, at `speed` um/ms.

    The `dendrite` of a cell lies along its orientation. A pixel a um along it counts for
    exp(-2 a^2 / L^2) of what it gives across, up to `cut` um from the cell; the sum of squares
    is 1. What a dendrite gathers from the ink, over `full`, is r. Where r is `least` or more the
    cell fires after `latest` (1 - r) / (1 - least) ms, at once where r is above 1. Waves go on for
    `duration` ms.

    length: L, um. tau: ms of the decay with which spikes are read.
    inhibition: whether cells are read relative to the first one at their place.
    share: what its numbers are multiplied by, beside those of other waves.
    seed: of the places and orientations.

    The recipe is one of this package. The waves are a distance transform for each orientation
    (Borgefors 1986, doi 10.1016/S0734-189X(86)80047-0), found by a race.
    """

    dendrite: Ridge | Edge = Ridge()
    side: int = 28
    places: int = 14
    orientations: int = 12
    margin: float = 2.0
    length: float = 8.0
    cut: float = 7.0
    reach: float = 3.0
    apart: float = 40 / 12
    speed: float = 0.5
    full: float = 2.2
    least: float = 0.35
    latest: float = 5.0
    duration: float = 37.0
    tau: float = 8.0
    inhibition: bool = True
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise TypeError or ValueError for settings that make no sense."""
        if not isinstance(self.dendrite, Ridge | Edge):
            raise TypeError(f"dendrite must be a Ridge or an Edge, got {self.dendrite!r}.")
        check_counts(self, "side", "orientations")
        check_counts(self, "places", least=2)
        check_counts(self, "seed", least=0)
        check_positive(self, "length", "cut", "reach", "apart", "speed", "full", "latest")
        check_positive(self, "duration", "tau", "share")
        for name, most in {"margin": self.side / 2, "least": 1.0}.items():
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < most):
                raise ValueError(f"{name} must be from 0 to below {most:g}, got {value!r}.")

    @cached_property
    def points(self) -> Tensor:
        """[N, 3] where each cell stands, x and y in um, and its orientation in radians."""
        draw = torch.Generator().manual_seed(self.seed)
        line = torch.linspace(self.margin, self.side - self.margin, self.places).double()
        step = self.dendrite.turn / self.orientations
        turns = torch.arange(self.orientations).double() * step
        grid = torch.stack(torch.meshgrid(line, line, turns, indexing="ij"), -1)
        pace = (self.side - 2 * self.margin) / (self.places - 1)
        steps = torch.tensor([pace, pace, step], dtype=torch.float64)
        moved = torch.rand(grid.shape, generator=draw, dtype=torch.float64) - 0.5
        return (grid + moved * steps).reshape(-1, 3)

    @cached_property
    def dendrites(self) -> Tensor:
        """[N, side * side] what each pixel gives to each cell."""
        x, y, turn = (column[:, None] for column in self.points.unbind(1))
        pixel = torch.arange(self.side).double() + 0.5
        down, right = (axis.reshape(-1) for axis in torch.meshgrid(pixel, pixel, indexing="ij"))
        along = (right - x) * turn.cos() + (down - y) * turn.sin()
        across = (down - y) * turn.cos() - (right - x) * turn.sin()
        weight = torch.exp(-2 * (along / self.length) ** 2) * self.dendrite.across(across)
        weight[along**2 + across**2 > self.cut**2] = 0
        return (weight / weight.norm(dim=1, keepdim=True)).float()

    @cached_property
    def network(self) -> GeometricNetwork:
        """The cells, each of which fires once, and what connects them."""
        x, y, turn = self.points.unbind(1)
        height = turn * (self.apart * self.orientations / self.dendrite.turn)
        wired = geometric(torch.stack([x, y, height], 1), radius=self.reach)
        return GeometricNetwork(conducted(wired, speed=self.speed), Winner(period=math.inf))

    def encode(self, ink: Tensor, *, threads: int | None = None) -> Tensor:
        """Numbers [B, N] of ink [B, side, side], the squares of an image adding up to share^2."""
        ink = checked_ink(self, ink, self.side)
        return self.share * self.read(self.times(ink, threads=threads))

    def onset(self, ink: Tensor) -> Tensor:
        """When the ink [B, side, side] itself makes cells fire [B, N], ms; infinite for never."""
        gathered = ink.flatten(1) @ self.dendrites.T / self.full
        late = self.latest * (1 - gathered) / (1 - self.least)
        return late.round().clamp(min=0).masked_fill(gathered < self.least, math.inf)

    def times(self, ink: Tensor, *, threads: int | None = None) -> Tensor:
        """When each cell first fires [B, N], ms; infinite where it does not."""
        parts = [
            first_spikes(
                self.network,
                onsets(self.onset(some)),
                duration=self.duration,
                dt=DT,
                threads=threads,
            )
            for some in ink.split(AT_ONCE)
        ]
        return torch.cat(parts)

    def read(self, times: Tensor) -> Tensor:
        r"""Times [B, N] as numbers [B, N] from 0 to 1, all squares of an image adding up to 1.

        .. math:: e^{-t / \tau}, \quad \text{and with inhibition} \quad
            e^{-t / \tau} / (0.1 + e^{-t_\text{first} / \tau})

        where t_first is the first spike at the same place, of any orientation.
        """
        strength = torch.exp(-times / self.tau)
        if self.inhibition:
            place = strength.unflatten(1, (-1, self.orientations))
            strength = (place / (0.1 + place.amax(2, keepdim=True))).flatten(1)
        return torch.nn.functional.normalize(strength, dim=1)


def _bell(distance: Tensor, width: float) -> Tensor:
    return torch.exp(-(distance**2) / (2 * width**2)) / width
