"""One number or curve out of a recording, how far spike trains are apart, and what lasts."""

from amphid.measures import quantum
from amphid.measures.activity import Activity
from amphid.measures.lasting import Glimpse, Persistence, glimpse, persistence
from amphid.measures.population import fluctuation, population_rate, rhythm
from amphid.measures.spike_trains import train_correlation, van_rossum, victor_purpura
from amphid.measures.spiking import interval_variation, rate
from amphid.measures.voltage import active, response, response_time, synchrony

__all__ = [
    "Activity",
    "Glimpse",
    "Persistence",
    "active",
    "fluctuation",
    "glimpse",
    "interval_variation",
    "persistence",
    "population_rate",
    "quantum",
    "rate",
    "response",
    "response_time",
    "rhythm",
    "synchrony",
    "train_correlation",
    "van_rossum",
    "victor_purpura",
]
