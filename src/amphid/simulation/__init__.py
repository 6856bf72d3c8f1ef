"""Step a network through time and keep what was asked."""

from amphid.simulation.compiled import Compiled, Ongoing
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
from amphid.simulation.plasticity import Plasticity
from amphid.simulation.racing.network import GeometricNetwork
from amphid.simulation.racing.onsets import Onsets, onsets
from amphid.simulation.racing.race import first_spikes, race
from amphid.simulation.racing.result import Race
from amphid.simulation.racing.state import RaceState, TrialState
from amphid.simulation.recording import Recording, Spikes
from amphid.simulation.simulate import Engine, Task, simulate
from amphid.simulation.sources import GivenSpikes, PoissonTrains, Source
from amphid.simulation.stimulus import Stimulus, batch
from amphid.simulation.torch_engine import Torch

__all__ = [
    "Compiled",
    "Distributed",
    "Engine",
    "GeometricNetwork",
    "GivenSpikes",
    "Network",
    "NetworkState",
    "Ongoing",
    "Onsets",
    "Plasticity",
    "PoissonTrains",
    "Race",
    "RaceState",
    "Recording",
    "Source",
    "Spikes",
    "Stimulus",
    "Task",
    "Torch",
    "TrialState",
    "batch",
    "first_spikes",
    "noise",
    "onsets",
    "poisson",
    "pulse",
    "race",
    "ramp",
    "rank",
    "simulate",
    "sine",
    "spike_trains",
    "stimulus_from_file",
]
