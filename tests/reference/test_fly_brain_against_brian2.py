"""The fly's brain against the published equations in Brian2: a small network of the same kind."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import amphid as am
from amphid import models, wiring

with warnings.catch_warnings():
    # Brian2 2.9 uses names that newer pyparsing renamed.
    warnings.filterwarnings("ignore", ".*deprecated.* use ", DeprecationWarning)
    brian2 = pytest.importorskip(
        "brian2", reason="Brian2 is not installed here", exc_type=ImportError
    )

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore:.*deprecated.* use :DeprecationWarning"),
]

CELLS, DRIVEN, DURATION, DT = 211, 13, 300.0, 0.1
EQUATIONS = """
dv/dt = (-52 - v + g)/(20*ms) : 1 (unless refractory)
dg/dt = -g/(5*ms) : 1 (unless refractory)
held : second
"""

Trains = list[tuple[int, int]]


def brain() -> wiring.Connectome:
    g = torch.Generator().manual_seed(3)
    return wiring.heavy_tailed(CELLS, outdegree=17.0, synapses=11.0, generator=g)


def kicks() -> Any:
    """[T, DRIVEN] whether a cell is kicked in a step, never twice in a row."""
    hits = np.random.default_rng(7).random((round(DURATION / DT), DRIVEN)) < 0.015
    hits[1:] &= ~hits[:-1]
    hits[0] = hits[-1] = False
    return hits


def theirs() -> Trains:
    """Steps and cells of all spikes in Brian2; what it is told in a step acts in the next."""
    brian2.prefs.codegen.target = "numpy"
    brian2.start_scope()
    wires = brain().connections
    cells = brian2.NeuronGroup(
        CELLS, EQUATIONS, threshold="v > -45", reset="v = -52; g = 0", refractory="held",
        method="exact", dt=DT * brian2.ms, namespace={},
    )  # fmt: skip
    cells.v, cells.held = -52, np.where(np.arange(CELLS) < DRIVEN, 0.0, 2.2) * brian2.ms
    joined = brian2.Synapses(cells, cells, "w : 1", on_pre="g += w", delay=1.8 * brian2.ms)
    joined.connect(i=wires.pre, j=wires.post)
    joined.w = 0.275 * wires.synapses.astype(float) * wires.sign
    step, cell = np.nonzero(kicks())
    source = brian2.SpikeGeneratorGroup(
        DRIVEN, cell, (step - 1) * DT * brian2.ms, dt=DT * brian2.ms
    )
    drive = brian2.Synapses(source, cells, on_pre="v += 68.75")
    drive.connect(i=np.arange(DRIVEN), j=np.arange(DRIVEN))
    spikes = brian2.SpikeMonitor(cells)
    network = brian2.Network(cells, joined, source, drive, spikes)
    network.run(DURATION * brian2.ms)
    when = np.rint(np.asarray(spikes.t / brian2.ms) / DT).astype(int)
    return sorted(zip(when.tolist(), np.asarray(spikes.i).tolist(), strict=True))


@torch.no_grad()
def ours() -> Trains:
    torch.set_default_dtype(torch.float64)
    try:
        net = models.fly_brain(brain(), driven=range(DRIVEN)).double()
        charge = 68.75 / net.neuron.lift(DT) * 5.0  # type: ignore[operator]
        current = torch.zeros(round(DURATION / DT), CELLS)
        current[:, :DRIVEN] = torch.from_numpy(kicks()) * (charge / DT)
        step, cell = am.simulate(net, current, dt=DT, record=("spike",)).spikes.index
        return sorted(zip(step.tolist(), cell.tolist(), strict=True))
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_fly_brain_fires_the_spikes_that_brian2_makes_of_its_equations() -> None:
    """All of them, each in its step."""
    mine, his = ours(), theirs()
    assert mine == his
    assert len({cell for _, cell in mine}) > 2 * DRIVEN
    assert len(mine) > 500
