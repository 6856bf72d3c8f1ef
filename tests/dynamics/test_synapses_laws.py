"""Synapses against their closed forms and differential equations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from amphid.dynamics import (
    LIF,
    NMDA,
    Alpha,
    AlphaConductance,
    Conductance,
    Delta,
    DoubleExponential,
    DoubleExponentialConductance,
    Exponential,
    ShortTerm,
    Synapse,
)

WEIGHT = 1.7
TAU, RISE, DECAY = 5.0, 0.7, 4.0
AMPLITUDE, G, E, V = 30.0, 3.0, 10.0, -60.0

DOUBLE_PEAK = (RISE / DECAY) ** (RISE / (DECAY - RISE)) * (1 - RISE / DECAY)


def exponential(t):
    return np.exp(-t / TAU)


def alpha(t):
    return t / TAU * np.exp(1 - t / TAU)


def double(t):
    return (np.exp(-t / DECAY) - np.exp(-t / RISE)) / DOUBLE_PEAK


# synapse, its time course per unit of weight at a voltage held at V, and the integral of that in fC
COURSES = {
    "Exponential": (
        Exponential(tau=TAU, amplitude=AMPLITUDE),
        lambda t: AMPLITUDE * exponential(t),
        AMPLITUDE * TAU,
    ),
    "Alpha": (
        Alpha(tau=TAU, amplitude=AMPLITUDE),
        lambda t: AMPLITUDE * alpha(t),
        AMPLITUDE * math.e * TAU,
    ),
    "DoubleExponential": (
        DoubleExponential(rise=RISE, decay=DECAY, amplitude=AMPLITUDE),
        lambda t: AMPLITUDE * double(t),
        AMPLITUDE * (DECAY - RISE) / DOUBLE_PEAK,
    ),
    "Conductance": (
        Conductance(tau=TAU, conductance=G, reversal=E),
        lambda t: G * (E - V) * exponential(t),
        G * (E - V) * TAU,
    ),
    "AlphaConductance": (
        AlphaConductance(tau=TAU, conductance=G, reversal=E),
        lambda t: G * (E - V) * alpha(t),
        G * (E - V) * math.e * TAU,
    ),
    "DoubleExponentialConductance": (
        DoubleExponentialConductance(rise=RISE, decay=DECAY, conductance=G, reversal=E),
        lambda t: G * (E - V) * double(t),
        G * (E - V) * (DECAY - RISE) / DOUBLE_PEAK,
    ),
    "NMDA": (
        NMDA(rise=RISE, decay=DECAY, conductance=G, reversal=E, magnesium=1.2),
        lambda t: G * (E - V) * double(t) / (1 + 1.2 / 3.57 * math.exp(-0.062 * V)),
        G * (E - V) * (DECAY - RISE) / DOUBLE_PEAK / (1 + 1.2 / 3.57 * math.exp(-0.062 * V)),
    ),
}
every_course = pytest.mark.parametrize(
    ("synapse", "course", "charge"), COURSES.values(), ids=COURSES.keys()
)


def double_precision(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def currents(synapse: Synapse, arriving: Tensor, dt: float, v: float = V) -> Tensor:
    """Currents [T, *B, N] in pA at a held voltage."""
    state, flowing = synapse.init(arriving[0]), []
    for came in arriving:
        state, current = synapse.step(state, came, torch.full_like(came, v), dt)
        flowing.append(current)
    return torch.stack(flowing)


def one_spike(steps: int) -> Tensor:
    arriving = torch.zeros(steps, 1, dtype=torch.float64)
    arriving[0] = WEIGHT
    return arriving


@every_course
@pytest.mark.parametrize("dt", [0.1, 1.3])
def test_the_current_of_a_step_is_the_mean_of_the_closed_form(synapse, course, charge, dt):
    steps, points = 13, 2001
    fine = np.linspace(0, steps * dt, steps * (points - 1) + 1)
    values = WEIGHT * course(fine)
    inside = np.stack([values[k * (points - 1) : (k + 1) * (points - 1) + 1] for k in range(steps)])
    means = np.trapezoid(inside, axis=1) / (points - 1)
    flowing = currents(synapse, one_spike(steps), dt)[:, 0].numpy()
    np.testing.assert_allclose(flowing, means, rtol=1e-5)


@every_course
@pytest.mark.parametrize("dt", [0.1, 1.0, 7.3])
def test_a_spike_brings_the_same_charge_whatever_dt(synapse, course, charge, dt):
    flowing = currents(synapse, one_spike(int(150 / dt)), dt)
    assert float(flowing.sum()) * dt == pytest.approx(WEIGHT * charge, rel=1e-9)


@every_course
def test_a_long_step_is_the_mean_of_the_short_ones_it_holds(synapse, course, charge):
    """Any train of spikes on the coarse grid: 7 steps of 2.1 ms against 21 of 0.7 ms."""
    train = torch.rand(7, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    finer = torch.zeros(21, 3, dtype=torch.float64)
    finer[::3] = train
    means = currents(synapse, finer, 0.7).reshape(7, 3, 3).mean(1)
    torch.testing.assert_close(currents(synapse, train, 2.1), means, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in COURSES if name != "NMDA"])
def test_the_peak_is_what_was_asked_for(name):
    synapse = COURSES[name][0]
    height = AMPLITUDE if hasattr(synapse, "amplitude") else G * (E - V)
    flowing = currents(synapse, one_spike(1300), 0.01)[:, 0]
    assert float(flowing.max()) == pytest.approx(WEIGHT * height, rel=1e-3)
    when = (int(flowing.argmax()) + 0.5) * 0.01
    rises = DECAY * RISE / (DECAY - RISE) * math.log(DECAY / RISE)
    peaks = {"Exponential": 0.0, "Conductance": 0.0, "Alpha": TAU, "AlphaConductance": TAU}
    assert when == pytest.approx(peaks.get(name, rises), abs=0.011)


def test_alpha_is_the_limit_of_the_double_exponential():
    alike = DoubleExponential(rise=TAU * 0.9999, decay=TAU, amplitude=AMPLITUDE)
    arriving = one_spike(17)
    torch.testing.assert_close(
        currents(alike, arriving, 1.1),
        currents(COURSES["Alpha"][0], arriving, 1.1),
        rtol=2e-4,
        atol=0,
    )


@pytest.mark.parametrize("dt", [0.1, 1.0, 7.3])
def test_delta_brings_its_charge_in_one_step(dt):
    flowing = currents(Delta(charge=11.0), one_spike(5), dt)[:, 0] * dt
    torch.testing.assert_close(flowing, double_precision(11.0 * WEIGHT, 0, 0, 0, 0))


def test_delta_moves_the_voltage_by_charge_over_capacitance():
    cell = LIF(tau=20.0, resistance=0.1)  # 200 pF
    start, dt = cell.init(double_precision(0.0)), 1e-4
    _, current = Delta(charge=1000.0).step((), double_precision(WEIGHT), start.v, dt)
    after, _ = cell.step(start, current, dt)
    assert float(after.v - start.v) == pytest.approx(WEIGHT * 1000.0 / 200.0, rel=1e-5)


def test_the_gradient_of_the_charge_is_that_of_its_closed_form():
    """Exponential: charge = weight * amplitude * tau."""
    tau, amplitude = nn.Parameter(double_precision(TAU)), nn.Parameter(double_precision(AMPLITUDE))
    arriving = one_spike(40).requires_grad_()
    charge = currents(Exponential(tau=tau, amplitude=amplitude), arriving, 5.0).sum() * 5.0
    charge.backward()
    assert float(tau.grad) == pytest.approx(WEIGHT * AMPLITUDE)
    assert float(amplitude.grad) == pytest.approx(WEIGHT * TAU)
    assert float(arriving.grad[0]) == pytest.approx(AMPLITUDE * TAU)


# A leaky cell behind each synapse -------------------------------------------------------------

CELL = LIF(tau=20.0, resistance=0.1, v_rest=-65.0, v_threshold=1e3)


def driven(synapse: Synapse, duration: float, dt: float) -> float:
    """Voltage of the cell `duration` ms after a spike, explicit steps."""
    state, cell = synapse.init(double_precision(0.0)), CELL.init(double_precision(0.0))
    for k in range(round(duration / dt)):
        arriving = double_precision(WEIGHT if k == 0 else 0.0)
        state, current = synapse.step(state, arriving, cell.v, dt)
        cell, _ = CELL.step(cell, current, dt)
    return float(cell.v)


def solved(synapse: Synapse, duration: float, dt: float) -> float:
    """The same with the conductance of the synapse taken into the membrane of the cell."""
    state, v = synapse.init(double_precision(0.0)), double_precision(-65.0)
    for k in range(round(duration / dt)):
        state = synapse.advance(state, double_precision(WEIGHT if k == 0 else 0.0), dt)
        membrane = CELL.membrane(None)
        g = synapse.conductance_of(state, v, dt)
        total = membrane.conductance + g
        v_inf = (membrane.drive + g * synapse.reversal) / total
        v = v_inf + (v - v_inf) * torch.exp(-dt * total / membrane.capacitance)
    return float(v)


def exact(name: str, duration: float) -> float:
    """The voltage by an adaptive solver."""
    synapse, course, _ = COURSES[name]

    def slope(t, v):
        if not hasattr(synapse, "reversal"):
            return (-65.0 - v + 0.1 * WEIGHT * course(t)) / 20.0
        g = WEIGHT * course(t) / (E - V)
        if name == "NMDA":
            g = g * (1 + 1.2 / 3.57 * math.exp(-0.062 * V))
            g = g / (1 + 1.2 / 3.57 * np.exp(-0.062 * v))
        return (-65.0 - v + 0.1 * g * (E - v)) / 20.0

    return float(solve_ivp(slope, (0, duration), [-65.0], rtol=1e-11, atol=1e-11).y[0, -1])


def order(errors: list[float], steps: list[float]) -> float:
    """Slope of log error over log dt."""
    return float(np.polyfit(np.log(steps), np.log(np.abs(errors)), 1)[0])


STEP_SIZES = [0.5, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize("name", ["Exponential", "Alpha", "DoubleExponential"])
def test_a_cell_behind_a_current_is_second_order_in_dt(name):
    errors = [driven(COURSES[name][0], 4.0, dt) - exact(name, 4.0) for dt in STEP_SIZES]
    assert order(errors, STEP_SIZES) == pytest.approx(2.0, abs=0.1)
    assert abs(errors[-1]) < 1e-3


CONDUCTANCES = ["Conductance", "AlphaConductance", "DoubleExponentialConductance", "NMDA"]


@pytest.mark.parametrize("name", CONDUCTANCES)
def test_a_cell_behind_a_conductance_is_first_order_in_dt(name):
    errors = [driven(COURSES[name][0], 4.0, dt) - exact(name, 4.0) for dt in STEP_SIZES]
    assert order(errors, STEP_SIZES) == pytest.approx(1.0, abs=0.1)
    assert abs(errors[-1]) < 0.1


@pytest.mark.parametrize("name", CONDUCTANCES[:3])
def test_with_the_conductance_in_its_membrane_it_is_second_order(name):
    errors = [solved(COURSES[name][0], 4.0, dt) - exact(name, 4.0) for dt in STEP_SIZES]
    assert order(errors, STEP_SIZES) == pytest.approx(2.0, abs=0.1)
    assert abs(errors[-1]) < 1e-2


def test_a_huge_conductance_holds_the_cell_at_its_reversal_when_solved():
    huge = Conductance(tau=1e6, conductance=1e6, reversal=E)
    assert solved(huge, 10.0, 1.0) == pytest.approx(E, abs=1e-3)


# Magnesium --------------------------------------------------------------------------------------


def test_the_magnesium_block_is_that_of_jahr_and_stevens():
    v = double_precision(-100, -65, -20, 0, 40)
    for magnesium in (0.1, 1.0, 3.57):
        share = NMDA(conductance=1.0, magnesium=magnesium).unblocked(v)
        curve = [1 / (1 + math.exp(-0.062 * x) * magnesium / 3.57) for x in v.tolist()]
        torch.testing.assert_close(share, double_precision(*curve))
    assert NMDA(conductance=1.0, magnesium=0.0).unblocked(v).tolist() == [1.0] * 5


def test_half_of_it_is_blocked_where_the_curve_says():
    for magnesium in (0.3, 1.0, 2.0):
        half = math.log(magnesium / 3.57) / 0.062
        share = NMDA(conductance=1.0, magnesium=magnesium).unblocked(double_precision(half))
        assert float(share) == pytest.approx(0.5)


def test_the_current_has_a_region_of_negative_slope():
    """Inward current grows with depolarization up to about -25 mV at 1 mM, then falls to E = 0."""
    v = torch.arange(-90.0, 1.0, dtype=torch.float64)
    synapse = NMDA(conductance=1.0)
    state = synapse.advance(synapse.init(v), torch.ones_like(v), 10.0)
    inward = synapse.conductance_of(state, v, 10.0) * (synapse.reversal - v)
    strongest = float(v[inward.argmax()])
    curve = lambda x: -x / (1 + math.exp(-0.062 * x) / 3.57)  # noqa: E731
    assert strongest == max(range(-90, 1), key=curve)
    assert (inward[: int(inward.argmax()) + 1].diff() > 0).all()
    assert inward[-1] == 0


# Short-term plasticity --------------------------------------------------------------------------


def released(synapse: Synapse, interval: float, spikes: int, dt: float = 1.0) -> Tensor:
    """What each of a train of regular spikes releases."""
    state, every, amounts = synapse.init(double_precision(0.0)), round(interval / dt), []
    for k in range(every * (spikes - 1) + 1):
        spike = double_precision(float(k % every == 0))
        state, gone = synapse.release(state, spike, dt)
        if k % every == 0:
            amounts.append(gone)
        else:
            assert gone == 0
    return torch.cat(amounts)


def plastic(use: float, facilitation: float | None, recovery: float | None) -> ShortTerm:
    return ShortTerm(
        Delta(charge=1.0), use=use, facilitation=facilitation, recovery=recovery
    ).double()


@pytest.mark.parametrize("interval", [10.0, 50.0, 200.0])
@pytest.mark.parametrize(
    ("use", "facilitation", "recovery"),
    [(0.5, 10.0, 800.0), (0.05, 750.0, 50.0), (0.25, 20.0, 700.0)],
    ids=["depressing", "facilitating", "inhibitory"],
)
def test_regular_spikes_settle_at_the_stationary_release(use, facilitation, recovery, interval):
    """u+ = U / (1 - (1 - U) F), x- = (1 - R) / (1 - (1 - u+) R); F, R decay over the interval."""
    kept, gone = math.exp(-interval / facilitation), math.exp(-interval / recovery)
    u = use / (1 - (1 - use) * kept)
    x = (1 - gone) / (1 - (1 - u) * gone)
    train = released(plastic(use, facilitation, recovery), interval, 401, dt=interval)
    assert float(train[-1]) == pytest.approx(u * x, rel=1e-6)


@pytest.mark.parametrize("interval", [5.0, 20.0, 120.0])
def test_the_paired_pulse_ratio_is_that_of_the_closed_form(interval):
    use, facilitation, recovery = 0.3, 90.0, 130.0
    first, second = released(plastic(use, facilitation, recovery), interval, 2)
    u = use + use * (1 - use) * math.exp(-interval / facilitation)
    x = 1 - use * math.exp(-interval / recovery)
    assert float(first) == pytest.approx(use)
    assert float(second / first) == pytest.approx(u * x / use)


def test_without_recovery_time_it_only_facilitates_and_without_facilitation_only_depresses():
    facilitating = released(plastic(0.2, 100.0, None), 10.0, 7)
    depressing = released(plastic(0.2, None, 100.0), 10.0, 7)
    unchanged = released(plastic(0.2, None, None), 10.0, 7)
    assert (facilitating.diff() > 0).all()
    assert (depressing.diff() < 0).all()
    torch.testing.assert_close(unchanged, torch.full((7,), 0.2, dtype=torch.float64))


def test_no_time_constant_is_the_limit_of_a_short_one():
    for missing in ((None, 100.0), (100.0, None)):
        short = tuple(1e-3 if tau is None else tau for tau in missing)
        torch.testing.assert_close(
            released(plastic(0.4, *missing), 10.0, 7), released(plastic(0.4, *short), 10.0, 7)
        )


def test_what_is_released_does_not_depend_on_dt():
    coarse, fine = (released(plastic(0.4, 60.0, 90.0), 20.0, 11, dt) for dt in (20.0, 0.5))
    torch.testing.assert_close(coarse, fine)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 1.0), st.floats(0.1, 9))
def test_resources_and_facilitation_stay_shares(train, use, dt):
    synapse = plastic(use, 30.0, 70.0)
    state = synapse.init(double_precision(0.0))
    for share in train:
        state, gone = synapse.release(state, double_precision(share), dt)
        assert 0 <= float(gone) <= 1
        assert 0 <= float(state.u) <= 1
        assert 0 <= float(state.x) <= 1


def test_the_other_half_is_that_of_the_synapse_inside():
    inner = Conductance(tau=TAU, conductance=G, reversal=E)
    arriving = torch.rand(13, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert torch.equal(
        currents(ShortTerm(inner, use=0.3, recovery=50.0), arriving, 0.7),
        currents(inner, arriving, 0.7),
    )


def test_silent_cells_have_a_gradient_for_a_spike():
    synapse = plastic(0.4, 60.0, 90.0)
    output = double_precision(0.0).requires_grad_()
    synapse.release(synapse.init(output), output, 1.0)[1].sum().backward()
    assert float(output.grad) == pytest.approx(0.4)
