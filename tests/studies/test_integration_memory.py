"""The study of integration and memory: its examples, its arms and its verdict, in small."""

import json
import math

import pytest
import torch

from amphid.dynamics import step_by_step
from amphid.studies import IntegrationMemory, Settings, integration_memory
from amphid.studies.integration_memory import (
    ARMS,
    DELAY,
    SLOT,
    SLOTS,
    examples,
    judged,
    loss,
    network,
    score,
    trained,
)


def test_examples_say_who_had_more_pulses_and_end_in_silence():
    inputs, targets = examples(311, torch.Generator().manual_seed(1))
    assert inputs.shape == (SLOTS * SLOT + DELAY, 311, 2)
    pulses = inputs.sum(0) / 10
    assert torch.equal(pulses.sum(-1), torch.full((311,), 5.0))
    assert torch.equal((pulses[:, 1] > pulses[:, 0]).long(), targets)
    assert inputs[-DELAY:].abs().max() == 0
    assert targets.double().mean().item() == pytest.approx(0.5, abs=0.1)


def test_a_network_that_says_nothing_has_the_loss_and_the_score_of_chance():
    net = network(3)
    with torch.no_grad():
        net[2].weight.zero_()
    inputs, targets = examples(5, torch.Generator().manual_seed(1))
    assert loss(net(inputs), targets).tolist() == pytest.approx([math.log(2)] * 5)
    assert score(net, 3) == pytest.approx(0.5, abs=0.06)


GOOD = {
    "activity": [0.8, 0.9, 0.85],
    "backprop": [0.5, 0.6, 0.5],
    "clipped": [0.6, 0.7, 0.7],
    "truncated": [0.5, 0.6, 0.6],
}


def test_the_verdict_asks_for_learning_and_for_more_than_every_arm_of_backpropagation():
    assert judged(GOOD) is True
    assert judged(GOOD | {"clipped": [0.8, 0.95, 0.9]}) is False
    assert judged(GOOD | {"clipped": [0.5, 0.95, 0.7]}) is None
    poor = {name: [value - 0.4 for value in values] for name, values in GOOD.items()}
    assert judged(poor) is False


@pytest.fixture
def small(monkeypatch):
    """Pulses one after another, little silence, few examples, and no machine code."""
    for name, value in {"SLOT": 3, "PULSE": 2, "DELAY": 23, "HELD_OUT": 11, "BATCH": 3}.items():
        monkeypatch.setattr(integration_memory, name, value)
    monkeypatch.setattr(integration_memory, "WINDOWS", (11, 31))
    with step_by_step():
        yield monkeypatch


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_takes_its_updates_and_is_scored(arm, small):
    assert 0.0 <= trained(ARMS[arm], 5, 2, (0.03,)) <= 1.0


def test_the_report_holds_every_arm(small):
    small.setattr(integration_memory, "trained", lambda arm, seed, updates, rates: seed / 10)
    report = IntegrationMemory().run(Settings(seed=5))
    told = json.loads(report.json())
    scores = {name: own["seeds"] for name, own in told["measured"]["score"].items()}
    assert set(scores) == {"activity", "backprop", "clipped", "truncated"}
    assert all(own == [0.5, 0.6, 0.7] for own in scores.values())
    assert set(told["measured"]["gradient_norm_of_backprop"]) == {"11", "31"}
    assert report.holds is judged(scores) is False
