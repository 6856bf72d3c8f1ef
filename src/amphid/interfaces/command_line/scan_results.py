"""What `amphid scan` writes and prints."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amphid.interfaces.command_line import output, results, run_folder
from amphid.interfaces.command_line.building import Built
from amphid.interfaces.command_line.effects import Effects, effects
from amphid.interfaces.command_line.options import Told
from amphid.interfaces.command_line.settings import ScanSection
from amphid.simulation import Network

Progress = Callable[[int, int | None], None]

SHOWN = 3  # cells whose value changes most, in the table
LISTED = 10  # the same, in JSON


@dataclass(frozen=True)
class Outcome(results.Ended):
    """A scan that is over."""

    @property
    def scan(self) -> ScanSection:
        """What differs from trial to trial."""
        return self.told.settings.scan or ScanSection()

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return super().interrupted or len(self.recording.trials) < len(self.built.network.trials)

    @cached_property
    def unbounded(self) -> list[str]:
        """Trials in which a recorded variable was no finite number."""
        bad: set[int] = set()
        for value in self.recording.fields.values():
            bad |= set((~value.isfinite()).any(-1).any(0).nonzero().flatten().tolist())
        return [self.recording.trials[k] for k in sorted(bad)]

    @cached_property
    def effects(self) -> Effects:
        """What differs."""
        dead = [[], *self.scan.lesion] if self.scan.lesion else []
        return effects(
            self.recording,
            self.built.connectome,
            dead,
            before=self.built.onset,
            readout=self.scan.readout,
        )

    def data(self) -> dict[str, Any]:
        """What was run and what came of it."""
        told, found = self.told.settings, self.effects
        readout = found.of_readout()
        return {
            "network": {"source": told.network.source, "cells": len(self.built.connectome)},
            **self.described(),
            "measure": f"{found.measure}_{found.unit}",
            "control": found.trials[0],
            "completed": not self.interrupted and not self.unbounded,
            "remarks": self.told.remarks,
            "trials": [
                {
                    "trial": name,
                    "mean_change": float(found.size[k]),
                    "readout": {word: float(value[k]) for word, value in readout.items()},
                    "most_changed": [
                        {"cell": cell, "change": change}
                        for cell, change in found.most_changed(k, LISTED)
                    ],
                }
                for k, name in enumerate(found.trials)
            ],
        }


def scanned(built: Built, told: Told, progress: Progress | None) -> Outcome:
    """Run it. Raises KeyboardInterrupt when too little was recorded to compare anything."""
    if not {"v", "spike"} & set(told.settings.simulation.record):
        raise ValueError("a scan compares rates or voltages: --record must hold spike or v.")
    one = results.simulated(built, told, progress)
    outcome = Outcome(told, built, one.recording, one.seconds)
    try:
        _ = outcome.effects
    except ValueError:
        if outcome.interrupted:
            raise KeyboardInterrupt from None
        raise
    return outcome


def write(folder: Path, outcome: Outcome, circumstances: dict[str, Any], clock: float) -> None:
    """Fill the run folder: configuration, table, recording, figure, log."""
    outcome.keep(folder)
    _write_table(folder / "table.csv", outcome.effects)
    figure = {"figure": _write_figure(folder, outcome)}
    log = outcome.data() | figure | outcome.log(circumstances, clock)
    run_folder.write_json(folder / "run.json", log)


def show(outcome: Outcome, folder: Path, arguments: argparse.Namespace) -> None:
    """Print what came of it: for a person, for a program, or as JSON."""
    for remark in outcome.told.remarks:
        output.remark(f"amphid: {remark}", quiet=arguments.quiet or arguments.json)
    if arguments.json:
        output.document({"run": str(folder), **outcome.data()})
        return
    output.facts(_facts(outcome, folder), comment=True)
    columns, rows = _rows(outcome, arguments.top)
    output.table(columns, rows, title=f"change of the {outcome.effects.measure}")


def show_names(network: Network, arguments: argparse.Namespace) -> None:
    """Print the names that `--vary` takes, and what they are."""
    rows = [(name, _shown(value)) for name, value in network.values().items()]
    if arguments.json:
        output.document(dict(rows))
    else:
        output.table(["name", "value"], rows, title="what --vary takes")


def verdict(outcome: Outcome, folder: Path) -> int:
    """The exit code, with a sentence on stderr where the scan did not end well."""
    if outcome.interrupted:
        done, of = len(outcome.recording.trials), len(outcome.built.network.trials)
        what = f"{done} of {of} trials"
        if done == of:
            end = outcome.built.stimulus.duration
            what = f"{outcome.recording.duration:g} of {end:g} ms"
        print(f"amphid: interrupted after {what}; they are in {folder}.", file=sys.stderr)
        return 130
    if outcome.unbounded:
        which = ", ".join(outcome.unbounded[:3])
        print(
            f"amphid: {len(outcome.unbounded)} trials left the finite numbers ({which}): take a "
            f"smaller --dt. What was recorded is in {folder}.",
            file=sys.stderr,
        )
        return 1
    return 0


def _facts(outcome: Outcome, folder: Path) -> dict[str, str]:
    data, scan = outcome.data(), outcome.scan
    differing = (
        "other cells are dead"
        if scan.lesion
        else " and ".join(f"{name} of {len(values)} values" for name, values in scan.vary.items())
    )
    length = f"{data['duration_ms']:g} ms in steps of {data['dt_ms']:g} ms"
    figure = folder / "figure.png"
    return {
        "network": f"{data['network']['source']}: {data['network']['cells']:,} cells",
        "signs": data["signs"],
        "model": data["model"],
        "stimulus": data["stimulus"],
        "trials": f"{len(outcome.recording.trials)}: {differing}; compared with the first",
        "run": f"{length}; {', '.join(data['notes'])}; took {outcome.seconds:.1f} s",
        "folder": str(folder),
    } | ({"figure": str(figure)} if figure.is_file() else {})


def _rows(outcome: Outcome, top: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """A row for each trial: lesions by their effect, values in the order they were given."""
    found, readout = outcome.effects, outcome.effects.of_readout()
    order = [0, *(found.by_size if outcome.scan.lesion else range(1, len(found.trials)))]
    looked = "cells looked at" if found.readout else "all cells"
    columns = ["trial", *(f"{word} ({found.unit})" for word in readout)]
    columns += [f"mean of {looked} ({found.unit})", "most changed"]
    rows = []
    for k in order[: top + 1]:
        changed = ", ".join(f"{cell} {by:+.3g}" for cell, by in found.most_changed(k, SHOWN))
        values = (round(float(value[k]), 3) for value in readout.values())
        rows.append((found.trials[k], *values, round(float(found.size[k]), 4), changed))
    return columns, rows


def _write_table(path: Path, found: Effects) -> None:
    """A row for each trial: mean absolute change, read-outs, then the value of every cell."""
    readout = found.of_readout()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        words = [f"readout {word}" for word in readout]
        writer.writerow(["trial", f"mean change ({found.unit})", *words, *found.cells])
        for k, name in enumerate(found.trials):
            means = (float(value[k]) for value in readout.values())
            numbers = (float(found.size[k]), *means, *found.value[k].tolist())
            writer.writerow([name, *("" if np.isnan(x) else f"{x:.9g}" for x in numbers)])


def _write_figure(folder: Path, outcome: Outcome) -> str | None:
    """Draw it where matplotlib is installed; the name of the file."""
    from amphid.interfaces.command_line import scan_figure

    try:
        scan_figure.save(folder / "figure.png", outcome.effects, outcome.scan)
    except ModuleNotFoundError as error:
        outcome.told.remarks.append(f"no figure was drawn: {error}.")
        return None
    return "figure.png"


def _shown(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return float(value) if value.numel() == 1 else f"[{value.shape[-1]}] one for each cell"
    return float(value)
