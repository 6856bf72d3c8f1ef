"""Does activity last, and how surely does a fast look tell?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import mean
from typing import Any, ClassVar

import numpy as np
import torch

from amphid.measures import Activity, Persistence, glimpse, persistence
from amphid.simulation import race
from amphid.studies.paired import figure
from amphid.studies.persistence_family import ASSUMPTIONS as FAMILY
from amphid.studies.persistence_family import DT, LONGEST, Case, cases, drawn, struck
from amphid.studies.study import Findings, Settings, Study
from amphid.studies.worm_persistence import ASSUMPTIONS as WORM
from amphid.studies.worm_persistence import CELLS, worm_map

AFTER = (50.0, 500.0, 5000.0)  # ms until a look
USUAL = "500"
FEW = 8  # cells looked at
PATIENCE = 20_000.0  # ms for large networks
KEPT = 400  # ticks within which every state is kept, to check
LEAST_AGREEMENT, LEAST_DECIDED = 0.95, 0.9
ASSUMPTIONS = (
    *FAMILY,
    "Exact: the whole state (signals under way, what is left of refractoriness, sums) is followed "
    f"until it comes again, for {LONGEST:g} ms at most ({PATIENCE:g} in large networks). The "
    f"control keeps every state of runs that repeat themselves within {KEPT} ticks. A look: one "
    f"run, then all cells, or {FEW}, for twice the longest latency and refractory period. What no "
    "cycle is known of counts as undecided, and not for or against the look.",
    "Definitions of quiescent, sustained and saturated are our own: the publication asks the "
    "question, its definitions could not be read.",
    *WORM,
)


@dataclass(frozen=True, eq=False)
class Compared:
    """One network: its truth, what looks at it said, and whether keeping every state agreed."""

    truth: Persistence
    looks: Mapping[str, Activity]
    kept: bool | None  # None where the run is too long for that


class ActivityPersistence(Study):
    """Ground truth of random networks and of the worm, and the fast look beside it."""

    name: ClassVar[str] = "activity-persistence"
    claim: ClassVar[str] = (
        "Whether activity dies, goes on or saturates is decided exactly for 9 of 10 random "
        "geometric networks, and a look at all cells after 500 ms agrees in 95 % of them."
    )
    cells: ClassVar[int] = 302
    published: ClassVar[str] = "the question: Silva 2024, arXiv 2403.18963; no figure could be read"

    def measure(self, settings: Settings) -> Findings:
        """150 networks and a map of the worm, or 1000 and finer maps for two kinds of cells."""
        draw = torch.Generator().manual_seed(settings.seed)
        networks, size = (1000, 5000) if settings.full else (150, 1000)
        found = []
        for case in islice(cases(draw), networks):
            found.append(compared(case, draw))
            settings.tell("random networks", len(found), networks + 2)
        large = enlarged(5, size, draw)
        settings.tell("the worm", networks + 1, networks + 2)
        kinds = CELLS if settings.full else {"winner": CELLS["winner"]}
        worm = {name: worm_map(cell, 20 if settings.full else 10) for name, cell in kinds.items()}
        measured = decided(found)
        control = every_state_kept(found)
        return Findings(
            measured=measured
            | {"large": large, "worm": {name: worm[name].told() for name in worm}},
            reference={"source": "Silva 2024, arXiv 2403.18963: no figure could be read"},
            control={"every_state_kept": control},
            assumptions=ASSUMPTIONS,
            seeds=(settings.seed,),
            holds=judged(measured, control),
        )


def judged(measured: Mapping[str, Any], control: Mapping[str, Any]) -> bool:
    """Whether enough is decided, rightly, and the usual look agrees with it."""
    return (
        control["agreement"] == 1.0
        and measured["decided"] >= LEAST_DECIDED
        and (measured["look_agrees"][USUAL] or 0.0) >= LEAST_AGREEMENT
    )


def compared(case: Case, draw: torch.Generator) -> Compared:
    """Look at a network after several times, once at a few cells, and keep its states."""
    network, stimulus = case.network, case.stimulus
    looks = {
        f"{after:g}": glimpse(network, stimulus, dt=DT, after=after).activity for after in AFTER
    }
    few = min(FEW, len(network))
    look = glimpse(network, stimulus, dt=DT, after=float(USUAL), cells=few, generator=draw)
    return Compared(case.truth, looks | {"few_cells": look.activity}, same_by_keeping(case))


def same_by_keeping(case: Case) -> bool | None:
    """Whether keeping every state finds the same cycle; None where that takes too long."""
    truth = case.truth
    if not truth.transient + truth.period <= KEPT * DT:
        return None
    first = round(float(case.stimulus.time.max()) / DT)
    here = race(case.network, case.stimulus, duration=(first + 1) * DT, dt=DT).state
    seen: dict[Any, int] = {}
    for tick in range(KEPT + 1):
        if here.quiet:
            return (truth.transient, truth.period) == (tick * DT, 0.0)
        if here in seen:
            return (truth.transient, truth.period) == (seen[here] * DT, (tick - seen[here]) * DT)
        seen[here] = tick
        here = race(case.network, duration=DT, dt=DT, state=here, threads=1).state
    return False


def decided(found: Sequence[Compared]) -> dict[str, Any]:
    """How many networks of which class, how soon and for how long, and which looks agreed."""
    known = [one for one in found if one.truth.activity is not None]
    lasting = [one.truth for one in known if one.truth.period]
    return {
        "networks": len(found),
        "decided": figure(len(known) / len(found)),
        "classes": {kind: sum(one.truth.activity is kind for one in known) for kind in Activity},
        "transient": quartiles([one.truth.transient for one in known]),
        "period": quartiles([truth.period for truth in lasting]),
        "look_agrees": {
            look: share([one.looks[look] is one.truth.activity for one in known])
            for look in found[0].looks
        },
    }


def every_state_kept(found: Sequence[Compared]) -> dict[str, Any]:
    """On how many networks every state was kept, and how often that gave the same."""
    kept = [one.kept for one in found if one.kept is not None]
    return {"networks": len(kept), "agreement": share(kept)}


def enlarged(networks: int, size: int, draw: torch.Generator) -> dict[str, Any]:
    """Large networks: how often exact and fast agree, and how many times faster the look is."""
    agree, ratios, open_ = [], [], 0
    for _ in range(networks):
        network = drawn(draw, size)
        stimulus = struck(network, draw)
        race(network, stimulus, duration=DT, dt=DT)  # so that neither side prepares it
        start = time.process_time()
        truth = persistence(network, stimulus, dt=DT, longest=PATIENCE)
        middle = time.process_time()
        look = glimpse(network, stimulus, dt=DT, after=float(USUAL))
        ratios.append((middle - start) / (time.process_time() - middle))
        open_ += truth.activity is None
        agree += [] if truth.activity is None else [truth.activity is look.activity]
    return {
        "cells": size,
        "networks": networks,
        "undecided": open_,
        "look_agrees": share(agree),
        "exact_over_look_in_seconds": quartiles(ratios),
    }


def quartiles(values: Sequence[float]) -> list[float]:
    """The first, the median and the third; none of nothing."""
    return [figure(value) for value in np.percentile(values, (25, 50, 75))] if values else []


def share(agree: Sequence[bool]) -> float | None:
    """How many of them are true; None of nothing."""
    return figure(mean(agree)) if agree else None
