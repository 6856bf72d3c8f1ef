"""Cells that fire by chance, and the random numbers that they draw."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from amphid.dynamics import EscapeRate
from amphid.dynamics.binary import fresh_keys, uniform


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(steps: int, cells: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random numbers [T, N] of cells with fresh keys."""
    key, numbers = fresh_keys(torch.zeros(cells), seeded()), []
    for _ in range(steps):
        key, number = uniform(key, dtype)
        numbers.append(number)
    return torch.stack(numbers)


def test_random_numbers_are_those_of_splitmix64() -> None:
    """The first outputs of the published generator from the seed 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    key = torch.tensor([1234567])
    for number in published:
        key, got = uniform(key, torch.float64)
        assert got.item() == (number >> 11) / 2**53


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_random_numbers_are_below_one_and_exact(dtype: torch.dtype) -> None:
    numbers = drawn(31, 1009, dtype)
    assert numbers.dtype == dtype
    assert 0 <= numbers.min() <= numbers.max() < 1
    bits = 1 - round(math.log2(torch.finfo(dtype).eps))
    assert (numbers.double() * 2.0**bits % 1 == 0).all()


def test_random_numbers_are_uniform() -> None:
    """Moments within four standard errors; Kolmogorov and Smirnov's distance below its 0.1 %."""
    numbers = drawn(97, 1009).flatten()
    size = len(numbers)
    for power in (1, 2, 3, 4):
        expected, square = 1 / (power + 1), 1 / (2 * power + 1)
        error = math.sqrt((square - expected**2) / size)
        assert numbers.pow(power).mean().item() == pytest.approx(expected, abs=4 * error)
    rank = (torch.arange(size) + 0.5) / size
    assert (numbers.sort().values - rank).abs().max() < 1.95 / math.sqrt(size)


def test_random_numbers_do_not_depend_on_their_neighbors() -> None:
    """Over time, between cells, and between cells whose keys are as near as can be."""
    numbers = drawn(97, 1009) - 0.5
    size, variance = numbers.numel(), 1 / 12
    for lag in (1, 2, 3, 7):
        in_time = (numbers[lag:] * numbers[:-lag]).mean() / variance
        in_space = (numbers[:, lag:] * numbers[:, :-lag]).mean() / variance
        assert abs(in_time) < 4 / math.sqrt(size)
        assert abs(in_space) < 4 / math.sqrt(size)
    _, near = uniform(torch.arange(100_003), torch.float64)
    assert abs(((near[1:] - 0.5) * (near[:-1] - 0.5)).mean() / variance) < 4 / math.sqrt(len(near))


def test_every_bit_of_a_random_number_is_fair() -> None:
    bits = (drawn(31, 1009).flatten() * 2.0**53).long()
    share = torch.stack([((bits >> place) & 1).double().mean() for place in range(53)])
    assert (share - 0.5).abs().max() < 4.5 * 0.5 / math.sqrt(len(bits))


@pytest.mark.parametrize("dt", [0.1, 1.0, 5.0])
def test_cells_fire_at_the_rate_of_their_voltage(dt: float) -> None:
    """Held at v by a reset to v: 1 - exp(-rho dt) spikes per step."""
    v = -52.0
    neuron = EscapeRate(generator=seeded(), v_rest=v, v_reset=v, rate=0.1, width=2.0)
    with torch.no_grad():
        spikes = neuron(torch.zeros(101, 5003), dt=dt)
    expected = 1 - math.exp(-0.1 * math.exp(-1.0) * dt)
    error = math.sqrt(expected * (1 - expected) / spikes.numel())
    assert spikes.mean().item() == pytest.approx(expected, abs=4 * error)
    assert set(spikes.unique().tolist()) == {0.0, 1.0}


def test_intervals_of_a_cell_at_rest_are_memoryless() -> None:
    """Geometric: their standard deviation is sqrt(1 - p) of their mean."""
    neuron = EscapeRate(generator=seeded(), v_rest=-50.0, v_reset=-50.0, rate=0.2)
    with torch.no_grad():
        spikes = neuron(torch.zeros(1009, 101))
    found = torch.cat([column.nonzero().flatten().diff() for column in spikes.unbind(1)]).double()
    assert len(found) > 10_000
    spread = math.sqrt(math.exp(-0.2))
    assert (found.std() / found.mean()).item() == pytest.approx(spread, rel=0.03)


def test_with_a_narrow_width_it_is_a_threshold() -> None:
    neuron = EscapeRate(generator=seeded(), width=1e-3)
    current = torch.full((101, 1), 200.0)
    first = int(neuron(current)[:, 0].nonzero()[0])
    assert first + 1 == math.ceil(20.0 * math.log(20 / 5))


def test_the_gradient_of_a_spike_is_that_of_its_probability() -> None:
    """d/dv of 1 - exp(-rho dt) is rho dt exp(-rho dt) / width, whether it fired or not."""
    neuron, dt = EscapeRate(generator=seeded(), width=3.0), 0.5
    v = torch.linspace(-60.0, -45.0, 101, requires_grad=True)
    state = neuron.init(torch.zeros(101))
    _, spikes = neuron.emit(state, v, dt)
    assert 0 < spikes.sum() < 101
    (gradient,) = torch.autograd.grad(spikes.sum(), v)
    hazard = 0.1 * dt * torch.exp((v.detach() + 50.0) / 3.0)
    torch.testing.assert_close(gradient, hazard * torch.exp(-hazard) / 3.0)


def test_a_run_from_a_state_repeats_itself_and_a_run_from_rest_does_not() -> None:
    neuron, current = EscapeRate(generator=seeded()), torch.full((101, 7), 150.0)
    start = neuron.init(current[0])
    first, again = (neuron.run(current, start)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, neuron(current))


def test_the_same_seed_gives_the_same_spikes() -> None:
    current = torch.full((101, 7), 150.0)
    first, again = (EscapeRate(generator=seeded(3))(current) for _ in range(2))
    assert torch.equal(first, again)
    assert first.any()


def test_it_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    EscapeRate(generator=seeded())(torch.full((11, 3), 150.0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_members_of_a_population_share_their_chance_or_not_as_asked() -> None:
    neuron, currents = EscapeRate(generator=seeded()), torch.full((3, 101, 5), 170.0)
    same = torch.func.vmap(neuron, randomness="same")(currents)
    different = torch.func.vmap(neuron, randomness="different")(currents)
    assert torch.equal(same[0], same[1])
    assert not torch.equal(different[0], different[1])


def test_a_generator_is_required() -> None:
    with pytest.raises(TypeError, match="generator"):
        EscapeRate()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator, got 42"):
        EscapeRate(generator=42)  # type: ignore[arg-type]
