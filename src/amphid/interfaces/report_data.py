"""What a report carries: one trial of a recording, thinned until it fits into a page."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from amphid.interfaces.placement import Placement, place
from amphid.measures import rate, response, response_time
from amphid.simulation import Recording, Spikes, Stimulus
from amphid.simulation.recording import UNITS
from amphid.wiring import Connectome
from amphid.wiring.connectome import Indices

FRAMES = 400  # moments between which the player moves
POINTS = 1600  # of a trace, about what a screen resolves
CELLS = 2000
EVENTS = 300_000
CONNECTIONS = 60_000
VALUES = 2_000_000  # of all variables together
TRACES = 12
RESPONDERS = 20  # in the table
MISSING = 65535  # the code of a value that is not finite


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial of a recording, ready to be shown.

    run: without axes of a batch. connectome: its cells, in the same order, and the connections
    among them. stimulated: indices. onset: ms, rest is taken just before. during: start and end of
    each stretch of stimulus, ms. strength: [N] what the cells are ranked by. strongest: indices,
    the largest strength first. cells: indices of the cells that the page carries, sorted.
    """

    run: Recording
    connectome: Connectome
    stimulated: Indices
    onset: float
    during: tuple[tuple[float, float], ...]
    strength: NDArray[np.float64]
    cells: Indices

    @cached_property
    def strongest(self) -> Indices:
        """Cells that responded, strongest first."""
        order = np.argsort(-np.abs(self.strength), kind="stable")
        return order[np.abs(self.strength[order]) > 0]

    @cached_property
    def shown(self) -> Connectome:
        """The cells that the page carries and the connections among them."""
        return self.connectome.subset(*map(int, self.cells))


def trial_of(
    run: Recording,
    connectome: Connectome,
    stimulated: Sequence[str],
    stimulus: Stimulus | None,
    trial: int,
) -> Trial:
    """One trial of a recording, and which of its cells the page can carry."""
    alone = _alone(run, trial)
    if stimulus is not None and stimulus.size != len(connectome):
        raise ValueError(
            f"stimulus must be for the network of this connectome, {len(connectome)} cells; it was "
            f"made for {stimulus.size}."
        )
    wires = connectome.subset(*map(str, run.names))
    driven = wires.select(*stimulated) if stimulated else _driven(alone, connectome, stimulus)
    during = _during(stimulus, trial, run.duration)
    onset = during[0][0] if during else 0.0
    strength = _strength(alone, onset)
    cells = _carried(alone.spikes, driven, strength)
    return Trial(alone, wires, driven, onset, during, strength, cells)


def payload(trial: Trial, title: str) -> dict[str, Any]:
    """The trial as JSON; arrays as base64 of their little-endian bytes."""
    frames, cells, spikes = _frames(trial.run), trial.shown.cells, trial.run.spikes
    return {
        "title": title,
        "cells": {
            column: [str(text) for text in getattr(cells, column)]
            for column in ("name", "kind", "cell_class", "transmitter")
        },
        "total": len(trial.connectome),
        "place": packed_place(place(cells)),
        "duration": trial.run.duration,
        "onset": trial.onset,
        "during": trial.during,
        "time": [float(f"{t:.6g}") for t in frames.tolist()],
        "fields": list(_fields(trial, frames)),
        "spikes": None if spikes is None else _events(spikes, trial.cells),
        "traces": _traces(trial),
        "stimulated": _numbers_among(trial.cells, trial.stimulated),
        "strongest": _numbers_among(trial.cells, trial.strongest[:TRACES]),
        "connections": packed_connections(trial.shown),
    }


