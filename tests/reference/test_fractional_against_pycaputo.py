"""Cells of fractional order beside pycaputo's solvers of fractional differential equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from amphid.dynamics import (
    ExponentialMemory,
    FitzHughNagumo,
    Fractional,
    FullMemory,
    LeakyIntegrator,
    Memory,
    mittag_leffler,
    step_by_step,
)

pytestmark = pytest.mark.reference
MEMORIES = [FullMemory(), ExponentialMemory(1e-7, 10_000)]


@pytest.fixture(autouse=True)
def plain_float64() -> Any:
    torch.set_default_dtype(torch.float64)
    with step_by_step():
        yield
    torch.set_default_dtype(torch.float32)


def solved(
    orders: list[float], slope: Callable[..., Any], start: list[float], dt: float, steps: int
) -> Any:
    """The first variable [steps] after each step of dt."""
    pytest.importorskip("pycaputo", reason="needs pycaputo")
    from pycaputo import stepping
    from pycaputo.controller import make_fixed_controller
    from pycaputo.derivatives import CaputoDerivative
    from pycaputo.events import StepCompleted
    from pycaputo.fode.caputo import PECE

    method = PECE(
        ds=tuple(CaputoDerivative(order) for order in orders),
        control=make_fixed_controller(dt, tstart=0.0, tfinal=dt * (steps + 2)),
        source=slope,
        y0=(np.array(start),),
        corrector_iterations=3,
    )
    events = [event for event in stepping.evolve(method) if isinstance(event, StepCompleted)]
    # its first step is a tiny one, whatever it is asked for
    t, y = [event.t for event in events], [event.y[0] for event in events]
    return np.interp(dt * np.arange(1, steps + 1), t, y)


def every(values: Tensor, count: int) -> Any:
    return values[count - 1 :: count, 0].numpy()


@pytest.mark.parametrize("order", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("memory", MEMORIES, ids=str)
def test_a_leaky_membrane_under_a_current_that_swings(order: float, memory: Memory) -> None:
    """Mean difference below a hundredth of the swing, falling with dt."""
    tau, steps, dt = 5.0, 150, 0.2

    def slope(t: float, y: Any) -> Any:
        return (-y + 10.0 * np.sin(t / 3.0)) / tau

    exact = solved([order], slope, [0.0], dt, steps)
    cell = Fractional(LeakyIntegrator(tau=tau, resistance=0.1), order=order, memory=memory)
    errors = []
    for finer in (1, 4):
        t = (torch.arange(steps * finer) + 0.5) * dt / finer
        v = cell(100.0 * torch.sin(t / 3.0)[:, None], dt=dt / finer)
        errors.append(np.abs(every(v, finer) - exact).mean())
    assert errors[1] < 0.03
    assert errors[0] > 1.8 * errors[1]
    assert np.abs(exact).max() > 3.0


@pytest.mark.parametrize("memory", MEMORIES, ids=str)
def test_an_excitable_membrane_of_fractional_order(memory: Memory) -> None:
    """FitzHugh and Nagumo's, v of order 0.8 and its recovery of order one, through one spike."""
    cell = FitzHughNagumo()
    current, dt, steps, order = 150.0, 0.1, 300, 0.8
    start = cell.init(torch.zeros(1))

    def slope(t: float, y: Any) -> Any:
        x = (y[0] - cell.v_mid) / cell.v_scale
        drive = cell.conductance * cell.v_scale * (x - x**3 / 3 - y[1]) + current
        recovery = cell.phi * (x + cell.a - cell.b * y[1])
        return np.array([drive / cell.capacitance, recovery * cell.conductance / cell.capacitance])

    exact = solved([order, 1.0], slope, [start.v.item(), start.recovery.item()], dt, steps)
    wrapped = Fractional(cell, order=order, memory=memory)
    state, found = wrapped.init(torch.zeros(1)), []
    for _ in range(4 * steps):
        state, _ = wrapped.step(state, torch.full((1,), current), dt / 4)
        found.append(state.v)
    assert exact.max() > exact[0] + 50.0
    assert np.abs(every(torch.stack(found), 4) - exact).mean() < 0.5


@pytest.mark.parametrize("order", [0.2, 0.5, 0.8, 0.95])
def test_mittag_leffler(order: float) -> None:
    other = pytest.importorskip("pymittagleffler", reason="needs pymittagleffler")
    z = -np.geomspace(1e-3, 1e4, 29)
    found = mittag_leffler(order, torch.from_numpy(z)).numpy()
    exact = np.array([other.mittag_leffler(complex(one), order, 1.0).real for one in z])
    np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-12)
