"""What `amphid simulate` writes and prints."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from amphid.interfaces.command_line import building, output, run_folder, settings
from amphid.interfaces.command_line.building import Built
from amphid.interfaces.command_line.options import Told
from amphid.interfaces.command_line.responders import Responder, responders, share_active, summary
from amphid.interfaces.command_line.script import python_of
from amphid.simulation import Distributed, Recording, rank, simulate

Progress = Callable[[int, int | None], None]

RACING = 100.0  # Hz
FAR_OFF = 100.0  # mV; the shipped worm stays below under the default pulse

ASSUMED_STRENGTHS = (
    "Strengths of the synapses between spiking cells are chosen so that activity neither dies at "
    "once nor grows without end; they are not measured in animals."
)


@dataclass(frozen=True)
class Ended:
    """A run, or many side by side, that is over."""

    told: Told
    built: Built
    recording: Recording
    seconds: float

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self.recording.steps // self.recording.every < (
            len(self.built.stimulus) // self.recording.every
        )

    def described(self) -> dict[str, Any]:
        """What was run."""
        told = self.told.settings
        return {
            "signs": building.described_signs(told, self.built.connectome),
            "model": building.described_model(told),
            "stimulus": building.described_stimulus(told),
            "duration_ms": self.recording.duration,
            "dt_ms": told.simulation.dt,
            "seed": told.simulation.seed,
            "device": told.simulation.device,
            "notes": list(self.recording.notes),
            "simulation_seconds": round(self.seconds, 3),
        }

    def log(self, circumstances: dict[str, Any], clock: float) -> dict[str, Any]:
        """What run.json tells besides what came of it."""
        seconds = round(time.perf_counter() - clock, 3)
        inputs = [vars(file) for file in self.told.inputs]
        return circumstances | {"inputs": inputs, "seconds": seconds}

    def keep(self, folder: Path) -> None:
        """Write the configuration and the recording."""
        text = settings.toml(self.told.settings)
        (folder / "config.toml").write_text(text, encoding="utf-8")
        self.recording.save(folder / "recording.h5")


@dataclass(frozen=True)
class Outcome(Ended):
    """A run that is over."""

    @cached_property
    def unbounded(self) -> float | None:
        """When, in ms, a recorded variable first was no finite number; None when all are."""
        times = [
            float(self.recording.time[int((~good).nonzero()[0])])
            for value in self.recording.fields.values()
            if not (good := value.isfinite().flatten(1).all(1)).all()
        ]
        return min(times, default=None)

    @cached_property
    def ranking(self) -> list[Responder]:
        """All cells, strongest response first."""
        return responders(self.recording, self.built.onset, self.built.stimulated)

    @property
    def remarks(self) -> list[str]:
        """Those made before the run, and warnings when what came of it cannot be."""
        return [*self.told.remarks, *self._racing(), *self._far_off()]

    def _far_off(self) -> list[str]:
        """A current pulse can drive a graded cell beyond every reversal potential."""
        v = self.recording.fields.get("v")
        if v is None or self.told.settings.model.neuron != "graded" or self.unbounded is not None:
            return []
        highest = v.flatten(0, -2).amax(0)
        cell = int(highest.argmax())
        if float(highest[cell]) < FAR_OFF:
            return []
        return [
            f"{self.recording.names[cell]} reaches {float(highest[cell]):+.0f} mV, which no cell "
            "does: the stimulus is too strong for this wiring. Try a lower --amplitude."
        ]

    def _racing(self) -> list[str]:
        others = [cell for cell in self.ranking if not cell.stimulated]
        racing = sum((cell.rate or 0.0) > RACING for cell in others)
        if 4 * racing <= len(others):
            return []
        strength = self.told.settings.model.chemical
        warning = (
            f"{racing:,} cells fire at more than {RACING:g} Hz: activity runs away, the synapses "
            f"are too strong for this wiring. Try a --chemical below {strength:g}."
        )
        return [warning]

    def data(self) -> dict[str, Any]:
        """What was run and what came of it, but for the ranking."""
        told, connectome = self.told.settings, self.built.connectome
        wires = connectome.connections
        return {
            "network": {
                "source": told.network.source,
                "cells": len(connectome),
                "chemical": int(wires.chemical.sum()),
                "electrical": int(wires.electrical.sum()),
                "lesion": told.network.lesion,
            },
            **self.described(),
            "completed": not self.interrupted and self.unbounded is None,
            "active_share": share_active(self.recording, self.built.onset),
            "remarks": self.remarks,
        }


def simulated(built: Built, told: Told, progress: Progress | None) -> Outcome:
    """Run it. Raises KeyboardInterrupt only when nothing was recorded."""
    told_how, clock = told.settings.simulation, time.perf_counter()
    try:
        with torch.no_grad():
            recording = simulate(
                built.network,
                built.stimulus,
                record=told_how.record,
                every=told_how.every,
                engine=Distributed() if rank()[1] > 1 else None,
                progress=progress,
            )
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        raise RuntimeError(
            "no finite voltages solve the network: take a smaller --dt, a weaker stimulus or "
            "weaker synapses."
        ) from None
    if not recording.fields and recording.spikes is None:
        if recording.steps < len(built.stimulus) and "interrupted" in " ".join(recording.notes):
            raise KeyboardInterrupt
        raise ValueError(
            f"the run has fewer steps than --every {told_how.every}: nothing was recorded."
        )
    return Outcome(told, built, recording, time.perf_counter() - clock)


def write(folder: Path, outcome: Outcome, circumstances: dict[str, Any], clock: float) -> None:
    """Fill the run folder: configuration, recording, report, log."""
    outcome.keep(folder)
    if len(outcome.recording.time) > 1:  # a page of a single sample has nothing to draw
        _write_report(folder / "report.html", outcome, circumstances["argv"])
    run_folder.write_json(folder / "run.json", outcome.data() | outcome.log(circumstances, clock))


def show(outcome: Outcome, folder: Path, arguments: argparse.Namespace) -> None:
    """Print what came of it: for a person, for a program, or as JSON."""
    data, top = outcome.data(), outcome.ranking[: arguments.top]
    for remark in outcome.remarks:
        output.remark(f"amphid: {remark}", quiet=arguments.quiet or arguments.json)
    if arguments.json:
        cells = [cell.data() for cell in top]
        output.document({"run": str(folder), **data, "responders": cells})
        return
    output.facts(_facts(outcome, data, folder), comment=True)
    columns, rows = summary(top)
    if set(columns) > {"cell", "kind", "driven"}:
        output.table(columns, rows, title="strongest responses")
    else:
        output.remark("no table: neither v nor spike was recorded.", quiet=arguments.quiet)


def verdict(outcome: Outcome, folder: Path) -> int:
    """The exit code, with a sentence on stderr where the run did not end well."""
    if outcome.interrupted:
        done, of = outcome.recording.duration, outcome.built.stimulus.duration
        print(
            f"amphid: interrupted after {done:g} of {of:g} ms; what was recorded is in {folder}.",
            file=sys.stderr,
        )
        return 130
    if outcome.unbounded is not None:
        print(
            f"amphid: after {outcome.unbounded:g} ms the run left the finite numbers: take a "
            f"smaller --dt or weaker synapses. What was recorded is in {folder}.",
            file=sys.stderr,
        )
        return 1
    return 0


def _facts(outcome: Outcome, data: dict[str, Any], folder: Path) -> dict[str, str]:
    network, active = data["network"], data["active_share"]
    wiring = (
        f"{network['source']}: {network['cells']:,} cells, {network['chemical']:,} chemical and "
        f"{network['electrical']:,} electrical connections"
    )
    lesion = f", without {', '.join(network['lesion'])}" if network["lesion"] else ""
    length = f"{data['duration_ms']:g} ms in steps of {data['dt_ms']:g} ms"
    facts = {
        "network": wiring + lesion,
        "signs": data["signs"],
        "model": data["model"],
        "stimulus": data["stimulus"],
        "run": f"{length}; {', '.join(data['notes'])}; took {outcome.seconds:.1f} s",
    }
    if active is not None:
        facts["active"] = f"{active:.0%} of the cells fired or moved by more than 1 mV"
    report = folder / "report.html"
    return facts | {"folder": str(folder)} | ({"report": str(report)} if report.is_file() else {})


def _write_report(path: Path, outcome: Outcome, argv: list[str]) -> None:
    from amphid.interfaces.report import write_report

    data, told = outcome.data(), outcome.told.settings
    spiking = told.model.neuron != "graded"
    sampled = bool((outcome.recording.time > outcome.built.onset).any())
    shown_from_onset = bool(outcome.built.stimulated) and sampled
    write_report(
        path,
        outcome.recording,
        outcome.built.connectome,
        title=f"{Path(told.network.source).name}: {data['stimulus']}",
        command=shlex.join(argv),
        python=python_of(told),
        facts={
            "Signs": data["signs"],
            "Model": data["model"],
            "Stimulus": data["stimulus"],
            "Killed": ", ".join(told.network.lesion) or "none",
            "Seed": str(told.simulation.seed),
        },
        stimulated=outcome.built.stimulated,
        assumptions=[f"Signs are a choice, not data: {data['signs']}."]
        + ([ASSUMED_STRENGTHS] if spiking else []),
        stimulus=outcome.built.deliberate if shown_from_onset else None,
    )
