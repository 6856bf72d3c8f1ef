"""The body of the worm: rods joined by springs, in a medium that resists; muscles shorten it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DORSAL, VENTRAL = 1.0, -1.0
FIRST = np.array([[DORSAL], [VENTRAL], [DORSAL], [VENTRAL]])
SECOND = np.array([[DORSAL], [VENTRAL], [VENTRAL], [DORSAL]])
"""Sides of the two rods that the four elements of a segment join: two lateral, two diagonal."""
LONGEST_STEP = 5.0  # ms; longer ones are divided


@dataclass(frozen=True)
class Mechanics:
    """Constants of the body in um, ms and nN; those of crawling on agar.

    stiffness: of a lateral element, nN per um. damping: ms, of it over its stiffness; the like of a
    diagonal one and of a muscle. muscle: stiffness at full activation over that of the element
    beside it. shortening: by which share a muscle at the widest place wants to shorten.
    drag_along, drag_across: of the whole body, nN ms per um. wall: nN per um into a wall.

    Reference: Boyle, Berri & Cohen 2012, doi 10.3389/fncom.2012.00010, as in the authors' program
    (github.com/OpenSourceBrain/CelegansNeuromechanicalGaitModulation, WormSim/Model/worm.cc); their
    unit of drag, kg/s, is 10^6 nN ms/um, and of stiffness, kg/s^2, is 10^3 nN/um.
    """

    segments: int = 48
    length: float = 1000.0
    radius: float = 40.0
    stiffness: float = 20.0
    damping: float = 25.0
    diagonal: float = 350.0 * 20.0
    diagonal_damping: float = 10.0
    muscle: float = 20.0
    muscle_damping: float = 125.0
    shortening: float = 0.65
    drag_along: float = 3200.0
    drag_across: float = 128_000.0
    wall: float = 5 * 20.0

    def radii(self) -> Array:
        """Half the width of the body at each rod [R], um."""
        middle = self.segments / 2
        place = (np.arange(self.segments + 1) - middle) / (middle + 0.2)
        return np.asarray(self.radius * np.sqrt(1 - place**2))


class WormBody:
    r"""Rods across the body, joined at their ends; every element pushes its two ends apart by

    .. math:: f = k (l_0 - l) - \beta \dot l + a \, [k_m (l_0 - a \Delta - l) - \beta_m \dot l]

    where a is the activation of the muscle beside a lateral element. There is no inertia: the drag
    along and across the body balances all forces. A step is linearly implicit, of first order:
    (C + B + h K) dq = h Q with drag C, damping B and the stiffness K of all elements.

    The paper's quartic term of a stretched lateral element is below 1e-12 of the linear one at any
    length that the body takes, and is left out. Rods turn as in the paper, torque over the square
    of the radius times the drag along; the program divides otherwise.

    mechanics: see `Mechanics`. dish: radius of the round dish around the origin, um, None for none.
    """

    def __init__(self, mechanics: Mechanics | None = None, *, dish: float | None = None) -> None:
        self.mechanics = own = mechanics or Mechanics()
        self.dish = dish
        self.radius = own.radii()
        sum_, gap = self.radius[:-1] + self.radius[1:], np.diff(self.radius)
        piece = own.length / own.segments
        lateral, diagonal = np.hypot(piece, gap), np.hypot(piece, sum_)
        self.rest = np.array([lateral, lateral, diagonal, diagonal])  # [4, S]
        self.shortest = own.shortening * sum_ / (2 * own.radius) * lateral  # the muscles' Delta
        stiff = [own.stiffness, own.stiffness, own.diagonal, own.diagonal]
        damp = [own.damping, own.damping, own.diagonal_damping, own.diagonal_damping]
        self._stiffness = np.array(stiff)[:, None]
        self._damping = self._stiffness * np.array(damp)[:, None]
        rods = own.segments + 1
        self._drag = np.array([own.drag_along, own.drag_across]) / (2 * rods)
        self.q = self.straight()

    def straight(self, x: float = 0.0, y: float = 0.0, heading: float = math.pi) -> Array:
        """Rods [R, 3] of a straight body around a point: x and y in um, and their angle.

        heading: where the nose points; the back is to the right of a worm that looks to the left.
        """
        along = (0.5 - np.arange(len(self.radius)) / self.mechanics.segments) * (
            self.mechanics.length
        )
        angle = np.full_like(along, heading - math.pi / 2)
        return np.stack((x + along * math.cos(heading), y + along * math.sin(heading), angle), 1)

    def ends(self) -> Array:
        """The ends of the rods [2, R, 2], dorsal first, um."""
        middle, arm = self._complex()
        both = np.array([middle + arm, middle - arm])
        return np.stack((both.real, both.imag), -1)

    def step(self, dorsal: Array, ventral: Array, dt: float) -> None:
        """Move for dt ms; activation of the muscles of each segment [S] on both sides, 0 to 1."""
        pieces = max(1, math.ceil(dt / LONGEST_STEP))
        none = np.zeros_like(dorsal)
        active = np.array([dorsal, ventral, none, none])
        for _ in range(pieces):
            self.q = self.q + self._moved(active, dt / pieces)

    def depths(self) -> Array:
        """How deep the ends of the rods [2, R] stand in the wall of the dish, um; 0 outside it."""
        middle, arm = self._complex()
        edge = math.inf if self.dish is None else self.dish
        return np.asarray(np.maximum(np.abs([middle + arm, middle - arm]) - edge, 0.0))

    def _complex(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Middles of the rods [R], and from there to their dorsal ends, as complex numbers."""
        return self.q[:, 0] + 1j * self.q[:, 1], self.radius * np.exp(1j * self.q[:, 2])

    def _moved(self, active: Array, h: float) -> Array:
        """The change of q in a step of h ms; active: [4, S], of the muscle beside each element."""
        reach, length = self._elements()
        own = self.mechanics
        muscle = active * (own.stiffness * own.muscle)
        goal = self.rest - active * self.shortest
        push = self._stiffness * (self.rest - length) + muscle * (goal - length)
        weight = self._damping + muscle * own.muscle_damping + h * (self._stiffness + muscle)
        pair = (push * reach).sum(1)
        blocks = ((weight * reach)[:, None] * reach).sum(2)
        force, square = np.zeros(self.q.T.shape), self._drags()
        force[:, :-1] += pair[:3]
        force[:, 1:] += pair[3:]
        square[:, :, :-1] += blocks[:3, :3]
        square[:, :, 1:] += blocks[3:, 3:]
        self._add_wall(force, square, h)
        return self._solved(square, blocks[3:, :3], h * force)

    def _elements(self) -> tuple[Array, Array]:
        """How the length of each element grows with the six numbers of its rods [6, 4, S]; and it.

        The length is [4, S].
        """
        middle, arm = self._complex()
        between = middle[1:] + SECOND * arm[1:] - middle[:-1] - FIRST * arm[:-1]
        length = np.abs(between)
        unit = between / length
        turned = 1j * np.conj(unit)
        first, second = -FIRST * (turned * arm[:-1]).real, SECOND * (turned * arm[1:]).real
        x, y = unit.real, unit.imag
        return np.array([-x, -y, first, x, y, second]), length

    def _drags(self) -> Array:
        """Drag of each rod against its own motion [3, 3, R]."""
        along, across = self._drag
        cos, sin = np.cos(self.q[:, 2]), np.sin(self.q[:, 2])
        mixed, none = (across - along) * cos * sin, np.zeros_like(cos)
        return np.array(
            [
                [across * cos**2 + along * sin**2, mixed, none],
                [mixed, across * sin**2 + along * cos**2, none],
                [none, none, along * self.radius**2],
            ]
        )

    def _add_wall(self, force: Array, square: Array, h: float) -> None:
        """The wall pushes inward what is in it, by a spring."""
        depth = self.depths()
        if not depth.any():
            return
        middle, arm = self._complex()
        for row, side in enumerate((DORSAL, VENTRAL)):
            for rod in np.flatnonzero(depth[row]):
                point = middle[rod] + side * arm[rod]
                out = point / abs(point)
                turn = (1j * side * arm[rod] * np.conj(out)).real
                reach = np.array([out.real, out.imag, turn])
                force[:, rod] -= self.mechanics.wall * depth[row, rod] * reach
                square[:, :, rod] += h * self.mechanics.wall * np.outer(reach, reach)

    def _solved(self, square: Array, beside: Array, force: Array) -> Array:
        """x [R, 3] of the banded system; square [3, 3, R], beside [3, 3, S], force [3, R]."""
        from scipy.linalg import solveh_banded

        banded = np.zeros((6, force.size))
        for row in range(3):
            for column in range(3):
                banded[3 + row - column, column : force.size - 3 : 3] = beside[row, column]
                if row >= column:
                    banded[row - column, column::3] = square[row, column]
        moved = solveh_banded(banded, force.T.ravel(), lower=True, check_finite=False)
        return np.asarray(moved).reshape(-1, 3)
