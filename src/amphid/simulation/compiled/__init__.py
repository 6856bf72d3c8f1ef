"""The compiled engine: a network's time loop, generated and turned into machine code."""

from amphid.simulation.compiled.engine import Compiled

__all__ = ["Compiled"]
