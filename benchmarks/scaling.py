"""How the cost of a run grows with cells, connections, rate and threads, and what bounds it.

    python benchmarks/scaling.py [--json] [--repeat 3]

Leaky integrate-and-fire cells with exponential currents, steps of 0.1 ms, single precision. A share
of the cells is driven so that it fires at a known rate; the others receive what is delivered, which
is too weak to make them fire. So the number of deliveries is known, and two costs can be read off:
nanoseconds for a cell and step (from networks without connections) and for a delivery (from the
slope over rate and out-degree). The model

    seconds = cells * steps * per_cell + deliveries * per_delivery

is then held against each run. Cells at rest are not skipped here: it is the cost of stepping all.
A delivery reads 8 bytes in sequence, a target and a weight, and changes 4 bytes somewhere; a cell
reads and writes its state once a step. Both are compared with the bytes that a plain copy of large
arrays moves in the same process. Median CPU seconds of `--repeat` runs, on one thread; wall seconds
on one and two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import amphid as am
from amphid import dynamics, wiring
from amphid.simulation import Compiled

DT, STEPS = 0.1, 2000
FIRING = 0.2  # share of the cells that fire


def network(cells: int, outdegree: int, rate_hz: float) -> am.Network:
    """Cells of which some fire at a rate, each with as many targets."""
    rng = np.random.default_rng(1)
    pre = np.repeat(np.arange(cells, dtype=np.int32), outdegree)
    post = rng.integers(0, cells, len(pre)).astype(np.int32)
    wires = wiring.Connections(pre, post, sign=1, delay=1.5)
    # from reset to threshold in one period: rest lies where the exponential meets it
    period, held = 1000 / rate_hz, 2.0
    top = 15.0 / (1 - np.exp(-(period - held) / 20.0))
    firing = rng.permutation(cells) < FIRING * cells
    rest = torch.where(torch.from_numpy(firing), -65.0 + float(top), -65.0)
    cell = dynamics.LIF(tau=20.0, v_rest=rest, v_threshold=-50.0, v_reset=-65.0)
    # weights that differ, so small that nobody fires for them
    weight = torch.rand(len(pre), generator=torch.Generator().manual_seed(1)) * 1e-4
    connectome = wiring.Connectome(wiring.Cells([f"n{k}" for k in range(cells)]), wires)
    synapse = dynamics.Exponential(tau=5.0, amplitude=1.0)
    neuron = dynamics.Refractory(cell, period=held)
    return am.Network(connectome, neuron=neuron, synapse=synapse, weight=weight)


def cost(net: am.Network, threads: int, repeat: int) -> dict[str, float]:
    """CPU and wall seconds of the loop alone, and how many spikes were delivered."""
    cells = len(net.connectome)
    none = am.Stimulus(torch.zeros(STEPS, 0), torch.zeros(0, dtype=torch.int64), cells, DT)
    state = net.rest(DT)
    v = -65 + 15 * torch.rand(cells, generator=torch.Generator().manual_seed(3))
    start = state._replace(neuron=net.neuron.at(state.neuron, v))
    engine = Compiled(threads=threads, skip_resting=False)
    found = []
    for _ in range(repeat + 1):
        told: list[tuple[float, float, int]] = []

        def hear(done: int, _: int, told: list[Any] = told) -> None:
            told.append((time.process_time(), time.perf_counter(), done))

        with torch.no_grad():
            run = am.simulate(net, none, state=start, engine=engine, progress=hear)
        share = STEPS / (told[-1][2] - told[0][2])
        found.append([(b - a) * share for a, b in zip(told[0][:2], told[-1][:2], strict=True)])
    cpu, wall = (statistics.median(column) for column in zip(*found[1:], strict=True))
    return {"cpu_s": cpu, "wall_s": wall, "spikes": len(run.spikes)}


def copied_gb_per_s() -> float:
    """Bytes read and written in a second by a copy that no cache holds."""
    a, b = np.ones(1 << 26, np.float32), np.empty(1 << 26, np.float32)
    times = []
    for _ in range(5):
        began = time.process_time()
        np.copyto(b, a)
        times.append(time.process_time() - began)
    return 2 * a.nbytes / min(times) / 1e9


def measured(cells: int, outdegree: int, rate_hz: float, repeat: int) -> dict[str, Any]:
    """One network on one and on two threads."""
    net = network(cells, outdegree, rate_hz)
    one, two = (cost(net, threads, repeat) for threads in (1, 2))
    return {
        "cells": cells,
        "outdegree": outdegree,
        "rate_hz": round(one["spikes"] / (FIRING * cells * STEPS * DT / 1000), 1),
        "deliveries": int(one["spikes"] * outdegree),
        "cpu_s": round(one["cpu_s"], 4),
        "wall_s": round(one["wall_s"], 4),
        "wall_s_2_threads": round(two["wall_s"], 4),
        "cpu_s_2_threads": round(two["cpu_s"], 4),
    }


def fitted(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds for a cell and step, and for a delivery, with the least relative error."""
    cpu = np.array([row["cpu_s"] for row in rows])
    parts = np.array([[row["cells"] * STEPS, row["deliveries"]] for row in rows])
    per_cell, per_delivery = np.linalg.lstsq(parts / cpu[:, None], np.ones(len(cpu)), rcond=None)[0]
    return float(per_cell), float(per_delivery)


GRID = {
    "cells": [(4000, 0, 20.0), (16000, 0, 20.0), (64000, 0, 20.0)],
    "connections": [(10000, 100, 20.0), (10000, 300, 20.0), (10000, 1000, 20.0)],
    "rate": [(10000, 300, 10.0), (10000, 300, 40.0), (10000, 300, 80.0)],
    "both": [(50000, 300, 20.0), (50000, 1000, 20.0)],
}
"""What grows, and the cells, out-degrees and rates in Hz that are tried."""


def report(repeat: int, tell: Callable[[str], None]) -> dict[str, Any]:
    rows = []
    for grows, tried in GRID.items():
        for cells, outdegree, rate in tried:
            rows.append({"grows": grows, **measured(cells, outdegree, rate, repeat)})
            tell(json.dumps(rows[-1]))
    per_cell, per_delivery = fitted(rows)
    for row in rows:
        model = row["cells"] * STEPS * per_cell + row["deliveries"] * per_delivery
        row["over_model"] = round(row["cpu_s"] / model, 2)
    copied = copied_gb_per_s()
    return {
        "per_cell_ns": round(per_cell * 1e9, 3),
        "per_delivery_ns": round(per_delivery * 1e9, 3),
        "copy_gb_per_s": round(copied, 2),
        "delivery_bound_ns": round(16 / copied, 3),  # 8 bytes read, 4 read and 4 written
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = report(options.repeat, lambda line: None)
    if options.json:
        print(json.dumps(found))
        return
    print("grows        cells  out  rate   deliveries   CPU s  /model  wall s  2 threads")
    for row in found["rows"]:
        print(
            f"{row['grows']:12}{row['cells']:6,}{row['outdegree']:5}{row['rate_hz']:6}"
            f"{row['deliveries']:13,}{row['cpu_s']:8.3f}{row['over_model']:8.2f}"
            f"{row['wall_s']:8.3f}{row['wall_s_2_threads']:11.3f}"
        )
    print(
        f"{found['per_cell_ns']} ns a cell and step, {found['per_delivery_ns']} ns a delivery; a "
        f"copy moves {found['copy_gb_per_s']} GB/s, at which a delivery's 16 bytes take "
        f"{found['delivery_bound_ns']} ns"
    )


if __name__ == "__main__":
    main()
