"""Recurrence, delays, dropout, norms, coding and readouts against what they must be."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import amphid as am
from amphid import wiring
from amphid.dynamics import LIF, Delta, LeakyIntegrator, ThresholdIntegrator, learned
from amphid.models import (
    BatchNorm,
    BatchNormThroughTime,
    Connections,
    Delay,
    DelayedLinear,
    Dropout,
    FirstSpikeTime,
    Gain,
    LastStep,
    LatencyCode,
    PoissonCode,
    PopulationCode,
    RateCode,
    Recurrent,
    Repeat,
    Sequential,
    SpikeCount,
    TimeMax,
    TimeMean,
)

T, B, N = 13, 5, 7


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def shifted(x: Tensor, steps: int) -> Tensor:
    return torch.cat((torch.zeros_like(x[:steps]), x[: len(x) - steps]))


# recurrence


def test_recurrent_cells_hear_what_they_gave_out_one_step_before():
    weight, x = 300 * noise(N, N), 600 + 200 * noise(T, B, N)
    layer = Recurrent(LIF(), nn.Linear(N, N, bias=False))
    layer.projection.weight.data = weight
    cell, state, given, looped = LIF(), LIF().init(x[0]), torch.zeros(B, N), []
    for present in x:
        state, given = cell.step(state, present + given @ weight.T, 1.0)
        looped.append(given)
    torch.testing.assert_close(layer(x), torch.stack(looped))
    assert not torch.equal(layer(x), cell(x))


def test_a_connectome_as_projection_is_the_network_of_charges():
    """A charge of one pA ms per unit within a step of 1 ms is a current of 1 pA."""
    wired = wiring.random(N, probability=0.5, inhibitory=0.3, generator=seeded())
    wired = wired.with_connections(delay=[k % 4 for k in range(len(wired.connections))])
    x = 600 + 200 * noise(T, B, N)
    layer = Recurrent(LIF(), wired)
    with torch.no_grad():
        layer.projection.weight.mul_(300)
    weight = layer.projection.weight.detach().abs()
    net = am.Network(wired, neuron=LIF(), synapse=Delta(charge=1.0), weight=weight)
    torch.testing.assert_close(layer(x), net(x))
    assert not torch.equal(layer(x), LIF()(x))


def test_connections_are_a_matrix_for_each_delay():
    wired = wiring.random(N, probability=0.5, generator=seeded())
    delay = torch.arange(len(wired.connections)) % 3
    wired = wired.with_connections(delay=delay.numpy())
    layer, x = Connections(wired, nn.Parameter(noise(len(delay)))), noise(T, B, N)
    expected = torch.zeros(T, B, N)
    for edge, (pre, post) in enumerate(zip(wired.connections.pre, wired.connections.post)):  # noqa: B905
        row = shifted(x[..., int(pre)], int(delay[edge]))
        expected[..., int(post)] += layer.weight[edge].detach() * row
    torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    assert (layer.weight.grad != 0).all()


def test_convolutions_carry_maps_back():
    layer = Recurrent(LIF(), nn.Conv2d(3, 3, 3, padding=1))
    x = 200 * noise(T, B, 3, 5, 7)
    first, state = layer.run(x[:4])
    torch.testing.assert_close(torch.cat((first, layer.run(x[4:], state)[0])), layer(x))


# delays


@pytest.mark.parametrize("dt", [1.0, 0.5])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_delay_of_whole_steps_is_a_shift_exactly(steps: int, dt: float):
    x, delay = noise(T, B, N), steps * dt
    lines = (
        Delay(delay),
        Delay(torch.full((N,), delay)),
        Delay(nn.Parameter(torch.full((N,), delay)), longest=5.0),
    )
    for line in lines:
        torch.testing.assert_close(line(x, dt=dt), shifted(x, steps), rtol=0, atol=0)
    linear = DelayedLinear(N, 3, delay=delay)
    plain = nn.functional.linear(shifted(x, steps), linear.weight, linear.bias)
    torch.testing.assert_close(linear(x, dt=dt), plain)


def test_a_delay_between_two_steps_mixes_them():
    x = noise(T, B, N)
    between = 0.75 * shifted(x, 2) + 0.25 * shifted(x, 3)
    for line in (Delay(2.25), Delay(torch.tensor(2.25)), Delay(torch.full((N,), 2.25))):
        torch.testing.assert_close(line(x), between)
        torch.testing.assert_close(line(x, dt=2.25), shifted(x, 1))


def test_every_cell_has_a_delay_of_its_own():
    x, delay = noise(T, B, 3), torch.tensor([0.0, 2.0, 5.0])
    expected = torch.stack([shifted(x[..., k], int(d)) for k, d in enumerate(delay)], -1)
    torch.testing.assert_close(Delay(delay)(x), expected)


def test_every_connection_has_a_delay_of_its_own():
    delay = 6 * torch.rand(3, N, generator=seeded())
    layer, x = DelayedLinear(N, 3, delay=delay), noise(T, B, N)
    expected = layer.bias.expand(T, B, 3).clone()
    for k in range(3):
        for n in range(N):
            expected[..., k] += layer.weight[k, n] * Delay(float(delay[k, n]))(x[..., n])
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("spread", [None, 0.7, 3.0])
def test_the_gradient_of_a_delay_is_that_of_finite_differences(spread: float | None):
    x = noise(T, B, N)
    delay = 0.3 + 5 * torch.rand(N, generator=seeded())

    def by_delay(delay: Tensor) -> Tensor:
        line = Delay(learned(delay), longest=6.0, spread=spread)
        return torch.func.functional_call(line, {"delay": delay}, (x,))

    def by_delays(delay: Tensor) -> Tensor:
        layer = DelayedLinear(N, 3, delay=learned(1.0), longest=6.0, spread=spread)
        values = {"delay": delay, "weight": noise(3, N, seed=5), "bias": noise(3)}
        return torch.func.functional_call(layer, values, (x,))

    assert torch.autograd.gradcheck(by_delay, (delay.requires_grad_(),))
    delays = (0.3 + 5 * torch.rand(3, N, generator=seeded())).requires_grad_()
    assert torch.autograd.gradcheck(by_delays, (delays,))


def test_a_narrow_spread_is_the_shift_and_any_spread_sums_to_one():
    x = noise(T, B, N)
    torch.testing.assert_close(Delay(3.0, longest=6.0, spread=0.05)(x), shifted(x, 3))
    ones = Delay(3.3, longest=6.0, spread=2.0)(torch.ones(20, N))
    torch.testing.assert_close(ones[6:], torch.ones(14, N))


def test_a_delay_that_is_learned_finds_the_right_one():
    """A Gaussian that becomes narrower leads from 9 ms to 3 ms."""
    x = (torch.rand(60, 1, 3, generator=seeded()) < 0.1).double()
    target = shifted(x, 3)
    line = Delay(learned(torch.full((3,), 9.0)), longest=12.0, spread=6.0)
    optimizer = torch.optim.Adam(line.parameters(), lr=0.3)
    for step in range(120):
        line.spread = max(6.0 * 0.96**step, 0.3)
        optimizer.zero_grad()
        (line(x) - target).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(line.delay.detach(), torch.full((3,), 3.0), rtol=0, atol=0.05)


def test_a_delay_out_of_its_range_acts_like_the_end_and_still_learns():
    line, x = Delay(learned(4.0), longest=5.0), noise(T, B, N)
    with torch.no_grad():
        line.delay.fill_(7.0)
    torch.testing.assert_close(line(x), shifted(x, 5))
    line(x).square().sum().backward()
    assert line.delay.grad != 0


def test_delays_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        Delay(-1.0)
    with pytest.raises(ValueError, match="a learned delay needs longest="):
        Delay(learned(1.0))
    with pytest.raises(ValueError, match="at least the delays, up to 3 ms"):
        Delay(3.0, longest=2.0)
    with pytest.raises(ValueError, match="spread must be a positive number"):
        Delay(3.0, spread=0.0)(noise(T, N))
    with pytest.raises(ValueError, match=r"delay must be \[K, N\] = \[3, 7\]"):
        DelayedLinear(N, 3, delay=torch.ones(7, 3))


# dropout


@pytest.mark.parametrize("p", [0.0, 0.3, 0.8])
def test_what_is_dropped_stays_dropped(p: float):
    layer, x = Dropout(p, generator=seeded()), 1 + torch.rand(T, 11, 101, generator=seeded())
    ratio = layer(x) / x
    assert torch.equal(ratio > 0, (ratio[0] > 0).expand_as(ratio))
    kept = ratio[ratio > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)))
    assert (ratio[0] == 0).double().mean().item() == pytest.approx(p, abs=0.04)
    assert not torch.equal(layer(x), layer(x)) or p == 0
    assert layer.eval()(x) is x


def test_the_same_generator_drops_the_same_and_torchs_own_is_left_alone():
    x, before = torch.ones(T, B, N), torch.get_rng_state()
    pair = [Dropout(0.5, generator=seeded())(x) for _ in range(2)]
    torch.testing.assert_close(*pair)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_mask_goes_on_with_the_state():
    layer, x = Dropout(0.5, generator=seeded()), torch.ones(T, B, N)
    first, state = layer.run(x[:4])
    second, _ = layer.run(x[4:], state)
    torch.testing.assert_close(second, first[:1].expand_as(second))


def test_maps_are_dropped_whole():
    dropped = Dropout(0.5, maps=True, generator=seeded())(torch.ones(T, B, 7, 3, 4)) > 0
    assert torch.equal(dropped, dropped[:1, ..., :1, :1].expand_as(dropped))
    with pytest.raises(ValueError, match="last two axes are space"):
        Dropout(0.5, maps=True)(torch.ones(T, B, 7))


# batch norm


def test_batch_norm_is_its_closed_form_over_time_and_batch():
    x = 7 + 3 * noise(T, B, N)
    layer = BatchNorm(N, scale=2.0)
    rows = x.reshape(-1, N)
    expected = 2 * (x - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.running_mean, 0.1 * rows.mean(0))
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * rows.var(0))
    gone = 2 * (x - layer.running_mean) / (layer.running_var + 1e-5).sqrt()
    torch.testing.assert_close(layer.eval()(x), gone)


def test_of_maps_it_is_that_of_images_with_time_in_the_batch():
    x, plain = noise(T, B, 3, 5, 7), nn.BatchNorm2d(3)
    expected = plain(x.flatten(0, 1)).unflatten(0, (T, B))
    torch.testing.assert_close(BatchNorm(3, axis=-3)(x), expected)
    torch.testing.assert_close(Sequential(BatchNorm(3, axis=-3))(x), expected)


def test_threshold_dependent_norm_spreads_currents_by_the_way_to_threshold():
    y = BatchNorm.threshold_dependent(N, threshold=150.0, alpha=0.5)(noise(T, B, N))
    rows = y.reshape(-1, N)
    torch.testing.assert_close(rows.std(0, correction=0), torch.full((N,), 75.0), rtol=1e-4, atol=0)
    reached = LIF().run(torch.full((500, 1), 150.0))[1].v
    torch.testing.assert_close(reached, torch.full((1,), -50.0))


def test_norm_through_time_has_statistics_for_every_step():
    x = torch.linspace(1, 9, T)[:, None, None] * (3 + noise(T, B, N))
    layer = BatchNormThroughTime(N, T, scale=2.0)
    deviation = (x.var(1, correction=0) + 1e-5).sqrt()
    expected = 2 * (x - x.mean(1, keepdim=True)) / deviation[:, None]
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.running_mean, 0.1 * x.mean(1))
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * x.var(1))
    with pytest.raises(ValueError, match="for 13 steps, but this sequence has 14"):
        layer(noise(T + 1, B, N))
    _, state = layer.run(x[:5])
    with pytest.raises(ValueError, match="has 18"):
        layer.run(x, state)


@pytest.mark.parametrize("layer", [BatchNorm(N), BatchNormThroughTime(N, T)])
def test_norms_refuse_what_does_not_fit(layer: nn.Module):
    with pytest.raises(ValueError, match=f"{N} features along axis -1, but there are 3"):
        layer(noise(T, B, 3))
    with pytest.raises(ValueError, match="more than one value for a variance"):
        layer(noise(1, 1, N))
    with pytest.raises(ValueError, match="axis must count from the end"):
        type(layer)(N, T, axis=0) if isinstance(layer, BatchNormThroughTime) else BatchNorm(
            N, axis=1
        )


# gain


@pytest.mark.parametrize("how", [float, learned])
def test_a_gain_is_a_factor_that_travels_with_the_weights(how: Callable[[float], Any]):
    x, gain = noise(T, B, N), Gain(how(300.0))
    other = copy.deepcopy(gain)
    torch.testing.assert_close(gain(x), 300 * x)
    gain.multiply(0.5)
    torch.testing.assert_close(gain(x), 150 * x)
    assert len(gain.state_dict()) == 1
    other.load_state_dict(gain.state_dict())
    torch.testing.assert_close(other(x), 150 * x)
    with pytest.raises(ValueError, match="gain must be positive"):
        Gain(0.0)


# coding


def test_repeat_is_the_input_at_every_step():
    x = noise(B, N)
    torch.testing.assert_close(Repeat(7.0)(x, dt=0.5), torch.stack([x] * 14))


def test_the_larger_the_sooner_and_only_once():
    x = torch.tensor([1.0, 0.75, 0.5, 0.25, 1e-9, 0.0, -3.0, 2.0])
    spikes = LatencyCode(8.0)(x)
    assert spikes.sum(0).tolist() == [1, 1, 1, 1, 1, 0, 0, 1]
    assert spikes[:, spikes.sum(0) > 0].argmax(0).tolist() == [0, 2, 4, 6, 7, 0]
    assert LatencyCode(8.0, silent=0.3)(x).sum(0).tolist() == [1, 1, 1, 0, 0, 0, 0, 1]
    assert LatencyCode(8.0, silent=0.5)(torch.tensor([0.75]), dt=0.5).argmax() == 8


@pytest.mark.parametrize("dt", [1.0, 0.25])
@pytest.mark.parametrize("code", [RateCode, PoissonCode])
def test_spikes_come_at_the_rate_in_proportion(code: type, dt: float):
    x = torch.tensor([0.0, 0.2, 1.0]).expand(40_000, 3)
    spikes = code(0.4, generator=seeded())(x, dt=dt)
    mean = spikes.mean(0) / dt
    assert mean[0] == 0
    torch.testing.assert_close(mean[1:], torch.tensor([0.08, 0.4]), rtol=0.1, atol=0)
    variance = spikes[:, 2].var() / (0.4 * dt)
    expected = 1 - 0.4 * dt if code is RateCode else 1.0
    assert variance.item() == pytest.approx(expected, rel=0.06)
    assert torch.equal(spikes, code(0.4, generator=seeded())(x, dt=dt))


@pytest.mark.parametrize("code", [RateCode, PoissonCode])
def test_the_gradient_of_random_spikes_is_that_of_their_mean(code: type):
    x = torch.full((T, N), 0.5, requires_grad=True)
    code(0.1, generator=seeded())(x, dt=0.5).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((T, N), 0.05))


def test_a_step_that_cannot_hold_the_spikes_is_refused():
    with pytest.raises(ValueError, match="use PoissonCode"):
        RateCode(2.0)(torch.ones(T, N))
    assert PoissonCode(2.0, generator=seeded())(torch.ones(99, N)).max() > 1


def test_tuning_curves_peak_at_their_centers_and_meet_between_them():
    code = PopulationCode(5, low=-1.0, high=1.0)
    torch.testing.assert_close(code(torch.linspace(-1, 1, 5)[:, None]).diagonal(), torch.ones(5))
    middle = code(torch.tensor([[0.25]]))[0]
    assert middle[2] == pytest.approx(middle[3].item())
    assert middle[2].item() == pytest.approx(math.exp(-0.5 * (0.25 / (0.5 * 2 / 3)) ** 2))
    assert code(noise(T, B, 3)).shape == (T, B, 15)
    torch.testing.assert_close(code(noise(B, 3))[:, 5:10], code(noise(B, 3)[:, 1:2]))
    with pytest.raises(ValueError, match="low must be below high"):
        PopulationCode(5, low=1.0, high=1.0)


# readouts


def test_readouts_are_reductions_over_time():
    x = noise(T, B, N)
    torch.testing.assert_close(SpikeCount()(x), x.sum(0))
    torch.testing.assert_close(TimeMean()(x), x.mean(0))
    torch.testing.assert_close(TimeMax()(x), x.amax(0))
    torch.testing.assert_close(LastStep()(x), x[-1])


def test_first_spike_times_are_those_of_a_recording():
    spikes = torch.zeros(T, 4)
    for cell, steps in enumerate([(3,), (0, 5), (12,), ()]):
        spikes[list(steps), cell] = 1.0
    times = FirstSpikeTime()(spikes, dt=0.5)
    assert times.tolist() == [2.0, 0.5, 6.5, 7.0]
    net = wiring.random(4, probability=0.0, generator=seeded())
    counting = ThresholdIntegrator(capacitance=1.0, v_threshold=2.5)
    stimulus = torch.tensor([0.1, 0.3, 0.6, 3.0]).expand(T, 4)
    run = am.simulate(am.Network(net, neuron=counting), stimulus, dt=1.0, record=("spike",))
    first = FirstSpikeTime()(counting(stimulus))
    for cell in (1, 2, 3):
        assert first[cell] == run.spikes.time[run.spikes.cell == cell].min()


def test_the_first_spike_comes_sooner_with_more_current_and_so_says_its_gradient():
    gain = torch.tensor(1.0, requires_grad=True)
    FirstSpikeTime()(LIF()(gain * torch.full((60, 3), 250.0))).sum().backward()
    assert gain.grad < 0


def test_the_gradient_of_a_first_spike_is_what_one_more_or_less_would_change():
    spikes = torch.zeros(T, 1)
    spikes[4] = spikes[9] = 1.0
    spikes.requires_grad_()
    FirstSpikeTime()(spikes).sum().backward()
    slope = spikes.grad[:, 0].tolist()
    assert slope[2] == -2.0  # one more at 2 would come 2 steps sooner
    assert slope[4] == -5.0  # without the one at 4 the next is 5 later
    assert slope[9] == slope[12] == 0.0


def test_a_leaky_membrane_and_its_mean_are_a_readout():
    net = Sequential(nn.Linear(N, 3), LIF(), nn.Linear(3, 2), LeakyIntegrator(), TimeMax())
    assert net(noise(T, B, N)).shape == (B, 2)
