"""How much memory and time does a rank take, of one network on 1, 2 and 4 of them?

    python benchmarks/ranks.py [--cells 20000] [--indegree 250] [--steps 2000] [--json]

A network is written to a file; every rank reads its part and steps it. Memory is the peak of the
process, less what importing the package and joining the others takes; time is CPU time of the run
without preparation. More ranks than idle cores tell nothing about time on the clock, which is left
out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import amphid as am
from amphid import dynamics, simulation, wiring

DT = 0.1  # ms


def peak() -> float:
    """MB that this process has had at most (of Linux, as getrusage counts its parent's too)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def rank_at_work(path: str, steps: int, place: str, number: int, count: int) -> None:
    """Read a part, step it, and print what it took."""
    torch.set_num_threads(1)
    meeting = f"file://{place}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=number, world_size=count)
    import h5py  # noqa: F401
    import numba  # noqa: F401

    before = peak()
    wired = wiring.read(path, part=simulation.rank())
    read = peak()
    cells = len(wired)
    drive = 30 + 20 * torch.rand(cells, generator=torch.Generator().manual_seed(2))
    cell = dynamics.LIF(tau=20.0, resistance=0.1, v_rest=drive, v_threshold=20.0, v_reset=10.0)
    synapse = {
        "excitatory": dynamics.Delta(charge=100.0),
        "inhibitory": dynamics.Delta(charge=-500.0),
    }
    net = am.Network(wired, neuron=dynamics.Refractory(cell), synapse=synapse)
    none = am.Stimulus(torch.zeros(steps, 0), torch.zeros(0, dtype=torch.int64), cells, DT)
    told: list[tuple[float, int]] = []
    with torch.no_grad():
        run = am.simulate(
            net,
            none,
            engine=am.simulation.Distributed(),
            progress=lambda done, _: told.append((time.process_time(), done)),
        )
    (began, first), (ended, last) = told[0], told[-1]
    found = {
        "connections": len(wired.connections),
        "after_import_MB": round(before),
        "reading_MB": round(read - before),
        "peak_MB": round(peak() - before),
        "cpu_s_per_s": round((ended - began) / (last - first) * 1000 / DT, 3),
        "spikes": len(run.spikes),
    }
    print(json.dumps(found))


def measured(path: Path, steps: int, count: int) -> list[dict[str, float]]:
    """What each of so many ranks took."""
    with tempfile.TemporaryDirectory() as folder:
        given = [str(path), str(steps), f"{folder}/meeting"]
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--rank", *given, str(number), str(count)],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for number in range(count)
        ]
        said = [process.communicate()[0] for process in processes]
    return [json.loads(text.splitlines()[-1]) for text in said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20000)
    parser.add_argument("--indegree", type=int, default=250)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", action="store_true", help="one line of JSON per rank")
    parser.add_argument("--rank", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        path, steps, place, number, count = options.rank
        rank_at_work(path, int(steps), place, int(number), int(count))
        return
    with tempfile.TemporaryDirectory() as folder:
        draw = torch.Generator().manual_seed(1)
        wired = wiring.fixed_indegree(options.cells, indegree=options.indegree, generator=draw)
        delay = np.random.default_rng(0).integers(15, 40, len(wired.connections)) * DT
        path = wiring.write(wired.with_connections(delay=delay), Path(folder) / "network.h5")
        del wired, delay
        for count in (1, 2, 4):
            for number, found in enumerate(measured(path, options.steps, count)):
                line = {"ranks": count, "rank": number, **found}
                print(json.dumps(line) if options.json else line, flush=True)


if __name__ == "__main__":
    main()
