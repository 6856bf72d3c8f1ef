"""Spikes from outside that a time loop draws or reads as it goes, instead of a dense current."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from amphid.dynamics.binary import mixed, place_in_sequence
from amphid.kernels import common_shape
from amphid.simulation.count_table import MOST, CountTable

NO_BATCH = torch.Size()
_NEVER = 2.0**61  # steps


class Source(Protocol):
    """Currents into some cells that are a pure function of the step.

    cells: [K] indices of the driven cells. batch: the axes *B of its trials. dt: ms per step.
    """

    @property
    def cells(self) -> Tensor:
        """[K] indices of the driven cells."""

    @property
    def batch(self) -> torch.Size:
        """The axes *B of its trials."""

    @property
    def dt(self) -> float:
        """Ms per step."""

    @property
    def amplitude(self) -> Tensor:
        """The current of a spike in pA."""

    def current(self, first: int, last: int) -> Tensor:
        """The current [S, *B, K] in pA of the steps first <= t < last."""

    def active(self, steps: int) -> Tensor:
        """In which of the first steps [T, *B] any spike may fall."""

    def later(self, steps: int) -> Source:
        """The same source seen from that many steps later on."""

    def portion(self, first: int, stop: int, trials: int) -> Source:
        """Some of as many trials along the last axis of the batch; the same for one they share."""

    def to(self, like: Tensor) -> Source:
        """The same, with amplitudes in the type and everything on the device of a tensor."""


@dataclass(frozen=True, eq=False)
class PoissonTrains:
    r"""Independent Poisson spike trains, each spike a current of `amplitude` pA for one step.

    .. math:: n_t \sim \text{Poisson}(\text{rate} \cdot dt)

    spikes of a train fall in step t: several in one step where the rate is high. Their number is a
    pure function of the train's key and of t, whoever asks: half of the 64 bits that splitmix64
    makes of key and t, looked up in the law of the number, whose chances are rounded to multiples
    of 2^-32 (so no number rarer than that is ever drawn).

    cells: [K] indices of the driven cells. rate: [*B, K] spikes per ms. amplitude: [*B, K] pA.
    key: [*B, K] int64. dt: ms per step. start, stop: ms. skipped: steps of the trains that lie
    before the first step.
    Random numbers: Steele, Lea & Flood 2014, doi 10.1145/2714064.2660195.
    """

    cells: Tensor
    rate: Tensor
    amplitude: Tensor
    key: Tensor
    dt: float
    start: float = 0.0
    stop: float = math.inf
    skipped: int = 0

    def __post_init__(self) -> None:
        for name in ("rate", "amplitude", "key"):
            given = getattr(self, name)
            if given.dim() < 1 or given.shape[-1] not in (1, len(self.cells)):
                raise ValueError(
                    f"{name} must be [*B, K] with one entry for each of {len(self.cells)} trains, "
                    f"got shape {list(given.shape)}."
                )
        _check_finite(self.amplitude)
        if self.key.dtype is not torch.int64:
            raise ValueError(f"key must hold numbers of 64 bits, got {self.key.dtype}.")
        mean = self.rate.detach() * self.dt
        if not bool(((mean >= 0) & (mean <= MOST)).all()):
            raise ValueError(
                "rate must be spikes per ms, not negative and with at most "
                f"{MOST:,} spikes a step on average; got up to {float(self.rate.max()):g} and down "
                f"to {float(self.rate.min()):g} per ms at dt {self.dt:g} ms. 100 Hz is 0.1."
            )
        if not self.start < self.stop:
            raise ValueError(
                f"stop must lie after start: got start {self.start:g} ms, stop {self.stop:g} ms."
            )

    def __repr__(self) -> str:
        low, high = float(self.rate.min()), float(self.rate.max())
        rate = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"Poisson spikes at {rate} per ms into {len(self.cells)} cells"

    @property
    def batch(self) -> torch.Size:
        """The axes *B of its trials."""
        leads = (held.shape[:-1] for held in (self.rate, self.amplitude, self.key))
        return common_shape(*leads)

    @property
    def window(self) -> tuple[int, int]:
        """The first step with spikes, and the one after the last; counted from the first step."""
        return tuple(  # type: ignore[return-value]
            max(first_step(time, self.dt) - self.skipped, 0) for time in (self.start, self.stop)
        )

    @cached_property
    def table(self) -> CountTable:
        """The law of the number of spikes in a step, ready to be looked up."""
        return CountTable.of(self.rate.detach().double() * self.dt)

    def counts(self, first: int, last: int) -> Tensor:
        """How many spikes [S, *B, K], int64, fall in the steps first <= t < last."""
        step = torch.arange(first + self.skipped, last + self.skipped, device=self.key.device)
        step = step.reshape(-1, *(1,) * (len(self.batch) + 1))
        bits = mixed(place_in_sequence(self.key, step >> 1))
        word = torch.where(step % 2 == 0, bits << 32, bits) >> 32
        number = self.table.look_up(word)
        begin, end = self.window
        if first < begin or last > end:
            inside = (step - self.skipped >= begin) & (step - self.skipped < end)
            number = number * inside
        return number.expand(last - first, *self.batch, len(self.cells))

    def current(self, first: int, last: int) -> Tensor:
        """The current [S, *B, K] in pA of the steps first <= t < last."""
        return self.amplitude * self.counts(first, last)

    def active(self, steps: int) -> Tensor:
        """In which of the first steps [T, *B] any spike may fall."""
        begin, end = self.window
        on = torch.zeros(steps, dtype=torch.bool, device=self.rate.device)
        on[begin:end] = True
        driven = (self.rate > 0).any(-1).expand(self.batch)
        return on.reshape(-1, *(1,) * len(self.batch)) & driven

    def later(self, steps: int) -> PoissonTrains:
        """The same trains seen from that many steps later on."""
        return replace(self, skipped=self.skipped + steps)

    def portion(self, first: int, stop: int, trials: int) -> PoissonTrains:
        """Some of as many trials along the last axis of the batch; the same for one they share."""

        def some(held: Tensor) -> Tensor:
            own = held.dim() > 1 and held.shape[-2] == trials
            return held[..., first:stop, :] if own else held

        rate, amplitude, key = map(some, (self.rate, self.amplitude, self.key))
        return replace(self, rate=rate, amplitude=amplitude, key=key)

    def to(self, like: Tensor) -> PoissonTrains:
        """The same, with amplitudes in the type and everything on the device of a tensor."""
        place = like.device
        if self.amplitude.dtype == like.dtype and self.key.device == place:
            return self
        return replace(
            self,
            cells=self.cells.to(place),
            rate=self.rate.to(place),
            amplitude=self.amplitude.to(like),
            key=self.key.to(place),
        )


@dataclass(frozen=True, eq=False)
class GivenSpikes:
    """Given spikes, each a current of its amplitude for one step.

    step: [M] the step a spike falls in, never less than the one before. cell: [M] the cell it goes
    to. amplitude: [M] pA. dt: ms per step. batch: the axes *B of trials; trial: [M] which of them a
    spike belongs to, counted through all axes, or None where every trial gets all spikes.
    """

    step: Tensor
    cell: Tensor
    amplitude: Tensor
    dt: float
    batch: torch.Size = NO_BATCH
    trial: Tensor | None = None

    def __post_init__(self) -> None:
        held = (self.step, self.cell, self.amplitude, *([] if self.trial is None else [self.trial]))
        if any(tensor.shape != (len(self.step),) for tensor in held):
            raise ValueError(
                "step, cell, amplitude and trial must be [M], one entry for each spike; got shapes "
                f"{', '.join(str(list(tensor.shape)) for tensor in held)}."
            )
        _check_finite(self.amplitude)
        if bool((self.step[1:] < self.step[:-1]).any()) or bool((self.step < 0).any()):
            raise ValueError("step must not be negative, and sorted: spikes in order of time.")
        if (self.trial is None) != (self.batch == ()):
            raise ValueError("trial must be given where, and only where, batch has axes.")

    def __repr__(self) -> str:
        return f"{len(self.step)} given spikes into {len(self.cells)} cells"

    @cached_property
    def cells(self) -> Tensor:
        """[K] indices of the driven cells."""
        return torch.unique(self.cell)

    def current(self, first: int, last: int) -> Tensor:
        """The current [S, *B, K] in pA of the steps first <= t < last."""
        ends = torch.tensor((first, last), device=self.step.device)
        here = slice(*torch.searchsorted(self.step, ends).tolist())
        trials = self.batch.numel()
        place = (self.step[here] - first) * trials
        if self.trial is not None:
            place = place + self.trial[here]
        place = place * len(self.cells) + torch.searchsorted(self.cells, self.cell[here])
        nothing = self.amplitude.new_zeros((last - first) * trials * len(self.cells))
        current = nothing.index_add(0, place, self.amplitude[here])
        return current.reshape(last - first, *self.batch, len(self.cells))

    def active(self, steps: int) -> Tensor:
        """In which of the first steps [T, *B] any spike falls."""
        on = torch.zeros(steps * self.batch.numel(), dtype=torch.bool, device=self.step.device)
        place = self.step * self.batch.numel() + (0 if self.trial is None else self.trial)
        on[place[self.step < steps]] = True
        return on.reshape(steps, *self.batch)

    def later(self, steps: int) -> GivenSpikes:
        """The spikes from that many steps later on."""
        return self._only(self.step >= steps, step=self.step - steps)

    def of_trial(self, trial: int) -> GivenSpikes:
        """The spikes of one trial, counted through all axes of the batch."""
        if self.trial is None:
            return self
        return replace(self._only(self.trial == trial), batch=NO_BATCH, trial=None)

    def portion(self, first: int, stop: int, trials: int) -> GivenSpikes:
        """Some of as many trials along the last axis of the batch; the same for one they share."""
        if self.trial is None or self.batch[-1] != trials:
            return self
        own = self.trial % trials
        here = self._only((own >= first) & (own < stop))
        assert here.trial is not None
        trial = here.trial // trials * (stop - first) + here.trial % trials - first
        return replace(here, batch=torch.Size((*self.batch[:-1], stop - first)), trial=trial)

    def to(self, like: Tensor) -> GivenSpikes:
        """The same, with amplitudes in the type and everything on the device of a tensor."""
        place = like.device
        return replace(
            self,
            step=self.step.to(place),
            cell=self.cell.to(place),
            amplitude=self.amplitude.to(like),
            trial=None if self.trial is None else self.trial.to(place),
        )

    def _only(self, kept: Tensor, step: Tensor | None = None) -> GivenSpikes:
        return replace(
            self,
            step=(self.step if step is None else step)[kept],
            cell=self.cell[kept],
            amplitude=self.amplitude[kept],
            trial=None if self.trial is None else self.trial[kept],
        )


def _check_finite(amplitude: Tensor) -> None:
    if torch._C._functorch.peek_interpreter_stack() is None and not amplitude.isfinite().all():
        raise ValueError("amplitude must hold finite numbers, in pA, got nan or infinity.")


def first_step(time: float, dt: float) -> int:
    """The first step that starts at a time in ms or after it, half a step early counting as at."""
    return math.floor(min(max(time / dt - 0.5, -_NEVER), _NEVER)) + 1


def side_by_side(trials: Sequence[Sequence[Source]]) -> tuple[Source, ...]:
    """The sources of several trials as sources of all, with a new first axis of trials."""
    trains = [[one for one in own if isinstance(one, PoissonTrains)] for own in trials]
    spikes = [[one for one in own if isinstance(one, GivenSpikes)] for own in trials]
    known = sum(map(len, trains)) + sum(map(len, spikes))
    if known < sum(map(len, trials)):
        raise TypeError("a batch of stimuli can hold PoissonTrains and GivenSpikes only.")
    most = max(map(len, trains), default=0)
    found: list[Source] = []
    for place in range(most):
        here = [own[place] if place < len(own) else None for own in trains]
        alike = {
            one and (one.start, one.stop, one.skipped, tuple(one.cells.tolist())) for one in here
        }
        if len(alike) == 1:
            found.append(_stacked([one for one in here if one]))
        else:
            lone = ((number, one) for number, one in enumerate(here) if one)
            found += [_only_in(one, number, len(trials)) for number, one in lone]
    return (*found, *([_merged(spikes)] if any(spikes) else []))


def _stacked(trains: Sequence[PoissonTrains]) -> PoissonTrains:
    batch = common_shape(*(one.batch for one in trains))

    def wide(held: Sequence[Tensor]) -> Tensor:
        return torch.stack([one.expand(*batch, len(trains[0].cells)) for one in held])

    return replace(
        trains[0],
        rate=wide([one.rate for one in trains]),
        amplitude=wide([one.amplitude for one in trains]),
        key=wide([one.key for one in trains]),
    )


def _only_in(trains: PoissonTrains, trial: int, trials: int) -> PoissonTrains:
    """Trains that are silent in all trials but one."""
    here = torch.zeros(trials, *(1,) * trains.rate.dim(), dtype=trains.rate.dtype)
    here[trial] = 1
    return replace(trains, rate=here.to(trains.rate.device) * trains.rate)


def _merged(trials: Sequence[Sequence[GivenSpikes]]) -> GivenSpikes:
    inner = common_shape(*(one.batch for own in trials for one in own))
    batch = torch.Size((len(trials), *inner))
    pieces = []
    for number, own in enumerate(trials):
        for one in own:
            which = torch.arange(one.batch.numel()).reshape(one.batch).expand(inner).reshape(-1)
            for place, trial in enumerate(which.tolist()):
                of = one.of_trial(trial)
                where = torch.full_like(of.step, number * inner.numel() + place)
                pieces.append((of.step, of.cell, of.amplitude, where))
    step, cell, amplitude, trial = (torch.cat(held) for held in zip(*pieces, strict=True))
    order = torch.argsort(step, stable=True)
    dt = next(one.dt for own in trials for one in own)
    return GivenSpikes(step[order], cell[order], amplitude[order], dt, batch, trial[order])
