"""Runs that can be taken up at any state: signals that race, and clocks that tick."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics.receivers import LONGEST
from amphid.measures.cycles import Array, Codes, Stretch, scattered, spike_codes
from amphid.measures.spiking import spikes_of
from amphid.simulation import (
    GeometricNetwork,
    Network,
    NetworkState,
    Onsets,
    RaceState,
    Stimulus,
    race,
    simulate,
)

AT_ONCE = 4096  # steps by the clock whose potentials are held at once


@dataclass(frozen=True, eq=False)
class Raced:
    """A geometric network in ticks of dt ms."""

    network: GeometricNetwork
    dt: float

    def __len__(self) -> int:
        return len(self.network)

    @property
    def period(self) -> Array:
        """[N] ticks of absolute refractoriness."""
        return self.network.prepared(self.dt)[1].period.astype(np.int64)

    @property
    def window(self) -> int:
        """Ticks of the longest latency and the longest refractoriness that ends, together."""
        rows, reception = self.network.prepared(self.dt)
        return rows.longest + int(reception.period[reception.period < LONGEST].max(initial=0))

    def started(self, stimulus: Onsets) -> RaceState:
        """The state right after the last event of a stimulus."""
        last = round(float(stimulus.time.max()) / self.dt) if len(stimulus.time) else 0
        return race(self.network, stimulus, duration=(last + 1) * self.dt, dt=self.dt).state

    def run(self, state: RaceState, ticks: int) -> Stretch[RaceState]:
        """What happens in so many ticks from there; what is seen of it are spikes."""
        done = race(self.network, duration=ticks * self.dt, dt=self.dt, state=state, threads=1)
        tick, cell = done.tick.numpy(), done.cell.numpy()
        return Stretch(tick, cell, done.state, spike_codes(tick, cell, ticks))

    def key(self, state: RaceState) -> bytes:
        """A digest of the whole state."""
        return state.trials[0].key

    def ended(self, state: RaceState) -> bool:
        """Whether no signal is under way."""
        return bool(state.quiet)


@dataclass(frozen=True, eq=False)
class Clocked:
    """A network in steps of dt ms, without current.

    refractory: ms of absolute refractoriness, a number or [N].
    """

    network: Network
    dt: float
    refractory: float | Tensor

    def __len__(self) -> int:
        return len(self.network.connectome)

    @property
    def period(self) -> Array:
        """[N] steps of absolute refractoriness, one at least."""
        given = torch.as_tensor(self.refractory, dtype=torch.float64).numpy()
        return np.broadcast_to(np.maximum(np.rint(given / self.dt), 1), len(self)).astype(np.int64)

    @property
    def window(self) -> int:
        """Steps in which a signal arrives and refractoriness ends."""
        delay = self.network.connectome.connections.delay
        longest = float(np.nanmax(delay, initial=0.0))
        return round(longest / self.dt) + int(self.period.max(initial=1))

    def started(self, stimulus: Stimulus) -> NetworkState:
        """The state at the end of a stimulus."""
        return self._simulated(stimulus, None).state

    def run(self, state: NetworkState, ticks: int) -> Stretch[NetworkState]:
        """What happens in so many steps from there; what is seen are spikes and potentials."""
        none, parts, starts = torch.zeros(0, dtype=torch.int64), [], range(0, ticks, AT_ONCE)
        for start in starts:
            still = torch.zeros(min(AT_ONCE, ticks - start), 0)
            parts.append(self._simulated(Stimulus(still, none, len(self), self.dt), state))
            state = parts[-1].state
        ticked = [part.tick + start for part, start in zip(parts, starts, strict=True)]
        cell, codes = ([getattr(part, name) for part in parts] for name in ("cell", "codes"))
        return Stretch(np.concatenate(ticked), np.concatenate(cell), state, np.concatenate(codes))

    def key(self, state: NetworkState) -> bytes:
        """A digest of the whole state, bit for bit."""
        held = hashlib.blake2b(digest_size=16)
        for leaf in pytree.tree_leaves(state):
            held.update(_bytes(leaf))
        return held.digest()

    def ended(self, state: NetworkState) -> bool:
        """Never known: a cell without input may fire by itself."""
        return False

    def _simulated(self, stimulus: Stimulus, state: NetworkState | None) -> Stretch[NetworkState]:
        seen = ("spike", "v")
        with torch.no_grad():
            run = simulate(self.network, stimulus, dt=self.dt, record=seen, state=state)
        spikes = spikes_of(run)
        tick, cell = spikes.index[0].numpy(), spikes.cell.numpy()
        codes = spike_codes(tick, cell, len(stimulus)) + _row_codes(run.fields["v"])
        return Stretch(tick, cell, run.state, codes)


def _row_codes(v: Tensor) -> Codes:
    """A number [T] for each row of floats [T, N], bit for bit."""
    bits = v.double().numpy().view(np.uint64)
    return (bits * scattered(np.arange(v.shape[1]))).sum(1, dtype=np.uint64)


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, Tensor):
        return leaf.detach().cpu().contiguous().numpy().tobytes() + b"|"
    return repr(leaf).encode() + b"|"
