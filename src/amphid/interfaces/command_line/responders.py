"""What came of a run: the cells that answered most."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amphid.simulation import Recording


@dataclass(frozen=True)
class Responder:
    """One cell: change of its voltage in mV, when it was largest, and its spikes."""

    cell: str
    kind: str
    stimulated: bool
    change: float | None = None
    after: float | None = None
    rate: float | None = None
    first_spike: float | None = None

    def data(self) -> dict[str, Any]:
        """As named values with units, without those that were not recorded."""
        unit = {"change": "change_mV", "after": "after_ms", "rate": "rate_Hz"}
        unit["first_spike"] = "first_spike_ms"
        return {
            unit.get(key, key): value for key, value in asdict(self).items() if value is not None
        }


def responders(run: Recording, onset: float, stimulated: Collection[str]) -> list[Responder]:
    """Every cell, strongest response first: by rate where spikes were recorded, then by voltage."""
    unknown: list[float | None] = [None] * len(run.names)
    change, after = _voltages(run, onset) or (unknown, unknown)
    rates, first = _spikes(run) or (unknown, unknown)
    chosen = set(stimulated)
    found = [
        Responder(name, kind, name in chosen, *values)
        for name, kind, values in zip(
            run.names,
            run.cells.kind,
            zip(change, after, rates, first, strict=True),
            strict=True,
        )
    ]
    return sorted(found, key=lambda cell: (-(cell.rate or 0.0), -abs(cell.change or 0.0)))


def share_active(run: Recording, onset: float) -> float | None:
    """Share of the cells that fired or moved by more than 1 mV; None where neither was recorded."""
    from amphid.measures import active

    if _sampled_after(run, onset):
        return float(active(run, onset))
    return None if run.spikes is None else float(active(replace(run, fields={}), onset))


def summary(cells: list[Responder]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of a table of them."""
    columns: dict[str, list[Any]] = {
        "cell": [cell.cell for cell in cells],
        "kind": [cell.kind for cell in cells],
        "rate (Hz)": [cell.rate for cell in cells],
        "first (ms)": [cell.first_spike for cell in cells],
        "change (mV)": [_rounded(cell.change) for cell in cells],
        "after (ms)": [cell.after for cell in cells],
        "driven": ["yes" if cell.stimulated else "" for cell in cells],
    }
    there = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    rows: list[tuple[Any, ...]] = list(zip(*there.values(), strict=True))
    return list(there), rows


def _voltages(run: Recording, onset: float) -> tuple[list[float | None], list[float | None]] | None:
    from amphid.measures import response, response_time

    if not _sampled_after(run, onset):
        return None
    return response(run, onset).tolist(), response_time(run, onset).tolist()


def _spikes(run: Recording) -> tuple[list[float | None], list[float | None]] | None:
    from amphid.measures import rate

    if run.spikes is None:
        return None
    first: list[float | None] = [None] * len(run.names)
    for cell, time in zip(run.spikes.cell.tolist(), run.spikes.time.tolist(), strict=True):
        if first[cell] is None:
            first[cell] = time
    return [round(hertz, 6) for hertz in rate(run).tolist()], first


def _sampled_after(run: Recording, onset: float) -> bool:
    """Whether voltages were recorded at the onset and after it."""
    return "v" in run.fields and bool((run.time > onset).any()) and len(run.time) > 1


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
