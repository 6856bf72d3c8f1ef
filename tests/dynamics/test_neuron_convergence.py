"""How fast each neuron's error falls with dt: the order that its docstring states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from amphid.dynamics import (
    ALIF,
    LIF,
    AdEx,
    EscapeRate,
    FitzHughNagumo,
    Graded,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrator,
    MorrisLecar,
    Neuron,
    Refractory,
    ThresholdIntegrator,
)

DURATION = 8.0  # ms
STEPS = (0.2, 0.1, 0.05)


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@torch.no_grad()
def samples(neuron: Neuron[Any], current: float, dt: float, field: str) -> Tensor:
    """A variable every 0.8 ms, from rest under a current that sets in at once."""
    state, every, kept = neuron.init(torch.zeros(1)), round(0.8 / dt), []
    for step in range(1, round(DURATION / dt) + 1):
        state, _ = neuron.step(state, torch.full((1,), current), dt)
        if step % every == 0:
            kept.append(neuron.read(state, field))
    return torch.stack(kept)


def measured_order(
    neuron: Neuron[Any], current: float, field: str = "v", steps: tuple[float, ...] = STEPS
) -> float:
    """Slope of log error against log dt, against a finer run."""
    fine = samples(neuron, current, steps[-1] / 5, field)
    errors = [(samples(neuron, current, dt, field) - fine).norm().item() for dt in steps]
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


SECOND = [
    (Izhikevich(), 60.0, "v"),
    (Izhikevich(), 60.0, "u"),
    (AdEx(), 600.0, "v"),
    (HodgkinHuxley.squid(capacitance=1.0), 2.0, "v"),
    (HodgkinHuxley.cortical(capacitance=1.0), 1.0, "v"),
    (MorrisLecar(), 300.0, "v"),
    (FitzHughNagumo(), 100.0, "v"),
]


@pytest.mark.parametrize(("neuron", "current", "field"), SECOND, ids=lambda x: type(x).__name__)
def test_the_stated_second_order_is_measured(
    neuron: Neuron[Any], current: float, field: str
) -> None:
    assert measured_order(neuron, current, field) == pytest.approx(2.0, abs=0.15)


def test_the_second_order_holds_through_a_spike() -> None:
    squid = HodgkinHuxley.squid(capacitance=1.0)
    assert samples(squid, 12.0, 0.1, "v").max() > 10.0
    assert measured_order(squid, 12.0, steps=(0.05, 0.025)) == pytest.approx(2.0, abs=0.15)


def chance_of_nothing() -> EscapeRate:
    return EscapeRate(generator=torch.Generator().manual_seed(1), rate=1e-30)


@pytest.mark.parametrize(
    "neuron",
    [
        LIF(),
        ThresholdIntegrator(),
        LeakyIntegrator(),
        ALIF(),
        chance_of_nothing(),
        Refractory(LIF()),
        Graded(capacitance=100.0, g_leak=5.0),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_linear_membrane_is_exact_at_any_dt(neuron: Neuron[Any]) -> None:
    fine, coarse = (samples(neuron, 120.0, dt, "v") for dt in (0.01, 0.8))
    assert (coarse - coarse[0]).abs().max() > 0.1
    torch.testing.assert_close(coarse, fine, rtol=1e-11, atol=1e-11)


def test_solved_with_a_network_a_curved_membrane_is_of_first_order() -> None:
    """Gates, membrane and emit taken apart, with backward Euler in between."""

    def final(neuron: Any, dt: float) -> float:
        state = neuron.init(torch.zeros(1))
        for _ in range(round(DURATION / dt)):
            state = neuron.gates(state, dt)
            membrane = neuron.membrane(state)
            inertia = membrane.capacitance / dt
            right = membrane.drive + 200.0 + inertia * state.v
            state, _ = neuron.emit(state, right / (inertia + membrane.conductance), dt)
        return state.v.item()

    for neuron in (Izhikevich(), AdEx(), MorrisLecar(), FitzHughNagumo(), HodgkinHuxley()):
        exact = samples(neuron, 200.0, 0.0125, "v")[-1].item()
        errors = [abs(final(neuron, dt) - exact) for dt in STEPS]
        order = np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
        assert order == pytest.approx(1.0, abs=0.15), type(neuron).__name__
