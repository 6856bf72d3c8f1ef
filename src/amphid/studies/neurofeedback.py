"""Neurofeedback: a subject learns a perturbed decoder from reward, within its manifold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from amphid.studies.manifold import (
    BIN,
    CANDIDATES,
    CELLS,
    FACTORS,
    PROGRESS,
    TARGETS,
    Calibrated,
    Circuit,
    Readout,
    calibrated,
    circuit,
    matched,
    reach,
)
from amphid.studies.paired import difference, figure, interval
from amphid.studies.reward_learner import (
    DISTANCE,
    LIMIT,
    RADIUS,
    Learning,
    Subjects,
    Trial,
    learned,
    practiced,
)
from amphid.studies.study import Findings, Settings, Study

BLOCK = 80  # trials that are judged, before and after
RATIO = 2.0
RESAMPLES = 2000
LEARNING = Learning()

ASSUMPTIONS = (
    f"Cells: {CELLS} Poisson cells that {FACTORS} commands drive, about 20 Hz at rest. The "
    "subject moves its cells only by those commands: that it cannot leave the manifold is an "
    "assumption, and the one that makes the claim true here. The control subject may move every "
    "cell on its own, and all else is alike.",
    f"Decoder: {FACTORS} factors of standardized counts in bins of {BIN:g} ms (factor analysis), "
    f"and from them a velocity. Inside: the factors are permuted. Outside: the {CELLS} cells are.",
    f"Difficulty: of {CANDIDATES} permutations of each kind, the pair nearest in progress and "
    "speed before learning, computed without noise, where progress is "
    f"{100 * PROGRESS[0]:g} to {100 * PROGRESS[1]:g} % of that with the decoder unperturbed. Cells "
    "that outside permutations leave so easy are rare; most are harder.",
    f"Trials: {TARGETS} targets at {DISTANCE:g} mm, {RADIUS:g} mm wide to each side, {LIMIT:g} ms. "
    "The reward is one number at the end of a trial: the mean speed towards the target.",
    f"Learning: {LEARNING.trials} trials. Modulations are varied by chance, at "
    f"{100 * LEARNING.exploration:g} % of their strength, and moved as the reward was above or "
    "below what is expected at that target; they never get stronger than they were. The two "
    "settings were chosen on other seeds, and are the same for all subjects.",
    f"Amount learned: gain in speed from {BLOCK} trials before to {BLOCK} trials after learning, "
    "as a share of what the perturbation took; 1 is all, above 1 is faster than before. Ratio: of "
    "means over seeds, its 95 % interval by resampling seeds. Others: Student's t over seeds.",
)


class Neurofeedback(Study):
    """What lies inside the manifold is learned, what lies outside hardly."""

    name: ClassVar[str] = "neurofeedback"
    claim: ClassVar[str] = (
        "A simulated subject that can only move along its intrinsic manifold learns, from reward "
        "alone, decoders perturbed inside the manifold more than twice as well as ones perturbed "
        "outside."
    )
    published: ClassVar[str] = (
        "inside is learned, outside much less: Sadtler et al. 2014, doi 10.1038/nature13665; "
        "twice is our own bar"
    )
    cells: ClassVar[int] = CELLS

    def measure(self, settings: Settings) -> Findings:
        """10 seeds, or 30."""
        seeds = tuple(settings.seed + k for k in range(30 if settings.full else 10))
        settings.tell("calibrating", 0, 2)
        cases = [case(seed) for seed in seeds]
        settings.tell("learning", 1, 2)
        found = outcomes(cases, LEARNING, torch.Generator().manual_seed(settings.seed))
        measured = told(found["inside"], found["outside"], settings.seed)
        control = told(found["free, inside"], found["free, outside"], settings.seed)
        return Findings(
            measured={**measured, "reachable": _reachable(cases, "inside", "outside")},
            reference={"ratio": RATIO},
            control={
                "every cell moves freely": control,
                "unperturbed": {"success": figure(float(found["inside"].intact.success.mean()))},
            },
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured),
        )


class Case(NamedTuple):
    """What one seed draws."""

    circuit: Circuit
    decoder: Calibrated
    inside: Readout
    outside: Readout


def case(seed: int) -> Case:
    """A circuit, its decoder, and two perturbations as hard."""
    lot = torch.Generator().manual_seed(seed)
    drawn = circuit(lot)
    decoder = calibrated(drawn, lot)
    return Case(drawn, decoder, *matched(drawn, decoder, lot))


def subjects(cases: Sequence[Case], readouts: Sequence[Readout], *, free: bool) -> Subjects:
    """Side by side; a free one may move every cell, the others only along the manifold."""
    slope = torch.stack([one.circuit.population.slope for one in cases])
    ways = torch.eye(CELLS).expand(len(cases), -1, -1) if free else _widened(slope)
    return Subjects(
        baseline=torch.stack([one.circuit.population.baseline for one in cases]),
        slope=slope,
        aim=torch.stack([one.circuit.aim for one in cases]),
        ways=ways,
        readout=Readout(*(torch.stack(part) for part in zip(*readouts, strict=True))),
    )


def _widened(slope: Tensor) -> Tensor:
    """The same ways, with others that lead nowhere: as many as there are cells [S, N, N]."""
    return torch.nn.functional.pad(slope, (0, CELLS - slope.shape[2]))


class Blocks(NamedTuple):
    """Trials of each subject on average [S]: without a perturbation, before and after learning."""

    intact: Trial
    before: Trial
    after: Trial

    def amount(self, which: str = "speed") -> list[float]:
        """What was learned, as a share of what the perturbation took."""
        intact, before, after = (getattr(block, which) for block in self)
        found: list[float] = ((after - before) / (intact - before)).tolist()
        return found


def outcomes(
    cases: Sequence[Case], learning: Learning, generator: torch.Generator
) -> dict[str, Blocks]:
    """What came of every kind of subject under either perturbation."""
    plain = subjects(cases, [one.decoder.readout() for one in cases], free=False)
    intact = averaged(practiced(plain, BLOCK, generator))
    kinds = {
        "inside": subjects(cases, [one.inside for one in cases], free=False),
        "outside": subjects(cases, [one.outside for one in cases], free=False),
        "free, inside": subjects(cases, [one.inside for one in cases], free=True),
        "free, outside": subjects(cases, [one.outside for one in cases], free=True),
    }
    everyone = joined(list(kinds.values()))
    before = practiced(everyone, BLOCK, generator)
    after, _ = learned(everyone, learning, intact.speed.repeat(len(kinds)), generator)
    late = practiced(after, BLOCK, generator)
    parts = [
        [Trial(*some) for some in zip(*(x.chunk(len(kinds)) for x in averaged(block)), strict=True)]
        for block in (before, late)
    ]
    return {
        name: Blocks(intact, *both)
        for name, both in zip(kinds, zip(*parts, strict=True), strict=True)
    }


def joined(groups: Sequence[Subjects]) -> Subjects:
    """Several groups of subjects as one."""
    readouts = [group.readout for group in groups]
    return Subjects(
        baseline=torch.cat([group.baseline for group in groups]),
        slope=torch.cat([group.slope for group in groups]),
        aim=torch.cat([group.aim for group in groups]),
        ways=torch.cat([group.ways for group in groups]),
        readout=Readout(*(torch.cat(part) for part in zip(*readouts, strict=True))),
    )


def averaged(trials: Sequence[Trial]) -> Trial:
    """The mean of trials, subject by subject."""
    return Trial(*(torch.stack(part).float().mean(0) for part in zip(*trials, strict=True)))


def told(inside: Blocks, outside: Blocks, seed: int) -> dict[str, Any]:
    """Amounts learned, their ratio, and what the trials were like before and after."""
    amounts = {"inside": inside.amount(), "outside": outside.amount()}
    ratio, low, high = ratio_of(amounts["inside"], amounts["outside"], seed)
    twice = [RATIO * one for one in amounts["outside"]]
    return {
        "amount": {name: _spread(values) for name, values in amounts.items()},
        "ratio": {"mean": ratio, "interval": [low, high]},
        "inside less twice outside": difference(amounts["inside"], twice),
        "amount of time": {
            "inside": figure(mean(inside.amount("time"))),
            "outside": figure(mean(outside.amount("time"))),
        },
        "speed before": _shares(inside, outside, "before"),
        "speed after": _shares(inside, outside, "after"),
        "success before": _successes(inside.before, outside.before),
        "success after": _successes(inside.after, outside.after),
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": figure(mean(values)), "interval": [figure(one) for one in interval(values)]}


def _shares(inside: Blocks, outside: Blocks, when: str) -> dict[str, float]:
    """Speed towards the target, as a share of that without a perturbation."""
    return {
        name: figure(float((getattr(blocks, when).speed / blocks.intact.speed).mean()))
        for name, blocks in (("inside", inside), ("outside", outside))
    }


def _successes(inside: Trial, outside: Trial) -> dict[str, float]:
    return {
        "inside": figure(float(inside.success.mean())),
        "outside": figure(float(outside.success.mean())),
    }


def ratio_of(
    one: Sequence[float], other: Sequence[float], seed: int
) -> tuple[float | None, float | None, float | None]:
    """Ratio of two means and its 95 % interval, seeds resampled in pairs.

    None where what is divided by is not above zero.
    """
    pairs = torch.tensor([one, other], dtype=torch.float64)
    lot = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(one), (RESAMPLES, len(one)), generator=lot)
    above, below = pairs[:, chosen].mean(-1)
    ratios = torch.where(below > 0, above / below, float("inf"))
    edges = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = torch.quantile(ratios, edges, interpolation="nearest").tolist()
    middle = mean(one) / mean(other) if mean(other) > 0 else float("inf")
    return _finite(middle), _finite(low), _finite(high)


def _finite(value: float) -> float | None:
    return figure(value) if value < float("inf") else None


def _reachable(cases: Sequence[Case], *names: str) -> dict[str, float]:
    """The fastest progress within the manifold without noise, as a share of that unperturbed."""
    shares: dict[str, list[float]] = {name: [] for name in names}
    for one in cases:
        ways = one.circuit.population.slope
        strength = float(one.circuit.aim.norm(dim=0).mean())
        usual = reach(one.decoder, one.decoder.readout(), ways, strength)
        for name in names:
            shares[name].append(reach(one.decoder, getattr(one, name), ways, strength) / usual)
    return {name: figure(mean(values)) for name, values in shares.items()}


def holds(measured: Mapping[str, Any]) -> bool:
    """Whether inside is surely learned, and surely more than twice as well as outside."""
    surely = measured["amount"]["inside"]["interval"][0] > 0
    return bool(surely and measured["inside less twice outside"]["interval"][0] > 0)
