"""Cells at rest are skipped, whatever their synapses release and what they keep for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import amphid as am
from amphid.dynamics import (
    LIF,
    Conductance,
    Exponential,
    LeakyIntegrator,
    Neuron,
    Refractory,
    ShortTerm,
    Synapse,
)
from amphid.simulation import Compiled, Stimulus
from amphid.wiring import Cells, Connections, Connectome

pytest.importorskip("numba", reason="numba is not installed")

CELLS, EDGES, STEPS, DT, DRIVEN = 211, 3499, 401, 0.5, 7
ALL, SKIPPED = Compiled(1, skip_resting=False), Compiled(1, skip_resting=True)


def wired(delay: tuple[float, float] = (1.5, 1.5)) -> Connectome:
    """A random connectome, three in ten of its cells inhibit; delays of both kinds in ms."""
    rng = np.random.default_rng(0)
    pre, post = rng.integers(0, CELLS, (2, EDGES))
    sign = np.where(rng.random(CELLS) < 0.3, -1, 1)
    sign[:DRIVEN] = 1
    joined = Connections(
        pre,
        post,
        synapses=rng.integers(1, 7, EDGES),
        sign=sign[pre],
        delay=np.where(sign[pre] > 0, *delay),
    )
    return Connectome(Cells([f"n{i}" for i in range(CELLS)]), joined)


def network(
    excitatory: Any, neuron: Neuron[Any] | None = None, *, delay: tuple[float, float] = (1.5, 1.5)
) -> am.Network:
    cell = neuron or Refractory(LIF(v_rest=-52.0, v_threshold=-45.0, v_reset=-52.0), period=2.0)
    groups = {"excitatory": excitatory, "inhibitory": Exponential(tau=9.0, amplitude=-9.0)}
    return am.Network(wired(delay), neuron=cell, synapse=groups).double()


def kicks(seed: int = 1, *, share: float = 0.1) -> Stimulus:
    """A few cells that are made to fire at random times."""
    draw = torch.Generator().manual_seed(seed)
    fire = torch.rand(STEPS, DRIVEN, generator=draw, dtype=torch.float64) < share
    return Stimulus(4000.0 * fire.double(), torch.arange(DRIVEN), CELLS, DT)


def both(net: am.Network, stimulus: Stimulus, **options: Any) -> list[am.Recording]:
    with torch.no_grad():
        return [am.simulate(net, stimulus, engine=engine, **options) for engine in (ALL, SKIPPED)]


def depressing(inside: Any) -> ShortTerm:
    return ShortTerm(inside, use=0.6, recovery=90.0, facilitation=50.0)


@pytest.mark.parametrize(
    ("inside", "chosen"),
    [
        (Exponential(tau=5.0, amplitude=20.0), None),
        (Conductance(tau=0.5, conductance=5.0, reversal=0.0), ["n0", "n3", "n19", "n210"]),
    ],
    ids=["linear, all cells", "bent, chosen cells"],
)
def test_what_silent_cells_keep_for_their_releases_is_sampled_as_it_is_then(
    inside: Any, chosen: list[str] | None
) -> None:
    names = ("excitatory.x", "excitatory.u")
    record = {"spike": None, "v": None, **dict.fromkeys(names, chosen)}
    every, skipped = both(network(depressing(inside)), kicks(), record=record, every=3)
    assert len(every.spikes) > 50
    assert torch.equal(every.spikes.index, skipped.spikes.index)
    for name in names:
        assert every.fields[name].std(0).max() > 0.05, "nothing recovers in between"
        torch.testing.assert_close(every.fields[name], skipped.fields[name], rtol=0, atol=1e-10)
    torch.testing.assert_close(every.state.synapses, skipped.state.synapses)


class TakesVoltage(Synapse[Any]):
    """A current in proportion to the voltage of the cell before it, one step late."""

    takes = "v"

    class State(NamedTuple):
        s: Tensor

    def init(self, like: Tensor) -> Any:
        return self.State(torch.zeros_like(like))

    def step(self, state: Any, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[Any, Tensor]:
        return self.State(arriving), 0.02 * arriving


def test_cells_that_give_out_something_else_than_spikes_are_not_skipped() -> None:
    """Though they give out nothing at rest."""
    net = am.Network(wired(), neuron=LeakyIntegrator(), synapse=TakesVoltage()).double()
    with pytest.raises(ValueError, match="cells give out something else than spikes"):
        am.simulate(net, kicks(), record=("v",), engine=SKIPPED)
