"""Several kinds of features, and one discriminant over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from amphid.models.trials.band_patterns import BandPatterns
from amphid.models.trials.discriminant import Discriminant
from amphid.models.trials.window_means import WindowMeans
from amphid.wiring import checks

SAMPLES = 50  # of a trial of finger movements, 10 ms each


class TrialClassifier(nn.Module):
    """Features side by side, then a discriminant: trials [B, C, T] to one value a class [B, K].

    features: modules with `fit(trials, classes)` that make [B, F] of trials. All is learned in
    closed form: `classifier.fit(trials, classes)`.
    """

    def __init__(self, features: Sequence[nn.Module], discriminant: Discriminant) -> None:
        super().__init__()
        listed = isinstance(features, Sequence) and len(features)
        if not listed or not all(isinstance(one, nn.Module) for one in features):
            raise TypeError(
                "features must be a list of modules, such as WindowMeans([(30, 50)]), got "
                f"{features!r:.60}."
            )
        checks.instance("discriminant", discriminant, Discriminant, "a Discriminant(...)")
        self.features: Any = nn.ModuleList(features)
        self.discriminant = discriminant

    def fit(self, trials: Tensor, classes: Tensor) -> Self:
        """Learn from trials [B, C, T] of the classes [B]."""
        for feature in self.features:
            feature.fit(trials, classes)
        self.discriminant.fit(self._seen(trials), classes)
        return self

    def forward(self, trials: Tensor) -> Tensor:
        """One value a class [B, K] of trials [B, C, T]."""
        answer: Tensor = self.discriminant(self._seen(trials))
        return answer

    def _seen(self, trials: Tensor) -> Tensor:
        return torch.cat([feature(trials) for feature in self.features], 1)


def finger_classifier(channels: int = 28) -> TrialClassifier:
    """For trials of 500 ms before a key press: slow potentials and rhythms over motor cortex.

    Slow: means of the last two 100 ms, less that of the first 200 ms. Rhythms: two pairs of spatial
    patterns from 10 to 33 Hz. Both are lateralized before a finger moves, and tell different
    things.
    Reference: Wang et al. 2004, doi 10.1109/TBME.2004.826697.
    """
    slow = WindowMeans([(30, 40), (40, 50)], baseline=(0, 20))
    rhythms = BandPatterns(channels, band=(10.0, 33.0), interval=10.0, pairs=2)
    return TrialClassifier([slow, rhythms], Discriminant(2 * channels + 4))


def window_classifier(channels: int = 28, width: int = 5) -> TrialClassifier:
    """The bar: a discriminant over means of windows of that many samples of 10 ms."""
    checks.whole("channels", channels)
    means = WindowMeans.every(width, SAMPLES)
    return TrialClassifier([means], Discriminant(len(means.windows) * channels))
