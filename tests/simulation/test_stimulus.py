"""Stimuli: their values, sums, batches and refusals."""

import math

import pytest
import torch

import amphid as am
from amphid.wiring import Cells, Connections, Connectome

CELLS = Connectome(Cells(["a", "b", "c1", "c2", "c3"]), Connections())


def test_a_pulse_lasts_from_start_to_stop():
    pulse = am.pulse(CELLS, "b", start=1.0, stop=2.5, amplitude=3.0, duration=5.0, dt=0.5)
    assert pulse.dense()[:, 1].tolist() == [0, 0, 3, 3, 3, 0, 0, 0, 0, 0]
    assert pulse.dense().sum() == 9
    assert pulse.duration == 5.0


def test_a_pattern_drives_all_its_cells():
    pulse = am.pulse(CELLS, "c*", amplitude=2.0, duration=3.0, dt=1.0)
    assert pulse.dense().tolist() == [[0, 0, 2, 2, 2]] * 3


def test_a_ramp_goes_evenly():
    ramp = am.ramp(CELLS, "a", first=1.0, last=5.0, duration=4.0, dt=1.0)
    assert ramp.dense()[:, 0].tolist() == [1, 2, 3, 4]


def test_a_sine_has_its_frequency_and_phase():
    wave = am.sine(
        CELLS, "a", amplitude=2.0, frequency=0.25, phase=math.pi / 2, offset=1.0, duration=8.0,
        dt=1.0,
    )  # fmt: skip
    assert wave.dense()[:, 0].tolist() == pytest.approx([3, 1, -1, 1] * 2, abs=1e-6)


def test_noise_has_its_mean_deviation_and_memory():
    generator = torch.Generator().manual_seed(0)
    current = am.noise(
        CELLS, "*", mean=5.0, deviation=2.0, tau=10.0, duration=50_000.0, dt=1.0,
        generator=generator,
    ).current  # fmt: skip
    assert current.mean() == pytest.approx(5.0, abs=0.1)
    assert current.std() == pytest.approx(2.0, abs=0.05)
    away = current - 5.0
    memory = (away[10:] * away[:-10]).mean() / away.pow(2).mean()
    assert memory == pytest.approx(math.exp(-1), abs=0.03)
    assert torch.corrcoef(current.T).fill_diagonal_(0).abs().max() < 0.1


def test_given_spikes_fall_in_their_steps():
    times = {"a": [0.0, 0.3, 1.2], "c*": [0.6]}
    trains = am.spike_trains(CELLS, times, amplitude=2.0, duration=1.5, dt=0.3)
    assert trains.dense()[:, 0].tolist() == [2, 2, 0, 0, 2]
    assert trains.dense()[2].tolist() == [0, 0, 2, 2, 2]


def test_stimuli_add_up_cell_by_cell():
    one = am.pulse(CELLS, "a", "b", amplitude=1.0, duration=3.0, dt=1.0)
    two = am.pulse(CELLS, "b", "c1", amplitude=5.0, duration=3.0, dt=1.0)
    assert torch.equal((one + two).dense(), one.dense() + two.dense())
    assert (one + two).dense()[0].tolist() == [1, 6, 5, 0, 0]


def test_a_batch_puts_stimuli_side_by_side():
    one = am.pulse(CELLS, "a", amplitude=1.0, duration=3.0, dt=1.0)
    two = am.pulse(CELLS, "c*", amplitude=5.0, duration=3.0, dt=1.0)
    both = am.batch(one, two).dense()
    assert both.shape == (3, 2, 5)
    assert torch.equal(both[:, 0], one.dense())
    assert torch.equal(both[:, 1], two.dense())


def test_trials_and_a_single_stimulus_add_up():
    one = am.pulse(CELLS, "a", amplitude=1.0, duration=3.0, dt=1.0)
    two = am.pulse(CELLS, "c*", amplitude=5.0, duration=3.0, dt=1.0)
    several = am.batch(one, two, one)
    for both in (several + two, two + several):
        assert torch.equal(both.dense(), several.dense() + two.dense()[:, None])


def test_a_stretch_of_a_stimulus_is_that_stretch():
    ramp = am.ramp(CELLS, "a", first=1.0, last=5.0, duration=4.0, dt=1.0)
    assert ramp[1:3].dense()[:, 0].tolist() == [2, 3]
    assert len(ramp[-1:]) == 1


def test_a_table_is_interpolated(tmp_path):
    path = tmp_path / "currents.csv"
    path.write_text("time,c1,a\n0,0,1\n2,4,1\n4,0,1\n")
    current = am.stimulus_from_file(CELLS, path, dt=1.0).dense()
    assert current[:, 2].tolist() == [0, 2, 4, 2, 0, 0]
    assert current[:, 0].tolist() == [1] * 6


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "first column must be 'time'"),
        ("a,b\n0,1\n", "first column must be 'time'"),
        ("time,a\n0,1\n", "at least two rows"),
        ("time,a\n0,1\n1,x\n", "line 3: .* no number"),
        ("time,a\n0,1\n1,nan\n", "line 3: needs 2 finite numbers"),
        ("time,a\n0,1\n1\n", "line 3: needs 2 finite numbers"),
        ("time,a\n0,1\n0,1\n", "times must grow evenly"),
        ("time,a\n0,1\n1,1\n5,1\n", "times must grow evenly"),
        ("time,d\n0,1\n1,1\n", "'d'"),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_a_sentence(tmp_path, text, named):
    path = tmp_path / "currents.csv"
    path.write_text(text)
    with pytest.raises((ValueError, KeyError), match=named):
        am.stimulus_from_file(CELLS, path, dt=1.0)


def test_a_table_that_is_no_text_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "currents.csv"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match="is not a CSV table"):
        am.stimulus_from_file(CELLS, path, dt=1.0)


SOUND = {"amplitude": 1.0, "duration": 3.0, "dt": 1.0}


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: am.pulse(CELLS, "d", **SOUND), "'d'"),
        (lambda: am.pulse(CELLS, **SOUND), "at least one cell"),
        (lambda: am.pulse(CELLS, "a", **{**SOUND, "dt": 0.0}), "dt must be"),
        (lambda: am.pulse(CELLS, "a", **{**SOUND, "duration": -3.0}), "duration must be"),
        (lambda: am.pulse(CELLS, "a", **{**SOUND, "duration": 2.5}), "whole number of steps"),
        (lambda: am.pulse(CELLS, "a", **{**SOUND, "amplitude": math.nan}), "amplitude must be"),
        (lambda: am.pulse(CELLS, "a", start=2.0, stop=1.0, **SOUND), "stop must lie after start"),
        (lambda: am.spike_trains(CELLS, {"a": [9.0]}, **SOUND), "spike times of 'a'"),
        (lambda: am.pulse(CELLS, "a", **SOUND) + am.pulse(CELLS, "a", **{**SOUND, "dt": 0.5}),
         "must have the same"),
        (lambda: am.batch(), "got none"),
        (lambda: am.pulse(CELLS, "a", **SOUND)[::2], "cut by a range of steps"),
        (lambda: am.pulse(CELLS, "a", **SOUND)[1], "cut by a range of steps"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_a_sentence(call, named):
    with pytest.raises((ValueError, KeyError, TypeError), match=named):
        call()
