"""Scores of latent models against figures by hand and against scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from amphid.measures import bits_per_spike, psth_r2, velocity_r2

NAN = math.nan


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sklearn() -> list[Any]:
    names = ("linear_model", "metrics", "model_selection")
    reason = "scikit-learn is not installed"
    return [pytest.importorskip(f"sklearn.{name}", reason=reason) for name in names]


def counts(*shape: int, rate: float = 1.7) -> torch.Tensor:
    level = torch.full(shape, rate, dtype=torch.float64)
    return torch.poisson(level, generator=seeded())


def test_bits_per_spike_by_hand() -> None:
    """Counts 2, 0: the null rate is 1; L_null - L = 2 - sum(rates) + 2 ln(rates[0])."""
    spikes = torch.tensor([[2.0], [0.0]])
    rates = torch.tensor([[1.5], [0.25]])
    expected = (2 - 1.75 + 2 * math.log(1.5)) / (2 * math.log(2))
    assert bits_per_spike(rates, spikes) == pytest.approx(expected, abs=1e-12)


def test_the_mean_of_each_cell_is_worth_nothing() -> None:
    spikes = counts(3, 7, 5)
    null = spikes.mean((0, 1)).expand_as(spikes)
    assert bits_per_spike(null, spikes) == pytest.approx(0.0, abs=1e-12)
    assert bits_per_spike(1.3 * null, spikes) < 0.0
    assert bits_per_spike(spikes, spikes) > 0.0


def test_bins_that_were_not_seen_do_not_count() -> None:
    spikes, rates = counts(11, 3), counts(11, 3) + 0.5
    short = bits_per_spike(rates[:7], spikes[:7])
    spikes[7:], rates[7:] = NAN, NAN
    assert bits_per_spike(rates, spikes) == pytest.approx(short, abs=1e-12)


def test_a_rate_of_zero_counts_as_a_billionth() -> None:
    spikes = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    zeros = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    assert bits_per_spike(zeros, spikes) == bits_per_spike(zeros.clamp(min=1e-9), spikes)
    assert bits_per_spike(zeros, spikes) < -5.0


@pytest.mark.parametrize("axes", [(21, 5), (3, 7, 5)])
def test_batch_axes_are_one(axes: tuple[int, ...]) -> None:
    spikes = counts(21, 5)
    rates = torch.rand(21, 5, generator=seeded(), dtype=torch.float64)
    told = bits_per_spike(rates.view(axes), spikes.view(axes))
    assert told == pytest.approx(bits_per_spike(rates, spikes), abs=1e-12)


@pytest.mark.parametrize(
    ("rates", "spikes", "told"),
    [
        (torch.ones(3, 2), torch.ones(3, 1), "same shape"),
        (-torch.ones(3, 2), torch.ones(3, 2), "negative"),
        (torch.full((3, 2), NAN), torch.ones(3, 2), "NaN"),
        (torch.ones(3, 2), torch.zeros(3, 2), "at least one spike"),
        (torch.ones(3, 2), torch.full((3, 2), NAN), "at least one spike"),
    ],
)
def test_counts_that_cannot_be_scored_are_a_sentence(rates, spikes, told) -> None:
    with pytest.raises(ValueError, match=told):
        bits_per_spike(rates, spikes)


def moving(trials: int = 5, steps: int = 13, cells: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    draw = seeded()
    rates = torch.rand(trials, steps, cells, generator=draw, dtype=torch.float64)
    weight = torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]], dtype=torch.float64)
    noise = torch.randn(trials, steps, 2, generator=draw, dtype=torch.float64)
    return rates, rates @ weight + 0.3 * noise + 7.0


def test_velocity_is_scored_as_scikit_learn_scores_it() -> None:
    linear, metrics, choosing = sklearn()
    rates, velocity = moving(7)
    grid = choosing.GridSearchCV(linear.Ridge(), {"alpha": np.logspace(-4, 0, 9)})
    flat = [x.flatten(0, 1).numpy() for x in (rates[:5], velocity[:5], rates[5:], velocity[5:])]
    grid.fit(flat[0], flat[1])
    each = metrics.r2_score(flat[3], grid.predict(flat[2]), multioutput="raw_values")
    found = velocity_r2(rates[:5], velocity[:5], rates[5:], velocity[5:])
    np.testing.assert_allclose(found.numpy(), each, atol=1e-10)
    assert float(found.mean()) == pytest.approx(grid.score(flat[2], flat[3]), abs=1e-10)


@pytest.mark.parametrize("lag", [2, -3])
def test_velocity_that_follows_rates_is_told_at_its_lag(lag: int) -> None:
    rates, velocity = moving()
    late = velocity.roll(lag, 1)
    kept = slice(None, -lag) if lag > 0 else slice(-lag, None)
    torch.testing.assert_close(
        velocity_r2(rates, late, rates, late, lag=lag),
        velocity_r2(rates[:, kept], velocity[:, kept], rates[:, kept], velocity[:, kept]),
    )
    assert velocity_r2(rates, late, rates, late).max() < 0.3


def test_trials_of_any_length_and_bins_without_velocity() -> None:
    rates, velocity = moving()
    ragged = [
        (x[: 7 + k], y[: 7 + k]) for k, (x, y) in enumerate(zip(rates, velocity, strict=True))
    ]
    xs, ys = ([pair[i] for pair in ragged] for i in (0, 1))
    gone = velocity.clone()
    for k in range(5):
        gone[k, 7 + k :, 0] = NAN
    torch.testing.assert_close(
        velocity_r2(xs, ys, xs, ys), velocity_r2(rates, gone, rates, gone), rtol=0, atol=1e-12
    )


def test_trials_that_do_not_fit_are_a_sentence() -> None:
    rates, velocity = moving()
    with pytest.raises(ValueError, match="velocity for each trial"):
        velocity_r2(rates, velocity[:3], rates, velocity)
    with pytest.raises(ValueError, match="a trial must be"):
        velocity_r2(rates, velocity[:, :5], rates, velocity)
    with pytest.raises(ValueError, match="NaN"):
        velocity_r2(rates * NAN, velocity, rates, velocity)
    with pytest.raises(ValueError, match="at least 5 bins"):
        velocity_r2(rates[:1, :3], velocity[:1, :3], rates, velocity)


def test_average_responses_by_hand() -> None:
    """Two conditions of two steps: cell 0 is met exactly, cell 1 to 1 - 1 / 5."""
    psth = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 2.0], [3.0, 3.0]]])
    rates = psth[torch.tensor([0, 1, 1])].clone()
    rates[1, 0] += 1.0  # undone by trial 2 in the mean
    rates[2, 0] -= 1.0
    rates[0, 1, 1] += 1.0
    assert psth_r2(rates, psth, torch.tensor([0, 1, 1])) == pytest.approx((1 + 0.8) / 2)


def test_steps_and_conditions_without_a_response_are_left_out() -> None:
    psth = counts(3, 7, 5)
    rates = psth[:2] + 0.1 * counts(2, 7, 5)
    both = psth_r2(rates, psth, torch.tensor([0, 1]))
    assert both == pytest.approx(psth_r2(rates, psth[:2], torch.tensor([0, 1])))
    longer = torch.cat((psth, torch.full((3, 2, 5), NAN, dtype=torch.float64)), 1)
    padded = torch.cat((rates, torch.full((2, 2, 5), NAN, dtype=torch.float64)), 1)
    assert both == pytest.approx(psth_r2(padded, longer, torch.tensor([0, 1])))
    truth, found = psth[:2].flatten(0, 1).numpy(), rates.flatten(0, 1).numpy()
    metrics = sklearn()[1]
    assert both == pytest.approx(metrics.r2_score(truth, found))


def test_responses_that_do_not_fit_are_a_sentence() -> None:
    psth = counts(2, 7, 5)
    with pytest.raises(ValueError, match=r"rates must be \[B, T, N\]"):
        psth_r2(psth[0], psth, torch.tensor([0]))
    with pytest.raises(ValueError, match="numbers from 0 to 1"):
        psth_r2(psth, psth, torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="NaN"):
        psth_r2(psth * NAN, psth, torch.tensor([0, 1]))


def test_what_is_no_tensor_or_does_not_fit_is_refused_in_a_sentence():
    rates, moved = counts(7, 11, 3), torch.randn(7, 11, 2, generator=seeded())
    with pytest.raises(TypeError, match=r"rates must be a tensor of real numbers.*as_tensor"):
        bits_per_spike(rates.numpy(), rates)
    with pytest.raises(
        TypeError, match=r"psth must be a tensor of real numbers, got torch.complex"
    ):
        psth_r2(rates, rates[:2] + 0j, torch.arange(7) % 2)
    with pytest.raises(TypeError, match="velocity must be trials"):
        velocity_r2(rates, None, rates, moved)
    with pytest.raises(ValueError, match="tested trials must have the cells"):
        velocity_r2(rates, moved, rates[..., :2], moved)
    with pytest.raises(ValueError, match="all trials must have the same cells"):
        velocity_r2([rates[0], rates[1, :, :2]], list(moved[:2]), rates, moved)
    with pytest.raises(ValueError, match="NaN or infinite"):
        velocity_r2(rates / 0, moved, rates, moved)
    with pytest.raises(ValueError, match="penalties must be at least one"):
        velocity_r2(rates, moved, rates, moved, penalties=())
    with pytest.raises(TypeError, match="lag must be a whole number"):
        velocity_r2(rates, moved, rates, moved, lag=2.5)
