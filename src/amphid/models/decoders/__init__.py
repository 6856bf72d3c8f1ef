"""Decoders, which turn counts of spikes into a velocity, and populations to be decoded."""

from amphid.models.decoders.attention import AttentionDecoder
from amphid.models.decoders.cascade import WienerCascade
from amphid.models.decoders.decoder import Decoder
from amphid.models.decoders.kalman import KalmanDecoder
from amphid.models.decoders.linear import RidgeDecoder
from amphid.models.decoders.population import TunedPopulation
from amphid.models.decoders.trained import RecurrentDecoder, SpikingDecoder

__all__ = [
    "AttentionDecoder",
    "Decoder",
    "KalmanDecoder",
    "RecurrentDecoder",
    "RidgeDecoder",
    "SpikingDecoder",
    "TunedPopulation",
    "WienerCascade",
]
