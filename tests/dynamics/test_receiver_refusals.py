"""What traces and receivers say to values that make no sense."""

import math

import pytest
import torch

from amphid.dynamics import (
    ExponentialTrace,
    PowerTrace,
    RelativeRefractoriness,
    StepTrace,
    Summing,
    Winner,
)

MAKERS = {
    "winner": Winner,
    "threshold": lambda value: Summing(value, 2.0, StepTrace(5.0)),
    "period": lambda value: Summing(1.0, value, StepTrace(5.0)),
    "step": StepTrace,
    "exponential": ExponentialTrace,
    "order": lambda value: PowerTrace(value, 3.0),
    "scale": lambda value: PowerTrace(1.0, value),
    "raised": lambda value: RelativeRefractoriness(value, 3.0),
    "tau": lambda value: RelativeRefractoriness(1.0, value),
}

NONSENSE = {
    "text": "5",
    "none": None,
    "list": [1.0],
    "complex": 1j,
    "truth": True,
    "nan": math.nan,
    "negative": -1.0,
    "empty": torch.zeros(0),
    "two axes": torch.ones(2, 3),
    "truths": torch.tensor([True, True]),
    "complexes": torch.ones(2, dtype=torch.complex64),
    "nans": torch.tensor([1.0, math.nan]),
}


@pytest.mark.parametrize("value", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_nonsense_is_a_sentence(make, value):
    with pytest.raises((TypeError, ValueError), match=r"must be .*, got .*\."):
        make(value)


@pytest.mark.parametrize("order", [math.inf, 6.0, torch.ones(3)], ids=["inf", "6", "tensor"])
def test_an_order_that_its_exponentials_do_not_meet_is_refused(order):
    with pytest.raises(ValueError, match="at most 5, the same for all cells"):
        PowerTrace(order, 3.0)


def test_the_steepest_power_is_met_as_it_says():
    age = torch.logspace(-3, 5, 97, dtype=torch.float64)
    assert (PowerTrace(5.0, 1.0).left(age) - (1 + age) ** -5.0).abs().max() < 4e-4
