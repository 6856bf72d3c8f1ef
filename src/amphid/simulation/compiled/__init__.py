"""The compiled engine: a network's time loop, generated and turned into machine code."""

from amphid.simulation.compiled.engine import Compiled
from amphid.simulation.compiled.ongoing import Ongoing

__all__ = ["Compiled", "Ongoing"]
