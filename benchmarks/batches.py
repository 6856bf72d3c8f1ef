"""Many stimuli of one worm at once: the compiled engine beside torch.

    python benchmarks/batches.py [--json] [--repeat 4] [--trials 1000] [--only NAME]

`explicit`: a network of the worm's published size (302 graded cells, 2,194 chemical and 514 gap
connections, drawn) at explicit steps of 1 ms. `joint`: the shipped worm (397 cells, 5,871
connections), whose voltages are solved together at steps of 0.5 ms. Each trial drives ten cells of
its own with 20 pA.

Two peers: our torch engine on the same batch, and a loop written by hand in a dozen lines, as one
would: dense matrices, forward Euler, at 1 ms, or for the shipped worm at the 0.025 ms that keep it
stable. All run in single precision on one thread. Figures are CPU seconds of the time loop per
second of biology, all trials together; a ratio is taken within a pair of runs, in the order
A B B A, and given with quartiles. `apart_mv` is the largest difference between final voltages, of
the same steps for the torch engine, of the steady state for the loop. `first_call_cpu_s` is what
the first result takes in this process, machine code included where it is not kept yet.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import amphid as am
from amphid import dynamics, wiring
from amphid.simulation import Compiled
from amphid.wiring import Cells, Connections, Connectome
from engines import paired


@dataclass
class Workload:
    """A network, its steps in ms, those of a loop of forward Euler, and how many to time."""

    network: am.Network
    dt: float
    euler_dt: float
    settled: float  # ms until nothing moves
    implicit: bool
    steps: int
    torch_steps: int

    def run(self, engine: Any, current: Tensor, steps: int, progress: Any = None) -> Tensor:
        """The last voltages [B, N] under a current [B, N] in pA."""
        with torch.no_grad():
            run = am.simulate(
                self.network, current.expand(steps, *current.shape), dt=self.dt, record=["v"],
                every=steps, engine=engine, progress=progress,
            )  # fmt: skip
        return run.v[-1]

    def loop(self, engine: Any, current: Tensor, steps: int) -> float:
        """CPU seconds of the loop for a second of biology, without what comes before it."""
        told: list[tuple[float, int]] = []
        self.run(engine, current, steps, lambda done, _: told.append((time.process_time(), done)))
        (began, first), (ended, last) = told[0], told[-1]
        return (ended - began) / (last - first) * 1000 / self.dt


def explicit() -> Workload:
    """Wiring of the worm's size, with heavy-tailed degrees and contacts; slow cells."""
    draw = np.random.default_rng(0)
    size, share = 302, draw.lognormal(0, 0.8, 302)
    pairs = [draw.choice(size**2, count, replace=False, p=np.outer(share, share).ravel() /
             share.sum() ** 2) for count in (2194, 514)]  # fmt: skip
    pre, post = np.divmod(np.concatenate(pairs), size)
    contacts = [draw.geometric(0.35, 2194).clip(1, 15), draw.geometric(0.5, 514).clip(1, 10)]
    kind = np.repeat([0, 1], [2194, 514])
    inhibits = draw.random(size) < 0.1
    wires = Connections(
        pre, post, kind=kind, synapses=np.concatenate(contacts),
        sign=np.where(kind == 1, 0, np.where(inhibits[pre], -1, 1)),
    )  # fmt: skip
    cell = dynamics.Graded(capacitance=60.0, g_leak=0.1, v_threshold=-25.0, rise=0.1, fall=0.05)
    synapses = dynamics.graded_synapses(chemical=0.1, electrical=0.1)
    wired = Connectome(Cells([f"n{k}" for k in range(size)]), wires)
    network = am.Network(wired, neuron=cell, synapse=synapses)
    return Workload(network, 1.0, 1.0, 3000.0, implicit=False, steps=640, torch_steps=192)


def joint() -> Workload:
    """The shipped worm."""
    worm = wiring.celegans(signs=wiring.by_transmitter)
    network = am.Network(worm, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses())
    return Workload(network, 0.5, 0.025, 4000.0, implicit=True, steps=256, torch_steps=128)


def stimuli(size: int, trials: int) -> Tensor:
    """Ten driven cells for each trial [B, N], pA."""
    draw = np.random.default_rng(1)
    current = torch.zeros(trials, size)
    for trial in range(trials):
        current[trial, draw.choice(size, 10, replace=False)] = 20.0
    return current