def departure(run: Recording, field: str, onset: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest departure of a variable from its value at the onset [N], and when, ms after it."""
    alike = replace(run, fields={"v": run.fields[field]})
    return response(alike, onset), response_time(alike, onset)


def shown_fields(run: Recording) -> list[str]:
    """The variables that can be followed over time, voltage first."""
    names = [name for name, value in run.fields.items() if len(value) > 1]
    return sorted(names, key=lambda name: name != "v")


def _alone(run: Recording, trial: int) -> Recording:
    """The recording of that trial alone, the axes of the batch numbered through."""
    batch = _batch(run)
    if not 0 <= trial < math.prod(batch):
        raise ValueError(
            f"trial must be below {math.prod(batch)}, the trials of this recording, got {trial}."
        )
    at = tuple(int(i) for i in np.unravel_index(trial, batch))
    fields = {
        name: value.detach().cpu().reshape(len(value), -1, value.shape[-1])[:, trial]
        for name, value in run.fields.items()
        if name != "spike" and value.dim() == 2 + len(batch)
    }
    spikes = None if run.spikes is None else _spikes_at(run.spikes, at)
    alone = filled(replace(run, fields=fields, events=spikes, state=None))
    if not shown_fields(alone) and spikes is None:
        raise ValueError(
            "a report needs spikes or a variable sampled at least twice, got "
            f"{run!r}: simulate(..., record=('v',))."
        )
    return alone


def filled(run: Recording) -> Recording:
    """Every variable for every cell: nan where it was not kept, of many cells those with any."""
    if not run.kept:
        return run
    few = [cells for name, cells in run.kept.items() if name in run.fields]
    if few and len(run.cells) > CELLS:
        spread = torch.arange(0, len(run.cells), math.ceil(len(run.cells) / CELLS))
        run = run._only(torch.unique(torch.cat((*few, spread))), partly=True)
    fields = {}
    for name, value in run.fields.items():
        wide = value.new_full((*value.shape[:-1], len(run.cells)), math.nan)
        cells = run.kept.get(name, torch.arange(len(run.cells)))
        fields[name] = wide.index_copy(-1, cells, value)
    spikes = run.events
    if spikes is not None and "spike" in run.kept:
        index = torch.cat((spikes.index[:-1], run.kept["spike"][spikes.index[-1]][None]))
        spikes = Spikes(index, (*spikes.shape[:-1], len(run.cells)), spikes.dt)
    return replace(run, fields=fields, events=spikes, kept={})


def _batch(run: Recording) -> tuple[int, ...]:
    if run.spikes is not None:
        return run.spikes.shape[1:-1]
    return next((tuple(value.shape[1:-1]) for value in run.fields.values()), ())


def _spikes_at(spikes: Spikes, at: tuple[int, ...]) -> Spikes:
    index = spikes.index.cpu()
    here = (index[1:-1] == torch.tensor(at, dtype=index.dtype)[:, None]).all(0)
    return Spikes(index[[0, -1]][:, here], (spikes.shape[0], spikes.shape[-1]), spikes.dt)


def _driven(run: Recording, connectome: Connectome, stimulus: Stimulus | None) -> Indices:
    """The recorded cells that the stimulus drives."""
    if stimulus is None:
        return np.empty(0, dtype=np.int64)
    place_of = {name: index for index, name in enumerate(run.names)}
    names = connectome.cells.name[stimulus.driven.cpu().numpy()]
    return np.array([place_of[name] for name in names if name in place_of], dtype=np.int64)


def _during(
    stimulus: Stimulus | None, trial: int, duration: float
) -> tuple[tuple[float, float], ...]:
    """When any current flows: at most 40 stretches, or one from the first to the last."""
    if stimulus is None:
        return ()
    every = stimulus.active().cpu().reshape(len(stimulus), -1)
    on = every[:, min(trial, every.shape[1] - 1)].numpy()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], on, [False])).astype(int)))
    if len(edges) > 80:
        edges = edges[[0, -1]]
    times = [float(min(edge * stimulus.dt, duration)) for edge in edges]
    return tuple(zip(times[::2], times[1::2], strict=True))


def _strength(run: Recording, onset: float) -> NDArray[np.float64]:
    """[N] firing rate in Hz of spiking cells, the largest departure of the others."""
    if run.spikes is not None and len(run.spikes):
        return rate(run).numpy()
    fields = shown_fields(run)
    if not fields:
        return np.zeros(len(run.cells))
    largest = departure(run, fields[0], onset)[0].double().numpy()
    return np.nan_to_num(largest, nan=0.0, posinf=0.0, neginf=0.0)


def _carried(spikes: Spikes | None, driven: Indices, strength: NDArray[np.float64]) -> Indices:
    """All cells, or of many the stimulated, the strongest, and others evenly over the file."""
    size = len(strength)
    strongest = np.argsort(-np.abs(strength), kind="stable")[:RESPONDERS]
    spread = np.random.default_rng(0).permutation(size) if size > CELLS else np.arange(size)
    order = np.array(list(dict.fromkeys([*driven[:CELLS], *strongest, *spread])), dtype=np.int64)
    order = order[:CELLS]
    if spikes is not None:
        counts = np.bincount(spikes.cell.numpy(), minlength=size)
        order = order[: max(1, int((np.cumsum(counts[order]) <= EVENTS).sum()))]
    return np.sort(order)


def _frames(run: Recording) -> NDArray[np.float64]:
    """[F] the moments that the page can show, ms."""
    if shown_fields(run):
        time: NDArray[np.float64] = run.time.numpy()
        return time[_evenly(len(time), FRAMES)]
    steps = min(FRAMES, run.steps)
    return np.linspace(0.0, run.duration, steps + 1)[1:]


def _evenly(size: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def _fields(trial: Trial, frames: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """The variables, as many as fit: 16 bits a value, between the extremes of each cell."""
    per_field = len(frames) * len(trial.cells)
    for name in shown_fields(trial.run)[: max(1, VALUES // max(per_field, 1))]:
        whole = trial.run.fields[name][:, trial.cells].double().numpy()
        value = whole[_evenly(len(whole), FRAMES)].T
        finite = np.isfinite(value)
        low = np.where(finite, value, np.inf).min(1, initial=np.inf)
        high = np.where(finite, value, -np.inf).max(1, initial=-np.inf)
        low, span = np.where(np.isfinite(low), low, 0.0), np.where(high > low, high - low, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            code = np.round((value - low[:, None]) / span[:, None] * (MISSING - 1))
        code = np.where(finite & (span > 0)[:, None], code, np.where(finite, 0, MISSING))
        before = max(int((trial.run.time.numpy() <= trial.onset + 1e-6).sum()) - 1, 0)
        yield {
            "name": name,
            "unit": UNITS.get(name.rpartition(".")[2], "1"),
            "low": packed(low, "<f4"),
            "span": packed(span, "<f4"),
            "rest": packed(whole[before], "<f4"),
            "value": packed(code, "<u2"),
        }


def _events(spikes: Spikes, cells: Indices) -> dict[str, Any]:
    chosen = spikes.of(torch.from_numpy(cells))
    return {
        "dt": spikes.dt,
        "step": packed(chosen.index[0].numpy() + 1, "<u4"),
        "cell": packed(chosen.cell.numpy(), "<u2"),
    }


def _traces(trial: Trial) -> dict[str, Any] | None:
    """The first variable of the most telling cells, at the resolution of a screen."""
    fields = shown_fields(trial.run)
    if not fields:
        return None
    ranked = dict.fromkeys([*trial.stimulated[:TRACES], *trial.strongest[:TRACES]])
    cells = np.array([c for c in ranked if c in trial.cells][:TRACES], dtype=np.int64)
    value = trial.run.fields[fields[0]][:, cells].double().numpy()
    time, thin = _extremes(trial.run.time.numpy(), value)
    return {
        "cells": np.searchsorted(trial.cells, cells).tolist(),
        "time": packed(time, "<f4"),
        "value": packed(thin.T, "<f4"),
    }


def _extremes(
    time: NDArray[np.float64], value: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest value of each stretch of time, in the order they came; [P], [P, K]."""
    width = math.ceil(len(time) / (POINTS / 2))
    if width <= 2:
        return time, value
    lead = -len(time) % width  # the first stretch is filled up with its first value
    value = np.concatenate((np.repeat(value[:1], lead, axis=0), value))
    time = np.concatenate((np.repeat(time[:1], lead), time))
    stretch = value.reshape(-1, width, value.shape[1])
    ends = np.sort(np.stack((stretch.argmin(1), stretch.argmax(1)), 1), axis=1)
    thin = np.take_along_axis(stretch, ends, 1).reshape(-1, value.shape[1])
    return time.reshape(-1, width)[:, [width // 4, 3 * width // 4]].reshape(-1), thin


def packed_place(placement: Placement) -> dict[str, Any]:
    """Where cells are drawn, within -1 and 1."""
    point = placement.point
    reach = float(np.abs(point).max(initial=0.0)) or 1.0
    return {
        "point": packed(point / reach, "<f4"),
        "known": packed(placement.known, "u1"),
        "marks": [[text, *(x / reach for x in spot)] for text, *spot in placement.marks],
        "note": placement.note,
        "scale": reach if placement.known.any() else None,
    }


def packed_connections(connectome: Connectome) -> dict[str, Any]:
    """The connections among at most 65,535 cells, as typed arrays; of too many, the largest."""
    wires = connectome.connections
    kept = np.argsort(-wires.synapses, kind="stable")[:CONNECTIONS]
    wires = wires.take(np.sort(kept))
    return {
        "pre": packed(wires.pre, "<u2"),
        "post": packed(wires.post, "<u2"),
        "synapses": packed(wires.synapses, "<f4"),
        "sign": packed(wires.sign, "i1"),
        "electrical": packed(wires.electrical, "u1"),
    }


def _numbers_among(cells: Indices, chosen: Indices) -> list[int]:
    inside = chosen[np.isin(chosen, cells)]
    return [int(number) for number in np.searchsorted(cells, inside)]


def packed(array: Any, dtype: str) -> str:
    """An array as base64 of the bytes of that type."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode("ascii")
