"""A question with data, a score, its chance level and its published reference."""

from amphid.tasks.batches import Batches
from amphid.tasks.digits import Digits
from amphid.tasks.finger_movements import FingerMovements
from amphid.tasks.idx import read_idx
from amphid.tasks.live import (
    Bin,
    Clock,
    Inlet,
    Outlet,
    Pace,
    RealClock,
    Remembered,
    Source,
    Traffic,
    VirtualClock,
    on_this_machine,
    traffic,
)
from amphid.tasks.neural_latents import (
    LATENT_SETS,
    LatentSet,
    LatentTrials,
    latent_set,
    neural_latents,
)
from amphid.tasks.nwb import Series, Session, read_nwb
from amphid.tasks.reaches import Reach, Reaches, center_out
from amphid.tasks.spike_replication import SpikeReplication
from amphid.tasks.task import Reference, Score, Split, Task, accuracy
from amphid.tasks.trains import Replicas, Trains
from amphid.tasks.worm_behavior import WormBehavior
from amphid.tasks.worm_forecast import WormForecast, prepared_recording, relative_error
from amphid.tasks.worm_recordings import WormRecording, common_cells, worm_recordings
from amphid.tasks.worm_signals import CALIBRATION, calibrated, high_passed, running_mean

__all__ = [
    "CALIBRATION",
    "LATENT_SETS",
    "Batches",
    "Bin",
    "Clock",
    "Digits",
    "FingerMovements",
    "Inlet",
    "LatentSet",
    "LatentTrials",
    "Outlet",
    "Pace",
    "Reach",
    "Reaches",
    "RealClock",
    "Reference",
    "Remembered",
    "Replicas",
    "Score",
    "Series",
    "Session",
    "Source",
    "SpikeReplication",
    "Split",
    "Task",
    "Traffic",
    "Trains",
    "VirtualClock",
    "WormBehavior",
    "WormForecast",
    "WormRecording",
    "accuracy",
    "calibrated",
    "center_out",
    "common_cells",
    "high_passed",
    "latent_set",
    "neural_latents",
    "on_this_machine",
    "prepared_recording",
    "read_idx",
    "read_nwb",
    "relative_error",
    "running_mean",
    "traffic",
    "worm_recordings",
]
