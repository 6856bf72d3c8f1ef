"""Settings that change from call to call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Annealed:
    """A number that goes from one value to another by the same factor at each call.

    start: at the first call. end: after `calls` calls, and from then on. Both above zero.
    """

    start: float
    end: float
    calls: int

    def __post_init__(self) -> None:
        if not (self.start > 0 and self.end > 0):
            raise ValueError(f"start and end must be above zero, got {self.start}, {self.end}.")
        if self.calls < 1:
            raise ValueError(f"calls must be at least 1, got {self.calls!r}.")

    def __call__(self, call: int) -> float:
        """The value at a call; the first is 0."""
        return float(self.start * (self.end / self.start) ** min(call / self.calls, 1.0))


Radius = float | Annealed


def check_radius(radius: Radius) -> None:
    """Raise TypeError or ValueError for a radius that is not above zero."""
    if not isinstance(radius, Annealed | float | int):
        raise TypeError(f"radius must be a number, or Annealed(...), got {radius!r}.")
    if not isinstance(radius, Annealed) and not radius > 0:
        raise ValueError(f"radius must be above zero, or Annealed(...), got {radius!r}.")


def at_call(radius: Radius, call: int) -> float:
    """The radius at a call; the first is 0."""
    return radius(call) if isinstance(radius, Annealed) else float(radius)
