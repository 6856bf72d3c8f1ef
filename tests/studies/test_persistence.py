"""The studies of what lasts: their families, verdicts, and tables in small."""

import json
import math

import pytest
import torch

from amphid.dynamics import Winner
from amphid.measures import Activity
from amphid.studies import (
    ActivityPersistence,
    PersistenceMap,
    PersistenceQuantum,
    Settings,
    persistence_exact,
    persistence_quantum,
    worm_map,
    worm_persistence,
)
from amphid.studies.persistence_exact import compared, decided, every_state_kept
from amphid.studies.persistence_family import RATIOS, cases, drawn, median_latency

CLASSES = {"networks": 500, "agreement": 1.0, "agreement_by_counting": 1.0}
QUANTUM = CLASSES | {"max_probability_error": 1e-15, "aer_error": None}
EXACT = {"decided": 0.9, "look_agrees": {"500": 0.95}}


def test_networks_of_the_family_are_what_they_are_said_to_be():
    draw = torch.Generator().manual_seed(5)
    for _ in range(13):
        network = drawn(draw)
        assert 5 <= len(network) <= 64
        ratio = network.receiver.period / median_latency(network.connectome)
        assert RATIOS[0] - 1e-6 <= ratio <= RATIOS[1] + 1e-6
    assert len(drawn(draw, 101)) == 101


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, True),
        ({"aer_error": 1e-13}, True),
        ({"agreement": 0.998}, False),
        ({"agreement_by_counting": 0.998}, False),
        ({"max_probability_error": 2e-12}, False),
        ({"aer_error": 2e-12}, False),
        ({"networks": 499}, False),
    ],
    ids=str,
)
def test_the_quantum_claim_asks_for_all_networks_and_exact_probabilities(changed, holds):
    assert persistence_quantum.judged(QUANTUM | changed) is holds


@pytest.mark.parametrize(
    ("changed", "agreement", "holds"),
    [
        ({}, 1.0, True),
        ({}, 0.99, False),
        ({"decided": 0.89}, 1.0, False),
        ({"look_agrees": {"500": 0.94}}, 1.0, False),
    ],
    ids=str,
)
def test_the_exact_claim_asks_for_decisions_agreement_and_a_check(changed, agreement, holds):
    assert persistence_exact.judged(EXACT | changed, {"agreement": agreement}) is holds


def test_the_report_of_the_quantum_study_holds_its_tables(monkeypatch):
    monkeypatch.setattr(persistence_quantum, "AT_LEAST", 3)
    monkeypatch.setattr(persistence_quantum, "ON_AER", 1)
    monkeypatch.setattr(persistence_quantum, "lone_cell", lambda *_: {})
    report = PersistenceQuantum().run(Settings(seed=3))
    told = json.loads(report.json())["measured"]
    assert told["networks"] == sum(told["classes"].values()) == 3
    assert told["agreement"] == told["agreement_by_counting"] == 1.0
    assert told["max_probability_error"] < 1e-12
    assert report.control["sampling_agreement"] == 1.0
    assert report.holds is persistence_quantum.judged(report.measured)


def test_a_lone_cell_is_found_sooner_than_by_asking_half_of_them():
    found = persistence_quantum.lone_cell([6], torch.Generator().manual_seed(2))["64"]
    assert found["quantum_finds"] < found["classical_finds"] == 32.5
    assert found["quantum_says_none"] > found["quantum_finds"]


def test_looks_are_held_against_cycles_and_cycles_against_every_state():
    draw = torch.Generator().manual_seed(1)
    source = cases(draw)
    found = [compared(next(source), draw) for _ in range(5)]
    table, kept = decided(found), every_state_kept(found)
    assert sum(table["classes"].values()) == round(table["decided"] * 5)
    assert set(table["look_agrees"]) == {"50", "500", "5000", "few_cells"}
    assert kept["agreement"] == 1.0


def test_the_report_of_the_exact_study_holds_its_tables(monkeypatch):
    monkeypatch.setattr(persistence_exact, "islice", lambda source, _: [next(source)] * 3)
    monkeypatch.setattr(persistence_exact, "enlarged", lambda *_: {})
    monkeypatch.setattr(persistence_exact, "worm_map", lambda cell, _: worm_map(cell, 2))
    report = ActivityPersistence().run(Settings(seed=1))
    told = json.loads(report.json())["measured"]
    assert told["networks"] == 3
    assert sum(told["worm"]["winner"]["counts"].values()) == 4
    assert report.holds is persistence_exact.judged(
        report.measured, report.control["every_state_kept"]
    )


def test_the_worm_dies_where_refractoriness_outlasts_all_loops_and_goes_on_elsewhere(monkeypatch):
    monkeypatch.setattr(worm_persistence, "SPEEDS", (100.0, 3000.0))
    own = worm_map(Winner, 2)
    assert own.activity[1][1] is Activity.QUIESCENT
    assert own.activity[0] == (Activity.SUSTAINED, Activity.SUSTAINED)
    assert own.latency[0] > own.latency[1] > 0.5
    assert 0.5 < own.pace[0].min() <= own.pace[0].max() < 1.0
    assert own.pace[1].tolist() == [0.0, 0.0]
    assert own.told()["by_refractory_period"] == {"0.5": "ss", "50": "qq"}


def test_a_map_tells_of_what_it_does_not_know():
    known = (Activity.SATURATED, None)
    own = PersistenceMap(
        torch.tensor([1.0, 2.0]), torch.tensor([3.0]), torch.tensor([1.0, 1.0]), (known,),
        torch.tensor([[1.0, math.nan]]), torch.tensor([[5.0, math.nan]]),
    )  # fmt: skip
    told = own.told()
    assert told["by_refractory_period"] == {"3": "S?"}
    assert told["counts"] == {"quiescent": 0, "sustained": 0, "saturated": 1, "None": 1}
