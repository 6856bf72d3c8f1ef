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


class Graded(Neuron[Any]):
    """A cell that gives out nothing up to 0.5 mV and all the more above, no spikes."""

    output = "release"

    class State(NamedTuple):
        v: Tensor
        release: Tensor

    def init(self, like: Tensor) -> Any:
        return self.State(torch.zeros_like(like), torch.zeros_like(like))

    def step(self, state: Any, current: Tensor, dt: float) -> tuple[Any, Tensor]:
        v = 0.9 * state.v + 0.01 * current
        release = torch.relu(v - 0.5)
        return self.State(v, release), release


class TakesRelease(TakesVoltage):
    takes = "release"


@pytest.mark.parametrize(
    ("neuron", "synapse"),
    [(LeakyIntegrator(), TakesVoltage()), (Graded(), TakesRelease())],
    ids=lambda own: type(own).__name__,
)
def test_cells_that_give_out_something_else_than_spikes_send_that(
    neuron: Neuron[Any], synapse: Synapse[Any]
) -> None:
    """Though they give out nothing at rest; a run from a state under way as well."""
    net, stimulus = am.Network(wired(), neuron=neuron, synapse=synapse).double(), kicks(share=0.02)
    every, skipped = both(net, stimulus, record=("v",))
    assert every.v.std(0).median() > 0
    torch.testing.assert_close(every.v, skipped.v, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(every.state.past, skipped.state.past)
    torch.testing.assert_close(every.state.given, skipped.state.given)
    every, skipped = both(net, stimulus, record=("v",), state=skipped.state)
    torch.testing.assert_close(every.v, skipped.v, rtol=1e-10, atol=1e-12)


class Kept(NamedTuple):
    """What synapses of these tests keep."""

    s: Tensor  # what flows, of the cell that receives
    u: Tensor  # of the cell that releases
    other: Tensor


class Releasing(Synapse[Kept]):
    """A synapse whose releases hang on `u`: abstract, each moves it in a way of its own."""

    def init(self, like: Tensor) -> Kept:
        return Kept(*(torch.full_like(like, own) for own in (0.0, 0.0, 0.5)))

    def step(self, state: Kept, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[Kept, Tensor]:
        s = 0.8 * state.s + arriving
        return state._replace(s=s), 30.0 * s


class Tiring(Releasing):
    """A spike releases less after another."""

    def release(self, state: Kept, output: Tensor, dt: float) -> tuple[Kept, Tensor]:
        u = 0.99 * (state.u + 0.5 * (1 - state.u) * output)
        return state._replace(u=u), (1 - state.u) * output


class FromNothing(Releasing):
    """The first spike releases nothing at all."""

    def release(self, state: Kept, output: Tensor, dt: float) -> tuple[Kept, Tensor]:
        u = 0.99 * (state.u + 0.5 * (1 - state.u) * output)
        return state._replace(u=u), state.u * output


class Afterglow(Releasing):
    """A spike leaves a mark that is gone in the next step, and by which another trace grows."""

    def release(self, state: Kept, output: Tensor, dt: float) -> tuple[Kept, Tensor]:
        other = 0.95 * state.other + 0.5 * state.u
        return state._replace(u=0.9 * output, other=other), (1 - state.u) * other * output


class FlowRead(Releasing):
    """What a spike releases hangs on what flows into the cell."""

    def release(self, state: Kept, output: Tensor, dt: float) -> tuple[Kept, Tensor]:
        u = 0.99 * state.u + 0.3 * output
        return state._replace(u=u), (1 + 0.1 * state.s - 0.2 * state.u) * output


@pytest.mark.parametrize("synapse", [Afterglow(), FlowRead()], ids=lambda own: type(own).__name__)
def test_any_release_that_recovers_by_a_linear_map_is_skipped(synapse: Releasing) -> None:
    every, skipped = both(network(synapse), kicks(share=0.3))
    assert len(every.spikes) > CELLS
    assert torch.equal(every.spikes.index, skipped.spikes.index)
    torch.testing.assert_close(every.state.synapses, skipped.state.synapses, rtol=0, atol=1e-10)


def test_a_spike_under_way_that_released_nothing_is_not_lost() -> None:
    """The group that keeps its spikes longest is not the one by which they are known."""
    net, stimulus = network(FromNothing(), delay=(3.0, 1.5)), kicks(share=0.3)
    with torch.no_grad():
        step, cell = am.simulate(net, stimulus, engine=ALL).spikes.index
        wires = net.connectome.connections
        inhibits = np.isin(cell, wires.pre[wires.sign < 0])
        cut = int(step[torch.from_numpy(inhibits)][0]) + 2
        first, second = stimulus.current[:cut], stimulus.current[cut:]
        state = am.simulate(net, Stimulus(first, stimulus.cells, CELLS, DT), engine=ALL).state
    every, skipped = both(net, Stimulus(second, stimulus.cells, CELLS, DT), state=state)
    assert len(every.spikes) > CELLS
    assert torch.equal(every.spikes.index, skipped.spikes.index)
    torch.testing.assert_close(every.state.v, skipped.state.v, rtol=0, atol=1e-10)


class MovedTwice(Tiring):
    def step(self, state: Kept, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[Kept, Tensor]:
        after, current = super().step(state, arriving, v_post, dt)
        return after._replace(u=0.9 * state.u + 0.05), current


class ReadByStep(Tiring):
    def step(self, state: Kept, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[Kept, Tensor]:
        after, current = super().step(state, arriving, v_post, dt)
        return after, current + 60.0 * state.u


class ReadWhereNothingIsLinear(ReadByStep):
    def step(self, state: Kept, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[Kept, Tensor]:
        after, current = super().step(state, arriving, v_post, dt)
        return after, current * (1 + 0.1 * v_post * state.u)


class MovedByFlow(Releasing):
    def release(self, state: Kept, output: Tensor, dt: float) -> tuple[Kept, Tensor]:
        return state._replace(u=0.9 * state.u + 0.05 * state.s), (1 - state.u) * output


class MovedToTarget(Releasing):
    def release(self, state: Kept, output: Tensor, dt: float) -> tuple[Kept, Tensor]:
        u = state.u + 0.5 * (1 - state.u) * output
        return state._replace(u=u + 0.1 * (state.other - u)), (1 - state.u) * output


class BoundedByMark(Releasing):
    def release(self, state: Kept, output: Tensor, dt: float) -> tuple[Kept, Tensor]:
        u = torch.where(state.other > 0.7, state.u, 0.9 * state.u) + 0.1 * output
        return state._replace(u=u, other=output), (1 - state.u) * output


@pytest.mark.parametrize(
    ("synapse", "why"),
    [
        (MovedTwice(), "read or moved in every step"),
        (ReadByStep(), "read or moved in every step"),
        (ReadWhereNothingIsLinear(), "read or moved in every step"),
        (MovedByFlow(), "depends on earlier releases"),
        (MovedToTarget(), "depends on earlier releases"),
        (BoundedByMark(), "depends on earlier releases"),
    ],
    ids=lambda own: type(own).__name__ if isinstance(own, Synapse) else "",
)
def test_a_release_that_hangs_on_more_than_earlier_ones_is_not_skipped(
    synapse: Releasing, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        am.simulate(network(synapse), kicks(), engine=SKIPPED)
