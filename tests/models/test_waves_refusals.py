"""What waves say to settings and images that make no sense."""

import math

import numpy as np
import pytest
import torch

from amphid.models import (
    Edge,
    FloodWaves,
    GradientHistograms,
    OrientedWaves,
    Ridge,
    WaveEncoder,
)

FLOOD = WaveEncoder(waves=(FloodWaves(),))
IMAGES = torch.zeros(2, 28, 28)
WAVES = [OrientedWaves(places=3, orientations=2), FloodWaves(), GradientHistograms()]


@pytest.mark.parametrize("value", [math.nan, -1.0, 0.0, "1", None, math.inf])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Ridge, "width"),
        (Ridge, "surround"),
        (Edge, "width"),
        (OrientedWaves, "reach"),
        (OrientedWaves, "speed"),
        (OrientedWaves, "tau"),
        (FloodWaves, "blur"),
        (FloodWaves, "most"),
        (GradientHistograms, "share"),
    ],
)
def test_what_must_be_positive_is(kind, name, value):
    with pytest.raises(ValueError, match=f"{kind.__name__}: {name} must be a positive number, got"):
        kind(**{name: value})


@pytest.mark.parametrize("value", [1.5, 0, -1, "3", None, True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (OrientedWaves, "places"),
        (OrientedWaves, "orientations"),
        (FloodWaves, "block"),
        (FloodWaves, "side"),
        (GradientHistograms, "cell"),
        (GradientHistograms, "bins"),
    ],
)
def test_what_is_counted_is_whole(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least"):
        kind(**{name: value})


@pytest.mark.parametrize("waves", WAVES, ids=lambda waves: type(waves).__name__)
def test_ink_is_checked_where_it_is_encoded(waves):
    for wrong in ("x", IMAGES.numpy(), IMAGES.long(), IMAGES > 0):
        with pytest.raises(TypeError, match="ink must be a tensor"):
            waves.encode(wrong)
    for wrong in (IMAGES[0], IMAGES[:, :23], IMAGES * math.nan):
        with pytest.raises(ValueError, match="ink must be finite and of shape"):
            waves.encode(wrong)
    assert waves.encode(IMAGES.double()).dtype == torch.float32


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda: FLOOD.transform("x"), TypeError, "images must be numbers, got an array of"),
        (lambda: FLOOD.transform(None), TypeError, "images must be numbers, got an array of obj"),
        (lambda: FLOOD.fit(IMAGES * 1j), TypeError, "images must be real numbers"),
        (lambda: FLOOD.transform(np.zeros((0, 28, 28))), ValueError, "one or more, or"),
        (lambda: WaveEncoder(seed=1.5).fit(IMAGES), ValueError, "seed must be a whole number"),
        (lambda: WaveEncoder(seed=[]).fit(IMAGES), ValueError, "seed must be a whole number"),
        (lambda: WaveEncoder(waves=()).fit(IMAGES), TypeError, "waves must be a tuple of"),
        (lambda: WaveEncoder(waves=FloodWaves()).fit(IMAGES), TypeError, "waves must be a tuple"),
        (lambda: WaveEncoder(waves=(FloodWaves,)).fit(IMAGES), TypeError, "waves must be a tuple"),
        (lambda: OrientedWaves(dendrite="edge"), TypeError, "dendrite must be a Ridge or an Edge"),
        (lambda: OrientedWaves(least=1.0), ValueError, "least must be from 0 to below 1"),
        (lambda: OrientedWaves(margin=14.0), ValueError, "margin must be from 0 to below 14"),
        (lambda: FloodWaves(levels=0.5), ValueError, "levels must be a tuple of numbers"),
        (lambda: FloodWaves(levels=()), ValueError, "levels must be a tuple of numbers"),
        (lambda: GradientHistograms(cell=29), ValueError, "cell must be at most 28 pixels"),
    ],
    ids=[f"case-{k}" for k in range(15)],
)  # fmt: skip
def test_nonsense_is_a_sentence(ask, error, sentence):
    with pytest.raises(error, match=sentence):
        ask()
