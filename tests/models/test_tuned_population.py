"""Cells that prefer directions: what they fire, and how they are found again."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from amphid.models import TunedPopulation
from amphid.models.decoders.population import poisson_regression

N, T = 29, 6007


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(axes: int = 2, **values: float) -> TunedPopulation:
    return TunedPopulation.drawn(N, axes, generator=seeded(), **values)


def moved(axes: int, seed: int = 5) -> Tensor:
    return 0.7 * torch.randn(T, axes, generator=seeded(seed))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_rate_is_a_cosine_of_the_angle_to_the_preferred_direction(axes):
    cells = drawn(axes, depth=0.001)
    rate = cells(cells.preferred)  # [N, N]: at the preferred direction of each
    expected = cells.baseline + cells.depth * (cells.preferred @ cells.preferred.T)
    torch.testing.assert_close(rate, expected)
    torch.testing.assert_close(cells.preferred.norm(dim=1), torch.ones(N))


def test_rates_are_never_below_zero_and_at_rest_they_are_the_baseline():
    cells = drawn(3, depth=0.1)
    assert cells(moved(3)).min() == 0
    torch.testing.assert_close(cells(torch.zeros(3)), cells.baseline)


def test_mean_and_variance_of_counts_are_rate_times_interval():
    cells = drawn(2)
    rate = cells(torch.tensor([0.3, -0.5]))
    fired = cells.fire(torch.tensor([0.3, -0.5]).expand(20_011, 2), 20.0, generator=seeded())
    torch.testing.assert_close(fired.mean(0), rate * 20.0, rtol=0.15, atol=0.0)
    torch.testing.assert_close(fired.var(0), rate * 20.0, rtol=0.15, atol=0.0)


def test_the_same_generator_draws_the_same():
    one, other = drawn(3), drawn(3)
    torch.testing.assert_close(one.slope, other.slope, rtol=0.0, atol=0.0)
    twice = [one.fire(moved(3), 20.0, generator=seeded(7)) for _ in range(2)]
    assert torch.equal(*twice)


def test_preferred_directions_in_space_favor_no_side():
    cells = TunedPopulation.drawn(20_011, 3, generator=seeded())
    second = cells.preferred.T @ cells.preferred / 20_011
    torch.testing.assert_close(second, torch.eye(3) / 3, rtol=0.0, atol=0.01)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_fitted_population_is_the_one_that_fired(axes):
    true = TunedPopulation(drawn(axes).baseline, drawn(axes).slope, torch.linspace(0, 0.01, N))
    velocity = moved(axes)
    counts = true.fire(velocity, 50.0, generator=seeded())
    found = TunedPopulation.fitted(list(counts.split(101)), list(velocity.split(101)), 50.0)
    for one, other in ((found.baseline, true.baseline), (found.slope, true.slope),
                       (found.speed, true.speed)):  # fmt: skip
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.0022)


def test_at_the_likeliest_weights_the_likelihood_is_level():
    """The sum over bins of (y / r - 1) x vanishes where all rates are positive."""
    x = torch.cat((torch.ones(T, 1), torch.rand(T, 2, generator=seeded())), 1).double()
    counts = torch.poisson(x @ torch.tensor([[0.5, 1.0], [2.0, 0.3], [0.7, 1.1]]).double(),
                           generator=seeded())  # fmt: skip
    weights = poisson_regression(x, counts)
    slope = (counts / (x @ weights.T) - 1).T @ x
    assert slope.abs().max() < 1e-2


def test_a_cell_that_never_fires_has_no_tuning():
    counts = torch.stack((torch.zeros(T), torch.ones(T)), 1)
    found = TunedPopulation.fitted(counts, moved(2), 20.0)
    assert found.baseline[0] == 0
    assert found.depth[0] == 0
    torch.testing.assert_close(found.baseline[1], torch.tensor(0.05))


def test_another_context_turns_directions_by_the_angle_and_keeps_depths():
    cells = TunedPopulation.drawn(4001, 3, generator=seeded())
    other = cells.altered(turn=0.4, share=0.0, generator=seeded())
    torch.testing.assert_close(other.depth, cells.depth)
    torch.testing.assert_close(other.baseline, cells.baseline)
    angle = (other.preferred * cells.preferred).sum(1).clamp(-1, 1).acos()
    assert float(angle.square().mean().sqrt()) == pytest.approx(0.4, abs=0.02)
    same = cells.altered(turn=0.0, share=0.0, generator=seeded())
    torch.testing.assert_close(same.slope, cells.slope)
    scaled = cells.altered(turn=0.0, share=0.3, generator=seeded())
    assert float((scaled.baseline / cells.baseline).log().std()) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: drawn(2, depth=-1.0), "depth must be positive and finite, got -1.0"),
        (lambda: drawn(2, top=math.nan), "top must be positive and finite, got nan"),
        (lambda: drawn(0), "axes must be a number, at least 1, got 0"),
        (lambda: TunedPopulation(torch.ones(3), torch.ones(2, 2)), r"got \[3\] and \[2, 2\]"),
        (lambda: TunedPopulation(-torch.ones(3), torch.ones(3, 2)), "rates of 0 and more"),
        (lambda: drawn(2)(torch.ones(3)), r"must have 2 axes, got shape \[3\]"),
    ],
)
def test_what_is_no_population_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