class ByHand:
    """The same equations as one writes them down: dense matrices and forward Euler."""

    def __init__(self, network: am.Network, dt: float) -> None:
        wires, synapses = network.wires(dt), dict(network.groups())
        cell: Any = network.neuron
        state = network.rest(dt)
        self.v, self.release, self.threshold = state.neuron
        onto = [synapses[k].conductance * wires[k].matrix().detach()
                for k in ("excitatory", "inhibitory")]  # fmt: skip
        pull = [synapses[k].reversal * m for k, m in
                zip(("excitatory", "inhibitory"), onto, strict=True)]  # fmt: skip
        self.chemical = torch.cat((onto[0] + onto[1], pull[0] + pull[1]), 1)
        self.electrical = -(synapses["electrical"].conductance * wires["electrical"].laplacian())
        self.electrical = self.electrical.detach()
        self.cell, self.dt, self.size = cell, dt, len(self.v)

    @torch.no_grad()
    def run(self, current: Tensor, steps: int) -> Tensor:
        """The last voltages [B, N]."""
        c, n, dt = self.cell, self.size, self.dt
        v, s = (x.detach().expand(len(current), n).clone() for x in (self.v, self.release))
        for _ in range(steps):
            arriving = s @ self.chemical
            flow = c.g_leak * (c.v_leak - v) - arriving[:, :n] * v + arriving[:, n:]
            flow = flow + v @ self.electrical + current
            opening = torch.sigmoid(c.slope * (v - self.threshold))
            v, s = (
                v + dt / c.capacitance * flow,
                s + dt * (c.rise * opening * (1 - s) - c.fall * s),
            )
        return v

    def loop(self, current: Tensor, steps: int) -> float:
        """CPU seconds for a second of biology."""
        began = time.process_time()
        self.run(current, steps)
        return (time.process_time() - began) / steps * 1000 / self.dt


def measure(workload: Workload, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is known of a workload."""
    size = len(workload.network.connectome)
    current, few = stimuli(size, options.trials), stimuli(size, 5)
    engine = Compiled(threads=1, implicit=workload.implicit)
    slow, by_hand = (
        am.Torch(implicit=workload.implicit),
        ByHand(workload.network, workload.euler_dt),
    )
    first = cpu_seconds(lambda: workload.run(engine, current, 2))
    settled = workload.run(engine, few, round(workload.settled / workload.dt))
    euler = by_hand.run(few, round(workload.settled / workload.euler_dt))
    ours_end = workload.run(engine, current[:100], 100)
    torch_end = workload.run(slow, current[:100], 100)

    def ours() -> float:
        return workload.loop(engine, current, workload.steps)

    steps = workload.torch_steps
    return {
        "workload": name,
        "cells": size,
        "connections": len(workload.network.connectome.connections),
        "trials": options.trials,
        "dt": workload.dt,
        "first_call_cpu_s": round(first, 2),
        "torch": paired(ours, lambda: workload.loop(slow, current, steps), options.repeat)
        | {"apart_mv": float(f"{(ours_end - torch_end).abs().max():.2g}")},
        "by_hand": paired(ours, lambda: by_hand.loop(current, steps), options.repeat)
        | {"apart_mv": float(f"{(settled - euler).abs().max():.2g}"), "dt": workload.euler_dt},
    }


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def in_words(found: dict[str, Any]) -> str:
    lines = [
        f"{found['workload']}: {found['cells']} cells, {found['connections']:,} connections, "
        f"{found['trials']:,} trials at {found['dt']:g} ms; first call "
        f"{found['first_call_cpu_s']} CPU s"
    ]
    for peer, shown in (("torch", "torch engine"), ("by_hand", "loop by hand")):
        one = found[peer]
        low, high = one["quartiles"]
        lines.append(
            f"  compiled {one['ours']} CPU s per s, {shown} {one['peer']}: {one['ratio']} times "
            f"(quartiles {low} to {high}); {one['apart_mv']} mV apart"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON line per workload")
    parser.add_argument("--repeat", type=int, default=4, help="pairs of runs")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--only", choices=["explicit", "joint"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, make in (("explicit", explicit), ("joint", joint)):
        if options.only in (None, name):
            found = measure(make(), name, options)
            print(json.dumps(found) if options.json else in_words(found))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
