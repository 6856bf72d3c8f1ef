"""Taste sugar with a whole brain: which cells fire, and are they the same ones every time?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics import LIF, ClearingLIF, Exponential, Refractory
from amphid.models import fly_brain, generated_fly
from amphid.models.fly_brain import JUMP, RESISTANCE
from amphid.simulation import Network
from amphid.studies.activation import Activity, activate, brief, targets_permuted
from amphid.studies.published_fly import Sugar, published, real_brain
from amphid.studies.study import Findings, Settings, Study
from amphid.wiring import Connectome, larval_fly, shuffled

RATE = 0.2  # spikes per ms; that of the published trains
TASTE = ("gustatory-external",)
INHIBITORY = 0.3  # share of the larva's cells whose signs are drawn as inhibitory
STRONGEST = 10  # cells that are silenced

ALIKE = 0.9  # correlation of the rates of the cells that fire in either
SHARED = 0.75  # of the cells that fire in either, those that fire in both
NEAR = 0.1  # of the published rate of the motor neuron

ASSUMPTIONS = (
    "Cells, constants and input of Shiu et al. 2024: a jump of 0.275 mV per synapse, no cell fires "
    "by itself; a Poisson train of 200 Hz fires each driven cell, as in the published trains.",
    "Adult: signs are those of the published edge list, from predicted transmitters. The published "
    "trains are of version 630 of the wiring, which has all 21 driven cells; version 783 has 20, "
    "and cells that were corrected in between have other ids there.",
    "Generated brain: size, degrees and synapse counts like the adult's, drawn at random. It says "
    "whether the numbers are of the right order, and nothing about taste.",
    "Larva: the wiring is real; signs are unknown and drawn, 30 % of the cells other than sensory "
    "ones inhibiting; 0.275 mV per synapse was fitted to the adult and is taken over.",
    "Permuted targets: every cell keeps its numbers of connections in and out. Strongest silenced: "
    f"the {STRONGEST} most active cells that are not driven reach nobody.",
)
NO_ADULT = (
    "Not judged: the claim is about the adult's wiring, which is not on this machine. Fetch it "
    "with: amphid connectome fetch flywire-630 (or flywire-783)."
)


class WholeFlyBrain(Study):
    """Driving the sugar-sensing neurons of one side makes a small set of cells fire, MN9 too."""

    name: ClassVar[str] = "whole-fly-brain"
    claim: ClassVar[str] = (
        "In the whole brain of the fly, the sugar-sensing neurons of one side make a small set of "
        "cells fire, the same in every trial, and the motor neuron MN9 is among them."
    )
    cells: ClassVar[int] = 138_639
    published: ClassVar[str] = "448 of 127,400 cells fire; MN9 at 93 Hz, driven cells at 197 Hz"

    def measure(self, settings: Settings) -> Findings:
        """Run on the real wiring where it is here, on a generated brain, and on the larva."""
        found = _Found(settings)
        sugar, brain = Sugar.load(), real_brain()
        if sugar and brain:
            found.adult(*brain, sugar)
        elif sugar and (theirs := published(RATE, sugar.driven)):
            found.reference["adult"] = motor_figures(theirs, theirs.place(sugar.motor))
        found.generated(sugar)
        found.larva()
        judged = found.measured.get("adult")
        return Findings(
            measured=found.measured,
            reference=found.reference,
            control=found.control,
            assumptions=ASSUMPTIONS if judged else (*ASSUMPTIONS, NO_ADULT),
            seeds=(settings.seed,),
            holds=holds(judged) if judged else None,
        )


@dataclass
class _Found:
    """What was found so far."""

    settings: Settings
    measured: dict[str, Any] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.settings.seed)

    def adult(self, brain: Connectome, version: str, sugar: Sugar) -> None:
        """The published experiment on the published wiring."""
        driven, trials = sugar.within(brain), 30 if self.settings.full else 3
        activity = self._activate("adult", brain, driven, trials)
        theirs = published(RATE, driven, list(brain.cells.name))
        motor = brain.index(sugar.motor)
        self.measured["adult"] = {"wiring": version} | compared(activity, theirs, motor)
        if theirs:
            self.reference["adult"] = theirs.figures() | motor_figures(theirs, motor)
        top = strongest(activity)
        few = trials if self.settings.full else 2
        silent = self._activate("adult, strongest silenced", brain, driven, few, silenced=top)
        mixed = targets_permuted(brain, self.generator)
        dealt = self._activate("adult, targets permuted", mixed, driven, few)
        self.control["adult"] = {
            "strongest silenced": silent.brief() | motor_figures(silent, motor),
            "targets permuted": dealt.brief() | motor_figures(dealt, motor),
        }

    def generated(self, sugar: Sugar | None) -> None:
        """The same protocol on a made-up brain of the same size."""
        full, driven = self.settings.full, ["driven"]
        brain = generated_fly(generator=self.generator)
        intact = self._activate("generated", brain, driven, 30 if full else 3)
        self.measured["generated"] = intact.figures()
        theirs = published(RATE, sugar.driven) if sugar else None
        if theirs:  # it lists the cells that fired only, so it knows no share of the brain
            figures = theirs.figures()
            self.reference["generated"] = {k: v for k, v in figures.items() if "share" not in k}
        few = 10 if full else 1
        kept = self._activate("generated, not cleared", brain, driven, few, build=not_clearing)
        mixed = targets_permuted(brain, self.generator)
        dealt = self._activate("generated, targets permuted", mixed, driven, few)
        self.control["generated"] = {
            "synapses not cleared by a spike": kept.brief(),
            "targets permuted": dealt.brief(),
        }

    def larva(self) -> None:
        """The same on the real wiring of the larva, under several draws of its signs."""
        try:
            unsigned = larval_fly()
        except FileNotFoundError as error:
            self.measured["larva"] = {"not measured": str(error)}
            return
        draws, trials = (20, 10) if self.settings.full else (5, 3)
        conditions: dict[str, list[Activity]] = {}
        for draw in range(draws):
            brain = with_drawn_signs(unsigned, self.generator)

            def run(name: str, brain: Connectome, draw: int = draw, **how: Any) -> Activity:
                activity = self._activate(f"larva {draw + 1}, {name}", brain, TASTE, trials, **how)
                conditions.setdefault(name, []).append(activity)
                return activity

            intact = run("intact", brain)
            run("strongest silenced", brain, silenced=strongest(intact))
            run("inputs silenced", brain, silenced=TASTE)
            run("shuffled wiring", shuffled(brain, generator=self.generator))
        figures = {name: over_draws(of) for name, of in conditions.items()}
        self.measured["larva"] = figures.pop("intact")
        self.control["larva"] = {name: brief(of) for name, of in figures.items()}

    def _activate(
        self, doing: str, brain: Connectome, driven: Sequence[Any], trials: int, **how: Any
    ) -> Activity:
        def tell(done: int, of: int) -> None:
            self.settings.tell(doing, done, of)

        return activate(
            brain,
            driven,
            rate=RATE,
            trials=trials,
            generator=self.generator,
            tell=tell,
            **how,
        )


def compared(ours: Activity, theirs: Activity | None, motor: int) -> dict[str, Any]:
    """Figures of ours, and how far ours and theirs agree."""
    found = ours.figures() | motor_figures(ours, motor)
    if theirs:
        mine, his = ours.rates.mean(0), theirs.rates.mean(0)
        either = (mine > 0) | (his > 0)
        both = ours.active.any(0) & theirs.active.any(0)
        rates = torch.stack((mine[either], his[either]))
        found["correlation of rates with the published"] = round(float(rates.corrcoef()[0, 1]), 3)
        found["active cells shared with the published"] = round(
            float(both.sum() / either.sum().clamp(min=1)), 3
        )
        published_rate = float(his[motor])
        found["MN9 rate over published"] = round(float(mine[motor]) / max(published_rate, 1e-9), 3)
    return found


def motor_figures(activity: Activity, motor: int) -> dict[str, Any]:
    """Rate of the motor neuron, and its place among the cells that were not driven."""
    rates = activity.rates[:, motor]
    mean = activity.rates.mean(0).clone()
    mean[activity.driven] = -1.0
    spread = float(rates.std()) if len(rates) > 1 else float("nan")
    return {
        "MN9 rate, Hz": round(float(rates.mean()), 1),
        "MN9 rate, sd": round(spread, 1),
        "MN9 rank": 1 + int((mean > mean[motor]).sum()) if mean[motor] > 0 else None,
    }


def holds(adult: Mapping[str, Any]) -> bool:
    """Few cells, the same ones, MN9 among them; and as published, where that can be compared."""
    found = (
        adult["share of the brain"] < 0.02
        and adult["overlap of two trials"] > 0.5
        and adult["MN9 rate, Hz"] > 0
    )
    if "correlation of rates with the published" not in adult:
        return bool(found)
    agrees = (
        adult["correlation of rates with the published"] > ALIKE
        and adult["active cells shared with the published"] > SHARED
        and abs(adult["MN9 rate over published"] - 1) < NEAR
    )
    return bool(found and agrees)


def strongest(activity: Activity) -> list[int]:
    """The most active cells of those that were not driven."""
    rates: Tensor = activity.rates.mean(0).clone()
    rates[activity.driven] = -1.0
    return [int(cell) for cell in rates.topk(STRONGEST).indices]


def with_drawn_signs(connectome: Connectome, generator: torch.Generator) -> Connectome:
    """Every cell excites or inhibits all its targets; sensory ones excite."""
    lot = torch.rand(len(connectome), generator=generator).numpy()
    inhibits = (lot < INHIBITORY) & (connectome.cells.kind != "sensory")
    sign = np.where(inhibits, -1, 1).astype(np.int8)
    return connectome.with_connections(sign=sign[connectome.connections.pre])


def over_draws(activities: Sequence[Activity]) -> dict[str, Any]:
    """Means of the figures over draws, and how far the draws differ."""
    figures = [activity.figures() for activity in activities]
    names = [
        n for n in figures[0] if not n.endswith(", sd") and all(f[n] is not None for f in figures)
    ]
    mean = {name: _mean([told[name] for told in figures]) for name in names}
    downstream = torch.tensor([float(a.downstream.any(0).sum()) for a in activities])
    mean["downstream cells in any trial"] = _mean(downstream.tolist())
    mean["downstream cells, sd over draws"] = round(float(downstream.std()), 1)
    return {"draws of signs": len(activities)} | mean


def _mean(values: Sequence[float]) -> float | int:
    mean = float(np.mean(values))
    return int(mean) if mean.is_integer() else round(mean, 4 if mean < 1 else 1)


def not_clearing(connectome: Connectome, **how: Any) -> Network:
    """The same brain with cells whose spike leaves their synapses as they are."""
    network = fly_brain(connectome, **how)
    inside = network.neuron
    plain = LIF(tau=20.0, resistance=RESISTANCE, v_rest=-52.0, v_threshold=-45.0, v_reset=-52.0)
    assert isinstance(inside, ClearingLIF)
    return Network(
        network.connectome,
        neuron=Refractory(plain, period=inside.period),
        synapse=Exponential(tau=5.0, amplitude=JUMP / RESISTANCE),
        weight=network.weight,
    )
