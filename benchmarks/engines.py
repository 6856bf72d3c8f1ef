"""The compiled engine beside the torch engine, and beside Brian 2 where it is installed.

    python benchmarks/engines.py [--json] [--repeat 4] [--only NAME] [--brian2 /path/to/python]

Four networks at steps of 0.1 ms: COBA (4,000 cells, conductances; Vogels & Abbott 2005), Brunel's
with 10,000 and with 50,000 cells (12.5 and 62.5 million connections, pulses, Poisson drive; Brunel
2000), and a network of the size and degrees of the adult fly's brain with the cells of Shiu et al.
2024 (138,639 cells, 15.1 million connections, 21 driven cells). Both engines step the same network;
Brian 2, in an environment of its own that --brian2 names, compiles the same equations to C++ and
reads the same connections. Poisson spikes are each program's own. We step in single precision,
Brian 2 in double, each as it does unless told otherwise.

Figures are CPU seconds of the simulation loop per second of biology, on one thread; our loop is
timed between the first and the last report of progress, Brian 2 reports its own. A ratio is taken
within a pair of runs, in the order A B B A, and given with quartiles. `first` is what a fresh
process needs from the connections to the spikes of the first 16 steps, without machine code from an
earlier one and with it; its imports are given beside. `peak_mb` is the most memory of a process
that draws the network and runs it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time

BEGAN = time.process_time()

from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import amphid as am  # noqa: E402
from amphid import dynamics, models, wiring  # noqa: E402
from amphid.simulation import Compiled  # noqa: E402

IMPORTED = time.process_time() - BEGAN
DT = 0.1  # ms
PEER = Path(__file__).with_name("engines_brian2.py")


@dataclass
class Workload:
    """A network, where its cells start, and what drives it.

    build: the network of its connectome. drive: what goes into it for a number of ms. equations:
    what the peer calls them. given: what else the peer is told.
    """

    name: str
    equations: str
    connectome: wiring.Connectome
    build: Callable[[wiring.Connectome], am.Network]
    drive: Callable[[am.Network, float], am.Stimulus]
    v: Tensor | None  # at rest where None
    steps: int
    torch_steps: int  # as many as one is willing to wait for, in pieces of 64
    given: dict[str, Any] = field(default_factory=dict)

    def run(self, network: am.Network, engine: Any, steps: int, progress: Any = None) -> Any:
        """That many steps, from the same start."""
        start = None
        if self.v is not None:
            state = network.rest(DT)
            start = state._replace(neuron=network.neuron.at(state.neuron, self.v))
        with torch.no_grad():
            return am.simulate(
                network, self.drive(network, steps * DT), state=start, engine=engine,
                record=("spike",), progress=progress,
            )  # fmt: skip

    def loop(self, network: am.Network, engine: Any, steps: int) -> float:
        """CPU seconds of the loop for a second of biology, without what comes before it."""
        told: list[tuple[float, int]] = []
        self.run(network, engine, steps, lambda done, _: told.append((time.process_time(), done)))
        (began, first), (ended, last) = told[0], told[-1]
        return (ended - began) / (last - first) * 1000 / DT


def nothing(network: am.Network, duration: float) -> am.Stimulus:
    steps, cells = round(duration / DT), len(network.connectome)
    return am.Stimulus(torch.zeros(steps, 0), torch.zeros(0, dtype=torch.int64), cells, DT)


def coba() -> Workload:
    """4,000 cells with a constant drive of 20 mV, as a rest of -40 mV."""
    draw = torch.Generator().manual_seed(1)
    wired = wiring.fixed_indegree(4000, indegree=80, generator=draw)

    def build(connectome: wiring.Connectome) -> am.Network:
        cell = dynamics.LIF(
            tau=20.0, resistance=0.1, v_rest=-40.0, v_threshold=-50.0, v_reset=-60.0
        )
        synapse = {
            "excitatory": dynamics.Conductance(tau=5.0, conductance=6.0, reversal=0.0),
            "inhibitory": dynamics.Conductance(tau=10.0, conductance=67.0, reversal=-80.0),
        }
        neuron = dynamics.Refractory(cell, period=5.0)
        return am.Network(connectome, neuron=neuron, synapse=synapse)

    v = -60 + 10 * torch.rand(4000, generator=draw)
    return Workload("COBA", "coba", wired, build, nothing, v, 10000, 320)


def brunel(cells: int) -> Workload:
    """Pulses of 0.1 and -0.5 mV; each cell gets 1,000 Poisson sources of 20 Hz from outside."""
    draw = torch.Generator().manual_seed(1)
    wired = wiring.fixed_indegree(cells, indegree=1250, generator=draw)
    wired = wired.with_connections(delay=1.5)

    def build(connectome: wiring.Connectome) -> am.Network:
        cell = dynamics.LIF(tau=20.0, resistance=0.1, v_rest=0.0, v_threshold=20.0, v_reset=10.0)
        synapse = {
            "excitatory": dynamics.Delta(charge=0.1 * 200.0),
            "inhibitory": dynamics.Delta(charge=-0.5 * 200.0),
        }
        neuron = dynamics.Refractory(cell, period=2.0)
        return am.Network(connectome, neuron=neuron, synapse=synapse)

    def drive(network: am.Network, duration: float) -> am.Stimulus:
        return am.poisson(
            network.connectome, "*", rate=20.0, amplitude=0.1 * 200.0 / DT,
            duration=duration, dt=DT, generator=torch.Generator().manual_seed(2),
        )  # fmt: skip

    name, v = f"Brunel {cells:,}", 20 * torch.rand(cells, generator=draw)
    return Workload(name, "brunel", wired, build, drive, v, 3000 if cells < 20000 else 1000, 128)


def fly() -> Workload:
    """The size and degrees of the adult fly's brain; 21 cells of many targets are driven."""
    wired = models.generated_fly(generator=torch.Generator().manual_seed(1))
    driven = np.sort(wired.select("driven"))

    def build(connectome: wiring.Connectome) -> am.Network:
        return models.fly_brain(connectome, driven=["driven"])

    def drive(network: am.Network, duration: float) -> am.Stimulus:
        return models.fly_drive(
            network, "driven", duration=duration, dt=DT, generator=torch.Generator().manual_seed(2)
        )

    given = {
        "driven": driven,
        "synapses": wired.connections.synapses,
        "v": np.full(len(wired), -52.0),
    }
    return Workload("fly-sized", "fly", wired, build, drive, None, 10000, 64, given)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "coba": coba,
    "brunel": lambda: brunel(10000),
    "brunel-large": lambda: brunel(50000),
    "fly": fly,
}


