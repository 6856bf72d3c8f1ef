"""What a count of emergence gives."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Emerged:
    """Paths of a network from its silent units into its active ones, as whole numbers.

    inside: paths that start at a silent unit, go on within the active part and end there.
    through: paths that start at a silent unit and end at an active one, whatever lies between.
    units, active: how many units there are, and how many of them are active.
    parameters: how many there are, less the weights that are exactly zero.
    """

    inside: int
    through: int
    units: int
    active: int
    parameters: int

    @property
    def per_parameter(self) -> float:
        """Paths inside per parameter; nan without parameters, inf where it outgrows a float."""
        return _ratio(self.inside, self.parameters)

    @property
    def through_per_parameter(self) -> float:
        """Paths through any unit per parameter; as `per_parameter`."""
        return _ratio(self.through, self.parameters)

    @property
    def log_inside(self) -> float:
        """Natural logarithm of `inside`, of any size; -inf where it is zero."""
        return math.log(self.inside) if self.inside else -math.inf

    @property
    def log_through(self) -> float:
        """Natural logarithm of `through`, of any size; -inf where it is zero."""
        return math.log(self.through) if self.through else -math.inf


def _ratio(paths: int, parameters: int) -> float:
    if not parameters:
        return math.nan
    try:
        return paths / parameters
    except OverflowError:
        return math.inf
