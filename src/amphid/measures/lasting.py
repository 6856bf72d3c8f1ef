"""Does activity last? Exactly, by the cycle it ends in, and fast, by a look at some cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics.values import is_number
from amphid.measures.activity import Activity, activity_of
from amphid.measures.courses import Clocked, Raced
from amphid.measures.cycles import Array, cycle
from amphid.simulation import GeometricNetwork, Network, Onsets, Stimulus

SURE = 0.95


@dataclass(frozen=True, eq=False)
class Persistence:
    """How a network goes on after a stimulus, for ever.

    activity: which of the three; None where no cycle showed within the time allowed.
    transient: ms from the end of the stimulus until the state is one that comes again; of a
        quiescent network, until no signal is under way. period: ms until it comes again, the least;
        0 where no signal is under way. Both nan where no cycle showed.
    fires: [N] bool, which cells fire in the cycle. prompt: [N] bool, which of them do so as soon as
        their refractoriness ends, every time. rate: [N] Hz, in the cycle.
    """

    activity: Activity | None
    transient: float
    period: float
    fires: Tensor
    prompt: Tensor
    rate: Tensor

    def __repr__(self) -> str:
        if self.activity is None:
            return "Persistence(no cycle within the time allowed)"
        when = f"period {self.period:g} ms after {self.transient:g} ms"
        fire = f"{int(self.fires.sum())} of {len(self.fires)} cells fire"
        return f"Persistence({self.activity}, {when}, {fire})"


@dataclass(frozen=True)
class Glimpse:
    """What a look at some cells tells of how a network goes on.

    activity: which of the three, as far as seen. cells: how many were looked at. fires, prompt: the
    shares of them that fired, and that did so as soon as their refractoriness ended. unseen: the
    share of all cells that may be otherwise with a chance of 5 %, where all of these were alike.
    """

    activity: Activity
    cells: int
    fires: float
    prompt: float
    unseen: float


def persistence(
    network: GeometricNetwork | Network,
    stimulus: Onsets | Stimulus,
    *,
    dt: float,
    longest: float = 1e5,
    tolerance: float = 0.0,
    refractory: float | Tensor | None = None,
) -> Persistence:
    """Quiescent, sustained or saturated: by following the whole state until it comes again.

    A run in ticks whose states are finitely many ends in a cycle, and two states that are equal go
    on alike: so this is no estimate. The state is all that the next tick depends on: signals under
    way, what is left of refractoriness, and sums. Digests of 16 bytes are compared.

    network, stimulus: a `GeometricNetwork` and the events that set it going; or a `Network`, which
        gets no current after the stimulus and whose floats must repeat bit for bit: potentials and
        conductances that decay do so, if late, but there is no promise, and with noise they do not.
    dt: ms of a tick. longest: ms to follow it for; it takes about twice the transient, or four
        times the period.
    tolerance: ms by which a cell may be late and still count as prompt.
    refractory: ms of absolute refractoriness of the cells of a `Network`, a number or [N]; one step
        when None. A `GeometricNetwork` knows its own.

    What the three are is our own definition, see `Activity`.
    Raises ValueError for a stimulus with a batch and cells that do not spike, and as `race` and
    `simulate` do.
    """
    _check_times(dt, longest=longest, tolerance=tolerance)
    course: Any = _course(network, stimulus, dt, refractory)
    found = cycle(course, course.started(stimulus), math.floor(longest / dt))
    size = len(course)
    if found is None:
        none = torch.zeros(size, dtype=torch.bool)
        return Persistence(None, math.nan, math.nan, none, none, torch.full((size,), math.nan))
    counts = np.bincount(found.cell, minlength=size)
    late = _longest_gaps(found.tick, found.cell, found.period, size) - course.period
    fires = torch.from_numpy(counts > 0)
    prompt = fires & torch.from_numpy(late * dt <= tolerance + 1e-9)
    return Persistence(
        activity=activity_of(fires, prompt),
        transient=found.start * dt,
        period=found.period * dt,
        fires=fires,
        prompt=prompt,
        rate=torch.from_numpy(counts * (1000.0 / (max(found.period, 1) * dt))),
    )


def glimpse(
    network: GeometricNetwork | Network,
    stimulus: Onsets | Stimulus,
    *,
    dt: float,
    after: float,
    cells: int | None = None,
    tolerance: float = 0.0,
    refractory: float | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Glimpse:
    """The fast way to ask for persistence: run for some time, then look at some cells for a while.

    They are looked at for twice the longest latency and refractory period together. A cell counts
    as prompt if no pause of it within that time is longer than its refractory period. What becomes
    of the network later is not seen, nor are cells that were not drawn.
    after: ms from the end of the stimulus until the look. cells: how many are looked at, drawn by
        the generator; all when None. Other arguments and errors as of `persistence`.
    """
    _check_times(dt, after=after, tolerance=tolerance)
    course: Any = _course(network, stimulus, dt, refractory)
    chosen = _drawn(len(course), cells, generator)
    before = course.run(course.started(stimulus), max(1, round(after / dt)))
    done = course.run(before.state, ticks := 2 * course.window)
    fires = np.bincount(done.cell, minlength=len(course)) > 0
    late = _longest_pauses(done.tick, done.cell, ticks, len(course)) - course.period
    seen = torch.from_numpy(fires)[chosen]
    prompt = seen & torch.from_numpy(late * dt <= tolerance + 1e-9)[chosen]
    sampled = len(chosen) < len(course)
    return Glimpse(
        activity=activity_of(seen, prompt),
        cells=len(chosen),
        fires=float(seen.double().mean()),
        prompt=float(prompt.double().mean()),
        unseen=1 - (1 - SURE) ** (1 / len(chosen)) if sampled else 0.0,
    )


def _course(
    network: GeometricNetwork | Network,
    stimulus: Onsets | Stimulus,
    dt: float,
    refractory: float | Tensor | None,
) -> Raced | Clocked:
    wanted = Onsets if isinstance(network, GeometricNetwork) else Stimulus
    if not isinstance(network, GeometricNetwork | Network):
        raise TypeError(f"network must be a GeometricNetwork or a Network, got {network!r:.60}.")
    if not isinstance(stimulus, wanted):
        raise TypeError(
            f"stimulus must be of {wanted.__name__} for a {type(network).__name__}, got "
            f"{stimulus!r:.60}."
        )
    if stimulus.batch:
        raise ValueError(
            "persistence is asked for one trial, got a stimulus with trials "
            f"{list(stimulus.batch)}: ask for each by itself."
        )
    if isinstance(network, GeometricNetwork):
        if refractory is not None:
            raise ValueError("refractory is known of a GeometricNetwork: leave it None.")
        return Raced(network, dt)
    if network.neuron.output != "spike":
        raise ValueError(
            "persistence is asked of cells that spike: those of this network give out "
            f"{network.neuron.output!r}."
        )
    return Clocked(network, dt, dt if refractory is None else refractory)


def _check_times(dt: float, **times: float) -> None:
    """Raise ValueError for what is no time in ms."""
    if not (is_number(dt) and dt > 0):
        raise ValueError(f"dt must be a positive number of ms, got {dt!r}.")
    for name, value in times.items():
        if not (is_number(value) and value >= 0):
            raise ValueError(f"{name} must be a number of ms, not negative, got {value!r}.")


def _drawn(size: int, cells: int | None, generator: torch.Generator | None) -> Tensor:
    if cells is None:
        return torch.arange(size)
    whole = isinstance(cells, int) and not isinstance(cells, bool)
    if not whole or not 1 <= cells <= size or not isinstance(generator, torch.Generator):
        raise ValueError(
            f"cells must be from 1 to {size}, drawn by a generator, a torch.Generator, got "
            f"{cells!r} and {generator!r}."
        )
    return torch.randperm(size, generator=generator)[:cells]


def _longest_gaps(tick: Array, cell: Array, period: int, size: int) -> Array:
    """[N] the longest time between spikes of a cell, where a run repeats itself; 0 without any."""
    order = np.lexsort((tick, cell))
    tick, cell = tick[order], cell[order]
    new = np.diff(cell, prepend=-1) != 0
    first = np.flatnonzero(new)
    last = np.append(first, len(cell))[1:] - 1
    gap = np.diff(tick, prepend=0)
    gap[first] = tick[first] + period - tick[last]
    longest = np.zeros(size, np.int64)
    np.maximum.at(longest, cell, gap)
    return longest


def _longest_pauses(tick: Array, cell: Array, ticks: int, size: int) -> Array:
    """[N] the longest time without a spike of a cell, from a border of the run or another spike."""
    everyone = np.arange(size)
    tick = np.concatenate([np.full(size, -1), tick, np.full(size, ticks)])
    cell = np.concatenate([everyone, cell, everyone])
    order = np.lexsort((tick, cell))
    gap = np.diff(tick[order], prepend=-1)
    gap[np.diff(cell[order], prepend=-1) != 0] = 0
    longest = np.zeros(size, np.int64)
    np.maximum.at(longest, cell[order], gap)
    return longest
