"""What a search found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amphid.learning.searching.space import Space


@dataclass(frozen=True)
class Tried:
    """One trial that is over.

    settings: by name. value: what the objective gave; the last that was reported of one that was
    pruned; None of one that failed. state: "complete", "pruned" or "failed". reports: intermediate
    values by step. notes: further figures. stored: the settings as they are kept.
    """

    number: int
    settings: Mapping[str, Any]
    value: float | None
    state: str
    reports: Mapping[int, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    started: datetime | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Found:
    """A search that is over: its trials by number, and the best of them."""

    name: str
    space: Space
    maximize: bool
    trials: tuple[Tried, ...]

    def __repr__(self) -> str:
        counts = {state: len(self._of(state)) for state in ("complete", "pruned", "failed")}
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        best = f"; best {self.best.value:g} with {dict(self.best.stored)}" if self.complete else ""
        return f"Found({self.name!r}: {told or 'no trials'}{best})"

    @property
    def complete(self) -> tuple[Tried, ...]:
        """The trials that ran to their end."""
        return self._of("complete")

    @property
    def best(self) -> Tried:
        """The first trial with the best value. Raises ValueError when none is complete."""
        if not self.complete:
            raise ValueError(f"the search {self.name!r} has no complete trial, so none is best.")
        sign = -1.0 if self.maximize else 1.0
        return min(self.complete, key=lambda tried: sign * _value(tried))

    @property
    def settings(self) -> Mapping[str, Any]:
        """The best settings by name. Raises ValueError when no trial is complete."""
        return self.best.settings

    @property
    def value(self) -> float:
        """The best value. Raises ValueError when no trial is complete."""
        return _value(self.best)

    def history(self) -> list[tuple[int, float, float]]:
        """Number and value of each complete trial, and the best value up to it."""
        pick, rows = (max if self.maximize else min), []
        best: float | None = None
        for tried in self.complete:
            best = _value(tried) if best is None else pick(best, _value(tried))
            rows.append((tried.number, _value(tried), best))
        return rows

    def table(self) -> list[dict[str, Any]]:
        """One row per trial: number, state, value, every setting, every note."""
        notes = sorted({name for tried in self.trials for name in tried.notes})
        return [
            {
                "trial": tried.number,
                "state": tried.state,
                "value": tried.value,
                **{name: tried.stored.get(name) for name in self.space},
                **{name: tried.notes.get(name) for name in notes},
                "seconds": tried.seconds,
            }
            for tried in self.trials
        ]

    def importance(self) -> dict[str, float]:
        """Share of each setting in what sets the best tenth of the trials apart; they add up to 1.

        The largest comes first. By PED-ANOVA, which compares where the best trials lie with where
        all lie, setting by setting. Raises ValueError for fewer than ten complete trials.
        Reference: Watanabe et al. 2023, doi 10.24963/ijcai.2023/488.
        """
        from amphid.learning.searching.importance import importance

        return importance(self)

    def _of(self, state: str) -> tuple[Tried, ...]:
        return tuple(tried for tried in self.trials if tried.state == state)


def _value(tried: Tried) -> float:
    if tried.value is None:
        raise ValueError(f"trial {tried.number} has no value: it {tried.state}.")
    return tried.value
