"""The compiled engine beside the torch engine, and beside Brian 2 where it is installed.

    python benchmarks/engines.py [--json] [--repeat 4] [--brian2 /path/to/python]

Two networks: COBA (4,000 cells, conductances; Vogels & Abbott 2005) and Brunel's (10,000 cells,
12.5 million connections, pulses; Brunel 2000). Both engines step the same network; Brian 2, in an
environment of its own that --brian2 names, compiles the same equations to C++ and reads the same
connections and drive. We step in single precision, Brian 2 in double, each as it does unless told
otherwise. Figures are CPU seconds of the simulation loop per second of biology, on one thread; our
loop is timed between the first and the last report of progress, Brian 2 reports its own. A ratio is
taken within a pair of runs, in the order A B B A, and given with quartiles.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import amphid as am
from amphid import dynamics, wiring
from amphid.simulation import Compiled

DT = 0.1  # ms
PEER = Path(__file__).with_name("engines_brian2.py")


@dataclass
class Workload:
    """A network, where its cells start, and what they strive to without connections, in mV."""

    name: str
    network: am.Network
    v: Tensor
    drive: Tensor
    torch_steps: int  # as many as one is willing to wait for, in pieces of 64

    def run(self, engine: Any, steps: int, progress: Any = None) -> am.Recording:
        """That many steps, from the same start."""
        state = self.network.rest(DT)
        neuron = state.neuron._replace(neuron=state.neuron.neuron._replace(v=self.v))
        cells = len(self.v)
        none = am.Stimulus(torch.zeros(steps, 0), torch.zeros(0, dtype=torch.int64), cells, DT)
        start = state._replace(neuron=neuron)
        with torch.no_grad():
            return am.simulate(
                self.network, none, dt=DT, state=start, engine=engine, progress=progress
            )

    def loop(self, engine: Any, steps: int) -> float:
        """CPU seconds of the loop for a second of biology, without what comes before it."""
        told: list[tuple[float, int]] = []
        self.run(engine, steps, lambda done, _: told.append((time.process_time(), done)))
        (began, first), (ended, last) = told[0], told[-1]
        return (ended - began) / (last - first) * 1000 / DT


def coba() -> Workload:
    """4,000 cells with a constant drive of 20 mV, as a rest of -40 mV."""
    draw = torch.Generator().manual_seed(1)
    wired = wiring.fixed_indegree(4000, indegree=80, generator=draw)
    cell = dynamics.LIF(tau=20.0, resistance=0.1, v_rest=-40.0, v_threshold=-50.0, v_reset=-60.0)
    synapse = {
        "excitatory": dynamics.Conductance(tau=5.0, conductance=6.0, reversal=0.0),
        "inhibitory": dynamics.Conductance(tau=10.0, conductance=67.0, reversal=-80.0),
    }
    network = am.Network(wired, neuron=dynamics.Refractory(cell, period=5.0), synapse=synapse)
    v = -60 + 10 * torch.rand(4000, generator=draw)
    return Workload("COBA", network, v, torch.full((4000,), -40.0), 320)


def brunel() -> Workload:
    """10,000 cells with pulses of 0.1 and -0.5 mV, and a drive of 40 mV a cell, give or take 10.

    The drive takes the place of Poisson pulses, so that all engines are given the same.
    """
    draw = torch.Generator().manual_seed(1)
    wired = wiring.fixed_indegree(10000, indegree=1250, generator=draw)
    wires = wired.connections
    wired = wiring.Connectome(
        wired.cells,
        wiring.Connections(wires.pre, wires.post, sign=wires.sign, delay=np.full(len(wires), 1.5)),
    )
    drive = 30 + 20 * torch.rand(10000, generator=draw)
    cell = dynamics.LIF(tau=20.0, resistance=0.1, v_rest=drive, v_threshold=20.0, v_reset=10.0)
    synapse = {
        "excitatory": dynamics.Delta(charge=0.1 * 200.0),
        "inhibitory": dynamics.Delta(charge=-0.5 * 200.0),
    }
    network = am.Network(wired, neuron=dynamics.Refractory(cell, period=2.0), synapse=synapse)
    return Workload("Brunel", network, 20 * torch.rand(10000, generator=draw), drive, 128)


class Brian2:
    """The same network in another process, compiled once, run on request."""

    def __init__(self, python: str, workload: Workload, steps: int, folder: str) -> None:
        wires = workload.network.connectome.connections
        path = Path(folder) / f"{workload.name}.npz"
        np.savez(
            path, name=workload.name, v=workload.v, pre=wires.pre, post=wires.post, sign=wires.sign,
            steps=steps, drive=workload.drive,
        )  # fmt: skip
        self.process = subprocess.Popen(
            [python, str(PEER), str(path), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.build = float(self._answer()["build"])
        self.spikes, self.steps = 0, steps

    def loop(self) -> float:
        """CPU seconds of the loop for a second of biology."""
        assert self.process.stdin
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        told = self._answer()
        self.spikes = int(told["spikes"])
        return float(told["loop"]) / (self.steps * DT / 1000)

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("Brian 2 ended early; its error stands above.")
        answer: dict[str, float] = json.loads(line)
        return answer


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


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


def measure(workload: Workload, steps: int, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is known of a workload."""
    engine = Compiled(threads=1)
    first = cpu_seconds(lambda: workload.run(engine, 1))
    spikes = workload.run(engine, steps).spikes
    seconds, cells = steps * DT / 1000, len(workload.v)

    def ours() -> float:
        return workload.loop(engine, steps)

    found = {
        "workload": workload.name,
        "cells": cells,
        "connections": len(workload.network.connectome.connections),
        "biology_s": seconds,
        "rate_hz": round(len(spikes or ()) / cells / seconds, 2),
        "first_call_cpu_s": round(first, 2),
    }
    if not options.no_torch:
        slow, few = am.Torch(), workload.torch_steps
        found["torch"] = paired(ours, lambda: workload.loop(slow, few), options.repeat)
    if options.brian2:
        with tempfile.TemporaryDirectory() as folder:
            peer = Brian2(options.brian2, workload, steps, folder)
            found["brian2"] = paired(ours, peer.loop, options.repeat)
            found["brian2"]["rate_hz"] = round(peer.spikes / cells / seconds, 2)
            found["brian2"]["build_cpu_s"] = round(peer.build, 1)
            peer.process.kill()
            peer.process.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON line per workload")
    parser.add_argument("--repeat", type=int, default=4, help="pairs of runs")
    parser.add_argument("--brian2", help="the Python of an environment with brian2 2.9")
    parser.add_argument("--only", choices=["COBA", "Brunel"])
    parser.add_argument("--no-torch", action="store_true", help="leave the torch engine out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, make, steps in (("COBA", coba, 10000), ("Brunel", brunel, 3000)):
        if options.only in (None, name):
            found = measure(make(), steps, options)
            print(json.dumps(found) if options.json else _in_words(found))
            sys.stdout.flush()


def _in_words(found: dict[str, Any]) -> str:
    lines = [
        f"{found['workload']}: {found['cells']:,} cells, {found['connections']:,} connections, "
        f"{found['biology_s']:g} s, {found['rate_hz']} Hz; first call {found['first_call_cpu_s']} "
        "CPU s"
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
