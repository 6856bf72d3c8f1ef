"""What does a data frame of the live page cost its server, of a crowd at rest and one that fires?

    python benchmarks/view_crowd.py [--cells 139000] [--indegree 14] [--repeat 12] [--only NAME]
        [--synapse exponential] [--json]

Leaky cells, each hearing --indegree others, live in portions of 40 ms of machine code, steps of
0.1 ms, single precision, one thread. A frame is a portion and the bytes that a page is sent of it:

    silent   nothing drives any cell
    touched  100 cells are driven until they fire
    quarter  every fourth cell is
    silent again, after that
    noise    a current into every cell, far below threshold

Synapses: "exponential" currents, "delta" charges, or the "depressing" conductances of
`amphid view --neuron lif`. Figures are CPU milliseconds of a frame: median and quartiles of
--repeat frames, the first few after a change left out; beside them the share of cells that fired.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import amphid as am
from amphid import dynamics, wiring
from amphid.interfaces.view import LivingPortions, Session, wire

PORTION, STEP, SETTLED = 40.0, 0.1, 4  # ms, ms, frames


def exponential() -> dict[str, Any]:
    return {
        "excitatory": dynamics.Exponential(tau=5.0, amplitude=60.0),
        "inhibitory": dynamics.Exponential(tau=10.0, amplitude=-60.0),
    }


def delta() -> dict[str, Any]:
    return {
        "excitatory": dynamics.Delta(charge=40.0),
        "inhibitory": dynamics.Delta(charge=-160.0),
    }


def depressing() -> dict[str, Any]:
    groups = {
        "excitatory": dynamics.Conductance(tau=5.0, conductance=2.0, reversal=0.0),
        "inhibitory": dynamics.Conductance(tau=10.0, conductance=4.0, reversal=-80.0),
    }
    return {name: dynamics.ShortTerm(own, use=0.5, recovery=300.0) for name, own in groups.items()}


SYNAPSES: dict[str, Callable[[], dict[str, Any]]] = {
    "exponential": exponential,
    "delta": delta,
    "depressing": depressing,
}


def living(cells: int, indegree: int, synapse: str) -> Session:
    """A session of a crowd at rest."""
    draw = torch.Generator().manual_seed(1)
    wired = wiring.fixed_indegree(cells, indegree=indegree, generator=draw)
    cell = dynamics.Refractory(dynamics.LIF(), period=2.0)
    net = am.Network(wired, neuron=cell, synapse=SYNAPSES[synapse]())
    return Session(LivingPortions(net, STEP, round(PORTION / STEP)))


def driven(cells: int) -> Iterator[tuple[str, torch.Tensor]]:
    """What flows into the cells [N], pA."""
    number = torch.arange(cells)
    yield "silent", torch.zeros(cells)
    yield "touched", 300.0 * (number < 100)
    yield "quarter", 300.0 * (number % 4 == 0)
    yield "silent again", torch.zeros(cells)
    yield "noise", 20.0 * torch.randn(cells, generator=torch.Generator().manual_seed(2))


def frames(session: Session, current: torch.Tensor, repeat: int) -> dict[str, float]:
    """CPU ms of a frame with quartiles, and the share of cells that fired in one."""
    taken, fired = [], 0.0
    for _ in range(SETTLED + repeat):
        began = time.process_time()
        session.life.step(current)
        wire.frame(session, fired=session.life.fired.numpy())
        taken.append(1000 * (time.process_time() - began))
        fired = float(session.life.fired.float().mean())
    low, middle, high = np.percentile(taken[SETTLED:], [25, 50, 75])
    found = {"ms": middle, "low": low, "high": high, "fired": fired}
    return {name: round(float(value), 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=139_000)
    parser.add_argument("--indegree", type=int, default=14)
    parser.add_argument("--repeat", type=int, default=12, help="frames of each state")
    parser.add_argument("--only", action="append", help="states, in their order")
    parser.add_argument("--synapse", choices=list(SYNAPSES), default="exponential")
    parser.add_argument("--json", action="store_true", help="one JSON line per state")
    options = parser.parse_args()
    torch.set_num_threads(1)
    session = living(options.cells, options.indegree, options.synapse)
    for state, current in driven(options.cells):
        if options.only and state not in options.only:
            continue
        found = frames(session, current, options.repeat)
        if options.json:
            print(json.dumps({"state": state, **found}), flush=True)
            continue
        print(
            f"{state:12} {found['ms']:7.1f} ms ({found['low']:.1f} to {found['high']:.1f}), "
            f"{found['fired']:.0%} fired in a frame",
            flush=True,
        )


if __name__ == "__main__":
    main()
