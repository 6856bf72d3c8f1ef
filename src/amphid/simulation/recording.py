"""What was recorded: named cells, named variables, spikes as events."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from amphid.wiring import Cells, Connections, Connectome

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNITS = {"v": "mV", "threshold": "mV", "g": "nS", "u": "pA", "w": "pA", "synaptic": "pA"}
"""Units of recorded variables; what is not named here is a pure number."""


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes as events: which step, which cell of which trial.

    index: [D, K] the place of each of K spikes in a dense array [T, *B, N], sorted by step.
    shape: T, *B, N. dt: ms per step.
    """

    index: Tensor
    shape: tuple[int, ...]
    dt: float

    def __len__(self) -> int:
        return self.index.shape[1]

    @property
    def time(self) -> Tensor:
        """[K] when: the end of the step in which the cell fired, ms."""
        return (self.index[0] + 1).double() * self.dt

    @property
    def cell(self) -> Tensor:
        """[K] which cell, as an index into those cells of the recording that spikes are kept of."""
        return self.index[-1]

    def dense(self) -> Tensor:
        """[T, *B, N] one where a spike is, else zero."""
        everywhere = torch.zeros(self.shape)
        everywhere[tuple(self.index)] = 1.0
        return everywhere

    def of(self, cells: Tensor) -> Spikes:
        """The spikes of those cells [K] only, renumbered in that order."""
        place = torch.full((self.shape[-1],), -1)
        place[cells] = torch.arange(len(cells))
        index = torch.cat((self.index[:-1], place[self.index[-1]][None]))
        return replace(self, index=index[:, index[-1] >= 0], shape=(*self.shape[:-1], len(cells)))

    def of_trial(self, place: int) -> Spikes:
        """The spikes of one trial, by its place along the last of the axes *B."""
        index = self.index[:, self.index[-2] == place]
        kept = torch.cat((index[:-2], index[-1:]))
        return replace(self, index=kept, shape=(*self.shape[:-2], self.shape[-1]))


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """What `simulate` kept.

    cells: the recorded cells. dt: ms per step. every: steps between samples of `fields`.
    fields: the sampled variables [T', *B, N] by name, such as "v"; also `run.v`.
    events: the spikes as events, at full resolution, on the processor; see `spikes`, and
        `run.spike` for a dense array, which stands among the fields instead where a gradient was
        asked for.
    trials: names of the trials along the last of the axes *B, see `trial`; none unless the network
        has variants.
    notes: what was decided on the way, such as the engine and the way of stepping.
    state: the state after the last step, to go on from; its `weight` [*B, E] are the weights of all
        connections then, where some are plastic.
    weight: weights [T', *B, K] of the plastic connections at the times of the samples, where they
        were asked for. edges: [K] which connections those are.
    kept: [K] the cells of variables, "spike" among them, that were kept for some cells only: these
        have K columns instead of N, also as events. `run.of("v")` is the recording of those cells,
        `run["AVAL"]` has what was kept for it.
    """

    cells: Cells
    dt: float
    every: int = 1
    fields: dict[str, Tensor] = field(default_factory=dict)
    events: Spikes | None = None
    notes: tuple[str, ...] = ()
    state: Any = None
    trials: tuple[str, ...] = ()
    weight: Tensor | None = None
    edges: NDArray[np.int64] | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Tensor:
        if not name.startswith("_"):
            if name in self.fields:
                return self.fields[name]
            if name == "spike" and self.events is not None:
                return self.events.dense()
            if name in self.kept:
                raise AttributeError(self._not_kept(name))
        raise AttributeError(f"This recording has no {name!r}; it holds {self._held()}.")

    def __getitem__(self, which: str | int | tuple[str | int, ...]) -> Recording:
        """The recording of some cells: by name, class, kind or pattern, in the order asked for."""
        which = which if isinstance(which, tuple) else (which,)
        return self._only(torch.from_numpy(self._connectome.select(*which)))

    def of(self, variable: str) -> Recording:
        """The recording of the cells for which a variable was kept."""
        return self._only(self.kept[variable].cpu()) if variable in self.kept else self

    def _only(self, chosen: Tensor, *, partly: bool = False) -> Recording:
        """The recording of some cells [M], with the variables that were kept for all of them.

        partly: also with those that were kept for some of them.
        """
        place = {name: self._columns(name, chosen) for name in (*self.fields, "spike", *self.kept)}
        there = {name: (columns >= 0).nonzero()[:, 0] for name, columns in place.items()}
        held = {*self.fields, *(["spike"] if self.events is not None else [])}
        held = {n for n in held if len(there[n]) == len(chosen) or (partly and len(there[n]))}
        columns = {name: place[name][there[name]] for name in held}
        fields = {n: value[..., columns[n]] for n, value in self.fields.items() if n in held}
        events = self.events
        if events is not None:
            events = events.of(columns["spike"]) if "spike" in held else None
        return replace(
            self,
            cells=self._connectome._keep(chosen.numpy()).cells,
            fields=fields,
            events=events,
            state=None,
            weight=None,
            edges=None,
            kept={name: there[name] for name in self.kept if partly or name not in held},
        )

    def _columns(self, name: str, chosen: Tensor) -> Tensor:
        """Where the values of those cells [M] stand; -1 for one that was not kept."""
        if name not in self.kept:
            return chosen
        place = torch.full((len(self.cells),), -1)
        place[self.kept[name].cpu()] = torch.arange(len(self.kept[name]))
        return place[chosen]

    def _not_kept(self, name: str) -> str:
        held = np.isin(np.arange(len(self.cells)), self.kept[name].numpy())
        if held.all():
            return f"{name} was kept for these cells: take them from the whole recording."
        without, among = (", ".join(map(str, self.names[k][:5])) for k in (~held, held))
        return (
            f"{name} was kept for {among or 'none'} of these cells, not for {without}: take those "
            f"alone for which it was, or name the others where simulate is asked to record {name}."
        )

    def trial(self, which: str | int) -> Recording:
        """The recording of one trial, by its name or by its place along the last of the axes *B.

        Raises KeyError with near names for a trial that is not there.
        """
        place = self._place(which)
        events = None if self.events is None else self.events.of_trial(place)
        fields = {name: value[..., place, :] for name, value in self.fields.items()}
        weight = None if self.weight is None else self.weight[..., place, :]
        return replace(self, fields=fields, events=events, state=None, trials=(), weight=weight)

    def __repr__(self) -> str:
        trials = f", {len(self.trials)} trials" if self.trials else ""
        return f"Recording({len(self.cells)} cells{trials}, {self.duration:g} ms: {self._held()})"

    @cached_property
    def spikes(self) -> Spikes | None:
        """The spikes as events, or None where none were recorded."""
        if self.events is None and "spike" in self.fields:
            dense = self.fields["spike"].detach()
            return Spikes(dense.nonzero().T, tuple(dense.shape), self.dt)
        return self.events

    @property
    def names(self) -> NDArray[np.object_]:
        """[N] names of the recorded cells."""
        return self.cells.name

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        if self.events is not None:
            return self.events.shape[0]
        if "spike" in self.fields:
            return len(self.fields["spike"])
        sampled = [*self.fields.values(), *([] if self.weight is None else [self.weight])]
        return next((len(value) * self.every for value in sampled), 0)

    @property
    def duration(self) -> float:
        """How long it ran, ms."""
        return self.steps * self.dt

    @property
    def time(self) -> Tensor:
        """[T'] when the fields were sampled: the end of every `every`-th step, ms."""
        samples = self.steps // self.every
        return torch.arange(1, samples + 1, dtype=torch.float64) * (self.every * self.dt)

    def save(self, path: str | Path) -> Path:
        """Write to one HDF5 file with named dimensions and units; the state is not kept.

        The file appears whole or not at all. Raises ValueError for another suffix, OSError when the
        folder is not there.
        """
        from amphid.simulation.recording_file import save

        return save(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> Recording:
        """Read what `save` wrote. Raises ValueError, in one sentence, for any other file."""
        from amphid.simulation.recording_file import load

        return load(Path(path))

    def _place(self, which: str | int) -> int:
        shape = (
            self.events.shape if self.events is not None else next(iter(self.fields.values())).shape
        )
        count = shape[-2] if len(shape) > 2 else 0
        if which in self.trials:
            return self.trials.index(str(which))
        if isinstance(which, int) and -count <= which < count:
            return which % count
        close = difflib.get_close_matches(str(which), self.trials, n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise KeyError(f"No trial {which!r} among the {count} of this recording.{hint}")

    def _held(self) -> str:
        return ", ".join(self._names()) or "nothing"

    def _names(self) -> Iterator[str]:
        if self.events is not None:
            yield f"spike ({len(self.events)} events)"
        for name, value in self.fields.items():
            yield f"{name} {list(value.shape)}"
        if self.weight is not None:
            yield f"weight {list(self.weight.shape)}"

    @cached_property
    def _connectome(self) -> Connectome:
        return Connectome(self.cells, Connections())
