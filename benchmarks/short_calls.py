"""What does a call of 33 ms of biology cost besides its machine code?

    python benchmarks/short_calls.py [--repeat 8] [--only NAME] [--json]

Four ways to take a network through 33 ms from where it is, under a current that stays:

    changed  `simulate` with the state of the last call, a value of the cells changed before each
    again    the same, with nothing changed: what the steps were traced to is remembered
    ongoing  `Ongoing.go` of all steps at once: nothing is laid out again
    steps    `Ongoing.go` step by step, as a page shows a small network

The worm (302 cells and the muscles, joint steps of 0.5 ms); 1,000 leaky cells with 100 connections
each and steps of 0.1 ms, of which 200 are driven; 100 of Hodgkin and Huxley, steps of 0.05 ms; a
network of the fly's size (138,639 cells, 15 million connections, steps of 0.1 ms, at rest), not
step by step. On one thread, in single precision.

Figures are CPU milliseconds of a call, medians over --repeat rounds in which the ways take turns,
forwards and backwards; beside them real time over CPU time, and how often the time of `ongoing`
goes into each way, with quartiles.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import amphid as am
from amphid import dynamics, models, wiring
from amphid.simulation import Compiled, Ongoing

PORTION = 33.0  # ms


@dataclass
class Workload:
    """A network, the current [N] into it in pA, and dt in ms; name: of a value of its cells."""

    network: am.Network
    current: torch.Tensor
    dt: float
    value: str
    stepwise: bool = True

    @property
    def steps(self) -> int:
        """How many of them a call takes."""
        return round(PORTION / self.dt)


def worm() -> Workload:
    wired = wiring.celegans(signs=wiring.by_transmitter)
    net = am.Network(wired, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses())
    current = torch.zeros(len(wired))
    current[torch.from_numpy(wired.select("PLM*"))] = 20.0
    return Workload(net, current, 0.5, "g_leak")


def leaky() -> Workload:
    wired = wiring.fixed_indegree(1000, indegree=100, generator=torch.Generator().manual_seed(1))
    synapse = {
        "excitatory": dynamics.Delta(charge=40.0),
        "inhibitory": dynamics.Delta(charge=-160.0),
    }
    net = am.Network(wired, neuron=dynamics.LIF(), synapse=synapse)
    return Workload(net, 300.0 * (torch.arange(1000) % 5 == 0), 0.1, "tau")


def hodgkin_huxley() -> Workload:
    wired = wiring.fixed_indegree(100, indegree=10, generator=torch.Generator().manual_seed(1))
    synapse = {
        "excitatory": dynamics.Conductance(tau=5.0, conductance=0.7, reversal=0.0),
        "inhibitory": dynamics.Conductance(tau=9.0, conductance=0.9, reversal=-80.0),
    }
    net = am.Network(wired, neuron=dynamics.HodgkinHuxley(), synapse=synapse)
    return Workload(net, 900.0 * (torch.arange(100) % 5 == 0), 0.05, "g_leak")


def fly() -> Workload:
    wired = models.generated_fly(generator=torch.Generator().manual_seed(1))
    net = models.fly_brain(wired, driven=["driven"])
    return Workload(net, torch.zeros(len(wired)), 0.1, "v_rest", stepwise=False)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "worm": worm,
    "leaky": leaky,
    "hodgkin-huxley": hodgkin_huxley,
    "fly": fly,
}


class Ways:
    """The ways of a workload, each with a state of its own to go on from."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self.states = {way: work.network.rest(work.dt) for way in ("changed", "again")}
        self.going = Ongoing(work.network, work.dt, threads=1)
        self.single = Ongoing(work.network, work.dt, threads=1)

    def listed(self) -> dict[str, Callable[[], object]]:
        """What each does in a call."""
        ways: dict[str, Callable[[], object]] = {
            "changed": self.changed,
            "again": lambda: self.simulated("again"),
            "ongoing": lambda: self.going.go(self.work.current, self.work.steps),
        }
        if self.work.stepwise:
            ways["steps"] = self.step_by_step
        return ways

    def step_by_step(self) -> None:
        """Every step by a call of its own."""
        for _ in range(self.work.steps):
            self.single.go(self.work.current)

    def changed(self) -> None:
        """`simulate` after a value has changed, by less than what single precision tells apart."""
        cells = next(m for m in self.work.network.neuron.modules() if hasattr(m, self.work.value))
        usual = getattr(cells, self.work.value)
        setattr(cells, self.work.value, usual * (1 + 1e-12 * (1 + time.perf_counter() % 1)))
        self.simulated("changed")
        setattr(cells, self.work.value, usual)

    def simulated(self, way: str) -> None:
        """One call of `simulate`, from where the last one of that way ended."""
        work = self.work
        held = work.current.to(work.network.weight).expand(work.steps, -1)
        record = ("v", "spike") if work.network.neuron.output == "spike" else ("v",)
        with torch.no_grad():
            run = am.simulate(
                work.network, held, dt=work.dt, record=record, every=work.steps,
                state=self.states[way], engine=Compiled(threads=1, skip_resting=False),
            )  # fmt: skip
        self.states[way] = run.state


def measure(name: str, repeat: int) -> dict[str, object]:
    """CPU ms of a call by each way, and over those of `ongoing`."""
    ways = Ways(WORKLOADS[name]()).listed()
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for call in ways.values():
        call()
        call()
    for _ in range(repeat):
        for way in (*ways, *reversed(ways)):
            began = time.process_time()
            ways[way]()
            taken[way].append(1000 * (time.process_time() - began))
    bare = np.array(taken["ongoing"])
    return {"network": name} | {way: _told(np.array(ms), bare) for way, ms in taken.items()}


def _told(taken: np.ndarray, bare: np.ndarray) -> dict[str, object]:
    low, middle, high = np.percentile(taken / bare, [25, 50, 75])
    ms = float(np.median(taken))
    ratio = [round(float(own), 2) for own in (low, middle, high)]
    return {"ms": round(ms, 2), "real_time": round(PORTION / ms, 2), "over_ongoing": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON line per network")
    parser.add_argument("--repeat", type=int, default=8, help="rounds")
    parser.add_argument("--only", choices=list(WORKLOADS), action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only or WORKLOADS:
        found = measure(name, options.repeat)
        print(json.dumps(found) if options.json else in_words(found), flush=True)


def in_words(found: dict[str, object]) -> str:
    lines = [f"{found['network']}: 33 ms of biology"]
    for way, told in found.items():
        if isinstance(told, dict):
            low, middle, high = told["over_ongoing"]
            lines.append(
                f"  {way:8} {told['ms']:8} ms, {told['real_time']} x real time, {middle} times "
                f"ongoing (quartiles {low} to {high})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
