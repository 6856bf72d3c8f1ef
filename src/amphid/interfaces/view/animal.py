"""What a session knows of a body: it is driven by a network, feels for it, and can be drawn."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from amphid.models.worm import Build

Array = NDArray[np.float64]


class Animal(Protocol):
    """A body in a dish. `food`: where it lies, um. `activation`: of the muscles [2, S]."""

    food: tuple[float, float] | None
    activation: Array

    @property
    def build(self) -> Build:
        """What stays of it."""

    @property
    def circuit(self) -> object | None:
        """What drives its muscles in place of the network, if anything does."""

    def begin(self, rest: Tensor) -> None:
        """At the start; rest: levels [N] of relaxed cells."""

    def felt(self) -> Tensor:
        """The current of all senses [N], pA."""

    def step(self, level: Tensor, dt: float) -> None:
        """Cells at these levels [N] move the body for dt ms."""

    def poke(self, place: float, duration: float) -> None:
        """A touch at a place, 0 at the nose and 1 at the tail, for some ms."""

    def feed(self, x: float, y: float) -> None:
        """Food put down, um from the middle of the dish."""

    def crawl(self, *, on: bool) -> None:
        """Whether a published circuit drives the muscles, in place of the network."""

    def concentration(self) -> float:
        """Of the food at the nose, 1 in its middle."""

    def ends(self) -> Array:
        """Both sides of the body [2, R, 2], um."""
