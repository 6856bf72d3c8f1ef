"""Measures of a population: volleys, rhythms and neither have known values."""

from __future__ import annotations

import math

import pytest
import torch

from amphid.measures import fluctuation, population_rate, rhythm
from amphid.simulation import Recording, Spikes
from amphid.wiring import Cells

DT = 0.5


def recorded(dense: torch.Tensor) -> Recording:
    """A recording of spikes [T, *B, N]."""
    cells = Cells([f"c{k}" for k in range(dense.shape[-1])])
    return Recording(cells, DT, events=Spikes(dense.nonzero().T, tuple(dense.shape), DT))


def poisson(steps: int, *shape: int, seed: int = 1) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, *shape, generator=g) < 0.05).double()


def test_the_population_rate_is_spikes_over_cells_and_time() -> None:
    dense = torch.zeros(7, 2, 3)
    dense[0, 0, 1] = dense[1, 0, 2] = dense[5, 1, 0] = dense[6, 1, 0] = 1.0
    rates = population_rate(recorded(dense), bin=1.0)
    hz = 1000.0 / 3
    assert rates.tolist() == [[pytest.approx(2 * hz), 0, 0], [0, 0, pytest.approx(hz)]]


def test_independent_cells_fluctuate_by_one_over_the_root_of_their_spikes() -> None:
    found = fluctuation(recorded(poisson(4999, 53)), bin=2.0)
    expected = math.sqrt(53 * 4 * 0.05 * 0.95) / (53 * 4 * 0.05)
    assert float(found) == pytest.approx(expected, rel=0.05)


def test_volleys_fluctuate_more_than_their_mean() -> None:
    dense = torch.zeros(1001, 53)
    dense[::11] = 1.0
    assert float(fluctuation(recorded(dense), bin=DT)) == pytest.approx(math.sqrt(10.0), rel=0.01)


def test_a_clock_has_its_frequency_and_full_strength_and_noise_has_none() -> None:
    dense = torch.zeros(2003, 2, 53)
    dense[::17, 0] = 1.0
    dense[:, 1] = poisson(2003, 53)
    frequency, strength = rhythm(recorded(dense), bin=DT)
    assert float(frequency[0]) == pytest.approx(1000.0 / (17 * DT))
    assert float(strength[0]) == pytest.approx(1.0, abs=0.02)
    assert float(strength[1]) < 0.2


def test_silence_has_no_fluctuation_and_no_rhythm() -> None:
    silent = recorded(torch.zeros(101, 7))
    assert fluctuation(silent).isnan()
    assert all(found.isnan() for found in rhythm(silent))


@pytest.mark.parametrize("bin_", [0.0, 0.7, 60.0, -1.0])
def test_a_bin_that_does_not_fit_is_a_sentence(bin_: float) -> None:
    with pytest.raises(ValueError, match="bin must be a whole number of steps"):
        population_rate(recorded(torch.zeros(101, 7)), bin_)
