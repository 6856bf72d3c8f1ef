"""Step a network through time and keep what was asked."""

from amphid.simulation.compiled import Compiled
from amphid.simulation.currents import (
    noise,
    poisson,
    pulse,
    ramp,
    sine,
    spike_trains,
    stimulus_from_file,
)
from amphid.simulation.distributed import Distributed, rank
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.recording import Recording, Spikes
from amphid.simulation.simulate import Engine, Task, simulate
from amphid.simulation.sources import GivenSpikes, PoissonTrains, Source
from amphid.simulation.stimulus import Stimulus, batch
from amphid.simulation.torch_engine import Torch

__all__ = [
    "Compiled",
    "Distributed",
    "Engine",
    "GivenSpikes",
    "Network",
    "NetworkState",
    "Plasticity",
    "PoissonTrains",
    "Recording",
    "Source",
    "Spikes",
    "Stimulus",
    "Task",
    "Torch",
    "batch",
    "noise",
    "poisson",
    "pulse",
    "ramp",
    "rank",
    "simulate",
    "sine",
    "spike_trains",
    "stimulus_from_file",
]
