"""How many images a second run through the waves of the encoder, beside a plain queue in Python?

    python benchmarks/waves.py [--images 200] [--plain 2] [--pairs 5] [--json]

The networks of `standard_waves` on one thread: the compiled race beside a heap of single signals
(heapq), the same first spikes of both, in the order A B B A. Images are random strokes. CPU seconds
of waves alone; making images upright, dendrites and gradients cost the same on both sides and are
left out.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from amphid.models import FloodWaves, OrientedWaves, standard_waves
from amphid.simulation import GeometricNetwork, first_spikes, onsets


def strokes(count: int) -> torch.Tensor:
    """Images [B, 28, 28] of four strokes each."""
    draw, ink = torch.Generator().manual_seed(1), torch.zeros(count, 28, 28)
    for image in ink:
        for down, right in torch.randint(4, 16, (4, 2), generator=draw).tolist():
            image[down : down + 3, right : right + 9] = 1.0
            image[down : down + 9, right : right + 3] = 1.0
    return ink


def sends_of(network: GeometricNetwork) -> list[list[tuple[int, int]]]:
    """To whom each cell sends, and how many ticks of 1 ms that takes."""
    wires = network.connectome.connections
    sends: list[list[tuple[int, int]]] = [[] for _ in range(len(network))]
    lags = np.maximum(np.rint(wires.delay), 1).astype(int).tolist()
    for pre, post, lag in zip(wires.pre.tolist(), wires.post.tolist(), lags, strict=True):
        sends[pre].append((post, lag))
    return sends


def plain(
    sends: list[list[tuple[int, int]]],
    start: list[tuple[int, int]],
    held: list[bool],
    duration: float,
) -> list[float]:
    """First spikes of cells that fire once, by a heap of signals (tick, cell)."""
    first = [math.inf] * len(sends)
    queue = list(start)
    heapq.heapify(queue)
    while queue:
        now, cell = heapq.heappop(queue)
        if now >= duration:
            break
        if held[cell] or first[cell] < math.inf:
            continue
        first[cell] = now
        for post, lag in sends[cell]:
            heapq.heappush(queue, (now + lag, post))
    return first


class Side:
    """Both ways to run all waves over ink, as they stand in the encoder."""

    def __init__(self) -> None:
        self.lines, self.flood = (
            one for one in standard_waves() if isinstance(one, OrientedWaves | FloodWaves)
        )
        self.sends = sends_of(self.lines.network), sends_of(self.flood.network)
        rim = self.flood.empty.flatten() == 0
        self.entry = [(0, int(cell)) for cell in rim.nonzero().flatten()]
        self.far = self.flood.side + 2 + self.flood.most

    def compiled(self, ink: torch.Tensor, onset: torch.Tensor) -> list[torch.Tensor]:
        """First spikes of all waves, in machine code."""
        own = self.lines
        lines = first_spikes(own.network, onsets(onset), duration=own.duration, dt=1.0, threads=1)
        floods = [self.flood.times(ink, level, threads=1) for level in self.flood.levels]
        return [lines, *(times.flatten(1) for times in floods)]

    def plainly(self, ink: torch.Tensor, onset: torch.Tensor) -> list[torch.Tensor]:
        """The same by heaps."""
        found: list[list[list[float]]] = [[] for _ in range(1 + len(self.flood.levels))]
        for image, times in zip(ink, onset.tolist(), strict=True):
            start = [(int(t), cell) for cell, t in enumerate(times) if t < math.inf]
            free = [False] * len(times)
            found[0].append(plain(self.sends[0], start, free, self.lines.duration))
            for place, level in enumerate(self.flood.levels, 1):
                rimmed = torch.nn.functional.pad(image > level, (1, 1, 1, 1)).flatten()
                held = rimmed.repeat(4).tolist()
                found[place].append(plain(self.sends[1], self.entry, held, self.far))
        return [torch.tensor(rows) for rows in found]


def cpu(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--plain", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    side, ink = Side(), strokes(given.images)
    onset = side.lines.onset(ink)
    few, early = ink[: given.plain], onset[: given.plain]
    for ours, theirs in zip(side.compiled(few, early), side.plainly(few, early), strict=True):
        if not torch.equal(ours, theirs.to(ours)):
            raise SystemExit("the two sides differ")
    ratios, paces = [], []
    for _ in range(given.pairs):
        a, b, bb, aa = (
            cpu(lambda: side.compiled(ink, onset)),
            cpu(lambda: side.plainly(few, early)),
            cpu(lambda: side.plainly(few, early)),
            cpu(lambda: side.compiled(ink, onset)),
        )
        paces.append(2 * given.images / (a + aa))
        ratios.append(((b + bb) / given.plain) / ((a + aa) / given.images))
    low, mid, high = statistics.quantiles(ratios, n=4)
    found = {"images_per_cpu_second": round(statistics.median(paces)),
             "ratio_to_plain_queue": [round(low), round(mid), round(high)]}  # fmt: skip
    print(json.dumps(found) if given.json else found)


if __name__ == "__main__":
    main()
