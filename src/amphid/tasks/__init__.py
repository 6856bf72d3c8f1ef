"""A question with data, a score, its chance level and its published reference."""

from amphid.tasks.batches import Batches
from amphid.tasks.digits import Digits
from amphid.tasks.finger_movements import FingerMovements
from amphid.tasks.idx import read_idx
from amphid.tasks.reaches import Reach, Reaches, center_out
from amphid.tasks.spike_replication import SpikeReplication
from amphid.tasks.task import Reference, Score, Split, Task, accuracy
from amphid.tasks.trains import Replicas, Trains
from amphid.tasks.worm_recordings import WormRecording, common_cells, worm_recordings
from amphid.tasks.worm_signals import calibrated, high_passed, running_mean

__all__ = [
    "Batches",
    "Digits",
    "FingerMovements",
    "Reach",
    "Reaches",
    "Reference",
    "Replicas",
    "Score",
    "SpikeReplication",
    "Split",
    "Task",
    "Trains",
    "WormRecording",
    "accuracy",
    "calibrated",
    "center_out",
    "common_cells",
    "high_passed",
    "read_idx",
    "running_mean",
    "worm_recordings",
]
