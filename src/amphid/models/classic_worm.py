"""The threshold-integrator worm of the web, kept as it is, faults included."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from amphid.wiring.data import data_folder

THRESHOLD = 30.0

STIMULI: Mapping[str, tuple[str, ...]] = {
    "hunger": ("RIML", "RIMR", "RICL", "RICR"),
    "nose": ("FLPL", "FLPR", "ASHL", "ASHR", "IL1VL", "IL1VR", "OLQDL", "OLQDR", "OLQVL", "OLQVR"),
    "food": ("ADFL", "ADFR", "ASGL", "ASGR", "ASIL", "ASIR", "ASJL", "ASJR"),
}


@dataclass(frozen=True)
class ClassicTables:
    """The tables behind it: cells in the order they are visited, weights, and muscle lists."""

    cells: tuple[str, ...]
    weights: Mapping[tuple[str, str], float]
    left: frozenset[str]
    right: frozenset[str]
    read: frozenset[str]
    silent: tuple[str, ...]

    @staticmethod
    def load(folder: Path | None = None) -> ClassicTables:
        """Read them from the data set `worm_web_sim`.

        Raises FileNotFoundError, with the way out, when it is not on this machine.
        """
        folder = folder or data_folder("worm_web_sim")
        with (folder / "weights.csv").open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            weights = {(row["pre"], row["post"]): float(row["weight"]) for row in rows}
        lists = json.loads((folder / "muscles.json").read_text(encoding="utf-8"))
        left = frozenset(lists["left"])
        return ClassicTables(
            cells=tuple(json.loads((folder / "cells.json").read_text(encoding="utf-8"))),
            weights=weights,
            left=left,
            right=frozenset(lists["right"]) - left,
            read=frozenset(lists["read_and_reset"]),
            silent=tuple(lists["prefixes"]),
        )


class ClassicState(NamedTuple):
    """Where the worm is."""

    charge: Tensor  # what each cell has gathered [*B, N]


class Tick(NamedTuple):
    """What one tick gave."""

    fired: Tensor  # which cells fired [*B, N]
    left: Tensor  # sum of the left muscles [*B]
    right: Tensor  # sum of the right muscles [*B]


class ClassicWorm(nn.Module):
    r"""Cells that gather input for ever and fire above 30, all in one tick, in a fixed order.

    In a tick every cell but the muscles with a charge above 30 adds its weights to the next charge
    of its targets, then sets its own next charge to zero. So a cell that fires late erases what
    came from cells before it in the order; what comes from later ones stays:

    .. math:: q_j' = [1 - f_j] \, (q_j + \sum_i f_i w_{ij}) + f_j \sum_{i > j} f_i w_{ij}

    There is no leak, no refractory time and no delay; some muscles are never read and grow without
    bound. A stimulus first adds the outgoing weights of its cells.

    tables: see `ClassicTables`. weights: [*B, N, N], row pre, if not those of the tables.
    Reference: github.com/heyseth/worm-sim (MIT), after the GoPiGo worm of T. Busbice.
    """

    weight: Tensor
    later: Tensor
    fires: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, tables: ClassicTables, weights: Tensor | None = None) -> None:
        super().__init__()
        self.cells = tables.cells
        self._place = {name: index for index, name in enumerate(tables.cells)}
        weights = self.matrix(tables) if weights is None else weights
        later = torch.ones(len(self.cells), len(self.cells)).tril(-1)
        self.register_buffer("weight", weights)
        self.register_buffer("later", weights * later)
        fires = torch.tensor([not name.startswith(tables.silent) for name in self.cells])
        self.register_buffer("fires", fires)
        self.register_buffer("left", self._mask(tables.left & tables.read))
        self.register_buffer("right", self._mask(tables.right & tables.read))

    @staticmethod
    def matrix(tables: ClassicTables) -> Tensor:
        """The weights of the tables as a dense matrix [N, N], row pre, column post."""
        place = {name: index for index, name in enumerate(tables.cells)}
        dense = torch.zeros(len(place), len(place))
        for (pre, post), weight in tables.weights.items():
            dense[place[pre], place[post]] = weight
        return dense

    def indices(self, names: Iterable[str]) -> list[int]:
        """Places of those cells. Raises KeyError for a name that is not there."""
        return [self._place[name] for name in names]

    def init(self, *batch: int) -> ClassicState:
        """No charge anywhere; state [*batch, N]."""
        return ClassicState(self.weight.new_zeros(*batch, len(self.cells)))

    def stimulate(self, state: ClassicState, cells: Tensor) -> ClassicState:
        """Add the outgoing weights of cells, given as a mask [*B, N] of zeros and ones."""
        return ClassicState(state.charge + _carry(cells, self.weight))

    def tick(
        self, state: ClassicState, before: ClassicState, alive: Tensor | None = None
    ) -> tuple[ClassicState, Tick]:
        """One tick. `before` is the state before the stimulus: it decides which cells fire.

        alive: [N] zero for cells that never fire, as after a lesion.
        """
        fired = (before.charge > THRESHOLD) & self.fires
        if alive is not None:
            fired = fired & alive.bool()
        sent = fired.to(self.weight)
        kept = torch.where(fired, 0.0, state.charge + _carry(sent, self.weight))
        charge = kept + torch.where(fired, _carry(sent, self.later), 0.0)
        left, right = (charge * self.left).sum(-1), (charge * self.right).sum(-1)
        charge = charge * (1 - self.left - self.right)
        return ClassicState(charge), Tick(fired, left, right)

    def update(self, state: ClassicState, stimuli: Sequence[str]) -> tuple[ClassicState, Tick]:
        """One update of the program: a tick for each stimulus that is on; the last one moves it."""
        for name in stimuli:
            mask = self._mask(STIMULI[name])
            state, tick = self.tick(self.stimulate(state, mask), state)
        return state, tick

    def _mask(self, names: Iterable[str]) -> Tensor:
        mask = torch.zeros(len(self.cells))
        mask[self.indices(names)] = 1.0
        return mask


def _carry(signal: Tensor, weight: Tensor) -> Tensor:
    """Signal [*B, N] through weights [*C, N, N]; the axes *C are the last of *B."""
    if weight.dim() == 2:
        return signal @ weight
    lead = signal.dim() - weight.dim() + 1
    columns = signal.movedim(tuple(range(lead)), tuple(range(-lead - 1, -1))) if lead else signal
    if not lead:
        return (columns.unsqueeze(-2) @ weight).squeeze(-2)
    return (columns @ weight).movedim(tuple(range(-lead - 1, -1)), tuple(range(lead)))
