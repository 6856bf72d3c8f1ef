"""Whole-fly-brain: figures of activity are what they say, and the claim is judged by them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from amphid.studies import whole_fly_brain as study
from amphid.studies.activation import Activity, activate, overlap, targets_permuted
from amphid.studies.published_fly import Sugar, published
from amphid.wiring import builders

DATA = Path(os.environ.get("AMPHID_DATA", "/nowhere")) / "flywire_shiu2024"
needs_trains = pytest.mark.skipif(
    not (DATA / "sugarR.parquet").is_file(), reason="AMPHID_DATA does not hold flywire_shiu2024"
)


def brain() -> builders.Connectome:
    g = torch.Generator().manual_seed(3)
    return builders.heavy_tailed(211, outdegree=17.0, synapses=11.0, generator=g)


def run(**how) -> Activity:
    g = torch.Generator().manual_seed(5)
    return activate(brain(), ["E0", "E1", "E2"], rate=0.2, trials=2, generator=g, **how)


def test_overlap_is_the_share_of_either_that_is_in_both() -> None:
    sets = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]).bool()
    assert overlap(sets) == round((2 / 3 + 1 / 2 + 1 / 3) / 3, 3)
    assert overlap(sets[:1]) is None
    assert overlap(torch.zeros(3, 5).bool()) is None


def test_silenced_inputs_fire_alone() -> None:
    intact, silent = run(), run(silenced=["E0", "E1", "E2"])
    assert intact.downstream.any()
    assert not silent.downstream.any()
    assert float(silent.rates[:, :3].mean()) == pytest.approx(196.0, abs=15.0)


def test_without_clearing_more_cells_fire() -> None:
    assert run(build=study.not_clearing).counts.sum() > run().counts.sum()


def test_permuted_targets_keep_all_degrees() -> None:
    one = brain().connections
    other = targets_permuted(brain(), torch.Generator().manual_seed(1)).connections
    for column in ("pre", "post"):
        degrees = [np.bincount(getattr(wires, column), minlength=211) for wires in (one, other)]
        np.testing.assert_array_equal(*degrees)
    assert (one.post != other.post).mean() > 0.9


def test_drawn_signs_belong_to_cells_and_sensory_ones_excite() -> None:
    made = brain()
    signed = study.with_drawn_signs(made, torch.Generator().manual_seed(1))
    pre, sign = signed.connections.pre, signed.connections.sign
    of_cell = [set(sign[pre == cell]) for cell in range(211)]
    assert all(len(found) <= 1 for found in of_cell)
    assert 0.2 < np.mean([found == {-1} for found in of_cell]) < 0.4


@needs_trains
def test_the_published_trains_hold_what_was_told_of_them() -> None:
    sugar = Sugar.load()
    assert sugar
    trains = published(0.2, sugar.driven)
    assert trains
    figures = trains.figures()
    assert figures["trials"] == 30
    assert figures["active cells in any trial"] == 448
    assert int(trains.counts.sum()) == 511_566
    assert figures["driven rate, Hz"] == 196.8
    motor = study.motor_figures(trains, trains.place(sugar.motor))
    assert motor["MN9 rate, Hz"] == 93.3


@needs_trains
def test_published_against_itself_agrees_and_against_another_rate_does_not() -> None:
    sugar = Sugar.load()
    assert sugar
    high = published(0.2, sugar.driven)
    assert high
    low = published(0.1, sugar.driven, high.names)
    motor = high.place(sugar.motor)
    whole = {"share of the brain": 448 / 127_400}
    assert study.holds(study.compared(high, high, motor) | whole)
    assert not study.holds(study.compared(low, high, motor) | whole)


def test_a_motor_neuron_that_is_silent_refutes_the_claim() -> None:
    found = {"share of the brain": 0.004, "overlap of two trials": 0.9, "MN9 rate, Hz": 93.0}
    assert study.holds(found)
    assert not study.holds(found | {"MN9 rate, Hz": 0.0})
    assert not study.holds(found | {"share of the brain": 0.3})
    assert not study.holds(found | {"overlap of two trials": 0.2})
