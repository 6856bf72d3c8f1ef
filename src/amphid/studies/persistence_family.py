"""Random geometric networks that die, go on, or fire as fast as they can."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from amphid.dynamics import ExponentialTrace, Receiver, StepTrace, Summing, Winner
from amphid.measures import Persistence, persistence
from amphid.simulation import GeometricNetwork, Onsets
from amphid.wiring import Connectome, conducted, convoluted_lengths, geometric

FEWEST, MOST = 5, 64  # cells
SPACING, SPEED, EXCESS = 10.0, 2.0, 0.2  # um, um/ms, share of the straight path
INHIBITORY, FAR = 0.25, 0.1  # share of connections: at most, always
RATIOS = 0.25, 3.0  # refractory period over median latency
DT, LONGEST = 1.0, 100_000.0  # ms
ASSUMPTIONS = (
    f"Networks: {FEWEST} to {MOST} cells at random in a square of ({SPACING:g} um)^2 per cell, "
    f"each projecting to its 2 to 8 nearest, {FAR:.0%} of the connections led anywhere, 0 to "
    f"{INHIBITORY:.0%} of them inhibitory; paths {EXCESS:.0%} longer than straight on average, "
    f"conduction at {SPEED:g} um/ms, ticks of {DT:g} ms.",
    "A third of the networks follow the winner rule; the others sum, with thresholds of 1 to 3 "
    "signals and an exponential or a step memory of two median latencies. The refractory period is "
    f"{RATIOS[0]:g} to {RATIOS[1]:g} median latencies, uniform in its logarithm. Some cells, from "
    "one to all of them, are struck within two median latencies.",
)


@dataclass(frozen=True, eq=False)
class Case:
    """A network, what sets it going, and what becomes of it."""

    network: GeometricNetwork
    stimulus: Onsets
    truth: Persistence


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Networks without end, drawn one after another."""
    while True:
        network = drawn(generator)
        stimulus = struck(network, generator)
        yield Case(network, stimulus, persistence(network, stimulus, dt=DT, longest=LONGEST))


def drawn(generator: torch.Generator, size: int | None = None) -> GeometricNetwork:
    """A random geometric network, of so many cells if they are given."""
    size = size or whole(FEWEST, MOST, generator)
    place = SPACING * math.sqrt(size) * torch.rand(size, 2, generator=generator)
    wiring = geometric(
        place,
        neighbors=min(size - 1, whole(2, 8, generator)),
        inhibitory=INHIBITORY * uniform(generator),
        far=FAR,
        generator=generator,
    )
    lengths = convoluted_lengths(wiring, excess=EXCESS, generator=generator)
    wiring = conducted(wiring, speed=SPEED, lengths=lengths)
    return GeometricNetwork(wiring, receiver(median_latency(wiring), generator))


def receiver(latency: float, generator: torch.Generator) -> Receiver:
    """One of the kinds of cells, on the time scale of that latency in ms."""
    low, high = (math.log(ratio) for ratio in RATIOS)
    period = latency * math.exp(low + (high - low) * uniform(generator))
    kind, threshold = whole(0, 2, generator), float(whole(1, 3, generator))
    if kind == 0:
        return Winner(period)
    trace = ExponentialTrace(2 * latency) if kind == 1 else StepTrace(2 * latency)
    return Summing(threshold, period, trace)


def struck(network: GeometricNetwork, generator: torch.Generator) -> Onsets:
    """Some cells, each at a time of its own."""
    count = whole(1, len(network), generator)
    cells = torch.randperm(len(network), generator=generator)[:count]
    times = torch.rand(count, generator=generator, dtype=torch.float64)
    return Onsets(cells, 2 * median_latency(network.connectome) * times)


def median_latency(wiring: Connectome) -> float:
    """In ms."""
    return float(torch.tensor(wiring.connections.delay.tolist()).median())


def whole(low: int, high: int, generator: torch.Generator) -> int:
    """One of the numbers from low to high."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def uniform(generator: torch.Generator) -> float:
    """A number from 0 to 1."""
    return float(torch.rand((), generator=generator))
