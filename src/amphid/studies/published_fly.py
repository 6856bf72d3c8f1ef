"""What was published of the fly's brain under sugar: which cells, and their spikes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amphid.studies.activation import Activity
from amphid.wiring import Connectome, flies
from amphid.wiring.data import data_file
from amphid.wiring.files.parquet import with_pyarrow

EXPERIMENTS = "experiments.json"
TRAINS = {0.2: "sugarR.parquet", 0.1: "sugarR_100Hz.parquet"}
"""Published spike trains by the rate of the drive, in spikes per ms."""


@dataclass(frozen=True)
class Sugar:
    """The sugar-sensing neurons of the right side, and the motor neuron that they drive, by id."""

    driven: tuple[str, ...]
    motor: str

    @staticmethod
    def load() -> Sugar | None:
        """Out of the data set, or None where it is not on this machine."""
        try:
            path = data_file(flies.FLYWIRE, EXPERIMENTS, "flywire-783")
        except FileNotFoundError:
            return None
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Sugar(tuple(told["sugar_grn_right_ids"]), told["mn9_left_id"])

    def within(self, brain: Connectome) -> list[str]:
        """Those of the driven cells that this version of the brain has."""
        there = set(brain.cells.name)
        return [cell for cell in self.driven if cell in there]


def real_brain() -> tuple[Connectome, str] | None:
    """The brain of the adult and its version, that of the published trains first; None without."""
    for version in (630, 783):
        try:
            return flies.flywire(version), f"FlyWire {version}"
        except FileNotFoundError:
            continue
    return None


def published(rate: float, driven: Sequence[str], names: Sequence[str] = ()) -> Activity | None:
    """The published spikes, or None where they are not here.

    names: the cells to count, in their order; those that fired when empty. Spikes of cells that
    are not among them are left out.
    """
    try:
        path = data_file(flies.FLYWIRE, TRAINS[rate], "flywire-783")
    except FileNotFoundError:
        return None
    trial, cell = _trains(path)
    known = np.array([int(name) for name in names]) if len(names) else np.unique(cell)
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known[order], cell), len(known) - 1)
    there = known[order][place] == cell
    trials = int(trial.max()) + 1
    counts = np.zeros((trials, len(known)), dtype=np.int64)
    np.add.at(counts, (trial[there], order[place[there]]), 1)
    position = {int(name): index for index, name in enumerate(known)}
    chosen = [position[int(name)] for name in driven if int(name) in position]
    return Activity(
        torch.from_numpy(counts), torch.tensor(chosen), 1000.0, known.astype(str).tolist()
    )


def _trains(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Trial and cell of every spike."""
    pyarrow = with_pyarrow()
    try:
        table = pyarrow.parquet.read_table(path, columns=["trial", "flywire_id"])
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} holds no spike trains: {error}.") from None
    return table["trial"].to_numpy(), table["flywire_id"].to_numpy()
