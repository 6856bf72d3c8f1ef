"""One number or curve out of a recording."""

from amphid.measures.spiking import interval_variation, rate
from amphid.measures.voltage import active, response, response_time, synchrony

__all__ = ["active", "interval_variation", "rate", "response", "response_time", "synchrony"]
