"""Measures against closed forms on recordings made by hand."""

import math

import pytest
import torch

from amphid import measures
from amphid.measures import (
    active,
    fluctuation,
    interval_variation,
    population_rate,
    rate,
    response,
    response_time,
    rhythm,
    synchrony,
)
from amphid.simulation import Recording, Spikes
from amphid.wiring import Cells

MEASURES = {
    "active": lambda run: active(run, before=3.0),
    "fluctuation": fluctuation,
    "interval_variation": interval_variation,
    "population_rate": lambda run: population_rate(run, bin=31.0).squeeze(-1),
    "rate": rate,
    "response": lambda run: response(run, before=3.0),
    "response_time": lambda run: response_time(run, before=3.0),
    "rhythm": lambda run: rhythm(run)[1],
    "synchrony": synchrony,
}
PAIRS = ("train_correlation", "van_rossum", "victor_purpura")  # of trains: test_spike_trains.py
LASTING = ("Activity", "Glimpse", "Persistence", "glimpse", "persistence")  # test_persistence.py
OF_NETWORKS = (  # test_emergence.py
    "Emerged", "RelativeThreshold", "ShareOfTime", "Threshold", "connection_paths",
    "emergence",
)  # fmt: skip
OF_CLASSES = ("balanced_accuracy", "recalls")  # test_classes.py
OF_LATENTS = ("bits_per_spike", "psth_r2", "velocity_r2")  # test_latents.py
OF_WIRES = ("RefractionRatios", "refraction_ratio")  # test_refraction.py
PER_TRIAL = ("active", "fluctuation", "population_rate", "rhythm", "synchrony")


def recording(*, v=None, spike=None, dt=1.0, every=1):
    """A recording of voltages [T', *B, N] and dense spikes [T, *B, N]."""
    some = v if v is not None else spike
    events = None if spike is None else Spikes(spike.nonzero().T, tuple(spike.shape), dt)
    cells = Cells([f"c{i}" for i in range(some.shape[-1])])
    fields = {} if v is None else {"v": v}
    return Recording(cells, dt=dt, every=every, fields=fields, events=events)


def trains(steps, *times):
    """Dense spikes [T, N] of cells that fire at the end of those steps."""
    spike = torch.zeros(steps, len(times))
    for cell, train in enumerate(times):
        spike[list(train), cell] = 1.0
    return spike


def noisy(*shape, seed=5):
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return recording(v=v, spike=(v > 0.7).double())


def test_the_contract_list_of_measures_is_complete():
    known = (
        *MEASURES, *PAIRS, *LASTING, *OF_NETWORKS, *OF_WIRES, *OF_CLASSES, *OF_LATENTS, "quantum",
    )  # fmt: skip
    assert sorted(known) == measures.__all__


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 5)], ids=str)
def test_every_measure_keeps_the_axes_of_a_batch(name, batch):
    run = noisy(31, *batch, 7)
    measured = MEASURES[name](run)
    assert measured.shape == (batch if name in PER_TRIAL else (*batch, 7))


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_takes_a_trial_for_itself(name):
    run = noisy(31, 3, 7)
    alone = recording(v=run.v[:, 1], spike=run.spike[:, 1])
    torch.testing.assert_close(MEASURES[name](run)[1], MEASURES[name](alone), equal_nan=True)


@pytest.mark.parametrize("name", MEASURES)
def test_the_order_of_the_cells_changes_no_measure(name):
    run, order = noisy(31, 7), [3, 0, 6, 1, 5, 2, 4]
    turned = recording(v=run.v[:, order], spike=run.spike[:, order])
    expected = MEASURES[name](run)
    expected = expected if name in PER_TRIAL else expected[order]
    torch.testing.assert_close(MEASURES[name](turned), expected, equal_nan=True)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_says_what_the_recording_lacks(name):
    empty = Recording(Cells(["a"]), dt=1.0)
    with pytest.raises(ValueError, match=r"ms: nothing\): simulate\(.*record="):
        MEASURES[name](empty)


