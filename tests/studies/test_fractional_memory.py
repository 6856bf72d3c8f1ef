"""The study of fractional memory: its problems, its costs and its verdict, in small."""

import json
import math

import pytest
import torch

from amphid.dynamics import FullMemory, ShortMemory, step_by_step
from amphid.studies import FractionalMemory, Settings, fractional_memory
from amphid.studies.fractional_memory import diffused, left, off, relaxed

GOOD = {
    "error_vs_mittag_leffler": 3e-4,
    "error_vs_full": 1e-5,
    "cost_ratio": {"100000": 300.0},
    "cost_growth": 1.2,
}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    with step_by_step(), torch.no_grad():
        yield
    torch.set_default_dtype(torch.float32)


def test_the_verdict_asks_for_all_four():
    assert fractional_memory.judged(GOOD) is True
    for name, value in [("error_vs_mittag_leffler", 5e-4), ("error_vs_full", 2e-4)]:
        assert fractional_memory.judged(GOOD | {name: value}) is False
    assert fractional_memory.judged(GOOD | {"cost_ratio": {"100000": 99.0}}) is False
    assert fractional_memory.judged(GOOD | {"cost_growth": 2.1}) is False


@pytest.mark.parametrize("mode", [diffused, relaxed])
def test_both_problems_end_where_the_function_does(mode):
    assert off(mode(0.75, FullMemory(), 300), left(0.75)) < 0.01
    assert off(mode(0.75, ShortMemory(steps=20), 300), left(0.75)) > 0.5


def test_without_a_past_nothing_is_left_of_the_long_tail(monkeypatch):
    monkeypatch.setattr(fractional_memory, "STEPS", 300)
    assert min(fractional_memory.last_value_only().values()) > 0.5


def test_cells_are_as_old_as_they_are_made(monkeypatch):
    monkeypatch.setattr(fractional_memory, "AT_ONCE", 7)
    monkeypatch.setattr(fractional_memory, "CELLS", 3)
    cell = fractional_memory.cell_of(fractional_memory.BEST)
    state = fractional_memory.older(cell, cell.init(torch.zeros(3)), 17)
    whole = cell.run(torch.full((17, 3), 100.0), dt=0.1)[1]
    torch.testing.assert_close(state.v, whole.v)


def test_the_report_holds_every_key(monkeypatch):
    small = {
        "ORDERS": (0.5, 0.75, 0.9),
        "STEPS": 60,
        "LONG": 60,
        "PASTS": (10, 1000, 100_000),
        "CELLS": 2,
        "AT_ONCE": 10,
    }
    for name, value in {**small, "REPEATS": 1}.items():
        monkeypatch.setattr(fractional_memory, name, value)
    monkeypatch.setattr(fractional_memory, "older", lambda cell, state, steps: state)
    monkeypatch.setattr(fractional_memory, "spikes_alike", lambda seed, steps: {"full": seed})
    report = FractionalMemory().run(Settings(seed=5))
    told = json.loads(report.json())
    assert told["measured"]["cost_ratio"].keys() == {"10", "1000", "100000"}
    assert told["measured"]["spikes"] == {"full": 5}
    assert told["measured"]["reads"]["full"]["1000"] == 1000
    assert told["measured"]["error_vs_full"] < 1e-3
    assert math.isfinite(told["measured"]["error_vs_mittag_leffler"])
    assert torch.get_default_dtype() is torch.float64
