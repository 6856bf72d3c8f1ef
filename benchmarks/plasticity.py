"""Plasticity in the compiled engine beside the torch engine, and beside Brian 2 where it is there.

    python benchmarks/plasticity.py [--json] [--repeat 4] [--brian2 /path/to/python]

COBA (4,000 cells, 320,000 connections, see engines.py) with pair STDP of all spikes on its 256,000
excitatory connections: weights start at 1 and stay between 0 and 2. Figures are CPU seconds of the
simulation loop per second of biology on one thread, pairs of runs in the order A B B A, ratios with
quartiles. Firing rates and mean weights at the end stand beside each other: both programs must do
the same work. `without` is what our loop takes on the same network without a rule; `per_event_ns`
what a change of one weight costs, and `rates` how the cost of the rule grows with firing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

import torch

import amphid as am
from amphid import dynamics, learning
from amphid.simulation import Compiled
from engines import DT, Brian2, Workload, coba, paired

ENGINE = Compiled(threads=1, skip_resting=False)  # as a plastic network is always stepped
RULE = learning.STDP(greatest=2.0, connections="excitatory")


@dataclass
class Plastic(Workload):
    """A workload whose weights move."""

    def run(self, network: am.Network, engine: Any, steps: int, progress: Any = None) -> Any:
        """That many steps, from the same start."""
        state = network.rest(DT)
        start = state._replace(neuron=network.neuron.at(state.neuron, self.v))
        with torch.no_grad():
            return am.simulate(
                network, self.drive(network, steps * DT), state=start, engine=engine,
                record=("spike",), progress=progress, plasticity=(RULE,),
            )  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything there is to tell."""
    fixed, engine = coba(), ENGINE
    plastic = Plastic(**{**vars(fixed), "equations": "coba-stdp", "torch_steps": 192})
    network, steps = fixed.build(fixed.connectome), options.steps
    run = plastic.run(network, engine, steps)
    seconds, cells = steps * DT / 1000, len(network.connectome)
    edges = torch.from_numpy(network.edges["excitatory"])

    def ours() -> float:
        return plastic.loop(network, engine, steps)

    without = paired(lambda: fixed.loop(network, engine, steps), ours, options.repeat)
    found: dict[str, Any] = {
        "workload": "COBA with STDP",
        "cells": cells,
        "plastic_connections": len(edges),
        "biology_s": seconds,
        "rate_hz": round(len(run.spikes) / cells / seconds, 3),
        "mean_weight": round(float(run.state.weight[edges].mean()), 4),
        "without": without,
        "per_event_ns": round(_per_event(network, run, without, seconds), 1),
        "rates": _by_rate(network),
    }
    if not options.no_torch:
        slow = am.Torch()
        found["torch"] = paired(
            ours, lambda: plastic.loop(network, slow, plastic.torch_steps), options.repeat
        )
    if options.brian2:
        with tempfile.TemporaryDirectory() as folder:
            peer = Brian2(options.brian2, plastic, steps, folder)
            found["brian2"] = paired(ours, peer.loop, options.repeat)
            found["brian2"] |= {
                "rate_hz": round(peer.spikes / cells / seconds, 3),
                "mean_weight": round(peer.weight, 4),
                "build_cpu_s": round(peer.build, 1),
            }
            peer.process.kill()
            peer.process.wait()
    return found


def _per_event(network: am.Network, run: Any, told: dict[str, Any], seconds: float) -> float:
    """Nanoseconds that the rule takes for each time that an end of a connection fires."""
    wires, edges = network.connectome.connections, network.edges["excitatory"]
    counts = torch.bincount(run.spikes.cell, minlength=len(network.connectome)).numpy()
    events = int(counts[wires.pre[edges]].sum() + counts[wires.post[edges]].sum())
    return (told["peer"] - told["ours"]) * seconds / events * 1e9


def _by_rate(network: am.Network) -> dict[str, float]:
    """CPU seconds per second that the rule adds while cells are made to fire at some rates, in Hz.

    The drive alone decides the rate, for connections carry nothing.
    """
    silent = {
        key: type(synapse)(tau=5.0, conductance=1e-9, reversal=0.0)
        for key, synapse in network.groups()
    }
    cell = dynamics.LIF(tau=20.0, resistance=0.1, v_rest=-60.0, v_threshold=-50.0, v_reset=-60.0)
    idle = am.Network(
        network.connectome, neuron=dynamics.Refractory(cell, period=5.0), synapse=silent
    )
    cells, found = len(network.connectome), {}
    for rate in (0, 1, 10, 100):
        draw = torch.Generator().manual_seed(1)
        pulses = 1e5 * (torch.rand(3000, cells, generator=draw) < rate * DT / 1000)
        made = [
            kind(
                "", "", network.connectome, lambda _: idle,
                lambda network, duration, pulses=pulses: am.Stimulus(
                    pulses, torch.arange(cells), cells, DT
                ),
                torch.full((cells,), -60.0), 3000, 0,
            )
            for kind in (Workload, Plastic)
        ]  # fmt: skip
        told = paired(*(lambda own=own: own.loop(idle, ENGINE, 3000) for own in made), 3)
        found[f"{rate} Hz"] = round(told["peer"] - told["ours"], 4)
    return found


def in_words(found: dict[str, Any]) -> str:
    """The same for people."""
    one = found["without"]
    lines = [
        f"{found['workload']}: {found['plastic_connections']:,} plastic connections, "
        f"{found['biology_s']:g} s, {found['rate_hz']} Hz, mean weight {found['mean_weight']}",
        f"  compiled {one['peer']} CPU s per s, {one['ours']} without the rule; "
        f"{found['per_event_ns']} ns for each end that fires",
        "  the rule adds "
        + ", ".join(f"{c} CPU s per s at {r}" for r, c in found["rates"].items()),
    ]
    for peer in ("torch", "brian2"):
        if peer in found:
            one = found[peer]
            same = (
                f", {one['rate_hz']} Hz, mean weight {one['mean_weight']}"
                if "rate_hz" in one else ""
            )  # fmt: skip
            lines.append(
                f"  {peer} {one['peer']} CPU s per s{same}: {one['ratio']} times as much "
                f"(quartiles {one['quartiles'][0]} to {one['quartiles'][1]})"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON line")
    parser.add_argument("--repeat", type=int, default=4, help="pairs of runs")
    parser.add_argument("--steps", type=int, default=10000, help="of 0.1 ms")
    parser.add_argument("--brian2", help="the Python of an environment with brian2 2.9")
    parser.add_argument("--no-torch", action="store_true", help="leave the torch engine out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options)
    print(json.dumps(found) if options.json else in_words(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
