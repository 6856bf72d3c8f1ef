"""The study of inbreeding: its landscapes, its verdict, and its table in small."""

import json

import pytest
import torch

from amphid.learning import Aging, Cloning
from amphid.studies import Inbreeding, Settings, inbreeding
from amphid.studies.inbreeding import LANDSCAPES, ROTATED, gain, judged, placed


@pytest.mark.parametrize("place", [*LANDSCAPES.values(), ROTATED])
def test_every_landscape_is_zero_at_its_best_point_and_nowhere_lower(place):
    loss, founders, noise = placed(place, 3)
    again, same, _ = placed(place, 3)
    assert torch.equal(founders, same)
    assert torch.equal(loss(founders), again(founders))
    assert founders.abs().max() <= 5.12
    assert float(loss(founders).min()) > 0.0
    assert noise(torch.zeros(4001)).std().item() == pytest.approx(place.noise, rel=0.05)


def test_the_verdict_asks_for_all_three_parts():
    good = {"rastrigin": 2.1, "noisy_sphere": 2.0, "sphere": 0.6, "noisy_rastrigin": 1.0}
    assert judged(good) is True
    assert judged(good | {"rastrigin": 1.9}) is False
    assert judged(good | {"noisy_sphere": 1.9}) is False
    assert judged(good | {"sphere": 0.5}) is False


def test_the_default_is_compared_with_the_better_way_to_clone():
    assert gain({"cloning": 6.0, "cloning_each_batch": 4.0, "aging": 2.0}) == 2.0


def test_the_report_holds_the_table(monkeypatch):
    schemes = {
        "cloning": Cloning(60), "cloning_each_batch": Cloning(60, elitist=False), "aging": Aging(60)
    }  # fmt: skip
    monkeypatch.setattr(inbreeding, "SCHEMES", schemes)
    monkeypatch.setattr(inbreeding, "GENERATIONS", 12)
    report = Inbreeding().run(Settings(seed=7))
    told = json.loads(report.json())
    for place in ("rastrigin", "noisy_rastrigin", "sphere", "noisy_sphere"):
        assert set(told["measured"][place]) == set(schemes)
        assert set(told["measured"]["quartiles"][place]) == set(schemes)
    assert told["seeds"] == [7, 8, 9, 10, 11]
    assert report.measured["meters"]["sphere"]["cloning"] == {
        "parents": 1.0, "ancestor": 1.0, "luck": 0.0, "warned": 1.0,
        "distance": report.measured["meters"]["sphere"]["cloning"]["distance"],
    }  # fmt: skip
    assert report.holds is judged(report.measured["gain_of_the_default"])
