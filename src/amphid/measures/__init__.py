"""One number or curve out of a network or a recording, how far trains are apart, what lasts."""

from amphid.measures import quantum
from amphid.measures.activity import Activity
from amphid.measures.classes import balanced_accuracy, recalls
from amphid.measures.emerging.activity import RelativeThreshold, ShareOfTime, Threshold
from amphid.measures.emerging.emergence import connection_paths, emergence
from amphid.measures.emerging.found import Emerged
from amphid.measures.lasting import Glimpse, Persistence, glimpse, persistence
from amphid.measures.latents import bits_per_spike, psth_r2, velocity_r2
from amphid.measures.population import fluctuation, population_rate, rhythm
from amphid.measures.refraction import RefractionRatios, refraction_ratio
from amphid.measures.spike_trains import train_correlation, van_rossum, victor_purpura
from amphid.measures.spiking import interval_variation, rate
from amphid.measures.voltage import active, response, response_time, synchrony

__all__ = [
    "Activity",
    "Emerged",
    "Glimpse",
    "Persistence",
    "RefractionRatios",
    "RelativeThreshold",
    "ShareOfTime",
    "Threshold",
    "active",
    "balanced_accuracy",
    "bits_per_spike",
    "connection_paths",
    "emergence",
    "fluctuation",
    "glimpse",
    "interval_variation",
    "persistence",
    "population_rate",
    "psth_r2",
    "quantum",
    "rate",
    "recalls",
    "refraction_ratio",
    "response",
    "response_time",
    "rhythm",
    "synchrony",
    "train_correlation",
    "van_rossum",
    "velocity_r2",
    "victor_purpura",
]
