"""How many signals a second does a geometric network deliver, beside a plain queue and Brian 2?

    python benchmarks/races.py [--cells 100000] [--neighbors 100] [--repeat 4] [--images 2000]
                               [--brian2 /path/to/python] [--json]

One network of the plane: each cell projects to its nearest neighbors over paths that are a third
longer than straight ones, so that latencies differ from connection to connection, and fires when
the first signal finds it not refractory (100 ticks; latencies have a mean of about 155). 50 cells
are struck at the start. Figures are CPU seconds on one thread of whole calls of `simulation.race`,
spikes, counts and state included; the plain queue is a heap in pure Python, run for as long as one
is willing to wait; Brian 2 runs the same network in C++, its loop alone, and must give as many
spikes. A ratio is taken within a pair of runs, A B B A, and given with quartiles.

`bound` is what memory allows: a signal is read from its row (12 bytes), written behind others under
way (8, and the line it is written to is read before) and read again when it arrives (8), 36 bytes,
at the rate at which this process copies an array that no cache holds.

Images: waves from the pixels above a half through a grid of 28 x 28 cells with 8 neighbors each, of
which we keep when each cell first fires; the same beside the plain queue.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amphid import dynamics, simulation, wiring
from amphid.simulation import GeometricNetwork, Onsets

DT = 0.1  # ms
PERIOD = 10.0  # ms
BYTES = 36
PEER = Path(__file__).with_name("races_brian2.py")


def plane(cells: int, neighbors: int) -> GeometricNetwork:
    draw = torch.Generator().manual_seed(1)
    side = 1000 * (cells / 1e5) ** 0.5  # um
    wired = wiring.geometric(side * torch.rand(cells, 2, generator=draw), neighbors=neighbors)
    lengths = wiring.convoluted_lengths(wired, excess=1 / 3, generator=draw)
    scale = 15.5 / float(lengths.mean())
    wired = wiring.conducted(wired, speed=1 / scale, lengths=lengths)
    return GeometricNetwork(wired, dynamics.Winner(PERIOD))


def grid(side: int) -> GeometricNetwork:
    place = torch.cartesian_prod(torch.arange(side), torch.arange(side)).double()
    wired = wiring.conducted(wiring.geometric(place, radius=1.5), speed=0.5)
    return GeometricNetwork(wired, dynamics.Winner(float("inf")))


def rows(network: GeometricNetwork, dt: float) -> tuple[Any, ...]:
    """Where the connections of each cell start, their receivers and ticks."""
    wires = network.connectome.connections
    order = np.argsort(wires.pre, kind="stable")
    start = np.searchsorted(wires.pre[order], np.arange(len(network) + 1)).tolist()
    lag = np.maximum(np.rint(network.latency / dt), 1).astype(int)
    return start, wires.post[order], lag[order]


def plain(
    sends: tuple[Any, ...], struck: list[int], period: float, most: int
) -> tuple[int, list[int]]:
    """A heap of arrivals, until so many have come: how many did, and when cells first fired."""
    start, receiver, lag = sends
    ready, first = [0] * len(start), [-1] * (len(start) - 1)
    queue = [(0, cell) for cell in struck]
    arrived = -len(queue)
    while queue and arrived < most:
        now, cell = heapq.heappop(queue)
        arrived += 1
        if ready[cell] <= now:
            ready[cell] = now + period
            if first[cell] < 0:
                first[cell] = now
            own = slice(start[cell], start[cell + 1])
            for post, ticks in zip(receiver[own].tolist(), lag[own].tolist(), strict=True):
                heapq.heappush(queue, (now + ticks, post))
    return arrived, first


class Brian2:
    """The peer in a process of its own: each line asks for one run."""

    def __init__(
        self, python: str, network: GeometricNetwork, struck: list[int], ticks: int, folder: str
    ) -> None:
        wires = network.connectome.connections
        order = np.lexsort((wires.post, wires.pre))
        lag = np.maximum(np.rint(network.latency / DT), 1).astype(int)
        path = f"{folder}/network.npz"
        np.savez(
            path, cells=len(network), pre=wires.pre[order], post=wires.post[order],
            lag=lag[order], period=round(PERIOD / DT), struck=struck, ticks=ticks, dt=DT,
        )  # fmt: skip
        self.peer = subprocess.Popen(
            [python, str(PEER), path, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self._answer()

    def _answer(self) -> dict[str, float]:
        assert self.peer.stdout is not None
        return json.loads(self.peer.stdout.readline())

    def run(self) -> dict[str, float]:
        """CPU seconds of the loop, and its spikes."""
        assert self.peer.stdin is not None
        self.peer.stdin.write("\n")
        self.peer.stdin.flush()
        return self._answer()


def cpu(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


def paired(one: Callable[[], float], other: Callable[[], float], repeat: int) -> dict[str, Any]:
    """Seconds of both, A B B A, and how many times as long the other takes."""
    first, second, ratios = [], [], []
    for _ in range(max(1, repeat // 2)):
        a, b, b2, a2 = one(), other(), other(), one()
        first += [a, a2]
        second += [b, b2]
        ratios += [b / a, b2 / a2]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "ours": statistics.median(first), "other": statistics.median(second),
        "ratio": middle, "quartiles": [low, high],
    }  # fmt: skip


def copying() -> float:
    """Bytes a second that a copy moves: read, read before writing, written."""
    source, target = np.ones(1 << 24), np.zeros(1 << 24)
    times = [cpu(lambda: np.copyto(target, source))[0] for _ in range(7)]
    return 3 * source.nbytes / statistics.median(times)


def of_a_network(options: argparse.Namespace) -> dict[str, Any]:
    network = plane(options.cells, options.neighbors)
    struck = list(range(0, options.cells, max(1, options.cells // 50)))
    stimulus = Onsets(torch.tensor(struck), torch.zeros(len(struck)))

    def ours(ticks: int) -> Any:
        return simulation.race(network, stimulus, duration=ticks * DT, dt=DT, threads=1)

    ours(2)
    run = ours(options.ticks)
    arrived = int(run.arrived)
    found: dict[str, Any] = {
        "cells": len(network), "connections": len(network.connectome.connections),
        "ticks": options.ticks, "spikes": len(run), "signals": arrived, "lost": int(run.lost),
    }  # fmt: skip
    sends, few = rows(network, DT), min(arrived, options.plain)
    queue = paired(
        lambda: cpu(lambda: ours(options.ticks))[0] / arrived,
        lambda: cpu(lambda: plain(sends, struck, round(PERIOD / DT), few))[0] / few,
        options.repeat,
    )
    found["queue"] = queue
    found["signals_per_second"] = 1 / queue["ours"]
    found["bound"] = copying() / BYTES
    with tempfile.TemporaryDirectory() as folder:
        peer = Brian2(options.brian2, network, struck, options.ticks, folder)
        told: list[dict[str, float]] = []

        def theirs() -> float:
            told.append(peer.run())
            return told[-1]["loop"]

        found["brian2"] = paired(
            lambda: cpu(lambda: ours(options.ticks))[0], theirs, options.repeat
        )
        found["brian2"]["spikes"] = int(told[0]["spikes"])
        peer.peer.communicate()
    return found


def of_images(options: argparse.Namespace) -> dict[str, Any]:
    network, draw = grid(28), torch.Generator().manual_seed(2)
    smooth = torch.nn.functional.avg_pool2d(
        torch.rand(options.images, 1, 28, 28, generator=draw), 7, 1, 3
    ).flatten(1)
    bright = smooth > smooth.quantile(0.85, 1, keepdim=True)
    times = torch.where(bright, 0.0, torch.inf)
    sends = rows(network, 1.0)

    def ours() -> torch.Tensor:
        given = simulation.onsets(times)
        return simulation.first_spikes(network, given, duration=128.0, dt=1.0, threads=1)

    def queue(count: int) -> list[list[int]]:
        lit = [row.nonzero().flatten().tolist() for row in bright[:count]]
        return [plain(sends, struck, float("inf"), 1 << 60)[1] for struck in lit]

    few = max(1, options.images // 40)
    same = torch.tensor(queue(few), dtype=torch.float32)
    assert torch.equal(same, ours()[:few])
    found = paired(
        lambda: cpu(ours)[0] / options.images, lambda: cpu(lambda: queue(few))[0] / few,
        options.repeat,
    )  # fmt: skip
    return {"images": options.images, "images_per_second": 1 / found["ours"], "queue": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--neighbors", type=int, default=100)
    parser.add_argument("--ticks", type=int, default=1500)
    parser.add_argument("--plain", type=int, default=400_000, help="signals of the plain queue")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=4, help="pairs of runs")
    parser.add_argument("--brian2", default=sys.executable, help="a Python that has brian2 2.9")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {"images": of_images(options), "network": of_a_network(options)}
    if options.json:
        print(json.dumps(found))
        return
    images, network = found["images"], found["network"]
    print(
        f"images: {images['images_per_second']:,.0f} per second, "
        f"{in_words(images['queue'])} a plain queue"
    )
    print(
        f"network: {network['cells']:,} cells, {network['connections']:,} connections, "
        f"{network['spikes']:,} spikes\n  {network['signals_per_second']:,.0f} signals per second "
        f"({network['bound']:,.0f} by what memory allows), {in_words(network['queue'])} a plain "
        f"queue\n  {in_words(network['brian2'])} Brian 2, which has "
        f"{network['brian2']['spikes']:,} spikes"
    )


def in_words(found: dict[str, Any]) -> str:
    low, high = found["quartiles"]
    return f"{found['ratio']:.3g} times ({low:.3g} to {high:.3g}) as fast as"


if __name__ == "__main__":
    main()
