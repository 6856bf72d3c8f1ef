"""One number or curve out of a recording, and how far two spike trains are apart."""

from amphid.measures.population import fluctuation, population_rate, rhythm
from amphid.measures.spike_trains import train_correlation, van_rossum, victor_purpura
from amphid.measures.spiking import interval_variation, rate
from amphid.measures.voltage import active, response, response_time, synchrony

__all__ = [
    "active",
    "fluctuation",
    "interval_variation",
    "population_rate",
    "rate",
    "response",
    "response_time",
    "rhythm",
    "synchrony",
    "train_correlation",
    "van_rossum",
    "victor_purpura",
]
