"""Spikes from outside in machine code: drawn or read in the step in which they act."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from amphid.simulation.compiled.edges import PerTrial
from amphid.simulation.compiled.share import Share
from amphid.simulation.sources import GivenSpikes, PoissonTrains, Source

if TYPE_CHECKING:
    from amphid.simulation.compiled.program import Program

LINEAR = 64  # thresholds; more of them are searched by halving

# every sum is cast back to 32 bits, else numba widens it and half as many fit in a register
INFLOW_TOOLS = '''
@inner
def draw_words(t, window, key, words):
    """The random words of all trains for this step and the next, unless they are there already."""
    step = t + window[2]
    if step % 2 == 0 or t == window[0]:
        mix(key, np.uint64(step // 2 + 1) * np.uint64(0x9E3779B97F4A7C15), words[0], words[1])


@inner
def mix(key, place, low, high):
    for k in range(len(key)):
        x = key[k] + place
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
        low[k] = np.int32(x)
        high[k] = np.int32(x >> np.uint64(32))


@inner
def highest(words):
    top = np.int32(-2147483648)
    for k in range(len(words)):
        top = max(top, words[k])
    return top


@inner
def count_eight(words, edge, least, number):
    e0, e1, e2, e3 = edge[0], edge[1], edge[2], edge[3]
    e4, e5, e6, e7 = edge[4], edge[5], edge[6], edge[7]
    for k in range(len(words)):
        x, n = words[k], least
        n = np.int32(n + np.int32(x > e0))
        n = np.int32(n + np.int32(x > e1))
        n = np.int32(n + np.int32(x > e2))
        n = np.int32(n + np.int32(x > e3))
        n = np.int32(n + np.int32(x > e4))
        n = np.int32(n + np.int32(x > e5))
        n = np.int32(n + np.int32(x > e6))
        number[k] = np.int32(n + np.int32(x > e7))


@inner
def count_eight_more(words, edge, number):
    e0, e1, e2, e3 = edge[0], edge[1], edge[2], edge[3]
    e4, e5, e6, e7 = edge[4], edge[5], edge[6], edge[7]
    for k in range(len(words)):
        x, n = words[k], number[k]
        n = np.int32(n + np.int32(x > e0))
        n = np.int32(n + np.int32(x > e1))
        n = np.int32(n + np.int32(x > e2))
        n = np.int32(n + np.int32(x > e3))
        n = np.int32(n + np.int32(x > e4))
        n = np.int32(n + np.int32(x > e5))
        n = np.int32(n + np.int32(x > e6))
        number[k] = np.int32(n + np.int32(x > e7))


@inner
def count_shared(words, edge, least, number):
    """Spikes of trains of one rate; in most blocks no word lies beyond the first eight edges."""
    for first in range(0, len(number), 256):
        word, count = words[first : first + 256], number[first : first + 256]
        top, e = highest(word), 8
        count_eight(word, edge, least, count)
        while e < len(edge) and top > edge[e - 1]:
            count_eight_more(word, edge[e : e + 8], count)
            e += 8


@inner
def halve(words, edges, half, place):
    for k in range(len(words)):
        x, at = words[k], place[k]
        place[k] = np.uint32(at + half) if x > edges[np.uint32(at + half)] else at


@inner
def count_each(words, edge, least, start, place, number):
    """The same where rates differ, or are high: the edges of each train are searched by halving."""
    edges, width = edge.reshape(edge.size), edge.shape[1]
    for first in range(0, len(number), 256):
        word, at = words[first : first + 256], place[first : first + 256]
        for k in range(len(at)):
            at[k] = np.uint32(start[first + k] - np.uint32(1))  # edges[at] is the last one passed
        half = width >> 1
        while half > 0:
            halve(word, edges, np.uint32(half), at)
            half >>= 1
    places = np.uint32(0)
    while width >> places > 1:
        places += np.uint32(1)
    for k in range(len(number)):
        row = start[k] >> places
        number[k] = np.int32(least[row] + np.int32(np.uint32(place[k] + np.uint32(1)) - start[k]))


@exact
def pour_in_a_row(number, amplitude, external):
    for k in range(len(number)):
        external[k] += amplitude[k] * REAL(number[k])


@exact
def pour_in_a_row_uniform(number, amplitude, external):
    for k in range(len(number)):
        external[k] += amplitude[0] * REAL(number[k])


@exact
def pour(number, amplitude, cells, external):
    for k in range(len(number)):
        external[cells[k]] += amplitude[k] * REAL(number[k])


@exact
def pour_uniform(number, amplitude, cells, external):
    for k in range(len(number)):
        external[cells[k]] += amplitude[0] * REAL(number[k])
'''


@dataclass(frozen=True)
class Poisson:
    """The lines of a loop that draw Poisson trains.

    shared: whether all have one rate. uniform: whether all have one amplitude. row: whether their
    cells follow each other.
    """

    name: str
    shared: bool
    uniform: bool
    row: bool

    def added(self) -> list[str]:
        """Lines that add their currents to EXTERNAL."""
        name, uniform = self.name, "_uniform" if self.uniform else ""
        if self.row:
            stretch = f"EXTERNAL[FIRST_{name}[0] : FIRST_{name}[0] + len(COUNT_{name})]"
            pour = f"pour_in_a_row{uniform}(COUNT_{name}, AMPLITUDE_{name}, {stretch})"
        else:
            pour = f"pour{uniform}(COUNT_{name}, AMPLITUDE_{name}, CELLS_{name}, EXTERNAL)"
        return [*self._drawn(), f"    {pour}"]

    def each(self, woken: list[str]) -> list[str]:
        """Lines that do so cell by cell, after lines about the cell i."""
        name, amplitude = self.name, "0" if self.uniform else "c"
        return [
            *self._drawn(),
            f"    for c in range(len(COUNT_{name})):",
            f"        if COUNT_{name}[c] != 0:",
            f"            i = CELLS_{name}[c]",
            *(f"            {line}" for line in woken),
            f"            EXTERNAL[i] += AMPLITUDE_{name}[{amplitude}] * REAL(COUNT_{name}[c])",
        ]

    def _drawn(self) -> list[str]:
        name = self.name
        words, given = f"WORDS_{name}[(t + WINDOW_{name}[2]) % 2]", f"EDGE_{name}, LEAST_{name}"
        count = f"count_each({words}, {given}, START_{name}, PLACE_{name}, COUNT_{name})"
        if self.shared:
            count = f"count_shared({words}, EDGE_{name}[0], LEAST_{name}[0], COUNT_{name})"
        return [
            f"if WINDOW_{name}[0] <= t < WINDOW_{name}[1]:",
            f"    draw_words(t, WINDOW_{name}, KEY_{name}, WORDS_{name})",
            f"    {count}",
        ]


@dataclass(frozen=True)
class Given:
    """The lines of a loop that read given spikes."""

    name: str

    def added(self) -> list[str]:
        """Lines that add their currents to EXTERNAL."""
        return self.each([])

    def each(self, woken: list[str]) -> list[str]:
        """Lines that do so cell by cell, after lines about the cell i."""
        name, at = self.name, f"CURSOR_{self.name}[0]"
        return [
            f"while {at} < CURSOR_{name}[1] and STEP_{name}[{at}] == t:",
            f"    i = CELLS_{name}[{at}]",
            *(f"    {line}" for line in woken),
            f"    EXTERNAL[i] += AMPLITUDE_{name}[{at}]",
            f"    {at} += 1",
        ]


def lay_out_sources(program: Program) -> list[Poisson | Given]:
    """Give a program the arrays of its sources; what its loop does about each.

    Raises ValueError for a source of another kind.
    """
    made: list[Poisson | Given] = []
    sources = [onto(source, program.share) for source in program.task.sources]
    for number, source in enumerate(source for source in sources if len(source.cells)):
        name = f"source_{number}"
        if isinstance(source, PoissonTrains):
            made.append(_poisson(program, source, name))
        elif isinstance(source, GivenSpikes):
            made.append(_given(program, source, name))
        else:
            raise ValueError(
                f"the compiled engine knows PoissonTrains and GivenSpikes, not the source "
                f"{source!r}: run it by Torch()."
            )
    return made


def onto(source: Source, share: Share) -> Source:
    """What of a source reaches the cells of a share, counted from its first; all of other kinds."""
    if len(share) == share.size:
        return source
    if isinstance(source, PoissonTrains):
        own = torch.from_numpy(share.among(source.cells.numpy()))
        size = len(source.cells)
        each = {name: getattr(source, name) for name in ("rate", "amplitude", "key")}
        cut = {
            name: held[..., own] if held.shape[-1] == size else held for name, held in each.items()
        }
        return replace(source, cells=source.cells[own] - share.low, **cut)
    if isinstance(source, GivenSpikes):
        own = torch.from_numpy(share.among(source.cell.numpy()))
        return replace(
            source,
            step=source.step[own],
            cell=source.cell[own] - share.low,
            amplitude=source.amplitude[own],
            trial=None if source.trial is None else source.trial[own],
        )
    return source


def _poisson(program: Program, trains: PoissonTrains, name: str) -> Poisson:
    batch, trials = program.batch, program.trials
    order = torch.argsort(trains.cells, stable=True)
    cells, size = trains.cells[order].numpy(), len(order)

    def sorted_by_cell(held: torch.Tensor) -> PerTrial:
        return PerTrial.of(held.expand(*held.shape[:-1], size)[..., order], batch)

    table = trains.table
    edges = table.threshold.numpy()
    shared = table.row is None and edges.shape[1] <= LINEAR
    active = (trains.rate > 0).expand(*batch, size).any(-1).reshape(-1).numpy()
    begin, end = trains.window
    window = np.array([[begin, end, trains.skipped]] * trials, dtype=np.int64)
    window[~active, 1] = 0
    program._each(f"WINDOW_{name}", window)
    program._shared(f"EDGE_{name}", edges)
    program._shared(f"LEAST_{name}", table.least.numpy().astype(np.int32))
    key = sorted_by_cell(trains.key)
    program.arrays[f"KEY_{name}"] = PerTrial(key.rows.view(np.uint64), key.which)
    program._each(f"WORDS_{name}", np.zeros((trials, 2, size), dtype=np.int32))
    program._each(f"COUNT_{name}", np.zeros((trials, size), dtype=np.int32))
    if not shared:
        row = torch.zeros(1, dtype=torch.int64) if table.row is None else table.row
        start = sorted_by_cell(row * edges.shape[1])
        program.arrays[f"START_{name}"] = PerTrial(start.rows.astype(np.uint32), start.which)
        program._each(f"PLACE_{name}", np.zeros((trials, size), dtype=np.uint32))
    amplitude = sorted_by_cell(trains.amplitude)
    uniform = bool((amplitude.rows == amplitude.rows[:, :1]).all())
    kept = np.ascontiguousarray(amplitude.rows[:, :1]) if uniform else amplitude.rows
    program.arrays[f"AMPLITUDE_{name}"] = PerTrial(kept, amplitude.which)
    in_a_row = bool((np.diff(cells) == 1).all()) and size > 0
    program._shared(f"CELLS_{name}", cells.astype(np.uint32))
    if in_a_row:
        program._shared(f"FIRST_{name}", cells[:1].copy())
    return Poisson(name, shared, uniform, in_a_row)


def _given(program: Program, spikes: GivenSpikes, name: str) -> Given:
    """All spikes, those of one trial after those of another."""
    which = torch.arange(spikes.batch.numel()).reshape(spikes.batch)
    which = which.expand(program.batch).reshape(-1)
    trial = torch.zeros_like(spikes.step) if spikes.trial is None else spikes.trial
    order = torch.argsort(trial, stable=True)
    ends = torch.bincount(trial, minlength=spikes.batch.numel()).cumsum(0)
    begin = torch.cat((ends.new_zeros(1), ends[:-1]))
    program._each(f"CURSOR_{name}", torch.stack((begin[which], ends[which]), 1).numpy())
    program._shared(f"STEP_{name}", spikes.step[order].numpy())
    program._shared(f"CELLS_{name}", spikes.cell[order].numpy().astype(np.uint32))
    program._shared(f"AMPLITUDE_{name}", spikes.amplitude.detach()[order].numpy())
    return Given(name)
