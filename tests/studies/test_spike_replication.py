"""The study of spike replication: its parts say what they measure, and the claim is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from amphid.studies import spike_replication as study
from amphid.studies.replicating import (
    Trained,
    dense,
    groups,
    network,
    trained,
    updates_within,
)
from amphid.tasks import SpikeReplication, Trains

DENSE, PERMUTED = (f"{study.BEST}, {start}" for start in ("dense", "permuted"))


@pytest.mark.parametrize(
    ("fresh", "kept", "holds"), [(0.70, 0.80, True), (0.69, 0.9, False), (0.9, 0.79, False)]
)
def test_the_claim_holds_where_both_starts_reach_it(fresh: float, kept: float, holds: bool) -> None:
    found = {DENSE: fresh, PERMUTED: kept}
    assert study.holds(found, full=True) is holds
    assert study.holds(found, full=False) is (holds or None)


def test_curves_are_read_between_quarters() -> None:
    curve = [0.0, 0.4, 0.6, 0.7, 0.75]
    assert [study.between(curve, share) for share in (0.0, 0.125, 0.5, 1.0)] == [0, 0.2, 0.6, 0.75]


def test_ways_are_compared_where_the_thriftiest_ends() -> None:
    def run(minutes: float, curve: list[float]) -> dict[str, object]:
        return {"trained": Trained(None, (), 4, minutes, 1.0), "curve": curve}  # type: ignore[arg-type]

    told = study.equal_runs(
        {"one": [run(8.0, [0.0, 1, 2, 3, 4])], "two": [run(2.0, [5.0, 6, 7, 8, 9])]}
    )
    assert told == {"one": 1.0, "two": 9.0}


def test_every_way_stands_in_the_plan_and_quick_ones_too() -> None:
    assert {study.BEST, *study.QUICK} <= set(study.WAYS)
    assert set(study.planned(full=True)) == {DENSE, PERMUTED, *study.WAYS} - {study.BEST}
    assert set(study.planned(full=False)) == {DENSE, PERMUTED, *study.QUICK}


@pytest.mark.parametrize("name", list(study.WAYS))
def test_every_way_makes_its_estimator(name: str) -> None:
    assert callable(study.WAYS[name].estimator(torch.Generator(), 7))


def test_binary_cells_learn_to_give_trains_back_and_their_learning_is_told() -> None:
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(3)
    task = SpikeReplication(
        5, duration=100.0, trains=Trains(dt=0.1), lag=0.0, samples=5, held=5, generator=draw
    )
    way = replace(study.BINARY, firing=10.0)
    net = network(way, dense, task, 1)
    weight, bias, *_ = groups(net, way)
    assert weight["lr"] == pytest.approx(0.12 * net[0].weight.square().mean().sqrt().item())
    assert bias["lr"] == pytest.approx(0.012 / float(net[1].gain))
    found = trained(way, net, task, updates=80, generator=draw)
    assert len(found.curve) == 5
    assert found.minutes == pytest.approx(80 * 5 * 12 * 30 / 60_000)
    assert updates_within(0.0, way, net, task, draw) == 4
    assert found.curve[-1] > found.curve[0] + 0.1
    assert task.score(study.Silent()).value == 0.0
