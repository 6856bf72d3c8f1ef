"""Neurons against what their equations say in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from amphid.dynamics import (
    ALIF,
    LIF,
    AdEx,
    BinaryThreshold,
    Crossing,
    FitzHughNagumo,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrator,
    MorrisLecar,
    Neuron,
    SigmoidRelease,
    ThresholdIntegrator,
)


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def steady(neuron: Neuron[Any], current: Tensor, duration: float, dt: float) -> Tensor:
    """What cells under constant currents [N] give out [T, N]."""
    with torch.no_grad():
        return neuron(current.expand(round(duration / dt), len(current)), dt=dt)


def trajectory(neuron: Neuron[Any], current: Tensor, dt: float, field: str = "v") -> Tensor:
    """A variable [T, N] under currents [T, N]."""
    state, values = neuron.init(current[0]), []
    with torch.no_grad():
        for now in current:
            state, _ = neuron.step(state, now, dt)
            values.append(neuron.read(state, field))
    return torch.stack(values)


def intervals(spikes: Tensor, dt: float) -> list[Tensor]:
    """Intervals between the spikes [T, N] of each cell, ms."""
    return [column.nonzero().flatten().diff() * dt for column in spikes.unbind(1)]


def test_lif_fires_at_the_analytic_interval() -> None:
    current = torch.tensor([160.0, 200.0, 307.0])
    v_inf = -65.0 + 0.1 * current
    expected = 20.0 * torch.log((v_inf + 65.0) / (v_inf + 50.0))
    found = intervals(steady(LIF(), current, 173.0, 0.1), 0.1)
    for own, interval in zip(found, expected, strict=True):
        assert len(own) > 1
        assert ((own - interval).abs() <= 0.1).all()


def test_lif_is_silent_where_its_input_ends_below_threshold() -> None:
    assert not steady(LIF(), torch.tensor([149.9, -500.0]), 307.0, 0.5).any()


def test_a_threshold_integrator_fires_whenever_its_charge_is_full() -> None:
    neuron, dt = ThresholdIntegrator(capacitance=200.0, v_threshold=15.0), 0.25
    current = torch.tensor([100.0, 170.0, 230.0])
    steps = torch.floor(15.0 * 200.0 / current / dt) + 1  # strictly above
    found = intervals(steady(neuron, current, 157.0, dt), dt)
    for own, expected in zip(found, steps * dt, strict=True):
        assert set(own.tolist()) == {expected.item()}


def test_a_threshold_integrator_forgets_nothing() -> None:
    """One unit now and one much later are two units."""
    current = torch.zeros(1009, 1)
    current[0], current[-1] = 9.0, 7.0
    neuron = ThresholdIntegrator(capacitance=1.0, v_threshold=15.0)
    assert neuron(current, dt=1.0).nonzero().tolist() == [[1008, 0]]


def test_the_counting_cell_of_programs_without_units() -> None:
    """1 pF and steps of 1 ms: it adds integers, fires above 30 and starts again at zero."""
    counts = torch.tensor([[10.0], [20.0], [1.0], [30.0], [1.0], [-5.0], [36.0]])
    neuron = ThresholdIntegrator(capacitance=1.0, v_threshold=30.0)
    v = trajectory(neuron, counts, 1.0)
    assert v.flatten().tolist() == [10.0, 30.0, 0.0, 30.0, 0.0, -5.0, 0.0]


@pytest.mark.parametrize("dt", [0.1, 1.0, 7.0])
def test_a_leaky_integrator_follows_the_step_response_at_any_dt(dt: float) -> None:
    neuron = LeakyIntegrator(tau=11.0, resistance=0.3)
    response = neuron(torch.full((13, 1), 50.0), dt=dt).flatten()
    time = dt * torch.arange(1, 14)
    torch.testing.assert_close(response, 15.0 * (1 - torch.exp(-time / 11.0)))


def test_what_a_leaky_integrator_gives_out_is_its_voltage() -> None:
    neuron, current = LeakyIntegrator(v_rest=-3.0), torch.linspace(-50, 300, 17)[:, None]
    assert neuron.output == "v"
    torch.testing.assert_close(neuron(current), trajectory(neuron, current, 1.0))
    assert neuron.given(neuron.init(torch.zeros(2))).tolist() == [-3.0, -3.0]


def test_alif_fires_where_the_voltage_meets_the_falling_threshold() -> None:
    """In the steady state the threshold before a spike sums the jumps of all spikes before."""
    neuron, dt = ALIF(tau_adaptation=50.0, jump=3.0), 0.1
    found = intervals(steady(neuron, torch.tensor([400.0]), 307.0, dt), dt)[0]
    period = found[-3:].mean()
    left = torch.exp(-period / 50.0)
    threshold = -50.0 + 3.0 * left / (1 - left)
    v = -65.0 + 40.0 * (1 - torch.exp(-period / 20.0))
    assert v == pytest.approx(threshold.item(), abs=0.2)  # what v moves in a step
    assert found[0] < found[1] < period


def test_alif_s_threshold_falls_back_exactly() -> None:
    neuron = ALIF(tau_adaptation=31.0, jump=4.0)
    state = neuron.init(torch.zeros(1))
    state, spike = neuron.step(state, torch.tensor([1e4]), 1.0)
    assert spike.item() == 1.0
    assert state.threshold.item() == pytest.approx(-46.0)
    for _ in range(7):
        state, _ = neuron.step(state, torch.zeros(1), 2.0)
    assert state.threshold.item() == pytest.approx(-50.0 + 4.0 * math.exp(-14.0 / 31.0))


def test_alif_without_a_jump_is_lif() -> None:
    current = 400.0 * torch.rand(97, 3, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ALIF(jump=0.0)(current), LIF()(current))


def test_credit_for_a_late_spike_reaches_back_through_the_jump() -> None:
    """What the first spike does to the third one 40 ms later passes through the threshold."""
    early = torch.full((1, 1), 4000.0).requires_grad_()
    late = torch.full((40, 1), 149.0)
    for jump, reaches in ((2.0, True), (0.0, False)):
        spikes = ALIF(jump=jump)(torch.cat((early, late)))
        (gradient,) = torch.autograd.grad(spikes[-1].sum(), early)
        assert bool(gradient.abs() > 1e-9) == reaches


@pytest.mark.parametrize(
    "make", [Izhikevich, Izhikevich.intrinsically_bursting, Izhikevich.chattering]
)
def test_izhikevich_comes_to_rest_where_its_nullclines_cross(make: Any) -> None:
    """k x (x - theta) - b x + I = 0 with x = v - v_r: the lower root."""
    cell, current = make(), 31.0
    theta = cell.v_t - cell.v_r + cell.b / cell.k
    x = (theta - math.sqrt(theta**2 - 4 * current / cell.k)) / 2
    _, state = cell.run(torch.full((401, 1), current), dt=8.0)
    assert state.v.item() == pytest.approx(cell.v_r + x, abs=1e-6)
    assert state.u.item() == pytest.approx(cell.b * x, abs=1e-5)


@pytest.mark.parametrize("b", [0.2, 0.25, 0.26])
def test_the_form_of_2003_is_a_special_case(b: float) -> None:
    cell = Izhikevich.of_2003(a=0.02, b=b, c=-65.0, d=8.0)
    start = torch.linspace(-80.0, 20.0, 11)
    u = torch.linspace(5.0, -20.0, 11)  # of 2003, counted from zero
    state = cell.init(start)._replace(v=start, u=u - b * cell.v_r)
    after, _ = cell.step(state, torch.full((11,), 3.0), 1e-7)
    speed = (after.v - start) / 1e-7
    torch.testing.assert_close(
        speed, 0.04 * start**2 + 5 * start + 140 - u + 3.0, rtol=1e-4, atol=1e-3
    )
    torch.testing.assert_close(
        (after.u - state.u) / 1e-7, 0.02 * (b * start - u), rtol=1e-4, atol=1e-3
    )


def test_the_form_of_2003_rests_at_its_published_values() -> None:
    cell = Izhikevich.of_2003()
    assert (cell.v_r, cell.v_t) == pytest.approx((-70.0, -55.0))
    large = Izhikevich.of_2003(capacitance=37.0)
    current = torch.linspace(0.0, 20.0, 307)[:, None]
    torch.testing.assert_close(
        trajectory(large, 37.0 * current, 0.5), trajectory(cell, current, 0.5)
    )


def test_the_form_of_2003_without_a_rest_is_refused() -> None:
    with pytest.raises(ValueError, match="b must be at most"):
        Izhikevich.of_2003(b=0.3)
    with pytest.raises(TypeError, match="b must be a finite number, got 'high'"):
        Izhikevich.of_2003(b="high")  # type: ignore[arg-type]


def test_izhikevich_s_kinds_fire_as_they_are_called() -> None:
    """Regular intervals grow smoothly; a burst first, then single spikes; bursts for ever."""
    regular = intervals(steady(Izhikevich(), torch.tensor([100.0]), 507.0, 0.25), 0.25)[0]
    assert (regular.diff() > -0.75).all()  # spikes lie on steps of 0.25
    assert regular[-1] > regular[0] + 1.0
    bursting = Izhikevich.intrinsically_bursting()
    found = intervals(steady(bursting, torch.tensor([600.0]), 257.0, 0.25), 0.25)[0]
    assert (found[:2] < 20.0).all()
    assert (found[2:] > 50.0).all()
    chatter = intervals(steady(Izhikevich.chattering(), torch.tensor([200.0]), 307.0, 0.25), 0.25)
    assert (chatter[0] < 8.0).sum() > 3
    assert (chatter[0] > 20.0).sum() > 1


def test_izhikevich_misses_no_upstroke_in_long_steps() -> None:
    current = torch.tensor([80.0, 150.0, 400.0, 900.0])
    fine = steady(Izhikevich(), current, 304.0, 0.2).sum(0)
    coarse = steady(Izhikevich(), current, 304.0, 2.0).sum(0)
    assert ((coarse - fine).abs() <= 0.15 * fine + 1).all()
    assert steady(Izhikevich.of_2003(), torch.tensor([10.0]), 1000.0, 4.0).sum() > 10


@pytest.mark.parametrize("dt", [0.1, 1.0, 4.0])
def test_an_overshoot_within_a_step_does_not_reach_the_recovery(dt: float) -> None:
    """However far a step overshoots the peak, u moves no more than the peak itself moves it."""
    cell = Izhikevich.intrinsically_bursting()
    state = cell.init(torch.zeros(1))._replace(v=torch.tensor([40.0]))
    after, spike = cell.step(state, torch.tensor([1e5]), dt)
    assert spike.item() == 1.0
    assert 130.0 < after.u.item() < 130.0 + 0.01 * dt * 5.0 * (50.0 + 75.0)


def test_adex_fires_above_its_rheobase() -> None:
    """Without a, the upstroke starts at g (v_threshold - v_leak - sharpness)."""
    neuron = AdEx(a=0.0, b=0.0)
    rheobase = 30.0 * (-50.4 + 70.6 - 2.0)
    spikes = steady(neuron, rheobase * torch.tensor([0.99, 1.01]), 507.0, 0.5)
    assert not spikes[:, 0].any()
    assert spikes[:, 1].any()


def test_adex_s_adaptation_balances_its_sources() -> None:
    """tau_w times what w gained is the integral of a (v - v_leak) - w, and tau_w b per spike."""
    neuron, dt, current = AdEx(), 0.1, torch.full((1009, 1), 1000.0)
    v, w = (trajectory(neuron, current, dt, field) for field in ("v", "w"))
    spikes = steady(neuron, current[0], 100.9, dt).sum()
    assert spikes > 4
    sources = dt * (4.0 * (v + 70.6) - w).sum() + 144.0 * 80.5 * spikes
    assert (144.0 * w[-1]).item() == pytest.approx(sources.item(), rel=0.01)


def test_fitzhugh_nagumo_rests_at_the_known_point() -> None:
    """a = 0.7, b = 0.8: x = -1.19941, w = -0.62426."""
    cell = FitzHughNagumo(v_mid=0.0, v_scale=1.0)
    state = cell.init(torch.zeros(1))
    assert (state.v.item(), state.recovery.item()) == pytest.approx((-1.19941, -0.62426), abs=1e-5)


def test_fitzhugh_nagumo_keeps_its_shape_in_any_units() -> None:
    plain = FitzHughNagumo(capacitance=1.0, conductance=1.0, v_mid=0.0, v_scale=1.0)
    scaled = FitzHughNagumo(capacitance=14.0, conductance=7.0, v_mid=-40.0, v_scale=20.0)
    i = torch.full((307, 1), 0.5)
    x, v = trajectory(plain, i, 0.25), trajectory(scaled, 140.0 * i, 0.5)
    torch.testing.assert_close(v, -40.0 + 20.0 * x)
    assert x.amax() > 1.5


def test_the_squid_s_axon_rests_at_minus_65() -> None:
    state = HodgkinHuxley.squid().init(torch.zeros(1))
    assert state.v.item() == pytest.approx(-65.0, abs=0.01)
    assert [x.item() for x in state[1:]] == pytest.approx([0.0529, 0.5961, 0.3177], abs=2e-4)


@pytest.mark.parametrize("make", [HodgkinHuxley.squid, HodgkinHuxley.cortical])
def test_a_hodgkin_huxley_cell_may_have_any_size(make: Any) -> None:
    """1 pF under 1 pA is 1 uF/cm2 under 1 uA/cm2, as is any multiple of both."""
    current = torch.linspace(0.0, 12.0, 101)[:, None]
    small, large = make(capacitance=1.0), make(capacitance=73.0)
    torch.testing.assert_close(
        trajectory(large, 73.0 * current, 0.25), trajectory(small, current, 0.25)
    )


def test_the_default_cell_is_the_squid_s_axon() -> None:
    assert repr(HodgkinHuxley()) == repr(HodgkinHuxley.squid())


def test_gates_close_and_open_at_the_ends() -> None:
    low, high = torch.full((1,), -300.0), torch.full((1,), 300.0)
    for cell in (HodgkinHuxley.squid(), HodgkinHuxley.cortical()):
        for gate, ends in ((cell.m, (0.0, 1.0)), (cell.n, (0.0, 1.0)), (cell.h, (1.0, 0.0))):
            assert (gate.limit(low).item(), gate.limit(high).item()) == pytest.approx(
                ends, abs=1e-3
            )


def test_morris_lecar_fires_for_good_only_above_its_hopf_point() -> None:
    """Rinzel & Ermentrout's set: rest at -60.9 mV, the rest loses its hold between 85 and 100."""
    cell = MorrisLecar()
    assert cell.init(torch.zeros(1)).v.item() == pytest.approx(-60.855, abs=1e-3)
    late = steady(cell, torch.tensor([85.0, 100.0]), 807.0, 0.5)[800:]
    assert late.sum(0).tolist()[0] == 0
    assert late.sum(0).tolist()[1] > 3


