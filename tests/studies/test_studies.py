"""Every study keeps the contract; each claim's parts are judged by their figures."""

import json
import os
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from amphid import studies
from amphid.studies import (
    ActivityPersistence,
    AutodiffFails,
    CnnHierarchy,
    CorticalColumn,
    CursorBci,
    DigitsBinary,
    DigitsBiophysical,
    DigitsBiophysicalBptt,
    DigitsRegularized,
    DigitsSpiking,
    DigitsWithoutTraining,
    EmergenceInit,
    EmergencePruning,
    FractionalMemory,
    Inbreeding,
    IntegrationMemory,
    LimitedData,
    LotteryDigits,
    NeuralLatents,
    Neurofeedback,
    PersistenceQuantum,
    Report,
    RobotArm,
    SearchDigits,
    Settings,
    SpikeReplication,
    Study,
    Transfer,
    WholeFlyBrain,
    WormBehavior,
    WormClassic,
    WormForecast,
    WormTouch,
)
from amphid.studies.touch_test import CONDITIONS, fractions, ordered
from amphid.studies.worm_classic import GOLDEN
from amphid.studies.worm_touch import judged

STUDIES = [
    AutodiffFails(),
    WormClassic(),
    WormTouch(),
    WormForecast(),
    WholeFlyBrain(),
    CorticalColumn(),
    CursorBci(),
    Neurofeedback(),
    DigitsSpiking(),
    DigitsRegularized(),
    DigitsBiophysicalBptt(),
    DigitsBiophysical(),
    DigitsBinary(),
    DigitsWithoutTraining(),
    SpikeReplication(),
    SearchDigits(),
    CnnHierarchy(),
    Transfer(),
    Inbreeding(),
    IntegrationMemory(),
    EmergenceInit(),
    EmergencePruning(),
    LotteryDigits(),
    ActivityPersistence(),
    PersistenceQuantum(),
    FractionalMemory(),
    RobotArm(),
    NeuralLatents(),
    WormBehavior(),
    LimitedData(),
]

needs_worm_web_sim = pytest.mark.skipif(
    not (Path(os.environ.get("AMPHID_DATA", "")) / "worm_web_sim").is_dir(),
    reason="AMPHID_DATA does not hold worm_web_sim",
)


def test_the_list_of_studies_is_complete():
    concrete = {
        value for value in vars(studies).values()
        if isinstance(value, type) and issubclass(value, Study) and value is not Study
    }  # fmt: skip
    assert {type(study) for study in STUDIES} == concrete


@pytest.mark.parametrize("study", STUDIES, ids=lambda s: s.name)
def test_every_study_names_its_claim(study):
    assert study.claim.endswith(".")
    assert study.published
    assert study.name == study.name.lower()


@needs_worm_web_sim
def test_the_classic_worm_gives_the_golden_traces():
    report = WormClassic().run(Settings())
    assert report.holds is True
    for name, golden in GOLDEN.items():
        assert report.measured[name] == golden
        assert report.control["order_reversed"][name] != golden
    told = json.loads(report.json())
    assert set(told) == {field.name for field in fields(Report)}


class Made:
    """A subject whose responses are written down."""

    def __init__(self, quiet: bool, table: dict[tuple[str, ...], list[dict[str, float]]]):
        self.quiet, self.table = quiet, table

    def touched(self, *killed):
        names = ("AVA", "AVD", "AVE", "AVB", "PVC", "DA*", "VA*", "DB*", "VB*")
        self.names = names
        rows = [[[side.get(n, 0.0) for n in names]] for side in self.table[killed]]
        return torch.tensor(rows)

    def rests(self):
        return torch.tensor([self.quiet])

    def pool(self, response, *which):
        return response[..., [self.names.index(name) for name in which]].mean(-1)


FRONT = {"AVA": 2.0, "AVD": 2.0, "AVE": 2.0, "AVB": -1.0, "DA*": 3.0, "VA*": 3.0, "DB*": 1.0}
BACK = {"AVB": 2.0, "PVC": 2.0, "DB*": 3.0, "VB*": 3.0, "DA*": 1.0}
DEAF = [{"DA*": 0.7, "VA*": 0.7, "DB*": 3.0, "VB*": 3.0}, {"DB*": 3.0, "VB*": 3.0, "DA*": 1.0}]
DUMB = [{"DA*": 3.0, "VA*": 3.0}, {"DB*": 0.7, "VB*": 0.7}]


def test_a_worm_that_does_it_all_passes_every_condition():
    table = {(): [FRONT, BACK], ("AVA", "AVD", "AVE"): DEAF, ("AVB", "PVC"): DUMB}
    assert set(fractions(Made(True, table)).values()) == {1.0}


def test_a_worm_that_mixes_up_its_touches_fails_the_orders():
    table = {(): [BACK, FRONT], ("AVA", "AVD", "AVE"): DUMB, ("AVB", "PVC"): DEAF}
    found = fractions(Made(False, table))
    assert [found[name] for name in CONDITIONS[:3]] == [0.0, 0.0, 0.0]


def test_killing_that_leaves_the_drive_is_not_abolishing():
    table = {(): [FRONT, BACK], ("AVA", "AVD", "AVE"): [FRONT, BACK], ("AVB", "PVC"): [FRONT, BACK]}
    found = fractions(Made(True, table))
    assert found["backward_killed"] == found["forward_killed"] == 0.0
    assert found["backward_kept_without_forward"] == 1.0


def test_order_asks_for_both_touches():
    backward, forward = (
        torch.tensor([[2.0, 2.0], [1.0, 1.0]]),
        torch.tensor([[1.0, 1.0], [2.0, 0.0]]),
    )
    assert ordered(backward, forward).tolist() == [True, False]


GOOD = dict.fromkeys(CONDITIONS, 1.0)
POOR = dict.fromkeys(CONDITIONS, 0.5)


@pytest.mark.parametrize(
    ("complete", "circuit", "classic", "holds"),
    [
        (GOOD, GOOD, POOR, True),
        ({**GOOD, "motor_order": 0.86, "backward_killed": 0.0}, GOOD, POOR, True),
        ({**GOOD, "motor_order": 0.84}, GOOD, POOR, False),
        ({**GOOD, "rest": 0.94}, GOOD, POOR, False),
        (GOOD, {**GOOD, "forward_killed": 0.94}, POOR, False),
        (GOOD, GOOD, GOOD, False),
    ],
)
def test_the_claim_is_judged_part_by_part(complete, circuit, classic, holds):
    assert judged({"complete": complete, "circuit": circuit}, classic) is holds
