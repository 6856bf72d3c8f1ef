"""The published motor circuit of a crawling worm: bistable cells that feel their own stretch."""

from __future__ import annotations

import numpy as np

from amphid.models.worm_body import Array, WormBody

UNITS = 12  # along the body, each a dorsal and a ventral cell
REACH = 6  # units behind each one whose stretch it feels
BEND = 80.0  # um, the widest diameter of the body


class StretchCircuit:
    """Twelve pairs of bistable cells, switched by stretch, that make the body crawl forward.

    It stands for the motor cells of class B and D in the paper and knows nothing of a connectome:
    constant drive, inhibition of the ventral side by the dorsal one, and stretch behind each unit.
    In units of the paper, without dimension.

    Reference: Boyle, Berri & Cohen 2012, doi 10.3389/fncom.2012.00010, constants as in the authors'
    program (github.com/OpenSourceBrain/CelegansNeuromechanicalGaitModulation).
    """

    drive, hysteresis, bias = 0.675, 0.5, 0.5

    def __init__(self, body: WormBody) -> None:
        self.body = body
        segments = body.mechanics.segments
        self.each = segments // UNITS
        self.junction = 0.7 * (1 - 0.6 * np.arange(segments) / segments)
        self.junction[0] /= 1.5
        self.gain = 0.65 * (0.4 + 0.08 * np.arange(UNITS)) * 2 / self.each
        self.shape = BEND / (body.radius[:-1] + body.radius[1:])
        self.on = np.stack((np.ones(UNITS), np.zeros(UNITS)))

    def step(self) -> Array:
        """What the muscles of each segment are driven to [2, S]: dorsal and ventral, -1 to 1."""
        dorsal, ventral = self.gain * self._gathered(self._stretch())
        current = np.stack((dorsal, ventral + self.bias - self.on[0])) + self.drive
        threshold = 0.5 + self.hysteresis / 2 - self.hysteresis * self.on
        self.on = (current > threshold).astype(float)
        cells = np.repeat(self.on, self.each, axis=1)
        return np.asarray(self.junction * (cells - cells[::-1]))

    def _stretch(self) -> Array:
        """Relative stretch of both sides [2, S]; the dorsal one bends the scale at rest."""
        _, length = self.body._elements()
        rest = self.body.rest[0]
        stretch = self.shape * (length[:2] - rest) / rest
        piece = self.body.mechanics.length / self.body.mechanics.segments
        stretch[0] *= np.where(length[0] > piece, 0.8, 1.2)
        return np.asarray(stretch)

    def _gathered(self, stretch: Array) -> Array:
        """Stretch summed over the units behind each one, more heavily where they are few [2, U]."""
        units = stretch.reshape(2, UNITS, self.each).sum(2)
        behind = np.minimum(REACH, UNITS - np.arange(UNITS))
        total = np.stack([units[:, i : i + n].sum(1) for i, n in enumerate(behind)], 1)
        return np.asarray(total * np.sqrt(REACH // behind))
