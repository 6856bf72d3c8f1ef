"""The pictures of a session while it plays, at even simulated times: ready to be exported."""

from __future__ import annotations

import math

import numpy as np

from amphid.interfaces.view import wire
from amphid.interfaces.view.session import Session

PICTURES = 30.0  # each simulated second
MOST = 1 << 25  # bytes


class Reel:
    """Pictures from now on, those that `film` stops at; past `most` bytes every other one goes.

    pictures: in each simulated second, to begin with. A cell that fired in a picture that goes is
    shown to have fired in the next one.
    """

    def __init__(self, session: Session, *, pictures: float = PICTURES, most: int = MOST) -> None:
        self.session, self.pictures, self.most = session, pictures, most
        self.frames: list[bytes] = []
        self._fired = np.zeros(len(session), bool)
        self._first = self._number = math.ceil(session.time * pictures / 1000 - 1e-9)
        self._keep()
        while self._due <= session.steps:
            self._keep()

    def take(self) -> None:
        """Look at the session after a step."""
        self._fired |= self.session.life.fired.numpy()
        while self._due <= self.session.steps:
            self._keep()

    def _keep(self) -> None:
        number = self._number - self._first
        made = wire.frame(
            self.session, number=number, speed=1.0, flags=wire.PLAYING, fired=self._fired
        )
        self.frames.append(made)
        self._fired[:] = False
        self._next()
        if len(self.frames) * len(made) > self.most and len(self.frames) > 2:
            self._thin()

    def _next(self) -> None:
        self._number += 1
        self._due = round(self._number * 1000 / self.pictures / self.session.dt)

    def _thin(self) -> None:
        """Half as many pictures, from the first one on."""
        cells = len(self.session)
        gone, kept = self.frames[1::2], self.frames[2::2]
        merged = [wire.fired_too(one, other, cells) for one, other in zip(kept, gone, strict=False)]
        self.frames = [self.frames[0], *merged]
        self.pictures /= 2
        self._first = math.ceil(self._first / 2)
        self._number = self._first + len(self.frames) - 1
        self._next()
