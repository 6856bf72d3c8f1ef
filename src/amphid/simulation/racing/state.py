"""Where a race stands: all that the next tick depends on, in one form for all ways to get there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.receivers import LONGEST, Reception
from amphid.simulation.racing import loop
from amphid.simulation.racing.machine import Workspace

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class UnderWay:
    """Signals under way in one trial, in any order; `sorted` has the one that is told apart by.

    ticks: [S] until it arrives; 0 is the first tick to come. held: [S] receiver and weight, as the
    loop has them.
    """

    ticks: NDArray[np.int32]
    held: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def forgets(self) -> NDArray[np.bool_]:
        """[S] whether it takes back what a `StepTrace` has kept so long, and is no signal."""
        return np.less(self.held, 0)

    @property
    def cell(self) -> NDArray[np.int64]:
        """[S] the receiver."""
        receiver = self.held >> 32
        return np.where(receiver < 0, ~receiver, receiver)

    @property
    def weight(self) -> NDArray[np.float32]:
        """[S] that of the signal."""
        return (self.held & 0xFFFFFFFF).astype(np.uint32).view(np.float32)

    @cached_property
    def sorted(self) -> UnderWay:
        """In the one order that does not depend on how they came about."""
        order = np.lexsort((self.held, self.ticks))
        return UnderWay(self.ticks[order], self.held[order])


@dataclass(frozen=True, eq=False)
class TrialState:
    """One trial of a `RaceState`; equal ones go on alike, and have the same hash.

    refractory: [N] ticks for which each cell is still refractory. since: [N] ticks since it fired,
    -1 where its threshold is not raised by that. sums: [N, K] what each mode of its trace had when
    something last arrived, age: [N] ticks ago. signals: what is under way.
    """

    refractory: Array
    since: Array
    sums: Array
    age: Array
    signals: UnderWay

    @property
    def quiet(self) -> bool:
        """Whether no signal is under way, so that no cell will ever fire by itself."""
        return bool(self.signals.forgets.all())

    @cached_property
    def key(self) -> bytes:
        """A digest of 16 bytes of the whole state."""
        held = hashlib.blake2b(digest_size=16)
        moving = self.signals.sorted
        columns = (self.refractory, self.since, self.sums, self.age, moving.ticks, moving.held)
        for column in columns:
            held.update(np.ascontiguousarray(column).tobytes() + b"|")
        return held.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrialState) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @staticmethod
    def of(work: Workspace, reception: Reception) -> TrialState:
        """What a thread has come to at the end of a trial."""
        now = int(work.clock[loop.TICK])
        ready, fired, seen = (work.marks[row] for row in (loop.READY, loop.FIRED, loop.SEEN))
        since = np.where(reception.raised > 0, now - fired.astype(np.int64), -1)
        recovered = (since - reception.period) * reception.recovery >= 40
        age = now - seen.astype(np.int64)
        left = np.where(
            age[:, None] * reception.rate < 40, work.sums[:, : len(reception.share)], 0.0
        )
        fading = ((left != 0) & (reception.rate > 0)).any(1)
        return TrialState(
            refractory=_refractory(ready - now),
            since=np.where(recovered, -1, since).astype(np.int32),
            sums=left + 0.0,  # without the sign of zero
            age=np.where(fading, age, 0).astype(np.int32),
            signals=UnderWay(*work.under_way()),
        )

    def put(self, work: Workspace) -> None:
        """Let a thread, at rest, start from here."""
        work.marks[loop.READY] = self.refractory
        work.marks[loop.FIRED] = np.where(self.since >= 0, -self.since, -loop.FAR)
        work.marks[loop.SEEN] = -self.age
        work.sums[:, : self.sums.shape[1]] = self.sums
        work.load(self.signals.ticks, self.signals.held)


@dataclass(frozen=True, eq=False, repr=False)
class RaceState:
    """Where the trials of a race stand at the end of a run, to go on from.

    trials: one state each, through all axes *B of the batch. dt: ms of a tick. wiring: a checksum
        of the connections that signals are under way on; None lets it go on in another network.
    """

    trials: Sequence[TrialState]
    batch: torch.Size
    dt: float
    wiring: int | None = None

    def __repr__(self) -> str:
        return f"RaceState(trials {list(self.batch)}, dt={self.dt:g})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RaceState):
            return NotImplemented
        alike = (self.batch, self.dt) == (other.batch, other.dt)
        return alike and list(self.trials) == list(other.trials)

    def __hash__(self) -> int:
        return hash((self.batch, self.dt, *self.trials))

    @property
    def quiet(self) -> Tensor:
        """[*B] whether no signal is under way, so that no cell will ever fire by itself."""
        return torch.tensor([one.quiet for one in self.trials]).reshape(self.batch)

    @property
    def refractory(self) -> Tensor:
        """[*B, N] ms for which each cell is still refractory."""
        ticks = np.stack([one.refractory for one in self.trials])
        return torch.from_numpy(ticks).double().reshape(*self.batch, -1) * self.dt


def _refractory(left: Array) -> Array:
    """Ticks of it that are left; where it is for ever, they do not get fewer."""
    return np.where(left > LONGEST // 2, LONGEST, np.maximum(left, 0)).astype(np.int32)
