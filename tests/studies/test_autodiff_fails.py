"""The cases of the map are what they say, and verdicts follow from the scores."""

import pytest
import torch

from amphid.learning import Objective
from amphid.studies import autodiff_fails
from amphid.studies.autodiff_fails import (
    COURSES,
    above,
    backprop,
    both,
    gradient,
    mapped,
    reached,
    untrained,
)
from amphid.studies.gradient_cases import CASES


def test_every_case_has_its_course():
    assert list(COURSES) == list(CASES)


@pytest.mark.parametrize("case", ["discrete delays", "step loss"])
def test_where_there_is_no_gradient_backpropagation_stays_where_it_was(case):
    posed = CASES[case](torch.Generator().manual_seed(1))
    loss = Objective(posed.model, *posed.batches[0], posed.loss)
    assert all(
        (own == 0).all() for own in gradient(loss, dict(posed.model.named_parameters())).values()
    )
    assert reached(case, backprop, 1) == reached(case, untrained, 1)


def test_the_true_derivative_of_binary_units_reaches_the_readout_alone():
    posed = CASES["binary units"](torch.Generator().manual_seed(1))
    loss = Objective(posed.model, *posed.batches[0], posed.loss)
    found = gradient(loss, dict(posed.model.named_parameters()))
    assert {name for name, own in found.items() if own.any()} == {"2.weight", "2.bias"}


def test_a_seed_decides_everything():
    one, two = (CASES["noise"](torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(one.model[0].weight, two.model[0].weight)
    assert torch.equal(one.test[1], two.test[1])


def test_verdicts_follow_from_the_scores(monkeypatch):
    made = {"untrained": 0.1, "backprop": 0.5, "clipped": 0.6, "weak": 0.7, "straight through": 0.9}
    arms = autodiff_fails.arms_of("binary units", full=False)
    names = {arm: name for name, arm in arms.items()}
    monkeypatch.setattr(
        autodiff_fails, "reached", lambda case, arm, seed: made[names[arm]] + 0.01 * seed
    )
    monkeypatch.setattr(autodiff_fails, "at_start", lambda case, seed: {"norm": 1.0})
    found = mapped("binary units", (0, 1, 2), full=False)
    assert found["verdict"]
    assert found["weak_over_autodiff"]["mean"] == pytest.approx(0.1)
    made["clipped"] = 0.75
    found = mapped("binary units", (0, 1, 2), full=False)
    assert (found["autodiff_fails"], found["weak_learns"], found["verdict"]) == (False, True, False)


def test_an_interval_that_holds_zero_leaves_it_open():
    assert above({"mean": 0.1, "interval": [0.05, 0.15]}) is True
    assert above({"mean": 0.1, "interval": [-0.05, 0.25]}) is None
    assert above({"mean": -0.1, "interval": [-0.25, 0.05]}) is False
    assert both(True, True) is True
    assert both(True, None) is None
    assert both(None, False) is False
