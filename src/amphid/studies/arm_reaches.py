"""Reaches of an arm that a decoder steers: trained on watched movements, then recalibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from amphid.models import Arm, KalmanDecoder, Servo, TunedPopulation
from amphid.studies.closed_loop import (
    Attempts,
    Goal,
    Subject,
    attempted,
    directions,
    recalibrated,
    watched,
)
from amphid.studies.paired import difference, figure

CELLS = 96
TOP = 0.25  # mm/ms, the speed that the depth of tuning is given at, and the highest wanted
DISTANCE = 120.0  # mm from the hand at rest to a target
TURN, SHARE = 0.5, 0.3  # how cells differ between watching and steering: rad, and log of baseline
GOAL = Goal()
WAYS = ("open_loop", "refit", "shuffled", "other_target")


@dataclass(frozen=True, eq=False)
class Prepared:
    """An arm, its targets, and who steers it."""

    servo: Servo
    targets: Tensor  # [K, D], mm
    subject: Subject
    watched: KalmanDecoder  # trained in open loop
    generator: torch.Generator


@dataclass(frozen=True)
class Scores:
    """What reaches came to. seconds: mean time of a reach, one that failed at its limit."""

    success: float
    seconds: float
    efficiency: float


def targets_around(arm: Arm) -> Tensor:
    """Targets [K, D] around the hand at rest: 8 in a plane; 26 in space, along all diagonals."""
    home = arm.forward(torch.tensor(arm.posture))
    if arm.dimensions == 2:
        return home + directions(8, DISTANCE)
    ways = torch.tensor([way for way in product((-1.0, 0.0, 1.0), repeat=3) if any(way)])
    return home + DISTANCE * ways / ways.norm(dim=-1, keepdim=True)


def prepared(
    arm: Arm,
    population: TunedPopulation,
    generator: torch.Generator,
    *,
    turn: float = TURN,
    share: float = SHARE,
) -> Prepared:
    """A decoder fitted to watched movements, and a subject whose cells have changed since."""
    targets = targets_around(arm)
    way = (targets - arm.forward(torch.tensor(arm.posture))).repeat(4, 1)
    seen = watched(population, way, dt=GOAL.dt, generator=generator)
    decoder = KalmanDecoder(len(population.baseline), arm.dimensions).fit(*seen)
    now = population.altered(turn=turn, share=share, generator=generator)
    return Prepared(Servo(arm), targets, Subject(now, speed=TOP), decoder, generator)


def steered(
    own: Prepared, decoder: KalmanDecoder, repeats: int, subject: Subject | None = None
) -> Attempts:
    """Reaches for all targets, side by side, `repeats` times each."""
    return attempted(
        own.subject if subject is None else subject,
        decoder,
        own.servo,
        own.targets.repeat(repeats, 1),
        goal=GOAL,
        generator=own.generator,
    )


def refitted(attempts: Attempts) -> KalmanDecoder:
    """A decoder fitted to what was meant in those reaches."""
    cells, axes = attempts.counts.shape[-1], attempts.target.shape[-1]
    return KalmanDecoder(cells, axes).fit(*recalibrated(attempts, GOAL.radius))


def compared(own: Prepared, repeats: int) -> tuple[dict[str, Scores], KalmanDecoder]:
    """Scores in open loop and after one recalibration, and two controls; the last decoder.

    shuffled: the recalibrated decoder, its cells mixed up. other_target: its reaches, judged by the
    targets of others.
    """
    first = steered(own, own.watched, repeats)
    decoder = refitted(first)
    later = steered(own, decoder, repeats)
    order = torch.randperm(len(own.subject.population.baseline), generator=own.generator)
    mixed = steered(own, decoder, 1, Subject(mixed_up(own.subject.population, order), speed=TOP))
    other = later.target.roll(len(own.targets) // 2 + 1, 0)
    judged = later._replace(target=other, ticks=GOAL.held(later.place[1:], other))
    return dict(zip(WAYS, map(scores, (first, later, mixed, judged)), strict=True)), decoder


def mixed_up(population: TunedPopulation, order: Tensor) -> TunedPopulation:
    """The population with its cells in another order [N]."""
    return TunedPopulation(
        population.baseline[order], population.slope[order], population.speed[order]
    )


def scores(attempts: Attempts) -> Scores:
    """Share of reaches that counted, their mean time in s, and how straight all of them were."""
    return Scores(
        success=float(attempts.success.double().mean()),
        seconds=float(attempts.last.double().mean()) * GOAL.dt / 1000,
        efficiency=float(attempts.efficiency().double().mean()),
    )


def averaged(runs: Sequence[Mapping[str, Scores]], way: str) -> dict[str, Any]:
    """Means over runs, and the least success among them."""
    own = [run[way] for run in runs]
    return {
        "success": figure(mean(one.success for one in own)),
        "least_success": figure(min(one.success for one in own)),
        "seconds": figure(mean(one.seconds for one in own)),
        "path_efficiency": figure(mean(one.efficiency for one in own)),
    }


def gains(runs: Sequence[Mapping[str, Scores]]) -> dict[str, Any]:
    """What recalibration adds, run by run: success, efficiency, and seconds saved in a reach."""
    before, after = [run["open_loop"] for run in runs], [run["refit"] for run in runs]
    return {
        "success": difference([a.success for a in after], [b.success for b in before]),
        "seconds_saved": difference([b.seconds for b in before], [a.seconds for a in after]),
        "path_efficiency": difference(
            [a.efficiency for a in after], [b.efficiency for b in before]
        ),
    }
