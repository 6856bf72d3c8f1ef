"""One rank's part of a network, taken through time in step with the parts of the others."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from amphid.simulation.compiled.packets import Packet
from amphid.simulation.compiled.part_program import PartProgram
from amphid.simulation.compiled.share import Array, Share
from amphid.simulation.compiled.states import held, places_of, state_of
from amphid.simulation.compiled.together import Events, Together
from amphid.simulation.distributed.exchange import FAILED, GOING, STOPPING, Exchange
from amphid.simulation.distributed.ranks import LostRank, Ranks

PATIENCE = 0.1  # seconds between two reports of progress


class RankWalk(Together):
    """The part of this rank; what the others need of it, and it of them, goes by messages.

    A rank that is interrupted tells the others, and all stop after the same packet. One that fails
    tells them why.
    """

    def __init__(self, ranks: Ranks, program: PartProgram, shares: Sequence[Share]) -> None:
        super().__init__([program], shares)
        program.any_end = True
        self.ranks, self.program = ranks, program
        self.exchange = Exchange(ranks, program, self.shares)
        self.note += f", rank {ranks.number} of {ranks.count}"
        self.interrupted, self.reported = False, time.perf_counter()

    def go_to(self, end: int) -> list[Events]:
        """Bring all ranks to the same step; the spikes of the cells of this one."""
        try:
            return super().go_to(end)
        except (LostRank, RankFailed):
            raise
        except BaseException as error:
            self.exchange.handed_around(self._packed(self.leaves), FAILED)
            self.ranks.told(f"{type(error).__name__}: {error}")
            raise

    def everywhere(self, name: str, own: Tensor) -> Tensor:
        """A variable kept on each rank [..., n], for all cells that it was asked for [..., N]."""
        lead = own.shape[:-1]
        rows = self.ranks.each(own.contiguous().reshape(-1))
        pieces = [row.reshape(*lead, len(row) // max(lead.numel(), 1)) for row in rows]
        return self._side_by_side(name, pieces)

    def own_state(self, done: int) -> object:
        """The state of the cells of this rank after that many steps."""
        return state_of(self.program, held(self.program, done))

    def _handed_around(self, packet: Packet) -> Packet:
        self._report()
        status = STOPPING if self.interrupted else GOING
        came, gravest = self.exchange.handed_around(self._packed(packet), status)
        if gravest == FAILED:
            told = self.ranks.told(None)
            number = next(n for n, failure in enumerate(told) if failure is not None)
            raise RankFailed(f"rank {number} of {self.ranks.count} failed: {told[number]}")
        self.stopping = gravest == STOPPING
        return came

    def _packed(self, packet: Packet) -> Packet:
        return super()._handed_around(packet)

    def _report(self) -> None:
        task = self.program.task
        if task.progress and self.done and time.perf_counter() - self.reported > PATIENCE:
            self.reported = time.perf_counter()
            task.progress(self.done, task.steps)

    def _held(self, done: int) -> list[dict[str, Array]]:
        """The arrays of all ranks, each as one row of bytes."""
        own = held(self.program, done)
        sizes = [np.ascontiguousarray(values).view(np.uint8).reshape(-1) for values in own.values()]
        rows = self.ranks.each(torch.from_numpy(np.concatenate(sizes)))
        found = []
        for row, share in zip(rows, self.shares, strict=True):
            bytes_, at, part = row.numpy(), 0, {}
            for name, values in own.items():
                places = places_of(self.program, name, share)
                entries = len(share) if isinstance(places, slice) else len(places)
                size = entries * self.trials * values.itemsize
                piece = bytes_[at : at + size].copy().view(values.dtype)
                part[name], at = piece.reshape(self.trials, entries), at + size
            found.append(part)
        return found

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Take an interruption as the wish that all ranks stop."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupted(*_: object) -> None:
            self.interrupted = True

        usual = signal.signal(signal.SIGINT, interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)


class RankFailed(RuntimeError):
    """Another rank told that it failed."""