class Brian2:
    """The same network in another process, compiled once, run on request."""

    def __init__(self, python: str, workload: Workload, steps: int, folder: str) -> None:
        wires = workload.connectome.connections
        path = Path(folder) / "network.npz"
        np.savez(
            path, equations=workload.equations, pre=wires.pre, post=wires.post, sign=wires.sign,
            steps=steps, **({"v": workload.v} | workload.given),
        )  # fmt: skip
        self.process = subprocess.Popen(
            [python, str(PEER), str(path), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.build = float(self._answer()["build"])
        self.spikes, self.steps, self.peak_mb, self.weight = 0, steps, 0, math.nan

    def loop(self) -> float:
        """CPU seconds of the loop for a second of biology."""
        assert self.process.stdin
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        told = self._answer()
        self.spikes, self.peak_mb = int(told["spikes"]), int(told["peak_mb"])
        self.weight = float(told.get("weight", math.nan))  # mean at the end, of plastic connections
        return float(told["loop"]) / (self.steps * DT / 1000)

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("Brian 2 ended early; its error stands above.")
        answer: dict[str, float] = json.loads(line)
        return answer


def first(name: str) -> dict[str, float]:
    """In this process: from connections to the spikes of the first steps; memory of the run."""
    workload = WORKLOADS[name]()
    began, told = time.process_time(), [0.0]

    def hear(done: int, steps: int) -> None:
        told[0] = told[0] or time.process_time()

    network = workload.build(workload.connectome)
    workload.run(network, Compiled(threads=1), workload.steps, hear)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    passed = told[0] - began
    return {"cpu_s": round(passed, 2), "imports_cpu_s": round(IMPORTED, 2), "peak_mb": round(peak)}


def fresh(name: str) -> dict[str, Any]:
    """What fresh processes tell, without and with machine code from an earlier one."""
    with tempfile.TemporaryDirectory() as cache:
        told = [
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, "--first", name],
                    env={**os.environ, "AMPHID_CACHE": cache}, check=True, capture_output=True,
                ).stdout
            )
            for _ in range(2)
        ]  # fmt: skip
    return {"cold": told[0], "cached": told[1]}


