"""One number or curve out of a recording."""

from amphid.measures.population import fluctuation, population_rate, rhythm
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
]
