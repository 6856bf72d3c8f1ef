"""Firing rates of the cortical Hodgkin-Huxley cell against the table we measured it by."""

from __future__ import annotations

import pytest
import torch

from amphid.dynamics import HodgkinHuxley

pytestmark = pytest.mark.reference

RATES = {0.25: 0.0, 0.5: 12.0, 1.0: 20.0, 1.5: 28.0, 2.0: 38.0}  # uA/cm2: Hz
BLOCKED = (2.25, 3.0, 5.0)


@torch.no_grad()
def test_the_cortical_cell_fires_at_the_measured_rates() -> None:
    """At dt = 0.1 ms, by a trapezoid rule in the table, by exponential Euler here.

    The table counts spikes in half a second, so it is good to 2 Hz; here rates are by intervals.
    From 2.25 uA/cm2 on the cell is blocked: it fires once and stays depolarized.
    """
    current = torch.tensor([*RATES, *BLOCKED], dtype=torch.float64)
    cell, dt = HodgkinHuxley.cortical(capacitance=1.0), 0.1
    spikes, state = cell.run(current.expand(4000, len(current)), dt=dt)
    silent, *firing = spikes[:, : len(RATES)].unbind(1)
    assert not silent.any()
    for train, rate in zip(firing, list(RATES.values())[1:], strict=True):
        interval = train.nonzero().flatten().diff()[1:].double().mean().item() * dt
        assert 1000.0 / interval == pytest.approx(rate, abs=2.0)
    assert spikes[:, len(RATES) :].sum(0).tolist() == [1.0] * len(BLOCKED)
    assert (state.v[len(RATES) :] > -50.0).all()
