"""Steps the right and the wrong way, counted until they tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

FLIPPED = 0.8  # chance of a wrong step where a sign is flipped, at least
UNDECIDED = 0.5  # where an estimator knows nothing
FORETOLD = 20.0  # how much likelier a change is that was foretold, but for its sign
MISSED = 0.01  # chance of taking a flipped sign for none
MOST = 200  # steps after which it stays undecided
ALIKE = 1e-6  # relative difference of two values that rounding could have made
CLOSE = 0.25  # relative difference of a change from what was foretold


@dataclass
class Tally:
    """A sequential probability ratio test between a flipped sign and no direction at all.

    A step by which a value changed as much as the gradient foretold, up or down, tells more than
    one that only went one way. Reference: Wald 1945, doi 10.1214/aoms/1177731118.
    """

    wrong: int = 0
    right: int = 0
    evidence: float = 0.0  # logarithm of how much likelier the steps are where a sign is flipped

    @property
    def total(self) -> int:
        """Steps counted."""
        return self.wrong + self.right

    def flipped(self, alarm: float) -> bool:
        """Whether a sign is flipped, with that chance of saying so of no direction."""
        return self.evidence >= math.log(1 / alarm)

    def open(self, alarm: float) -> bool:
        """Whether more steps are needed."""
        decided = self.flipped(alarm) or self.evidence <= math.log(MISSED)
        return not decided and self.total < MOST

    def count(self, here: float, there: float, foretold: float = math.nan) -> bool:
        """Count a step that should make a value lower here than there; whether they differ.

        foretold: the difference that the gradient says, nan where it says none.
        """
        if not apart(here, there):
            return False
        sign = math.copysign(1.0, here - there)
        self.wrong += sign > 0
        self.right += sign < 0
        if abs(abs(here - there) - abs(foretold)) <= CLOSE * abs(foretold):
            self.evidence += sign * math.log(FORETOLD)
        elif sign > 0:
            self.evidence += math.log(FLIPPED / UNDECIDED)
        else:
            self.evidence += math.log((1 - FLIPPED) / (1 - UNDECIDED))
        return True


def apart(one: float, other: float) -> bool:
    """Whether two values differ by more than rounding."""
    gap = abs(one - other)
    return math.isfinite(gap) and gap > ALIKE * max(abs(one), abs(other))