def test_a_crossing_is_one_spike_for_each_rise() -> None:
    crossing = Crossing(threshold=-10.0)
    v = torch.tensor([-20.0, -10.0, -9.0, 30.0, -10.0, -9.9, -11.0, 5.0])
    assert crossing(v[:-1], v[1:]).tolist() == [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0]


def test_a_released_output_is_the_sigmoid_of_the_voltage() -> None:
    cell = HodgkinHuxley.cortical(capacitance=1.0, terminal=SigmoidRelease(v_half=-3.0, width=8.0))
    current = torch.full((83, 1), 3.0)
    v = trajectory(cell, current, 0.25)
    torch.testing.assert_close(cell(current, dt=0.25), torch.sigmoid((v + 3.0) / 8.0))
    assert cell.output == "release"
    torch.testing.assert_close(trajectory(cell, current, 0.25, "release"), cell(current, dt=0.25))
    assert cell.given(cell.init(torch.zeros(2))).gt(0).all()


def test_a_terminal_is_an_object() -> None:
    with pytest.raises(TypeError, match="terminal must be one such as Crossing"):
        HodgkinHuxley(terminal="release")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="h must be a Gate"):
        HodgkinHuxley(h=0.5)  # type: ignore[arg-type]


def test_binary_cells_compute_and_or_not() -> None:
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    total = inputs.sum(1, keepdim=True)
    assert BinaryThreshold(v_threshold=0.5)(total).flatten().tolist() == [0, 1, 1, 1]
    assert BinaryThreshold(v_threshold=1.5)(total).flatten().tolist() == [0, 0, 0, 1]
    assert BinaryThreshold(v_threshold=-0.5)(-inputs[:, :1]).flatten().tolist() == [1, 1, 0, 0]
    xor = total - 2 * BinaryThreshold(v_threshold=1.5)(total)
    assert BinaryThreshold()(xor).flatten().tolist() == [0, 1, 1, 0]
