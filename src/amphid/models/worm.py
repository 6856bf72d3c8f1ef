"""A worm in a dish: its muscles bend its body, and its sensory cells feel touch and food."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.models.classic_worm import STIMULI
from amphid.models.stretch_circuit import StretchCircuit
from amphid.models.worm_body import Array, WormBody
from amphid.wiring import Connectome

ROWS = {"dorsal": ("MDL", "MDR"), "ventral": ("MVL", "MVR")}
MUSCLES = 24  # of each row, from head to tail
NOSE = 0.05  # of the body's length
BODY_STEP = 4.0  # ms; the body moves when so many have gathered

ANTERIOR = ("ALML", "ALMR", "AVM")
POSTERIOR = ("PLML", "PLMR")

LIMITS = (
    "The body is that of Boyle, Berri & Cohen 2012 on agar, doi 10.3389/fncom.2012.00010: rods "
    "joined by springs in a medium that resists. It moves as the muscles of the network say.",
    "This wiring with these cells has no rhythm of its own, and no cell here feels how the body "
    "is bent: so the worm bends when it is touched, but it does not crawl.",
    "How far a muscle contracts for each mV is not measured: here it contracts fully 0.5 mV above "
    "rest, through a low pass of 100 ms. Muscle k of a row acts on segments 2k - 1 and 2k.",
    "To see what this body does with a rhythm, the published circuit of stretch-switched cells can "
    "drive the muscles in place of the network. It crawls forward, and no touch turns it round.",
    "Touch of the front half excites ALM and AVM, of the back half PLM (Chalfie et al. 1985, doi "
    "10.1523/JNEUROSCI.05-04-00956.1985); touch of the nose, and food at the nose, the cells that "
    "github.com/heyseth/worm-sim lists. Currents are chosen: 5 pA for a touch, 5 pA in the middle "
    "of the food.",
    "A poke excites cells and does not push the body. The worm lies on its side in two dimensions: "
    "left and right muscles of a row act together, the head does not swing sideways, the throat "
    "does not pump, and the food is never eaten.",
)
"""What the model takes for granted and cannot do, a sentence or two each."""


@dataclass(frozen=True)
class Senses:
    """How strongly a worm feels and acts; all but `low_pass` are choices of ours.

    touch, food: pA. spread: of the food around its middle, um. gain: activation of a muscle per mV
    above its rest. low_pass: ms, of the muscles; Boyle, Berri & Cohen 2012.
    """

    touch: float = 5.0
    food: float = 5.0
    spread: float = 400.0
    gain: float = 2.0
    low_pass: float = 100.0


@dataclass(frozen=True)
class Build:
    """What stays of a body: as long as it lives, and as it is drawn.

    rods, segments: along it. length, dish, spread: um; of the body, of the dish's radius, of the
    smell of food. crawls: whether another circuit than its network can drive it. limits: what it
    takes for granted and cannot do.
    """

    rods: int
    segments: int
    length: float
    dish: float | None
    spread: float
    crawls: bool
    limits: tuple[str, ...]


class Worm:
    """A body whose muscles and sensory cells are those of a network.

    connectome: with the body-wall muscles MDL01 to MVR24 and the touch receptors of the worm.
    body: with or without a dish. senses: see `Senses`.
    Raises KeyError for a connectome without these cells.
    """

    def __init__(
        self, connectome: Connectome, body: WormBody | None = None, senses: Senses | None = None
    ) -> None:
        self.body = body or WormBody(dish=1200.0)
        self.senses = senses or Senses()
        self.size = len(connectome)
        place = {str(name): index for index, name in enumerate(connectome.cells.name)}
        self._muscles = _pairs(place)
        self._cells = {
            name: torch.tensor([place[cell] for cell in cells])
            for name, cells in (
                ("nose", STIMULI["nose"]),
                ("front", ANTERIOR),
                ("back", POSTERIOR),
                ("food", STIMULI["food"]),
            )
        }
        self.begin(torch.zeros(self.size))

    @property
    def build(self) -> Build:
        """What stays of it."""
        shape = self.body.mechanics
        return Build(
            rods=shape.segments + 1, segments=shape.segments, length=shape.length,
            dish=self.body.dish, spread=self.senses.spread, crawls=True, limits=LIMITS,
        )  # fmt: skip

    def begin(self, rest: Tensor) -> None:
        """Straight in the middle of the dish, without food; rest: levels [N] of relaxed cells."""
        self.rest = rest.double().numpy()
        self.body.q = self.body.straight()
        self.activation: Array = np.zeros((2, self.body.mechanics.segments))
        self.circuit: StretchCircuit | None = None
        self._waiting = 0.0  # ms since the body moved
        self.food: tuple[float, float] | None = None
        self._pokes: list[tuple[str, float]] = []  # where, and for how many ms more
        self._met: tuple[set[str], float] | None = None  # what the current of its senses is for
        self._felt = self._feel()

    def poke(self, place: float, duration: float) -> None:
        """Touch it at a place, 0 at the nose and 1 at the tail, for some ms."""
        self._pokes.append((_region(place), duration))
        self._felt = self._feel()

    def feed(self, x: float, y: float) -> None:
        """Put food down, um from the middle of the dish."""
        self.food = (x, y)
        self._felt = self._feel()

    def crawl(self, *, on: bool) -> None:
        """Whether the published circuit drives the muscles, in place of the network."""
        self.circuit = StretchCircuit(self.body) if on else None

    def felt(self) -> Tensor:
        """The current of all senses [N], pA."""
        return self._felt

    def step(self, level: Tensor, dt: float) -> None:
        """Muscles at these levels [N] move the body for dt ms; then it feels where it is."""
        self._waiting += dt
        if self._waiting >= BODY_STEP - 1e-9:
            self._move(level, self._waiting)
            self._waiting = 0.0
        if self._pokes:
            self._pokes = [(where, left - dt) for where, left in self._pokes if left - dt > 1e-9]
            self._felt = self._feel()

    def muscles(self, level: Tensor) -> Array:
        """What the network drives the muscles of each segment to [2, S], 0 to 1."""
        raised = level.double().numpy()[self._muscles] - self.rest[self._muscles]
        each = self.body.mechanics.segments // MUSCLES
        return np.repeat(np.clip(self.senses.gain * raised.mean(-1), 0.0, 1.0), each, axis=1)

    def ends(self) -> Array:
        """Dorsal and ventral ends of its rods [2, R, 2], um."""
        return self.body.ends()

    def concentration(self) -> float:
        """Of the food at the nose, 1 in its middle."""
        if self.food is None:
            return 0.0
        away = math.dist(self.food, self.body.q[0, :2])
        return math.exp(-0.5 * (away / self.senses.spread) ** 2)

    def touched(self) -> set[str]:
        """The regions that are touched now, by pokes and by the wall: nose, front, back."""
        rods = np.flatnonzero(self.body.depths().max(0))
        walls = {_region(rod / self.body.mechanics.segments) for rod in rods}
        return walls | {where for where, _ in self._pokes}

    def _move(self, level: Tensor, dt: float) -> None:
        goal = self.muscles(level) if self.circuit is None else self.circuit.step()
        kept = math.exp(-dt / self.senses.low_pass)
        self.activation = goal + (self.activation - goal) * kept
        dorsal, ventral = np.maximum(self.activation, 0.0)
        self.body.step(dorsal, ventral, dt)
        self._felt = self._feel()

    def _feel(self) -> Tensor:
        meets = self.touched(), self.concentration()
        if meets == self._met:
            return self._felt
        self._met = meets
        current = torch.zeros(self.size)
        for region in meets[0]:
            current[self._cells[region]] += self.senses.touch
        current[self._cells["food"]] += self.senses.food * meets[1]
        return current


def _pairs(place: Mapping[str, int]) -> NDArray[np.int64]:
    """The two muscles of each number and side [2, MUSCLES, 2]; one alone, as MVR24, is both."""
    pairs = []
    for rows in ROWS.values():
        for k in range(1, MUSCLES + 1):
            names = [f"{row}{k:02d}" for row in rows]
            there = [place[name] for name in names if name in place] or [place[names[0]]]
            pairs.append((there[0], there[-1]))
    return np.array(pairs).reshape(len(ROWS), MUSCLES, 2)


def _region(place: float) -> str:
    """What is touched at a place along the body."""
    return "nose" if place < NOSE else "front" if place < 0.5 else "back"
