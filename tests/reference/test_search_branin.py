"""A Gaussian process finds the minimum of a function with a known one."""

import math
import statistics

import pytest

from amphid.learning import GP, TPE, Random, Uniform, search

pytestmark = pytest.mark.reference
pytest.importorskip("optuna", reason="searches need optuna")

SPACE = {"x": Uniform(-5.0, 10.0), "y": Uniform(0.0, 15.0)}
MINIMUM = 0.397887


def branin(trial):
    x, y = trial["x"], trial["y"]
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def median(make, seeds):
    found = [search(branin, SPACE, trials=50, sampler=make(seed=seed)).value for seed in seeds]
    return statistics.median(found)


def test_gp_finds_the_minimum_of_branin_in_50_trials():
    """Median of 10 seeds within 0.01 of the minimum; 30 seconds of one processor."""
    assert median(GP, range(10)) - MINIMUM < 0.01


def test_at_the_same_cost_a_model_beats_chance():
    assert median(GP, range(3)) < median(TPE, range(31)) < median(Random, range(31))
