"""A cursor steered by simulated cells: decoders made open loop, and repaired in the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from amphid.models import (
    AttentionDecoder,
    Decoder,
    KalmanDecoder,
    RecurrentDecoder,
    RidgeDecoder,
    SpikingDecoder,
    TunedPopulation,
    WienerCascade,
)
from amphid.studies.closed_loop import (
    Attempts,
    Cursor,
    Goal,
    Subject,
    Trials,
    attempted,
    directions,
    recalibrated,
    watched,
)
from amphid.studies.decoder_training import Training, learned_from
from amphid.studies.paired import difference, figure
from amphid.studies.recorded_cells import LEAD, recorded_population
from amphid.studies.study import Findings, Settings, Study

GOAL = Goal(radius=12.0, hold=500.0, limit=3000.0, dt=20.0)
DISTANCE, TARGETS = 100.0, 8  # mm, around the center
CALIBRATION, BLOCK, TESTED = 10, 6, 6  # movements or reaches to each target
CELLS = 60
TOP = 0.25  # mm/ms
TURN, SHARE = 0.5, 0.4
BAR = 0.9

Maker = Callable[[int, torch.Generator], Decoder]
FITTED: dict[str, Maker] = {
    "ridge": lambda cells, lot: RidgeDecoder(cells, 2),
    "Wiener cascade": lambda cells, lot: WienerCascade(cells, 2),
    "Kalman": lambda cells, lot: KalmanDecoder(cells, 2),
}
TRAINED: dict[str, Maker] = {
    "recurrent": lambda cells, lot: RecurrentDecoder(cells, 2, hidden=48, generator=lot),
    "attention": lambda cells, lot: AttentionDecoder(
        cells, 2, width=32, heads=2, blocks=1, generator=lot
    ),
    "spiking": lambda cells, lot: SpikingDecoder(cells, 2, interval=GOAL.dt, generator=lot),
}

ASSUMPTIONS = (
    f"Subject: simulated. It wants to move towards the target at up to {TOP:g} m/s, slower when "
    "near, by where it saw the cursor 100 ms before. It does not learn.",
    f"Cells: Poisson, {CELLS} drawn with cosine tuning (about 10 Hz at rest, 10 Hz more along the "
    "preferred direction at full speed), or those of motor cortex recorded during reaches of a "
    f"monkey, each by Poisson regression on the velocity {LEAD:g} ms later, with a gain for "
    "speed.",
    f"Open loop: a decoder is fitted to {CALIBRATION} watched minimum-jerk movements to each of "
    f"{TARGETS} targets. In the loop the cells are others than those that watched: preferred "
    f"directions turned with a standard deviation of {TURN:g} rad, baselines multiplied, with one "
    f"of {SHARE:g} of their logarithm. Those two figures are ours. The control without any change "
    "says how much of the gain is due to them.",
    f"Reaches: {DISTANCE:g} mm to {TARGETS} targets, {1000 / GOAL.dt:g} Hz; one counts that stays "
    f"within {GOAL.radius:g} mm for {GOAL.hold:g} ms on end before {GOAL.limit:g} ms are over. "
    "Time to target is the limit where a reach never counted.",
    f"ReFIT: {BLOCK} reaches to each target with the decoder so far, velocities turned to the "
    "target and zero within it, and a new fit to all such reaches; twice. Tested on other reaches.",
    "Networks: settings of their training were chosen on other seeds than those reported. "
    "Intervals: 95 %, Student's t over paired seeds.",
)


@dataclass(frozen=True)
class Amount:
    """Seeds of the Kalman decoder, of all fitted ones and controls, and of those trained."""

    kalman: int
    fitted: int
    trained: int


QUICK, FULL = Amount(15, fitted=5, trained=3), Amount(30, fitted=20, trained=10)


class CursorBci(Study):
    """Recalibration in the loop beats open-loop training."""

    name: ClassVar[str] = "cursor-bci"
    claim: ClassVar[str] = (
        "A cursor steered by simulated cells of motor cortex reaches its targets more often once "
        "the Kalman decoder was refitted to what was meant during its use (ReFIT) than with the "
        "one fitted open loop, and then in at least 90 % of reaches."
    )
    published: ClassVar[str] = "none: at least 90 % and better than open loop, our own bar"
    cells: ClassVar[int] = CELLS

    def measure(self, settings: Settings) -> Findings:
        """15 seeds for Kalman, 5 for all that is fitted, 3 for networks; or 30, 20 and 10."""
        amount = FULL if settings.full else QUICK
        recorded = recorded_population()
        seeds = tuple(settings.seed + k for k in range(amount.kalman))
        drawn_runs, recorded_runs = [], []
        for k, seed in enumerate(seeds):
            settings.tell(f"seed {seed}", k, len(seeds))
            fitted = FITTED if k < amount.fitted else {"Kalman": FITTED["Kalman"]}
            makers = {**fitted, **(TRAINED if k < amount.trained else {})}
            beside = k < amount.fitted
            drawn_runs.append(compared(drawn_cells(seed), makers, seed, controls=beside))
            recorded_runs.append(compared(recorded, fitted, seed, controls=beside))
        measured = {"drawn cells": told(drawn_runs), "recorded cells": told(recorded_runs)}
        return Findings(
            measured=measured,
            reference={"success": BAR},
            control={
                "drawn cells": controls(drawn_runs), "recorded cells": controls(recorded_runs)
            },
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured),
        )  # fmt: skip


def drawn_cells(seed: int) -> TunedPopulation:
    """Cells with cosine tuning."""
    return TunedPopulation.drawn(CELLS, 2, generator=_lot(seed, 0), top=TOP)


class Outcome(NamedTuple):
    """What a decoder came to, or several of them on average."""

    success: float  # share of reaches
    time: float  # ms to the end of a reach
    efficiency: float  # straight way over the way gone


Run = dict[str, dict[str, Any]]
"""By decoder: "offline R2", and an `Outcome` for each way to make it; "control" holds others."""


def compared(
    watching: TunedPopulation, makers: Mapping[str, Maker], seed: int, *, controls: bool = True
) -> Run:
    """All decoders of a seed, on the same watched movements and with the same cells in the loop."""
    lot = _lot(seed, 1)
    target = directions(TARGETS, DISTANCE)
    seen = watched(watching, target.repeat(CALIBRATION, 1), generator=lot)
    held = watched(watching, target.repeat(BLOCK, 1), generator=lot)
    cells = watching.altered(turn=TURN, share=SHARE, generator=lot)
    run: Run = {}
    for name, maker in makers.items():
        bench = Bench(maker, cells, target, seed)
        opened = bench.learned(seen)
        refitted = bench.repaired(opened)
        run[name] = {
            "offline R2": explained(opened, held),
            "open loop": bench.tested(opened),
            "ReFIT": bench.tested(refitted),
        }
    if controls:
        run["control"] = _controls(watching, cells, seen, target, seed)
    return run


@dataclass(frozen=True)
class Bench:
    """Where decoders of one kind are made, used and repaired, with the same cells."""

    maker: Maker
    cells: TunedPopulation
    target: Tensor
    seed: int

    def learned(self, trials: Trials) -> Decoder:
        """A decoder of counts and velocities of trials."""
        lot = _lot(self.seed, 2)
        decoder = self.maker(trials[0][0].shape[1], lot)
        return learned_from(decoder, *trials, training=Training(), generator=lot)

    def reached(self, decoder: Decoder, each: int, draw: int) -> Attempts:
        """So many reaches to each target."""
        target = self.target.repeat(each, 1)
        subject = Subject(self.cells, speed=TOP)
        return attempted(
            subject, decoder, Cursor(), target, goal=GOAL, generator=_lot(self.seed, draw)
        )

    def repaired(self, decoder: Decoder, rounds: int = 2) -> Decoder:
        """Refitted to what was meant in reaches that it steered itself, round after round."""
        counts: list[Tensor] = []
        meant: list[Tensor] = []
        for k in range(rounds):
            block = recalibrated(self.reached(decoder, BLOCK, 3 + k), GOAL.radius)
            counts, meant = counts + block[0], meant + block[1]
            decoder = self.learned((counts, meant))
        return decoder

    def tested(self, decoder: Decoder) -> Outcome:
        """What it comes to in reaches that no decoder learned from."""
        reaches = self.reached(decoder, TESTED, 100)
        return Outcome(
            float(reaches.success.float().mean()),
            float(reaches.last.float().mean()) * GOAL.dt,
            float(reaches.efficiency().mean()),
        )


def _controls(
    watching: TunedPopulation, cells: TunedPopulation, seen: Trials, target: Tensor, seed: int
) -> dict[str, Outcome]:
    """A Kalman decoder without change of cells, refitted without turning, and cells mixed up."""
    bench = Bench(FITTED["Kalman"], cells, target, seed)
    same = Bench(FITTED["Kalman"], watching, target, seed)
    opened = bench.learned(seen)
    block = bench.reached(opened, 2 * BLOCK, 3)
    order = torch.randperm(len(cells.baseline), generator=_lot(seed, 99))
    mixed = TunedPopulation(cells.baseline[order], cells.slope[order], cells.speed[order])
    steered = list(block.counts.unbind(1)), list(block.decoded.unbind(1))
    return {
        "no change, open loop": same.tested(opened),
        "no change, ReFIT": same.tested(same.repaired(opened)),
        "refitted to what was decoded": bench.tested(bench.learned(steered)),
        "cells shuffled": Bench(FITTED["Kalman"], mixed, target, seed).tested(
            bench.repaired(opened)
        ),
    }


def explained(decoder: Decoder, trials: Trials) -> float:
    """R2 of decoded velocities, over both axes together."""
    with torch.no_grad():
        found = torch.cat([decoder(counts) for counts in trials[0]])
    true = torch.cat(trials[1])
    left, all_of_it = (true - found).square().sum(), (true - true.mean(0)).square().sum()
    return float(1 - left / all_of_it)


def told(runs: Sequence[Run]) -> dict[str, Any]:
    """By decoder: both ways to make it, and what the repair gained, over seeds that have it."""
    names = [name for name in runs[0] if name != "control"]
    return {name: _told([run[name] for run in runs if name in run]) for name in names}


def _told(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    opened, repaired = ([row[way] for row in rows] for way in ("open loop", "ReFIT"))
    return {
        "seeds": len(rows),
        "offline_r2": figure(mean(row["offline R2"] for row in rows)),
        "success": {"open loop": _mean(opened, 0), "ReFIT": _mean(repaired, 0)},
        "time_to_target": {"open loop": _mean(opened, 1), "ReFIT": _mean(repaired, 1)},
        "path_efficiency": {"open loop": _mean(opened, 2), "ReFIT": _mean(repaired, 2)},
        "gain": difference([one.success for one in repaired], [one.success for one in opened]),
        "sooner": difference([one.time for one in opened], [one.time for one in repaired]),
    }


def controls(runs: Sequence[Run]) -> dict[str, Any]:
    """Success of the controls, and what ReFIT gains where the cells stay the same."""
    rows = [run["control"] for run in runs if "control" in run]
    held: dict[str, list[Outcome]] = {name: [row[name] for row in rows] for name in rows[0]}
    same = [held[f"no change, {way}"] for way in ("ReFIT", "open loop")]
    return {
        "success": {name: _mean(rows, 0) for name, rows in held.items()},
        "gain, no change": difference(*([one.success for one in rows] for rows in same)),
        "sooner, no change": difference(*([one.time for one in rows] for rows in same[::-1])),
    }


def holds(measured: Mapping[str, Any]) -> bool:
    """With either kind of cells: surely better than open loop, and at the bar."""
    both = [cells["Kalman"] for cells in measured.values()]
    return all(row["gain"]["interval"][0] > 0 and row["success"]["ReFIT"] >= BAR for row in both)


def _mean(rows: Sequence[Outcome], which: int) -> float:
    return figure(mean(row[which] for row in rows))


def _lot(seed: int, draw: int) -> torch.Generator:
    """What draws in one place of the study; no two seeds share a draw."""
    return torch.Generator().manual_seed(101 * seed + draw)
