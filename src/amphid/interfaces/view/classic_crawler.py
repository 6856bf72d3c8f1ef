"""The body of the classic worm: a point that is steered by two sums of muscles, and a tail."""

from __future__ import annotations

import cmath
import math

import numpy as np
import torch
from torch import Tensor

from amphid.interfaces.view.animal import Array
from amphid.interfaces.view.classic import LivingClassic
from amphid.models.classic_worm import STIMULI
from amphid.models.worm import ANTERIOR, NOSE, POSTERIOR, Build
from amphid.models.worm_body import Mechanics

FRAME = 1000 / 60  # ms of the original program, which moves its worm at every one
LONG = 200  # pixels of its worm, drawn here 1 mm long
SENSED, EATEN = 50, 20  # pixels from the head to food
TURN = 0.1  # rad in a frame
CLASSIC_LIMITS = (
    "This worm is for comparison: the program of the web, github.com/heyseth/worm-sim, after the "
    "GoPiGo worm of T. Busbice. Its body is a point with a heading, and a tail that is dragged.",
    "Every 500 ms the charges of 34 muscles of the left side, and by a typing error of the "
    "original of 32 of the right, are summed and reset: the heading turns by (left - right) / 20 "
    "times pi, the speed becomes (|left| + |right|) / 100 pixels in a frame of 1/60 s. Nothing "
    "bends, nothing resists, and it never moves backward.",
    "The muscles of head and neck and the last ones are never read or reset: their charges grow "
    "without end.",
    "Here it is as long as a worm: 200 pixels are 1 mm. The original feels touch of its nose at "
    "the edge of the window and food nearer than 50 pixels, which it eats nearer than 20. Touch of "
    "the front and the back is added here, in the cells that feel it.",
)


class ClassicCrawler:
    """The body that the original program gives its worm, in a round dish.

    life: whose sums of muscles steer it. dish: its radius, um.
    Reference: github.com/heyseth/worm-sim (MIT), js/main.js.
    """

    circuit = None

    def __init__(self, life: LivingClassic, *, dish: float = 1200.0) -> None:
        self.life, self.shape = life, Mechanics()
        self.pixel = self.shape.length / LONG  # um
        self.build = Build(
            rods=self.shape.segments + 1,
            segments=self.shape.segments,
            length=self.shape.length,
            dish=dish,
            spread=SENSED * self.pixel / 2.5,
            crawls=False,
            limits=CLASSIC_LIMITS,
        )
        self.dish, self._ticks = dish, 0
        self._cells = {
            "nose": life.worm.indices(STIMULI["nose"]),
            "front": life.worm.indices(ANTERIOR),
            "back": life.worm.indices(POSTERIOR),
            "food": life.worm.indices(STIMULI["food"]),
        }
        self.begin(torch.zeros(len(life.connectome)))

    def begin(self, rest: Tensor) -> None:
        """Straight in the middle of the dish, its head to the left, without food."""
        self.rest = rest
        spacing = self.shape.length / self.shape.segments
        self._along = [complex(spacing * k, 0) for k in range(self.shape.segments + 1)]
        self._shift(complex(-self.shape.length / 2, 0))
        self.heading = self._aim = math.pi
        self.speed = self._gain = 0.0  # pixels in a frame, and its change in one
        self.food: tuple[float, float] | None = None
        self.activation: Array = np.zeros((2, self.shape.segments))
        self._pokes: list[tuple[str, float]] = []
        self._ticks = 0

    def poke(self, place: float, duration: float) -> None:
        """Touch it at a place, 0 at the nose and 1 at the tail, for some ms."""
        region = "nose" if place < NOSE else "front" if place < 0.5 else "back"
        self._pokes.append((region, duration))

    def feed(self, x: float, y: float) -> None:
        """Put food down, um from the middle of the dish."""
        self.food = (x, y)

    def crawl(self, *, on: bool) -> None:
        """Raises ValueError: the original has no other circuit."""
        raise ValueError("Crawl: the classic worm has no other circuit than its table.")

    def felt(self) -> Tensor:
        """A current above 0 into the cells that are stimulated [N]."""
        current = torch.zeros(len(self.life.connectome))
        regions = {region for region, _ in self._pokes}
        if abs(self._along[0]) >= self.dish - 1e-6:
            regions.add("nose")
        if self.concentration():
            regions.add("food")
        for region in regions:
            current[self._cells[region]] = 1.0
        return current

    def step(self, level: Tensor, dt: float) -> None:
        """Move on for dt ms, steered anew after every tick of the table."""
        if self.life.ticks != self._ticks:
            self._ticks = self.life.ticks
            self._steer(*self.life.push)
        frames = dt / FRAME
        self.speed = max(0.0, self.speed + self._gain * frames)
        off = self._aim - self.heading
        self.heading += math.copysign(min(TURN * frames, abs(off)), off)
        self._move(cmath.rect(self.speed * self.pixel * frames, self.heading))
        self._pokes = [(where, left - dt) for where, left in self._pokes if left - dt > 1e-9]
        if self.food and abs(complex(*self.food) - self._along[0]) <= EATEN * self.pixel:
            self.food = None

    def concentration(self) -> float:
        """1 where food is near enough to be felt, else 0."""
        if self.food is None:
            return 0.0
        return float(abs(complex(*self.food) - self._along[0]) <= SENSED * self.pixel)

    def ends(self) -> Array:
        """Right and left side of the body at 49 places [2, 49, 2], um."""
        along = np.array(self._along)
        heading = -np.gradient(along)
        arm = 1j * heading / np.maximum(np.abs(heading), 1e-9) * self.shape.radii()
        both = np.array([along - arm, along + arm])
        return np.stack((both.real, both.imag), -1)

    def _steer(self, left: float, right: float) -> None:
        self._aim = self.heading + (left - right) / 20 * math.pi
        self._gain = ((abs(left) + abs(right)) / 100 - self.speed) / 30
        shown = np.clip(np.abs([right, left]) / 100, 0.0, 1.0)
        self.activation = np.repeat(shown[:, None], self.shape.segments, axis=1)

    def _move(self, way: complex) -> None:
        """The head goes on, to the wall at most, and every part follows the one before it."""
        head = self._along[0] + way
        self._along[0] = head * min(1.0, self.dish / max(abs(head), 1e-9))
        spacing = self.shape.length / self.shape.segments
        for k in range(1, len(self._along)):
            gap = self._along[k] - self._along[k - 1]
            self._along[k] = self._along[k - 1] + gap * (spacing / max(abs(gap), 1e-9))

    def _shift(self, way: complex) -> None:
        self._along = [place + way for place in self._along]
