"""Does a second thread pay within one network? Brunel's, 10,000 cells, delays of 1.5 ms.

    python benchmarks/threads.py [--cells 10000] [--indegree 1250] [--repeat 4] [--json]

One loop on one thread beside two parts on two threads, in the order A B B A. The loop alone is
timed, between the first and the last report of progress: wall time, which needs two idle cores to
mean anything, and CPU time, which shows what parts cost in work.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import numpy as np
import torch

import amphid as am
from amphid import dynamics, wiring
from amphid.simulation import Compiled

DT = 0.1  # ms


def network(cells: int, indegree: int) -> tuple[am.Network, torch.Tensor]:
    """Pulses of 0.1 and -0.5 mV, and a drive that differs from cell to cell."""
    draw = torch.Generator().manual_seed(1)
    wired = wiring.fixed_indegree(cells, indegree=indegree, generator=draw)
    wired = wired.with_connections(delay=np.full(len(wired.connections), 1.5))
    drive = 30 + 20 * torch.rand(cells, generator=draw)
    cell = dynamics.LIF(tau=20.0, resistance=0.1, v_rest=drive, v_threshold=20.0, v_reset=10.0)
    scale = 1250 / indegree
    synapse = {
        "excitatory": dynamics.Delta(charge=20.0 * scale),
        "inhibitory": dynamics.Delta(charge=-100.0 * scale),
    }
    v = 20 * torch.rand(cells, generator=draw)
    return am.Network(wired, neuron=dynamics.Refractory(cell), synapse=synapse), v


def loop(net: am.Network, v: torch.Tensor, threads: int, steps: int) -> tuple[float, float, str]:
    """Seconds on the clock and of CPU for a second of biology, and how it was run."""
    state = net.rest(DT)
    inner = state.neuron.neuron._replace(v=v)
    state = state._replace(neuron=state.neuron._replace(neuron=inner))
    none = am.Stimulus(torch.zeros(steps, 0), torch.zeros(0, dtype=torch.int64), len(v), DT)
    told: list[tuple[float, float, int]] = []
    with torch.no_grad():
        run = am.simulate(
            net,
            none,
            state=state,
            engine=Compiled(threads=threads, skip_resting=False),
            progress=lambda done, _: told.append((time.perf_counter(), time.process_time(), done)),
        )
    (wall, cpu, first), (wall_then, cpu_then, last) = told[0], told[-1]
    scale = 1000 / DT / (last - first)
    return (wall_then - wall) * scale, (cpu_then - cpu) * scale, run.notes[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10000)
    parser.add_argument("--indegree", type=int, default=1250)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repeat", type=int, default=4, help="pairs of runs")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    net, v = network(options.cells, options.indegree)
    pairs = []
    for number in range(options.repeat):
        order = (1, 2) if number % 2 == 0 else (2, 1)
        runs = {threads: loop(net, v, threads, options.steps) for threads in order}
        pairs.append((runs[1], runs[2]))
    found: dict[str, object] = {
        "cells": options.cells,
        "connections": options.cells * options.indegree,
        "note": pairs[0][1][2],
        "load": round(os.getloadavg()[0], 1),
    }
    for place, name in enumerate(("wall", "cpu")):
        one, two = (np.array([pair[k][place] for pair in pairs]) for k in (0, 1))
        found[f"{name}_s_per_s"] = [round(float(np.median(values)), 3) for values in (one, two)]
        found[f"{name}_ratio_quartiles"] = np.percentile(two / one, [25, 50, 75]).round(3).tolist()
    print(json.dumps(found) if options.json else "\n".join(f"{k}: {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
