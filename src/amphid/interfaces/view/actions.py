"""What can be done to a network while it runs; each one as the line of Python that repeats it."""

from __future__ import annotations

import math
from dataclasses import dataclass

FOR_EVER = 1e6  # ms


@dataclass(frozen=True)
class Stimulate:
    """A constant current into one cell from now on: pA, for a duration in ms.

    It takes the place of what flows into that cell; an amplitude of 0 ends it.
    """

    cell: str
    amplitude: float
    duration: float = 500.0

    def __str__(self) -> str:
        if not self.amplitude:
            return f"no current into {self.cell}"
        long = f"{self.duration:g} ms" if self.duration < FOR_EVER else "as long as it lives"
        return f"{self.amplitude:g} pA into {self.cell} for {long}"

    def __post_init__(self) -> None:
        _check_number("Stimulate: amplitude", self.amplitude, "pA")
        _check_number("Stimulate: duration", self.duration, "ms", least=0.0)


@dataclass(frozen=True)
class Lesion:
    """The death of one cell: it gives out nothing and its voltage stays where it is."""

    cell: str

    def __str__(self) -> str:
        return f"{self.cell} is killed"


@dataclass(frozen=True)
class Restore:
    """A dead cell lives again, from the voltage at which it died."""

    cell: str

    def __str__(self) -> str:
        return f"{self.cell} lives again"


@dataclass(frozen=True)
class Poke:
    """A touch of the body at a place along it, 0 at the nose and 1 at the tail, for some ms."""

    place: float
    duration: float = 300.0

    def __str__(self) -> str:
        return f"touch at {self.place:.0%} of the body"

    def __post_init__(self) -> None:
        _check_number("Poke: place", self.place, "the body's length", least=0.0, most=1.0)
        _check_number("Poke: duration", self.duration, "ms", least=0.0)


@dataclass(frozen=True)
class Feed:
    """Food put down at a place in the dish, um from its middle; what was there is taken away."""

    x: float
    y: float

    def __str__(self) -> str:
        return f"food at {self.x:.0f}, {self.y:.0f} um"

    def __post_init__(self) -> None:
        _check_number("Feed: x", self.x, "um")
        _check_number("Feed: y", self.y, "um")


@dataclass(frozen=True)
class Crawl:
    """Whether the published circuit drives the muscles, in place of the network."""

    on: bool

    def __str__(self) -> str:
        return f"the {'published circuit' if self.on else 'network'} drives the muscles"


Action = Stimulate | Lesion | Restore | Poke | Feed | Crawl


@dataclass(frozen=True)
class Event:
    """An action and the simulated time, in ms, at which it was done."""

    time: float
    action: Action


def _check_number(
    what: str, value: float, unit: str, *, least: float = -math.inf, most: float = math.inf
) -> None:
    if not (isinstance(value, int | float) and math.isfinite(value) and least <= value <= most):
        bounds = f" from {least:g} to {most:g}" if math.isfinite(most) else ""
        bounds = bounds or (f", {least:g} or more," if math.isfinite(least) else "")
        raise ValueError(f"{what} must be a finite number{bounds} in {unit}, got {value!r}.")
