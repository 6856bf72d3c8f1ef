"""One attempt of a search, as the objective sees it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from amphid.dynamics.values import is_number


class Pruned(Exception):
    """Raised by `Trial.report` where a trial is so poor that the rest of it would be wasted."""


class Trial(Mapping[str, Any]):
    """The settings of one attempt, and what it tells while it runs.

    It is a mapping: `trial["lr"]`, `Model(**trial)`. `number` is its own in the search.
    """

    def __init__(
        self,
        number: int,
        settings: Mapping[str, Any],
        *,
        report: Callable[[float, int], bool],
        note: Callable[[str, Any], None],
    ) -> None:
        self.number, self._settings = number, dict(settings)
        self._report, self._note, self._steps = report, note, 0

    def __getitem__(self, name: str) -> Any:
        if name not in self._settings:
            raise KeyError(f"the space has no {name!r}; it has {', '.join(self._settings)}.")
        return self._settings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def __repr__(self) -> str:
        return f"Trial({self.number}, {self._settings})"

    def report(self, value: float | Tensor, step: int | None = None) -> None:
        """Tell an intermediate value, and stop here if that is poor: raises `Pruned`.

        step: its place, counted from 0 when None, such as the epoch. A plain function of one value,
        so it can be called from any loop; whatever runs the loop must let `Pruned` through.
        """
        step = self._steps if step is None else step
        self._steps = step + 1
        if self._report(number(value, f"report(step={step})"), step):
            raise Pruned(f"trial {self.number} is pruned at step {step}.")

    def note(self, **figures: Any) -> None:
        """Keep more figures with the trial, by name: numbers, texts, lists of them."""
        for name, figure in figures.items():
            self._note(name, figure.tolist() if hasattr(figure, "tolist") else figure)


def number(value: object, source: str) -> float:
    """What an objective gave, as a number; nan and infinity included.

    Raises TypeError, naming the source, for what is no number.
    """
    held = value
    if hasattr(value, "item"):
        with contextlib.suppress(ValueError, RuntimeError):  # of more than one number
            held = value.item()
    if is_number(held) or (isinstance(held, float) and not math.isfinite(held)):
        return float(held)  # type: ignore[arg-type]
    raise TypeError(f"{source} must give one number, got {value!r}.")
