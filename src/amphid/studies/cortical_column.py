"""Cortex in small: activity that keeps itself up, four regimes of a sparse network, a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from amphid.measures import fluctuation, interval_variation, rate, rhythm
from amphid.models import (
    CorticalModel,
    Regime,
    brunel,
    microcircuit,
    vogels_abbott,
    vogels_abbott_currents,
)
from amphid.models.microcircuit import FULL_RATES, POPULATIONS
from amphid.simulation import Recording
from amphid.studies.study import Findings, Settings, Study
from amphid.wiring import fixed_indegree

SETTLE = 200.0  # ms that are not measured
BIN = 0.5  # ms of the population rate

REGIMES: Mapping[str, tuple[Regime, str, str]] = {
    "g 3, drive 2": (Regime(3.0, 2.0), "synchronous", "regular"),
    "g 6, drive 4": (Regime(6.0, 4.0), "synchronous", "irregular"),
    "g 5, drive 2": (Regime(5.0, 2.0), "asynchronous", "irregular"),
    "g 4.5, drive 0.9": (Regime(4.5, 0.9), "synchronous", "irregular"),
}
"""The four points of figure 8 of Brunel 2000, and what they are there."""

VOLLEYS = 1.0  # fluctuation of the population rate from which cells are said to fire in volleys
RHYTHMIC = 0.5  # strength from which the population is said to have a rhythm
REGULAR, IRREGULAR = 0.1, 0.25  # variation of intervals: below the one, above the other
FACTOR = 2.0  # between the rate of a population and that at full size

ASSUMPTIONS = (
    "Time step 0.1 ms, single precision; 0.2 s pass before measuring. CV: of the intervals of each "
    "cell, mean over cells with two intervals; in short runs it is too low for slow cells.",
    "Vogels-Abbott, conductances: started by open synapses and voltages as in Brian's script of "
    "COBAHH, no input after that. Some draws die at once: the claim is that most go on; rates and "
    "CV are of those that do. It hangs on the start: with the same synapses and voltages anywhere "
    "between reset and threshold, 4 of 15 draws went on instead of 13 (seeds 0 to 2).",
    f"Regimes: synchronous is a population rate in {BIN:g} ms bins whose standard deviation is "
    f"above its mean, or whose autocorrelation comes back to {RHYTHMIC:g}; regular is a CV below "
    f"{REGULAR:g}, irregular one above {IRREGULAR:g}. These limits are ours.",
    "Quick: 6,250 cells instead of 12,500 with the published 1,250 connections onto each, so mean "
    "and variance of the input stay and shared input is twice as common.",
    "Microcircuit: quick, a tenth of the cells and of the connections onto each; weights times "
    "sqrt(10) and a constant current keep variance and mean of the input. Full: a fifth.",
    "Controls: no inhibition; spike trains shifted in time, each by its own lot, which keeps "
    "intervals and rates; the microcircuit without its constant current.",
)


class CorticalColumn(Study):
    """Three networks of cortex, each in the state that it is known for."""

    name: ClassVar[str] = "cortical-column"
    claim: ClassVar[str] = (
        "Sparse networks of excitatory and inhibitory cells keep irregular activity up by "
        "themselves, are in the four regimes of Brunel 2000 where it puts them, and make the "
        "layers of the microcircuit of Potjans and Diesmann fire at their published rates."
    )
    published: ClassVar[str] = "four regimes; rates of eight populations from 1 to 9 Hz"
    cells: ClassVar[int] = 12_500

    def measure(self, settings: Settings) -> Findings:
        """Run the three networks."""
        generator = torch.Generator().manual_seed(settings.seed)
        found = _Findings(settings.full, generator)
        parts = (_sustained, _regimes, _column)
        for done, part in enumerate(parts):
            settings.tell(part.__name__.strip("_"), done, len(parts))
            part(found)
        settings.tell("done", len(parts), len(parts))
        return Findings(
            measured=found.measured,
            reference=found.reference,
            control=found.control,
            assumptions=ASSUMPTIONS,
            seeds=(settings.seed,),
            holds=holds(found.measured),
        )


Figures = dict[str, Any]


@dataclass(frozen=True)
class _Findings:
    """What the parts of the study draw from and add to; full: the whole protocol."""

    full: bool
    generator: torch.Generator
    measured: Figures = field(default_factory=dict)
    reference: Figures = field(default_factory=dict)
    control: Figures = field(default_factory=dict)


def _sustained(found: _Findings) -> None:
    """The networks of Vogels and Abbott, several draws of each."""
    draws = 20 if found.full else 5
    kinds: dict[str, Callable[..., CorticalModel]] = {
        "Vogels-Abbott, conductances": vogels_abbott,
        "Vogels-Abbott, currents": vogels_abbott_currents,
    }
    for name, build in kinds.items():
        models = [build(generator=found.generator) for _ in range(draws)]
        runs = [model.run(1000.0, settle=SETTLE, generator=found.generator) for model in models]
        begun, lived = (fires(runs, at) for at in (0.0, 900.0))
        found.measured[name] = {
            "draws": draws,
            "active after 0.2 s": len(begun),
            "still active after 1.2 s": len(lived),
            "most draws go on": 2 * len(lived) > draws,
            "all that were active go on": 0 < len(begun) == len(lived),
        } | spread(lived)
        free = build(generator=found.generator)
        inhibits = torch.tensor(free.network.connectome.connections.sign < 0)
        free.network.weight[inhibits] = 0.0
        run = free.run(200.0, settle=SETTLE, generator=found.generator)
        found.control[name] = {"no inhibition": spread([run])}


def _regimes(found: _Findings) -> None:
    """The four points of Brunel 2000 on one wiring."""
    cells, duration = (12_500, 2000.0) if found.full else (6250, 600.0)
    wired = fixed_indegree(cells, indegree=1250, generator=found.generator)
    states, expected, shifted = {}, {}, {}
    for name, (regime, together, alone) in REGIMES.items():
        run = brunel(wired, regime=regime, generator=found.generator).run(
            duration, settle=SETTLE, generator=found.generator
        )
        states[name] = state(run) | {"class": classified(state(run))}
        expected[name] = {"class": f"{together} {alone}"}
        apart = state(shifted_in_time(run, found.generator))
        shifted[name] = {"fluctuation with trains shifted": apart["fluctuation"]}
    found.measured["Brunel"] = states
    found.reference["Brunel"] = expected
    found.control["Brunel"] = shifted


def _column(found: _Findings) -> None:
    """The microcircuit, population by population."""
    scale, duration = (0.2, 5000.0) if found.full else (0.1, 1000.0)
    model = microcircuit(scale=scale, generator=found.generator)
    run = model.run(duration, settle=SETTLE, generator=found.generator)
    found.measured["microcircuit"] = {"scale": scale} | {
        name: brief(run[name]) for name in POPULATIONS
    }
    found.reference["microcircuit"] = {
        name: {"rate, Hz": float(full)} for name, full in zip(POPULATIONS, FULL_RATES, strict=True)
    }
    bare = microcircuit(scale=scale, constant=np.zeros(8), generator=found.generator)
    weak = bare.run(500.0, settle=SETTLE, generator=found.generator)
    rates = {name: _figure(rate(weak[name]).mean()) for name in POPULATIONS}
    found.control["microcircuit"] = {"no constant current, rates in Hz": rates}


def state(run: Recording) -> Figures:
    """Rate, irregularity and synchrony of a run."""
    variation = interval_variation(run)
    frequency, strength = rhythm(run, BIN)
    return {
        "rate, Hz": _figure(rate(run).mean()),
        "CV": _figure(variation[~variation.isnan()].mean()),
        "fluctuation": _figure(fluctuation(run, BIN)),
        "rhythm, Hz": _figure(frequency, 1),
        "rhythm, strength": _figure(strength),
    }


def brief(run: Recording) -> Figures:
    """The same without the rhythm."""
    return {name: value for name, value in state(run).items() if "rhythm" not in name}


def classified(found: Mapping[str, Any]) -> str:
    """The regime, by the limits above."""
    volleys = (found["fluctuation"] or 0.0) > VOLLEYS
    together = volleys or (found["rhythm, strength"] or 0.0) > RHYTHMIC
    variation = found["CV"] if found["CV"] is not None else np.nan
    alone = "neither"
    if variation < REGULAR:
        alone = "regular"
    elif variation > IRREGULAR:
        alone = "irregular"
    return f"{'synchronous' if together else 'asynchronous'} {alone}"


def shifted_in_time(run: Recording, generator: torch.Generator) -> Recording:
    """The same with every spike train turned around in time by a lot of its own."""
    spikes = run.spikes
    assert spikes is not None
    steps, cells = spikes.shape[0], spikes.shape[-1]
    lot = torch.randint(steps, (cells,), generator=generator)
    index = spikes.index.clone()
    index[0] = (index[0] + lot[index[-1]]) % steps
    order = index[0].argsort(stable=True)
    turned = type(spikes)(index[:, order], spikes.shape, spikes.dt)
    return Recording(run.cells, run.dt, events=turned)


def fires(runs: Sequence[Recording], start: float) -> list[Recording]:
    """Those runs in which cells fire in the 100 ms from `start` on."""
    times = [run.spikes.time for run in runs if run.spikes is not None]
    within = [bool(((time > start) & (time <= start + 100.0)).any()) for time in times]
    return [run for run, yes in zip(runs, within, strict=True) if yes]


def spread(runs: Sequence[Recording]) -> Figures:
    """Figures of several runs: mean, and standard deviation of the rate."""
    if not runs:
        return {"rate, Hz": None, "CV": None}
    states = [state(run) for run in runs]
    rates = [float(found["rate, Hz"]) for found in states]
    told = [found["CV"] for found in states if found["CV"] is not None]
    figures = {"rate, Hz": _figure(np.mean(rates)), "CV": _figure(np.mean(told)) if told else None}
    if len(runs) > 1:
        figures["rate, sd over draws"] = _figure(np.std(rates, ddof=1))
    return figures


def holds(measured: Mapping[str, Any]) -> bool:
    """Each of the three parts, by its figures."""
    return all((sustained(measured), in_their_regimes(measured), layered(measured)))


def sustained(measured: Mapping[str, Any]) -> bool:
    """Most draws of both networks go on, irregularly, below saturation."""
    found = [told for name, told in measured.items() if name.startswith("Vogels")]
    return all(
        told["most draws go on"] and (told["CV"] or 0.0) > IRREGULAR and told["rate, Hz"] < 100.0
        for told in found
    )


def in_their_regimes(measured: Mapping[str, Any]) -> bool:
    """Every point is of its class."""
    return all(
        measured["Brunel"][name]["class"] == f"{together} {alone}"
        for name, (_, together, alone) in REGIMES.items()
    )


def layered(measured: Mapping[str, Any]) -> bool:
    """Every population fires irregularly, and within a factor of two of its rate at full size."""
    column = measured["microcircuit"]
    return all(
        full / FACTOR < (column[name]["rate, Hz"] or 0.0) < full * FACTOR
        and (column[name]["CV"] or 0.0) > IRREGULAR
        for name, full in zip(POPULATIONS, FULL_RATES, strict=True)
    )


def _figure(value: Any, digits: int = 3) -> float | None:
    number = float(value)
    return round(number, digits) if np.isfinite(number) else None