def paired(ours: Callable[[], float], peer: Callable[[], float], repeat: int) -> dict[str, Any]:
    """Medians of both, and the ratio peer / ours with its quartiles, in the order A B B A."""
    pairs = []
    for number in range(repeat):
        first, second = (ours, peer) if number % 2 == 0 else (peer, ours)
        values = first(), second()
        pairs.append(values if number % 2 == 0 else values[::-1])
    a, b = np.array(pairs).T
    low, middle, high = np.percentile(b / a, [25, 50, 75])
    return {
        "ours": round(float(np.median(a)), 4),
        "peer": round(float(np.median(b)), 4),
        "ratio": round(float(middle), 2),
        "quartiles": [round(float(low), 2), round(float(high), 2)],
    }


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is known of a workload."""
    workload = WORKLOADS[name]()
    steps, engine = workload.steps, Compiled(threads=1)
    network = workload.build(workload.connectome)
    run = workload.run(network, engine, steps)
    seconds, cells = steps * DT / 1000, len(workload.connectome)

    def ours() -> float:
        return workload.loop(network, engine, steps)

    found = {
        "workload": workload.name,
        "cells": cells,
        "connections": len(workload.connectome.connections),
        "biology_s": seconds,
        "rate_hz": round(len(run.spikes) / cells / seconds, 3),
        "spikes": len(run.spikes),
        "notes": list(run.notes),
        "first": fresh(name),
    }
    if not options.no_torch:
        slow, few = am.Torch(), workload.torch_steps
        found["torch"] = paired(ours, lambda: workload.loop(network, slow, few), options.repeat)
    if options.brian2:
        with tempfile.TemporaryDirectory() as folder:
            peer = Brian2(options.brian2, workload, steps, folder)
            found["brian2"] = paired(ours, peer.loop, options.repeat)
            found["brian2"] |= {
                "rate_hz": round(peer.spikes / cells / seconds, 3),
                "spikes": peer.spikes,
                "build_cpu_s": round(peer.build, 1),
                "peak_mb": peer.peak_mb,
            }
            peer.process.kill()
            peer.process.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON line per workload")
    parser.add_argument("--repeat", type=int, default=4, help="pairs of runs")
    parser.add_argument("--brian2", help="the Python of an environment with brian2 2.9")
    parser.add_argument("--only", choices=list(WORKLOADS), action="append")
    parser.add_argument("--no-torch", action="store_true", help="leave the torch engine out")
    parser.add_argument("--first", choices=list(WORKLOADS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.first:
        print(json.dumps(first(options.first)))
        return
    for name in options.only or WORKLOADS:
        found = measure(name, options)
        print(json.dumps(found) if options.json else in_words(found))
        sys.stdout.flush()


def in_words(found: dict[str, Any]) -> str:
    cold, cached = found["first"]["cold"], found["first"]["cached"]
    lines = [
        f"{found['workload']}: {found['cells']:,} cells, {found['connections']:,} connections, "
        f"{found['biology_s']:g} s, {found['rate_hz']} Hz ({found['notes'][0]})",
        f"  first spikes after {cold['cpu_s']} CPU s, {cached['cpu_s']} with machine code kept, "
        "and "
        f"{cold['imports_cpu_s']} for imports; {cached['peak_mb']} MB",
    ]
    for peer in ("torch", "brian2"):
        if peer in found:
            one = found[peer]
            rate = f", {one['rate_hz']} Hz" if "rate_hz" in one else ""
            lines.append(
                f"  compiled {one['ours']} CPU s per s, {peer} {one['peer']}{rate}: "
                f"{one['ratio']} times (quartiles {one['quartiles'][0]} to {one['quartiles'][1]})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
