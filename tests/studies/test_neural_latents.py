"""Reaches are divided in time, decoders see what they should, intervals are of the same figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from amphid.measures import bits_per_spike
from amphid.models import SmoothedRates
from amphid.studies import latents_benchmark, latents_judged
from amphid.studies import neural_latents as study
from amphid.studies.latents_judged import Cut, Judge, decoded, history
from amphid.studies.study import Settings
from amphid.tasks import LatentTrials, Reach, Reaches

CELLS = 17


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reaches(count: int = 23) -> Reaches:
    """Cosine-tuned cells whose counts tell the velocity one bin later."""
    draw = seeded()
    tuned = torch.randn(CELLS, 2, generator=draw)
    trials = []
    for k in range(count):
        steps = 34 + k % 3
        way = 2 * math.pi * (k % 8) / 8
        pace = torch.exp(-0.5 * ((torch.arange(steps) - 22) / 4.0) ** 2)[:, None]
        velocity = 8 * pace * torch.tensor([math.cos(way), math.sin(way)])
        rate = (0.6 + velocity.roll(-1, 0) @ tuned.T / 6).exp()
        trials.append(
            Reach(torch.poisson(rate, generator=draw), velocity, velocity.cumsum(0), way, 11, 33)
        )
    return Reaches(tuple(trials), 50.0)


@pytest.fixture(scope="module")
def parts() -> dict[str, Cut]:
    return study.divided(reaches())


def test_reaches_are_divided_in_time() -> None:
    few = study.divided(reaches(23))
    assert {name: len(cut) for name, cut in few.items()} == {"known": 18, "tested": 5}
    many = study.divided(reaches(233))
    assert {name: len(cut) for name, cut in many.items()} == {
        "known": 184, "tested": 46, "unseen": 3,
    }  # fmt: skip
    with pytest.raises(ValueError, match="at least two reaches"):
        study.divided(reaches(1))


def test_a_cut_begins_half_a_second_before_the_cue(parts: dict[str, Cut]) -> None:
    made, cut = reaches(), parts["known"]
    assert set(cut.first) == {10}
    torch.testing.assert_close(cut.counts[3], made[3].spikes[1:33])
    torch.testing.assert_close(cut.velocity[3], made[3].velocity[11:33])
    assert cut.target[:9].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    assert cut.aligned(cut.counts).shape == (18, 20, CELLS)


def test_history_is_the_row_and_those_before_it() -> None:
    rows = torch.arange(5.0)[:, None]
    assert history(rows, bins=3).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert history(rows, bins=2, later=1)[[0, 4]].tolist() == [[0, 0, 1], [3, 4, 4]]


def test_hidden_cells_are_a_quarter_and_no_model_sees_them(parts: dict[str, Cut]) -> None:
    judge = Judge.drawn(parts["known"], seeded())
    assert len(judge.hidden) == CELLS // 4
    assert sorted([*judge.hidden.tolist(), *judge.shown.tolist()]) == list(range(CELLS))
    model = judge.fitted(SmoothedRates())
    tested = parts["tested"]
    blind = replace(tested, counts=tuple(_without(x, judge.hidden) for x in tested.counts))
    for own, other in zip(judge.rates(model, tested), judge.rates(model, blind), strict=True):
        torch.testing.assert_close(own, other)


def _without(counts: Tensor, cells: Tensor) -> Tensor:
    gone = counts.clone()
    gone[:, cells] = 99.0
    return gone


def test_intervals_are_of_the_figures_that_are_told(parts: dict[str, Cut]) -> None:
    judge, tested = Judge.drawn(parts["known"], seeded()), parts["tested"]
    found, own = judge.figures(judge.fitted(SmoothedRates()), tested)
    every = torch.arange(len(tested))[None]
    assert float(own.r2(every)) == pytest.approx(found["velocity_r2"], abs=1e-6)
    assert float(own.bits(every)) == pytest.approx(found["co_bps"], abs=1e-6)
    assert found["velocity_r2"] > 0.5
    low, high = latents_judged.interval(own.r2, len(tested), generator=seeded())
    assert low < found["velocity_r2"] < high + 0.05


def test_counts_of_the_past_do_not_see_the_future(parts: dict[str, Cut]) -> None:
    known, tested = parts["known"], parts["tested"]
    changed = tuple(_late(x) for x in tested.counts)
    past = [decoded(known, known.counts, tested, x) for x in (tested.counts, changed)]
    both = [decoded(known, known.counts, tested, x, later=10) for x in (tested.counts, changed)]
    torch.testing.assert_close(past[0][0][:5], past[1][0][:5])
    assert not torch.allclose(both[0][0][:5], both[1][0][:5])


def _late(counts: Tensor) -> Tensor:
    """Other counts from 16 bins on, which is 6 after the cue."""
    other = counts.clone()
    other[16:] = 0.0
    return other


def test_models_and_controls_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents_judged, "PENALTIES", (100.0,))
    monkeypatch.setattr(latents_judged, "DRAWS", 31)
    parts = study.divided(reaches(29))
    parts["unseen"] = parts["tested"]
    size = study.Size(seeds=2, epochs=2, members=1, steps=2, walks=1)
    measured, control = study.compared(parts, (0, 1), size, Settings())
    assert set(measured["co_bps"]) == set(study.makers(size))
    assert set(measured["velocity_r2"]) == set(study.makers(size))
    assert set(control["velocity_r2"]) == {"ridge", "ridge_shown", "ridge_both_sides"}
    assert set(control["co_bps"]) == {"average_response"}
    assert measured["unseen"]["velocity_r2"] == measured["velocity_r2"]
    assert measured["interval"]["more_than_ridge"].keys() == measured["co_bps"].keys()
    json.dumps([measured, control])


def told(axes: list[float], low: float, high: float = 0.1) -> dict[str, object]:
    ways = {way: [low, high] for way in study.LATENT}
    return {
        "velocity_r2_by_axis": dict.fromkeys(study.LATENT, axes),
        "interval": {
            "co_bps": {way: [0.1, 0.2] for way in study.LATENT},
            "more_than_ridge": ways,
            "more_than_ridge_both_sides": ways,
        },
    }


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (told([0.90, 0.90], 0.01), True),
        (told([0.90, 0.90], -0.01), None),
        (told([0.88, 0.90], 0.01), False),
        (told([0.90, 0.84], 0.01), False),
        (told([0.90, 0.90], -0.2, -0.1), False),
    ],
)
def test_the_claim_asks_both_axes_and_both_regressions(measured, expected) -> None:
    assert study.holds(measured) is expected


def trials(count: int, seed: int, nan: bool = False) -> LatentTrials:
    """Trials of the benchmark whose cells share one signal that is the velocity too."""
    draw = seeded(seed)
    signal = torch.randn(count, 15, 1, generator=draw).cumsum(1) / 3
    counts = torch.poisson((signal[:, :, :] * torch.linspace(-1, 1, 11)).exp(), generator=draw)
    hidden = counts[:, :13, 7:].clone()
    if nan:
        hidden[:, :2] = math.nan
    return LatentTrials(
        counts[:, :13, :7], hidden, counts[:, 13:], torch.cat((signal, -signal), 2)[:, :13],
        torch.arange(count) % 2, torch.arange(count) % 2,
        counts[:, :13].mean(0).expand(2, -1, -1), 20.0,
    )  # fmt: skip


@pytest.mark.parametrize("nan", [False, True])
def test_a_set_of_the_benchmark_is_scored(nan: bool) -> None:
    both = {"train": trials(37, 3, nan), "val": trials(11, 5, nan)}
    found = latents_benchmark.scored(SmoothedRates(40.0, bin=20.0), both)
    assert set(found) == {"co_bps", "forward_bps", "velocity_r2", "psth_r2"}
    assert found["velocity_r2"] > 0.3
    model = SmoothedRates(40.0, bin=20.0)
    kept = latents_benchmark.whole(both["train"])
    model.fit(list(kept.shown), list(kept.hidden))
    rates = torch.stack([model.rates(x, ahead=2) for x in both["val"].shown])[:, :13, 7:]
    assert found["co_bps"] == pytest.approx(bits_per_spike(rates, both["val"].hidden), abs=1e-4)


def test_sets_that_are_not_here_are_passed_over(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert latents_benchmark.benchmarks({}, Settings(full=True)) == {}
    assert latents_benchmark.published()["mc_maze_large"][0]["co_bps"] == 0.1528
    with pytest.raises(FileNotFoundError, match="AMPHID_DATA"):
        study.NeuralLatents().run(Settings())
