"""An animal as a model sees it: signals of cells, their names, and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.wiring import checks

COMMAND = ("AVAL", "AVAR", "AVEL", "AVER")
"""Command cells whose activity rises when a worm backs up."""
LAGS = (0, 1, 2, 4, 8)  # frames


@dataclass(frozen=True, eq=False)
class Animal:
    """Signals [T, N] of cells, their names, None where unknown, and classes [T] of behavior.

    first: frame from which on it is learned from and scored; those before are its calibration.
    """

    name: str
    signals: Tensor
    cells: tuple[str | None, ...]
    classes: Tensor
    first: int

    def __post_init__(self) -> None:
        if not isinstance(self.signals, Tensor) or not isinstance(self.classes, Tensor):
            raise TypeError(
                f"signals and classes must be tensors, got {type(self.signals).__name__} and "
                f"{type(self.classes).__name__}."
            )
        checks.instance("name", self.name, str, "the name of an animal")
        checks.instance("cells", self.cells, Sequence, "a name, or None, for each cell")
        frames, width = len(self.classes), len(self.cells)
        if self.classes.dim() != 1 or self.signals.shape != (frames, width):
            raise ValueError(
                f"signals must be [T, N] and classes [T], with N names, got "
                f"{list(self.signals.shape)}, {list(self.classes.shape)} and {width} names."
            )
        if checks.whole("first", self.first, least=0) > frames:
            raise ValueError(f"first must be a frame, 0 to {frames}, got {self.first!r}.")

    def places(self, cells: Sequence[str]) -> list[int]:
        """Columns of those of the cells that this animal has, in the order asked for."""
        checks.instance("cells", cells, Sequence, "a list of names")
        found = {cell: place for place, cell in enumerate(self.cells) if cell is not None}
        return [found[cell] for cell in cells if cell in found]

    def mean(self, cells: Sequence[str]) -> Tensor:
        """Mean signal [T] of those of the cells that it has; zero when it has none."""
        places = self.places(cells)
        if not places:
            return torch.zeros_like(self.signals[:, 0])
        return self.signals[:, places].mean(1)

    def filled(self, cells: Sequence[str]) -> Tensor:
        """Signals [T, cells], zero for those that it does not have."""
        cells = named_cells(cells)
        found = {cell: place for place, cell in enumerate(self.cells)}
        columns = [
            self.signals[:, found[cell]] if cell in found else torch.zeros_like(self.signals[:, 0])
            for cell in cells
        ]
        return torch.stack(columns, 1)


def check_animal(animal: object) -> None:
    """Raise TypeError, in a sentence, for what is no animal."""
    if not isinstance(animal, Animal):
        raise TypeError(
            f"a readout takes an Animal, got {type(animal).__name__}: `WormBehavior(...).animals` "
            "holds them."
        )


def check_animals(animals: object) -> None:
    """Raise TypeError or ValueError, in a sentence, unless these are animals to learn from."""
    if not isinstance(animals, Sequence):
        raise TypeError(f"animals must be a list of them, got {type(animals).__name__}.")
    if not len(animals):
        raise ValueError("animals must hold at least one to learn from, got none.")
    for one in animals:
        check_animal(one)


def named_cells(cells: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple; an error in a sentence where they are none."""
    listed = isinstance(cells, Sequence) and not isinstance(cells, str)
    if not listed or not len(cells) or not all(isinstance(cell, str) for cell in cells):
        raise ValueError(f"cells must be a list of names, at least one, got {cells!r:.60}.")
    return tuple(cells)


def lagged(signals: Tensor, lags: Sequence[int] = LAGS) -> Tensor:
    """Signals [T, N] as they were so many frames ago, side by side: [T, lags * N].

    Before the first frame they are what they were in it.
    """
    frames = torch.arange(len(signals))
    return torch.cat([signals[(frames - lag).clamp_min(0)] for lag in lags], 1)
