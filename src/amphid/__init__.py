"""Wiring in, behavior out, and every way of learning in between."""

from amphid import dynamics, simulation, wiring
from amphid.simulation import (
    Network,
    Recording,
    Stimulus,
    Torch,
    batch,
    noise,
    poisson,
    pulse,
    ramp,
    simulate,
    sine,
    spike_trains,
    stimulus_from_file,
)
from amphid.wiring import Connectome

__version__ = "0.1.0"
__all__ = [
    "Connectome",
    "Network",
    "Recording",
    "Stimulus",
    "Torch",
    "batch",
    "dynamics",
    "noise",
    "poisson",
    "pulse",
    "ramp",
    "simulate",
    "simulation",
    "sine",
    "spike_trains",
    "stimulus_from_file",
    "wiring",
]
