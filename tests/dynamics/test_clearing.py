"""A cell that clears its synapses: exact below threshold, empty and deaf after a spike."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from amphid.dynamics import LIF, ClearingLIF, Exponential

DT = 0.1


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def charge(jump: float, cell: ClearingLIF, dt: float = DT) -> Tensor:
    """The current [1] of a step whose charge makes J jump by that much."""
    return torch.tensor([jump * float(cell.tau_synapse) / dt])


@pytest.mark.parametrize("tau_synapse", [5.0, 20.0, 20.0 + 1e-9, 31.0])
@pytest.mark.parametrize("dt", [0.1, 0.7, 5.0])
def test_a_charge_lifts_the_voltage_as_the_closed_form_says(tau_synapse: float, dt: float) -> None:
    """After t: R J tau_s / (tau_s - tau) (e^{-t/tau_s} - e^{-t/tau}), or t/tau e^{-t/tau}."""
    cell = ClearingLIF(tau_synapse=tau_synapse, v_threshold=1e9)
    state, _ = cell.step(cell.init(torch.zeros(1)), charge(100.0, cell, dt), dt)
    for _ in range(6):
        state, _ = cell.step(state, torch.zeros(1), dt)
    t, apart = 7 * dt, tau_synapse - 20.0
    if abs(apart) < 1e-6:
        expected = 10.0 * t / 20.0 * math.exp(-t / 20.0)
    else:
        course = math.exp(-t / tau_synapse) - math.exp(-t / 20.0)
        expected = 10.0 * tau_synapse / apart * course
    assert float(state.v) + 65.0 == pytest.approx(expected, rel=1e-6)
    assert float(state.synaptic) == pytest.approx(100.0 * math.exp(-t / tau_synapse))


def test_an_exponential_synapse_on_a_plain_cell_is_its_limit_of_small_steps() -> None:
    """Until the first spike they differ by the mean of the current over a step: order dt."""

    def apart(dt: float) -> float:
        cell, plain = ClearingLIF(v_threshold=1e9), LIF(v_threshold=1e9)
        synapse = Exponential(tau=5.0, amplitude=1.0)
        state, other = cell.init(torch.zeros(1)), plain.init(torch.zeros(1))
        group, arriving = synapse.init(torch.zeros(1)), torch.tensor([300.0])
        current = charge(300.0, cell, dt)
        for _ in range(round(7.0 / dt)):
            state, _ = cell.step(state, current, dt)
            group, flowing = synapse.step(group, arriving, other.v, dt)
            other, _ = plain.step(other, flowing, dt)
            current, arriving = torch.zeros(1), torch.zeros(1)
        return abs(float(state.v - other.v))

    assert apart(0.5) < 0.02
    assert apart(0.25) < 0.3 * apart(0.5)


def test_a_spike_clears_the_current_and_what_arrives_within_the_period_is_lost() -> None:
    cell = ClearingLIF(v_reset=-70.0, period=0.4)
    state, spike = cell.step(cell.init(torch.zeros(1)), charge(1e6, cell), DT)
    assert (state.v, state.synaptic, state.deaf, spike) == (-70.0, 0.0, 4.0, 1.0)
    for deaf in (3.0, 2.0, 1.0):
        state, spike = cell.step(state, charge(1e6, cell), DT)
        assert (state.v, state.synaptic, state.deaf, spike) == (-70.0, 0.0, deaf, 0.0)
    state, spike = cell.step(state, charge(1e6, cell), DT)
    assert (state.synaptic, state.deaf, spike) == (0.0, 0.0, 0.0)
    assert float(state.v) == pytest.approx(-65.0 - 5.0 * math.exp(-DT / 20.0))
    state, spike = cell.step(state, charge(11.0, cell), DT)
    assert float(state.synaptic) == pytest.approx(11.0 * math.exp(-DT / 5.0))


def test_two_spikes_are_farther_apart_than_the_period() -> None:
    """A step more than it where every step brings a charge; without a period, none is lost."""
    cell = ClearingLIF(period=torch.tensor([0.0, 0.1, 0.3]))
    spikes = cell(charge(1e6, cell).expand(9, 3), dt=DT)
    times = [train.nonzero().flatten().tolist() for train in spikes.T]
    assert times == [[*range(9)], [0, 2, 4, 6, 8], [0, 4, 8]]
    with pytest.raises(ValueError, match="period must not be negative"):
        ClearingLIF(period=torch.tensor([0.0, -0.3]))
