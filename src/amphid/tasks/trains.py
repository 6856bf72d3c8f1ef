"""Poisson trains, as spikes and as currents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

WARM = 200.0  # ms for which trains went on before they are looked at
SPARE = 15  # spikes drawn for each train beyond twice those that are expected


@dataclass(frozen=True)
class Trains:
    """Poisson trains with a dead time, and the currents that they are to a network.

    rate: Hz. dead: ms after a spike without another. pulse: ms that a spike lasts at the input.
    dt: ms.
    """

    rate: float = 20.0
    dead: float = 10.0
    pulse: float = 1.0
    dt: float = 0.1

    def __post_init__(self) -> None:
        for name in ("rate", "pulse", "dt"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, got {getattr(self, name)!r}.")
        if not 0 <= self.dead < 1000.0 / self.rate:
            raise ValueError(
                f"dead must be 0 to less than the {1000.0 / self.rate:g} ms between spikes at "
                f"{self.rate:g} Hz, got {self.dead!r}."
            )
        if not self.dt <= self.pulse:
            raise ValueError(f"pulse must be at least a step of {self.dt:g} ms, got {self.pulse}.")

    def onsets(self, steps: int, count: int, cells: int, generator: torch.Generator) -> Tensor:
        """Spikes [T, B, N] of 0 and 1, as of trains that began long before."""
        period = 1000.0 / self.rate
        most = math.ceil(2 * (WARM + steps * self.dt) / period) + SPARE
        shape = most, count, cells
        free = torch.empty(shape, dtype=torch.float64, device=generator.device)
        free.exponential_(generator=generator)
        time = (self.dead + (period - self.dead) * free).cumsum(0) - WARM
        step = (time / self.dt).floor().long()
        seen = torch.where((step >= 0) & (step < steps), step, steps)
        return torch.zeros(steps + 1, count, cells).scatter_(0, seen.cpu(), 1.0)[:steps]

    def pulses(self, onsets: Tensor) -> Tensor:
        """Currents [T, B, N] of height 1 that last `pulse` ms from each spike on."""
        lasting, begun = round(self.pulse / self.dt), onsets.cumsum(0)
        ended = torch.zeros_like(begun)
        ended[lasting:] = begun[:-lasting]
        return (begun > ended).to(onsets)


def delayed(spikes: Tensor, steps: int) -> Tensor:
    """The same trains [T, *B, N] so many steps later; what leaves the window is lost."""
    late = torch.zeros_like(spikes)
    late[steps:] = spikes[: len(spikes) - steps]
    return late


def rises(outputs: Tensor) -> Tensor:
    """A spike [T, *B, N] in each step in which an output, 0 to 1, rises above one half."""
    above = outputs > 0.5
    found = above.clone()
    found[1:] &= ~above[:-1]
    return found.to(outputs)


@dataclass(frozen=True, eq=False)
class Replicas:
    """Pairs (currents [T, B, N], spikes to give out [T, B, N]), to be walked through.

    onsets: the spikes [T, K, N]. With a generator every walk draws K others instead. size: trains
    in a batch. lag: steps by which what is to be given out is later than what comes in.
    """

    onsets: Tensor
    trains: Trains
    size: int
    lag: int
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a number of trains, at least 1, got {self.size!r}.")

    def __len__(self) -> int:
        return -(-self.onsets.shape[1] // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        steps, count, cells = self.onsets.shape
        for first in range(0, count, self.size):
            some = self.onsets[:, first : first + self.size]
            if self.generator is not None:
                some = self.trains.onsets(steps, some.shape[1], cells, self.generator)
            yield self.trains.pulses(some), delayed(some, self.lag)
