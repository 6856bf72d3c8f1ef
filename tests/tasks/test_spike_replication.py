"""Spike trains are drawn as said, given back by a relay, and scored at the lag that is theirs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import Crossing, HodgkinHuxley, SigmoidRelease
from amphid.models import Sequential, cell_layers, relay_weights
from amphid.tasks import Replicas, SpikeReplication, Trains
from amphid.tasks.trains import delayed, rises


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Later(nn.Module):
    """Gives out what comes in, some steps later."""

    def __init__(self, steps: int, factor: float = 1.0) -> None:
        super().__init__()
        self.steps, self.factor = steps, factor

    def forward(self, x: Tensor, dt: float) -> Tensor:
        return self.factor * delayed(x, self.steps)


def relay(channels: int, gain: float = 80.0) -> Sequential:
    ends = SigmoidRelease(), SigmoidRelease(), Crossing(threshold=-3.0)
    return cell_layers(
        (channels, 3 * channels, 3 * channels, channels),
        [HodgkinHuxley.cortical(capacitance=1.0, terminal=end) for end in ends],
        [relay_weights(channels)] * 3,
        gain=gain,
    )


@pytest.mark.parametrize(("rate", "dead"), [(20.0, 10.0), (40.0, 3.0), (70.0, 0.0)])
def test_trains_have_their_rate_from_the_first_step_on_and_keep_their_dead_time(
    rate: float, dead: float
) -> None:
    spikes = Trains(rate, dead, dt=0.5).onsets(401, 211, 31, seeded())
    assert spikes.shape == (401, 211, 31)
    for part in (spikes[:100], spikes[100:]):
        assert part.mean().item() * 2000 == pytest.approx(rate, rel=0.03)
    step, train = spikes.flatten(1).T.nonzero(as_tuple=True)[::-1]
    apart = step.diff()[train.diff() == 0]
    assert apart.min() >= dead / 0.5


def test_a_pulse_lasts_and_two_that_meet_are_one() -> None:
    onsets = torch.zeros(11, 1, 1)
    onsets[[1, 3, 8]] = 1.0
    pulses = Trains(dt=0.5, pulse=1.5).pulses(onsets)
    assert pulses.flatten().tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    assert rises(pulses).flatten().nonzero().flatten().tolist() == [1, 8]


def test_a_walk_with_a_generator_gives_windows_that_were_never_seen() -> None:
    task = SpikeReplication(3, duration=31.0, samples=7, held=5, generator=seeded())
    walk = task.batches("train", size=3, generator=seeded(1))
    assert len(walk) == 3
    first, second = ([targets for _, targets in walk] for _ in range(2))
    assert [own.shape for own in first] == [(310, 3, 3), (310, 3, 3), (310, 1, 3)]
    assert not torch.equal(first[0], second[0])
    again = task.batches("train", size=3, generator=seeded(1))
    assert torch.equal(first[1], [targets for _, targets in again][1])
    (inputs, targets), *_ = task.batches("test", size=5)
    assert torch.equal(rises(inputs)[:-20], targets[20:])
    assert not targets[:20].any()


def test_a_perfect_copy_scores_one_at_its_own_lag_and_silence_nothing() -> None:
    task = SpikeReplication(3, duration=101.0, held=5, generator=seeded())
    score, lag = task.scored(Later(35))
    assert (score.value, lag) == (pytest.approx(1.0, abs=1e-4), pytest.approx(3.5))
    assert score.samples == 5
    assert task.score(Later(35, factor=0.7)).value == score.value
    assert task.score(Later(0, factor=0.5)).value == task.chance == 0.0
    with torch.no_grad():
        inputs, targets = next(iter(task.batches("test", size=5)))
        assert task.loss(rises(Later(20)(inputs, 0.1)), targets).item() == pytest.approx(
            0, abs=1e-4
        )
        assert task.loss(torch.zeros_like(inputs), targets).item() == 1.0


def test_the_interval_of_a_score_holds_that_of_many_more_windows() -> None:
    """Of a copy that loses every spike with even chance."""

    class Lossy(nn.Module):
        def forward(self, x: Tensor, dt: float) -> Tensor:
            kept = torch.rand(x.shape, generator=seeded(3)) < 0.5
            return rises(x) * kept

    few, many = (
        SpikeReplication(
            3, duration=151.0, trains=Trains(dt=1.0), samples=2, held=held, generator=seeded(5)
        ).score(Lossy())
        for held in (13, 101)
    )
    assert few.low < many.value < few.high
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(
        (13 / 101) ** 0.5, rel=0.5
    )


def test_a_relay_of_hodgkin_huxley_cells_gives_trains_back_within_three_ms() -> None:
    task = SpikeReplication(7, duration=300.0, samples=5, held=5, generator=seeded())
    score, lag = task.scored(relay(7))
    assert score.value >= 0.95
    assert lag <= 3.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cells": 0}, "cells must be"),
        ({"held": 1}, "held must be a number, at least 2"),
        ({"lag": 300.0}, "lag must be 0 to less than 300 ms"),
    ],
)
def test_settings_that_cannot_be_are_sentences(given: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SpikeReplication(**given, generator=seeded())  # type: ignore[arg-type]


def test_trains_and_walks_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="dead must be 0 to less than the 50 ms"):
        Trains(20.0, dead=50.0)
    with pytest.raises(ValueError, match="pulse must be at least a step"):
        Trains(pulse=0.05)
    with pytest.raises(ValueError, match="size must be a number of trains"):
        Replicas(torch.zeros(3, 2, 1), Trains(), 0, 1)
    task = SpikeReplication(2, duration=5.0, generator=seeded())
    with pytest.raises(KeyError, match="split must be one of"):
        task.batches("tests")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is drawn once and stays"):
        task.batches("test", generator=seeded())
