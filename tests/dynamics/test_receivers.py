"""Receivers and traces: the contract of each, and the laws that they stand for."""

import math

import numpy as np
import pytest
import torch

from amphid import dynamics
from amphid.dynamics import (
    ExponentialTrace,
    PowerTrace,
    Receiver,
    RelativeRefractoriness,
    StepTrace,
    Summing,
    Trace,
    Winner,
)

CELLS, DT = 5, 0.25
EACH = torch.tensor([1.0, 2.0, 3.0, 5.0, 7.0])
TRACES = {
    "StepTrace": StepTrace(3.0),
    "ExponentialTrace": ExponentialTrace(3.0),
    "PowerTrace": PowerTrace(0.5, 3.0),
}
RECEIVERS = {
    "Winner": Winner(EACH),
    "Summing": Summing(EACH, 2.0, StepTrace(EACH), RelativeRefractoriness(EACH, 3.0)),
}


def concrete(base: type) -> list[str]:
    kinds = {name: getattr(dynamics, name) for name in dynamics.__all__}
    return [
        n for n, k in kinds.items() if isinstance(k, type) and issubclass(k, base) and k is not base
    ]


def test_the_contract_lists_are_complete():
    assert sorted(TRACES) == concrete(Trace)
    assert sorted(RECEIVERS) == sorted(concrete(Receiver))


@pytest.mark.parametrize("name", TRACES)
def test_every_trace_starts_at_one_and_never_grows(name):
    left = TRACES[name].left(torch.linspace(0, 20, 101, dtype=torch.float64))
    assert left[0].item() == pytest.approx(1.0, abs=1e-12)
    assert (left.diff() <= 0).all()
    assert (left >= 0).all()


@pytest.mark.parametrize("name", RECEIVERS)
def test_every_receiver_has_one_row_for_each_cell_in_whole_ticks(name):
    made = RECEIVERS[name].reception(CELLS, DT)
    for column in (made.period, made.threshold, made.memory, made.rate, made.raised, made.recovery):
        assert len(column) == CELLS == len(made)
    assert made.rate.shape == (CELLS, len(made.share))
    coarse = RECEIVERS[name].reception(CELLS, 100.0)
    assert (coarse.period >= 1).all()
    with pytest.raises(ValueError, match="one entry per cell: there are 3 cells, got shape"):
        RECEIVERS[name].reception(3, DT)


def test_values_are_those_of_each_cell():
    np.testing.assert_array_equal(RECEIVERS["Winner"].reception(CELLS, DT).period, 4 * EACH)
    summing = RECEIVERS["Summing"].reception(CELLS, DT)
    np.testing.assert_array_equal(summing.threshold, EACH)
    np.testing.assert_array_equal(summing.memory, 4 * EACH)
    np.testing.assert_array_equal(summing.raised, EACH)
    endless = Summing(1.0, 2.0, StepTrace(math.inf)).reception(CELLS, DT)
    np.testing.assert_array_equal(endless.memory, 0)


@pytest.mark.parametrize("order", [0.1, 0.3, 0.5, 1.0, 1.5, 2.0])
def test_a_sum_of_exponentials_stands_for_a_power_law(order):
    age = torch.cat([torch.zeros(1), torch.logspace(-3, 5, 401)]).double()
    error = PowerTrace(order, 1.0).left(age) - (1 + age) ** -order
    assert error.abs().max() < 2e-5
    torch.testing.assert_close(
        PowerTrace(order, 7.0).left(7 * age), PowerTrace(order, 1.0).left(age)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Winner(0.0),
        lambda: Winner(torch.tensor([1.0, -1.0])),
        lambda: Summing(-1.0, 2.0, StepTrace(1.0)),
        lambda: StepTrace(0.0),
        lambda: ExponentialTrace(-3.0),
        lambda: PowerTrace(0.0, 1.0),
        lambda: RelativeRefractoriness(raised=0.0, tau=1.0),
    ],
    ids=["period", "periods", "threshold", "step", "tau", "order", "raised"],
)
def test_what_is_not_positive_is_refused(make):
    with pytest.raises(ValueError, match="must be positive, got"):
        make()


def test_what_is_no_trace_is_refused():
    with pytest.raises(TypeError, match=r"trace must be a Trace, such as StepTrace\(5\.0\)"):
        Summing(1.0, 2.0, 3.0)
    with pytest.raises(TypeError, match="relative must be a RelativeRefractoriness or None"):
        Summing(1.0, 2.0, StepTrace(1.0), 3.0)
