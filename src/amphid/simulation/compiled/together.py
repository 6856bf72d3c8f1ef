"""The parts of one network, stepped side by side and told of each other once per packet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from amphid.kernels import common_shape
from amphid.simulation.compiled.connected import onto_each
from amphid.simulation.compiled.packets import Packet
from amphid.simulation.compiled.part_program import PartProgram
from amphid.simulation.compiled.share import Array, Lags, Share, packet_steps
from amphid.simulation.kept import Kept
from amphid.simulation.network import NetworkState
from amphid.simulation.simulate import Task, first_like, first_state
from amphid.simulation.wires import UnderWay, Wires
from amphid.wiring.partition import borders

Events = tuple[Array, Array, Array]  # step, trial, cell

# microseconds: of a cell in a step, of a connection in a ms at some 20 Hz
CELL, CONNECTION = 1.5e-3, 3e-5
SYNCHRONIZATION = 60.0
"""Microseconds per packet and part: two calls into machine code, and a thread that wakes."""

_ENDS: Kept[list[int]] = Kept()


class Together:
    """The programs of some parts of a network: all of them, each in a thread, or those of a rank.

    shares: of all parts, also of those that are stepped elsewhere.
    """

    def __init__(
        self, programs: Sequence[PartProgram], shares: Sequence[Share], *, threads: int = 1
    ) -> None:
        self.programs, self.shares = list(programs), list(shares)
        self.trials, self.batch = programs[0].trials, programs[0].batch
        self.packet_steps = programs[0].packet_steps
        self.note = programs[0].note
        self.in_order = len(self.programs) == self.trials == 1
        self.done, self.stopping = 0, False
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        here = [program.share for program in programs]
        self.leaves, self.spare = (programs[0].packet(here) for _ in range(2))

    @staticmethod
    def of(task: Task, wires: Mapping[str, Wires], parts: int, threads: int) -> Together:
        """A network cut into parts of about the same work."""
        size = len(task.network.connectome)
        lags = {group: Lags.of(own) for group, own in wires.items()}
        posts = [own.post.numpy() for own in wires.values()]
        ends = _ENDS.of(task.network.connectome, parts, lambda: borders(size, posts, parts))
        shares = [Share(low, high, size) for low, high in pairwise(ends)]
        started = replace(task, state=first_state(task, first_like(task), wires))
        pieces = zip(onto_each(wires, shares), shares, strict=True)
        programs = [PartProgram(started, own, share, lags) for own, share in pieces]
        made = Together(programs, shares, threads=threads)
        made.note += f", {parts} parts"
        return made

    def longest_piece(self, steps: int) -> int:
        """How many steps can be taken at once: to the next sample where the loop cannot sample."""
        return self.programs[0].longest_piece(steps)

    def go_to(self, end: int) -> list[Events]:
        """Bring all parts to the same step; the spikes of their cells."""
        found: list[Events] = []
        self._each(lambda program, trial, part: program.depart(trial, self.leaves, part))
        while self.done < end:
            came = self._handed_around(self.leaves)
            self.leaves, self.spare = self.spare, self.leaves
            if self.stopping:
                end = min(end, self.done + self.packet_steps)
            steps = min(self.packet_steps, end - self.done)
            self._advance(steps, came, end)
            self.done += steps
            found += self._spikes(only_full=self.done < end)
        return found

    def hold(self, current: Array) -> None:
        """Change the current [N] in pA that stays, of a task that has one row of it."""
        for program in self.programs:
            program.hold(current)

    def voltage(self) -> Array:
        """Where all cells are now [trials, N], mV."""
        name = self.programs[0].v
        return self._joined([{name: program.voltage()} for program in self.programs])[name]

    def sample(self, done: int) -> None:
        """Keep the variables that the loop cannot keep by itself."""
        program = self.programs[0]
        if program.by_hand and done % program.task.every == 0:
            program.keep(self.state(done), done)

    def fields(self) -> dict[str, Tensor]:
        """What was sampled [T', *B, N], by name, of the cells of these parts."""
        pieces = [program.fields() for program in self.programs]
        by_hand = self.programs[0].by_hand
        return {
            name: first if name in by_hand else self._side_by_side(name, [p[name] for p in pieces])
            for name, first in pieces[0].items()
        }

    def weights(self) -> None:
        """Weights that moved: none do."""

    def _side_by_side(self, name: str, pieces: Sequence[Tensor]) -> Tensor:
        """A variable that was kept, of all parts as it was asked for."""
        whole = torch.cat(list(pieces), -1)
        kept = self.programs[0].task.kept.get(name)
        if kept is None or whole.shape[-1] != len(kept):
            return whole
        order = np.concatenate([share.among(kept.numpy()) for share in self.shares])
        return whole[..., torch.from_numpy(np.argsort(order))]

    def state(self, done: int) -> NetworkState:
        """The state of the whole network after that many steps."""
        return self.programs[0].state_of(self._joined(self._held(done)))

    def close(self) -> None:
        """Let the threads go."""
        if self.pool:
            self.pool.shutdown()

    def _handed_around(self, packet: Packet) -> Packet:
        """What left all parts of the network."""
        packet.slots = int(self.programs[0].counters[0][3])
        return packet

    def _held(self, done: int) -> list[dict[str, Array]]:
        """The arrays of the state of every part of the network."""
        return [program.held(done) for program in self.programs]

    def _joined(self, pieces: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """Those arrays for all cells."""
        whole = {}
        for name in pieces[0]:
            size = sum(piece[name].shape[-1] for piece in pieces)
            whole[name] = np.empty((self.trials, size), pieces[0][name].dtype)
            for piece, share in zip(pieces, self.shares, strict=True):
                whole[name][:, self.programs[0].places(name, share)] = piece[name]
        return whole

    def _advance(self, steps: int, came: Packet, end: int) -> None:
        leaves = self.leaves
        self._each(
            lambda program, trial, part: program.advance(trial, steps, came, leaves, part, end=end)
        )

    def _each(self, do: Callable[[PartProgram, int, int], None]) -> None:
        """For every program and trial; the first of them in this thread."""
        calls = [
            partial(do, program, trial, part)
            for part, program in enumerate(self.programs)
            for trial in range(self.trials)
        ]
        if self.pool is None:
            for call in calls:
                call()
            return
        later = [self.pool.submit(call) for call in calls[1:]]
        calls[0]()
        for one in later:
            one.result()

    def _spikes(self, *, only_full: bool) -> Iterable[Events]:
        """The spikes kept since last time, where there may be no room for more."""
        for program in self.programs:
            for trial in range(self.trials):
                if program.is_full(trial) or not only_full:
                    step, _, cell = program.spikes(trial)
                    yield step, np.full(len(step), trial), cell


def parts_that_pay(task: Task, wires: Mapping[str, Wires], threads: int) -> int:
    """Into how many parts to cut a network that threads would otherwise leave to one of them.

    A packet of P steps costs about P * (CELL * N + CONNECTION * dt * E), which parts share, and
    SYNCHRONIZATION for each part. Parts pay where they save twice what they cost: rows of
    connections that are cut in two take a third longer to walk than whole ones. All was measured
    on one machine and fits others within a factor of two or so.
    """
    if task.plasticity or (task.state and any_queued(task.state)):
        return 1  # weights, or what is under way, are kept for all cells together
    parts = min(threads // max(trials_of(task), 1), len(task.network.connectome))
    if parts < 2:
        return 1
    lags = {group: Lags.of(own) for group, own in wires.items()}
    cells, edges = len(task.network.connectome), sum(len(own.lag) for own in wires.values())
    work = packet_steps(lags, cells) * (CELL * cells + CONNECTION * task.dt * edges)
    return parts if work * (1 - 1 / parts) > 2 * SYNCHRONIZATION * parts else 1


def any_queued(state: NetworkState) -> bool:
    """Whether a state keeps what is under way, as where weights move, instead of what was sent."""
    return any(isinstance(past, UnderWay) for past in state.past.values())


def trials_of(task: Task) -> int:
    """How many trials run side by side: of the stimulus, the network and the state."""
    state = () if task.state is None else task.state.v.shape[:-1]
    return common_shape(task.batch, task.network.batch, state).numel()