def test_the_rate_is_spikes_over_time_in_hertz():
    run = recording(spike=trains(200, range(0, 200, 40), [], [7]), dt=0.5)
    assert rate(run).tolist() == [50.0, 0.0, 10.0]  # 5, 0 and 1 spikes in 100 ms


def test_a_clock_has_no_interval_variation_and_two_spikes_have_none_at_all():
    run = recording(spike=trains(101, range(0, 101, 10), [3, 50], [9]))
    variation = interval_variation(run)
    assert variation[0] == 0.0
    assert variation[1:].isnan().all()


def test_alternating_intervals_vary_by_their_half_difference_over_their_mean():
    run = recording(spike=trains(101, [0, 10, 40, 50, 80], [1, 6, 8]), dt=0.25)
    variation = interval_variation(run)
    torch.testing.assert_close(variation, torch.tensor([0.5, 3 / 7], dtype=torch.float64))


def test_a_poisson_process_has_an_interval_variation_of_one():
    generator = torch.Generator().manual_seed(3)
    spike = (torch.rand(20_000, 11, generator=generator) < 0.05).float()
    expected = math.sqrt(1 - 0.05)  # the geometric law, its form in discrete time
    assert interval_variation(recording(spike=spike)).mean() == pytest.approx(expected, abs=0.02)


def test_the_response_is_the_largest_departure_with_its_sign():
    v = torch.tensor([[-60.0, -60.0, 5.0], [-59.0, -50.0, 5.0], [-57.0, -51.0, 5.0]])
    v = torch.cat((v, torch.tensor([[-67.0, -48.0, 5.0], [-58.0, -57.0, 5.0]])))
    run = recording(v=v, dt=2.0)
    assert response(run, before=4.0).tolist() == [-8.0, -7.0, 0.0]
    assert response_time(run, before=4.0).tolist() == [4.0, 6.0, 2.0]


def test_the_sample_at_the_start_of_the_stimulus_is_the_reference():
    ramp = torch.arange(1.0, 14.0)[:, None]
    run = recording(v=ramp, dt=0.1, every=3)  # samples at 0.3, 0.6, ... 3.9 ms
    assert response(run, before=0.9).item() == 10.0
    assert response(run, before=1.0).item() == 10.0
    assert response(run, before=1.2).item() == 9.0
    assert response(run, before=0.0).item() == 12.0  # none is that early: the first
    assert response_time(run, before=0.9).item() == pytest.approx(3.0)


def test_nothing_after_the_stimulus_is_said():
    run = recording(v=torch.zeros(13, 2))
    with pytest.raises(ValueError, match=r"nothing was sampled after before=13 ms.* lasts 13 ms"):
        response(run, before=13.0)


def test_cells_count_as_active_that_moved_or_fired():
    v = torch.zeros(13, 5)
    v[7] = torch.tensor([0.0, 2.0, -3.0, 0.5, 0.0])
    spike = trains(13, [2], [3], [], [], [])
    assert active(recording(v=v), before=3.0).item() == pytest.approx(2 / 5)
    assert active(recording(spike=spike), before=3.0).item() == pytest.approx(2 / 5)
    assert active(recording(v=v, spike=spike), before=3.0).item() == pytest.approx(3 / 5)
    assert active(recording(v=v), before=3.0, threshold=0.4).item() == pytest.approx(3 / 5)
    with pytest.raises(ValueError, match="threshold must be in mV"):
        active(recording(v=v), before=3.0, threshold=-1.0)


def test_cells_that_move_as_one_are_synchronous_whatever_their_rest():
    wave = torch.sin(torch.arange(101.0, dtype=torch.float64))[:, None]
    assert synchrony(recording(v=wave + torch.arange(7.0))).item() == pytest.approx(1.0)
    against = torch.cat((wave, -wave), 1)
    assert synchrony(recording(v=against)).item() == pytest.approx(0.0, abs=1e-7)


def test_independent_cells_have_a_synchrony_of_one_over_the_root_of_their_number():
    run = noisy(5003, 17)
    assert synchrony(run).item() == pytest.approx(1 / math.sqrt(17), rel=0.05)
