"""Which kind of trial was it? Features of short recordings, and a classifier in closed form."""

from amphid.models.trials.band_patterns import BandPatterns
from amphid.models.trials.classifier import (
    TrialClassifier,
    finger_classifier,
    window_classifier,
)
from amphid.models.trials.discriminant import Discriminant
from amphid.models.trials.window_means import WindowMeans

__all__ = [
    "BandPatterns",
    "Discriminant",
    "TrialClassifier",
    "WindowMeans",
    "finger_classifier",
    "window_classifier",
]
