"""Distances of spike trains have closed forms, limits, and are metrics."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amphid.measures import train_correlation, van_rossum, victor_purpura
from amphid.measures.spike_trains import filtered

T = 131  # more than one block, and none of them whole


def train(*times: int, steps: int = T) -> torch.Tensor:
    spikes = torch.zeros(steps, 1, dtype=torch.float64)
    spikes[list(times)] = 1.0
    return spikes


def drawn(*shape: int, seed: int = 1, density: float = 0.1) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=g, dtype=torch.float64) < density).double()


def test_a_trace_is_the_recursion_step_by_step() -> None:
    spikes, now, traces = drawn(T, 3, 2), torch.zeros(3, 2, dtype=torch.float64), []
    for given_ in spikes:
        now = math.exp(-0.5 / 7.0) * now + given_
        traces.append(now)
    torch.testing.assert_close(filtered(spikes, 7.0, 0.5), torch.stack(traces), rtol=1e-12, atol=0)


@pytest.mark.parametrize("apart", [0, 1, 13, 97])
@pytest.mark.parametrize("tau", [0.7, 11.0, 401.0])
def test_two_single_spikes_are_apart_as_published(apart: int, tau: float) -> None:
    distance = van_rossum(train(3), train(3 + apart), tau=tau, dt=0.5)
    assert float(distance) == pytest.approx(-math.expm1(-apart * 0.5 / tau), rel=1e-12)


@pytest.mark.parametrize("at", [0, 7, T - 1])
def test_a_spike_is_half_a_spike_away_from_silence(at: int) -> None:
    """Also the last one, whose trace lasts beyond the recording."""
    assert float(van_rossum(train(at), train(), tau=20.0)) == pytest.approx(0.5, rel=1e-12)


def test_a_long_time_constant_compares_numbers_of_spikes() -> None:
    distance = van_rossum(train(1, 50, 90), train(7), tau=1e9)
    assert float(distance) == pytest.approx((3 - 1) ** 2 / 2, rel=1e-4)


def brute(first: list[float], second: list[float], cost: float) -> float:
    """The recursion of the article, in the plainest words."""
    table = [[0.0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in range(len(first) + 1):
        for j in range(len(second) + 1):
            if not i or not j:
                table[i][j] = i + j
                continue
            moved = table[i - 1][j - 1] + cost * abs(first[i - 1] - second[j - 1])
            table[i][j] = min(moved, table[i - 1][j] + 1, table[i][j - 1] + 1)
    return table[-1][-1]


@given(st.integers(0, 999), st.floats(0.0, 3.0))
def test_victor_purpura_is_the_cheapest_way(seed: int, cost: float) -> None:
    first, second = drawn(31, 5, seed=seed), drawn(31, 5, seed=seed + 1000, density=0.3)
    found = victor_purpura(first, second, cost=cost, dt=0.5)
    for cell in range(5):
        times = [(0.5 * spikes[:, cell].nonzero()[:, 0]).tolist() for spikes in (first, second)]
        assert float(found[cell]) == pytest.approx(brute(*times, cost))


def test_victor_purpura_is_a_metric() -> None:
    a, b, c = (drawn(T, 7, 5, seed=seed) for seed in (1, 2, 3))
    assert (victor_purpura(a, a) == 0).all()
    assert (victor_purpura(a, b) > 0).all()
    torch.testing.assert_close(victor_purpura(a, b), victor_purpura(b, a))
    assert (victor_purpura(a, c) <= victor_purpura(a, b) + victor_purpura(b, c) + 1e-12).all()


def test_its_limits_count_spikes() -> None:
    a, b = drawn(T, 7), drawn(T, 7, seed=2)
    free, dear = victor_purpura(a, b, cost=0.0), victor_purpura(a, b, cost=1e9)
    assert torch.equal(free, (a.sum(0) - b.sum(0)).abs())
    assert torch.equal(dear, (a - b).abs().sum(0))


def test_several_spikes_in_a_step_count_as_such() -> None:
    first, second = 3 * train(5), train(5)
    assert float(victor_purpura(first, second)) == 2.0


@pytest.mark.parametrize("measure", [van_rossum, victor_purpura])
def test_trains_of_other_shapes_are_refused(measure: object) -> None:
    with pytest.raises(ValueError, match=r"\[7, 3\] and \[7, 2\]"):
        measure(torch.zeros(7, 3), torch.zeros(7, 2))
    with pytest.raises(ValueError, match="dt must be a positive number of ms"):
        measure(torch.zeros(7, 3), torch.zeros(7, 3), dt=0.0)


def test_a_negative_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="cost must be per ms, not negative, got -1"):
        victor_purpura(train(), train(), cost=-1)


@pytest.mark.reference
def test_distances_are_those_of_elephant() -> None:
    dissimilarity = pytest.importorskip("elephant.spike_train_dissimilarity")
    neo, quantities = pytest.importorskip("neo"), pytest.importorskip("quantities")
    first, second = drawn(T, 1, seed=4), drawn(T, 1, seed=5)
    trains = [
        neo.SpikeTrain(s[:, 0].nonzero()[:, 0].double().numpy(), units="ms", t_stop=T + 1.0)
        for s in (first, second)
    ]
    theirs = dissimilarity.victor_purpura_distance(trains, 0.2 / quantities.ms)[0, 1]
    assert float(victor_purpura(first, second, cost=0.2)) == pytest.approx(theirs)


@pytest.mark.parametrize("pooled", [False, True])
def test_the_correlation_of_trains_is_that_of_their_traces(pooled: bool) -> None:
    one, other = drawn(T, 5, 3, seed=1), drawn(T, 5, 3, seed=2)
    other[:, 1] = one[:, 1]
    found = train_correlation(one, other, tau=7.0, dt=0.5, floor=0.0, pooled=pooled)
    assert found.shape == ((3,) if pooled else (5, 3))
    u, w = (filtered(spikes, 7.0, 0.5) for spikes in (one, other))
    pair = (u[..., 2].flatten(), w[..., 2].flatten()) if pooled else (u[:, 1, 2], w[:, 1, 2])
    expected = torch.corrcoef(torch.stack(pair))[0, 1]
    torch.testing.assert_close(found[2] if pooled else found[1, 2], expected)


def test_a_silent_train_has_no_correlation_and_a_finite_slope() -> None:
    silent = torch.zeros(T, 3, 2, dtype=torch.float64, requires_grad=True)
    found = train_correlation(silent, drawn(T, 3, 2), floor=0.1, pooled=True)
    assert found.tolist() == [0.0, 0.0]
    (slope,) = torch.autograd.grad(found.sum(), silent)
    assert 0 < slope.abs().max().item() < 1
