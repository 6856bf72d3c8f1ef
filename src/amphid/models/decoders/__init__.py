"""Decoders, which turn counts of spikes into a velocity, and populations to be decoded."""

from amphid.models.decoders.decoder import Decoder
from amphid.models.decoders.kalman import KalmanDecoder
from amphid.models.decoders.linear import RidgeDecoder
from amphid.models.decoders.population import TunedPopulation

__all__ = ["Decoder", "KalmanDecoder", "RidgeDecoder", "TunedPopulation"]
