"""What every builder does with the generator and with nonsense."""

import math

import numpy as np
import pytest
import torch

from amphid.wiring import builders


def seeded(seed=1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(cells, width=300.0):
    return np.random.default_rng(11).random((cells, 3)) * width


RING = builders.small_world(31, neighbors=4)

DRAWN = {
    "layered": lambda g: builders.layered(11, 13, probability=0.5, generator=g),
    "random": lambda g: builders.random(31, probability=0.2, generator=g),
    "fixed_indegree": lambda g: builders.fixed_indegree(31, indegree=5, generator=g),
    "heavy_tailed": lambda g: builders.heavy_tailed(31, outdegree=5.0, generator=g),
    "small_world": lambda g: builders.small_world(31, neighbors=4, rewiring=0.5, generator=g),
    "distance_dependent": lambda g: builders.distance_dependent(cloud(31), scale=99.0, generator=g),
    "shuffled": lambda g: builders.shuffled(RING, generator=g),
}


@pytest.mark.parametrize("build", DRAWN.values(), ids=DRAWN.keys())
def test_one_seed_gives_one_connectome_and_another_seed_another(build):
    assert build(seeded(3)) == build(seeded(3))
    assert build(seeded(3)) != build(seeded(4))


@pytest.mark.parametrize("build", DRAWN.values(), ids=DRAWN.keys())
def test_the_global_seeds_are_not_touched(build):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    build(seeded())
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.parametrize("build", DRAWN.values(), ids=DRAWN.keys())
@pytest.mark.parametrize("nonsense", [None, 7, np.random.default_rng(1)])
def test_drawing_needs_a_generator(build, nonsense):
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator, such as .* got"):
        build(nonsense)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda g: builders.layered(), "at least two layer sizes"),
        (lambda g: builders.layered(3), "at least two layer sizes"),
        (lambda g: builders.layered(3, 0), "each layer size must be at least 1, got 0"),
        (lambda g: builders.layered(3, 2.0), "each layer size must be a whole number, got 2.0"),
        (lambda g: builders.layered(3, "2"), "each layer size must be a whole number"),
        (lambda g: builders.layered(3, 2, probability=-0.1, generator=g), "probability must be"),
        (lambda g: builders.random(0, probability=0.1, generator=g), "cells must be at least 1"),
        (lambda g: builders.random(-3, probability=0.1, generator=g), "cells must be at least 1"),
        (lambda g: builders.random(True, probability=0.1, generator=g), "cells must be a whole"),
        (lambda g: builders.random(None, probability=0.1, generator=g), "cells must be a whole"),
        (lambda g: builders.random(7, probability=1.1, generator=g), "probability must be between"),
        (lambda g: builders.random(7, probability=math.nan, generator=g), "probability must be"),
        (
            lambda g: builders.random(7, probability="x", generator=g),
            "probability must be a number",
        ),
        (lambda g: builders.random(7, probability=[0.1], generator=g), "probability must be a num"),
        (
            lambda g: builders.random(7, probability=0.1, inhibitory=2, generator=g),
            "inhibitory must be between 0 and 1, got 2",
        ),
        (lambda g: builders.fixed_indegree(0, indegree=1, generator=g), "cells must be at least"),
        (lambda g: builders.fixed_indegree(7, indegree=-1, generator=g), "indegree must be at le"),
        (lambda g: builders.fixed_indegree(7, indegree=0.1, generator=g), "indegree must be a wh"),
        (lambda g: builders.fixed_indegree(7, indegree=7, generator=g), "indegree must leave each"),
        (
            lambda g: builders.fixed_indegree(7, indegree=2, inhibitory=-1, generator=g),
            "inhibitory must be between 0 and 1",
        ),
        (lambda g: builders.small_world(0, neighbors=2), "cells must be at least 1"),
        (lambda g: builders.small_world(11, neighbors=3), "neighbors must be even and below"),
        (lambda g: builders.small_world(11, neighbors=12), "neighbors must be even and below"),
        (lambda g: builders.small_world(11, neighbors=-2), "neighbors must be at least 0"),
        (lambda g: builders.small_world(11, neighbors=2.5), "neighbors must be a whole number"),
        (lambda g: builders.small_world(11, neighbors=2, rewiring=7), "rewiring must be between"),
        (lambda g: builders.distance_dependent(cloud(5), scale=0, generator=g), "scale must be po"),
        (
            lambda g: builders.distance_dependent(cloud(5), scale=math.inf, generator=g),
            "scale must be positive and finite",
        ),
        (
            lambda g: builders.distance_dependent(cloud(5), scale=1, speed=-1.0, generator=g),
            "speed must be positive",
        ),
        (
            lambda g: builders.distance_dependent(cloud(5), scale=1, probability=2, generator=g),
            "probability must be between",
        ),
        (
            lambda g: builders.distance_dependent([[1, 2], [3, 4]], scale=1, generator=g),
            r"positions must be of shape \[N, 3\], got \[2, 2\]",
        ),
        (
            lambda g: builders.distance_dependent([], scale=1, generator=g),
            r"positions must be of shape \[N, 3\]",
        ),
        (
            lambda g: builders.distance_dependent("here", scale=1, generator=g),
            "positions must be numbers",
        ),
        (
            lambda g: builders.distance_dependent([[1, 2, 3], [1]], scale=1, generator=g),
            "positions must be numbers",
        ),
        (
            lambda g: builders.distance_dependent(
                [[0, 0, 0], [0, math.nan, 0]], scale=1, generator=g
            ),
            "positions must all be known: that of cell 1",
        ),
        (lambda g: builders.shuffled(RING, swaps=-1, generator=g), "swaps must be at least 0"),
        (lambda g: builders.shuffled(RING, swaps=0.5, generator=g), "swaps must be a whole"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_the_argument(build, named):
    with pytest.raises((ValueError, TypeError), match=named):
        build(seeded())
