"""Cells at rest are skipped: the spikes are those of a run that steps every cell."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import amphid as am
from amphid.dynamics import (
    ALIF,
    LIF,
    AdEx,
    Alpha,
    Conductance,
    Delta,
    DoubleExponential,
    Exponential,
    GapJunction,
    Neuron,
    Refractory,
    Synapse,
    ThresholdIntegrator,
)
from amphid.kernels import NotAffine, affine_near, trace
from amphid.simulation import Compiled, Stimulus
from amphid.wiring import Cells, Connections, Connectome

pytest.importorskip("numba", reason="numba is not installed")

CELLS, EDGES, STEPS, DT, DRIVEN = 211, 3499, 401, 0.5, 7
ALL, SKIPPED = Compiled(1, skip_resting=False), Compiled(1, skip_resting=True)


def wired(seed: int, *, inhibitory: float, delay: float = 1.5) -> Connectome:
    """A random connectome; a share of its cells inhibits."""
    rng = np.random.default_rng(seed)
    pre, post = rng.integers(0, CELLS, (2, EDGES))
    sign = np.where(rng.random(CELLS) < inhibitory, -1, 1)
    sign[:DRIVEN] = 1
    return Connectome(
        Cells([f"n{i}" for i in range(CELLS)]),
        Connections(pre, post, synapses=rng.integers(1, 7, EDGES), sign=sign[pre], delay=delay),
    )


def network(
    wires: Connectome, synapse: Synapse[Any] | dict[str, Any], neuron: Neuron[Any] | None = None
) -> am.Network:
    cell = neuron or Refractory(LIF(v_rest=-52.0, v_threshold=-45.0, v_reset=-52.0), period=2.0)
    return am.Network(wires, neuron=cell, synapse=synapse).double()


def kicks(seed: int = 1, *, amplitude: float = 4000.0) -> Stimulus:
    """A few cells that are made to fire at random times."""
    draw = torch.Generator().manual_seed(seed)
    fire = torch.rand(STEPS, DRIVEN, generator=draw, dtype=torch.float64) < 0.1
    return Stimulus(amplitude * fire.double(), torch.arange(DRIVEN), CELLS, DT)


def both(net: am.Network, stimulus: Stimulus) -> tuple[am.Recording, am.Recording]:
    with torch.no_grad():
        runs = [am.simulate(net, stimulus, record=("spike",), engine=e) for e in (ALL, SKIPPED)]
    return runs[0], runs[1]


def assert_same(every: am.Recording, skipped: am.Recording) -> None:
    assert torch.equal(every.spikes.index, skipped.spikes.index)
    torch.testing.assert_close(every.state.v, skipped.state.v, rtol=1e-10, atol=1e-10)
    for group, past in every.state.past.items():
        torch.testing.assert_close(past, skipped.state.past[group])


# pA a synapse, the share of cells that inhibit, and the share of time that cells spend in spikes
REGIMES = {
    "active": (20.0, 0.3, (0.02, 0.5)),
    "inhibited": (60.0, 0.9, (0.005, 0.1)),
    "saturated": (200.0, 0.1, (0.9, 1.0)),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("period", [0.5, 2.0, 7.0])
@pytest.mark.parametrize("regime", REGIMES)
def test_skipping_gives_the_same_spikes(regime: str, period: float, seed: int) -> None:
    amplitude, inhibitory, (low, high) = REGIMES[regime]
    cell = Refractory(LIF(v_rest=-52.0, v_threshold=-45.0, v_reset=-52.0), period=period)
    synapse = Exponential(tau=5.0, amplitude=amplitude)
    net = network(wired(seed, inhibitory=inhibitory), synapse, cell)
    every, skipped = both(net, kicks(seed))
    share = len(every.spikes) * period / DT / (STEPS * CELLS)
    assert low < share < high, "the network is not in the regime that its name says"
    assert_same(every, skipped)


class Resonator(Neuron[Any]):
    """A cell that rings: let go from inhibition it overshoots its rest, and may fire."""

    class State(NamedTuple):
        v: Tensor
        w: Tensor

    def init(self, like: Tensor) -> Any:
        return self.State(torch.zeros_like(like), torch.zeros_like(like))

    def step(self, state: Any, current: Tensor, dt: float) -> tuple[Any, Tensor]:
        v = state.v + dt * (-0.05 * state.v - state.w + 0.01 * current)
        w = state.w + dt * (0.15 * v - 0.05 * state.w)
        spike = (v > 4.0).to(v.dtype)
        return self.State(torch.where(spike > 0, 0.0, v), w), spike


class Late(Synapse[Any]):
    """What arrives flows two steps later, and for one step."""

    class State(NamedTuple):
        came: Tensor
        before: Tensor

    def init(self, like: Tensor) -> Any:
        return self.State(torch.zeros_like(like), torch.zeros_like(like))

    def step(self, state: Any, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[Any, Tensor]:
        return self.State(arriving, state.came), 200.0 * state.before


class TwoThresholds(Neuron[Any]):
    """A cell that fires above one threshold or another, which cells have of their own."""

    class State(NamedTuple):
        v: Tensor

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.register_buffer("first", first)
        self.register_buffer("second", second)

    def init(self, like: Tensor) -> Any:
        return self.State(torch.zeros_like(like))

    def step(self, state: Any, current: Tensor, dt: float) -> tuple[Any, Tensor]:
        v = 0.95 * state.v + 0.01 * current
        spike = ((v > self.first) | (v > self.second)).to(v.dtype)
        return self.State(torch.where(spike > 0, 0.0, v)), spike


EVEN = torch.arange(CELLS) % 2 == 0


@pytest.mark.parametrize(
    ("neuron", "synapse"),
    [
        (
            TwoThresholds(torch.where(EVEN, 3.9, 100.0), torch.where(EVEN, 100.0, 4.0)),
            Exponential(tau=5.0, amplitude=9.0),
        ),
        (LIF(v_rest=-52.0, v_threshold=-45.0), Late()),
        (LIF(v_rest=-52.0, v_threshold=-45.0), Delta(charge=300.0)),
        (LIF(v_rest=torch.linspace(-60, -50, CELLS)), Alpha(tau=3.0, amplitude=12.0)),
        (ThresholdIntegrator(), DoubleExponential(rise=1.0, decay=6.0, amplitude=9.0)),
        (ALIF(v_rest=-52.0, v_threshold=-45.0), Exponential(tau=5.0, amplitude=60.0)),
        (Resonator(), Exponential(tau=5.0, amplitude=9.0)),
        (Resonator(), Delta(charge=-300.0)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_any_cell_that_is_linear_below_threshold_is_skipped(
    neuron: Neuron[Any], synapse: Synapse[Any]
) -> None:
    net = network(wired(3, inhibitory=0.4), synapse, neuron)
    every, skipped = both(net, kicks())
    assert len(every.spikes) > CELLS
    assert_same(every, skipped)


def test_cells_that_are_not_linear_are_skipped_where_nothing_changes() -> None:
    groups = {
        "excitatory": Conductance(tau=5.0, conductance=3.0, reversal=0.0),
        "inhibitory": Conductance(tau=9.0, conductance=5.0, reversal=-80.0),
    }
    net = network(wired(2, inhibitory=0.2, delay=2.0), groups, AdEx())
    every, skipped = both(net, kicks(amplitude=9000.0))
    assert len(every.spikes) > CELLS
    assert torch.equal(every.spikes.index, skipped.spikes.index)
    assert torch.equal(every.state.v, skipped.state.v)


def test_two_groups_of_different_delay_are_skipped_alike() -> None:
    wires = wired(5, inhibitory=0.4).connections
    delay = np.where(wires.sign > 0, 1.0, 3.0)
    parts = wires.pre, wires.post
    moved = Connections(*parts, synapses=wires.synapses, sign=wires.sign, delay=delay)
    groups = {
        "excitatory": Exponential(tau=5.0, amplitude=9.0),
        "inhibitory": Exponential(tau=9.0, amplitude=-9.0),
    }
    net = network(Connectome(wired(5, inhibitory=0.4).cells, moved), groups)
    assert_same(*both(net, kicks()))


def test_a_group_without_connections_is_skipped_with_the_others() -> None:
    groups = {
        "excitatory": Exponential(tau=5.0, amplitude=9.0),
        "inhibitory": Exponential(tau=9.0, amplitude=-9.0),
    }
    every, skipped = both(network(wired(5, inhibitory=0.0), groups), kicks())
    assert len(every.spikes) > CELLS
    assert_same(every, skipped)


@pytest.mark.parametrize("first", [1, 2, 3, 131])
def test_a_run_cut_in_two_is_the_whole_run(first: int) -> None:
    net, stimulus = network(wired(0, inhibitory=0.3), Exponential(tau=5.0, amplitude=6.0)), kicks()
    pieces = [Stimulus(c, stimulus.cells, CELLS, DT) for c in (stimulus.current[:first],
              stimulus.current[first:])]  # fmt: skip
    with torch.no_grad():
        whole = am.simulate(net, stimulus, engine=SKIPPED)
        one = am.simulate(net, pieces[0], engine=SKIPPED)
        two = am.simulate(net, pieces[1], engine=ALL, state=one.state)
        three = am.simulate(net, pieces[1], engine=SKIPPED, state=one.state)
    for rest in (two, three):
        joined = torch.cat((one.spikes.dense(), rest.spikes.dense()))
        assert torch.equal(joined, whole.spikes.dense())


def test_variables_are_sampled_as_if_all_cells_were_stepped() -> None:
    net = network(wired(0, inhibitory=0.3), Exponential(tau=5.0, amplitude=6.0))
    with torch.no_grad():
        every, skipped = (
            am.simulate(net, kicks(), record=("v", "spike", "chemical.s"), every=3, engine=engine)
            for engine in (ALL, SKIPPED)
        )
    torch.testing.assert_close(every.v, skipped.v, rtol=1e-10, atol=1e-10)
    s = "chemical.s"
    torch.testing.assert_close(every.fields[s], skipped.fields[s], rtol=1e-9, atol=1e-9)


def test_trials_side_by_side_are_skipped_each_for_itself() -> None:
    net = network(wired(0, inhibitory=0.3), Exponential(tau=5.0, amplitude=6.0))
    every, skipped = both(net, am.batch(kicks(1), kicks(2), kicks(3)))
    assert torch.equal(every.spikes.index, skipped.spikes.index)


def test_skipping_stops_by_itself_where_most_cells_are_awake() -> None:
    rng = np.random.default_rng(0)
    size = 2111  # large enough for the engine to think of it
    pre, post = rng.integers(0, size, (2, 20 * size))
    wires = Connectome(
        Cells([f"n{i}" for i in range(size)]), Connections(pre, post, sign=1, delay=1.5)
    )
    draw = torch.Generator().manual_seed(1)
    fire = torch.rand(STEPS, DRIVEN, generator=draw) < 0.1
    stimulus = Stimulus(4000.0 * fire, torch.arange(DRIVEN), size, DT)
    left_alone = []
    for amplitude in (4.0, 400.0):
        net = am.Network(wires, neuron=LIF(), synapse=Exponential(tau=5.0, amplitude=amplitude))
        with torch.no_grad():
            runs = [am.simulate(net, stimulus, engine=e) for e in (Compiled(1), ALL)]
        left_alone.append(runs[0].notes[0].rpartition("resting cells skipped")[2])
        assert torch.equal(runs[0].spikes.index, runs[1].spikes.index)
    assert left_alone[0] == ""
    assert 0 < int(left_alone[1].split()[1].rstrip("%")) < 70


def test_what_cannot_be_skipped_is_said() -> None:
    wires = Connectome(Cells(["a", "b"]), Connections([0], [1], kind="electrical"))
    net = am.Network(wires, neuron=LIF(), synapse={"electrical": GapJunction(conductance=1.0)})
    with pytest.raises(ValueError, match="cannot be skipped here: gap junctions carry current"):
        am.simulate(net, am.pulse(wires, "a", amplitude=1.0, duration=5.0, dt=0.5), engine=SKIPPED)


def test_a_step_is_found_to_be_linear_with_its_conditions() -> None:
    cell = Refractory(LIF(tau=10.0, resistance=0.1, v_rest=-65.0, v_threshold=-50.0), period=2.0)
    like = torch.zeros(5, dtype=torch.float64)
    state = cell.init(like)
    traced = trace(lambda state, current: cell.step(state, current, DT), state, like)
    step = affine_near(traced, [state.v, state.held, like])
    left = np.exp(-DT / 10.0)
    np.testing.assert_allclose(step.outputs[0].slope, [left, 0, 0.1 * (1 - left)], rtol=1e-14)
    assert float(step.outputs[0].offset) == pytest.approx(-65.0 * (1 - left))
    margins = [condition.margin for condition in step.conditions if condition.margin.slope[0]]
    np.testing.assert_allclose(margins[0].slope, -step.outputs[0].slope)


@pytest.mark.parametrize("step", [lambda x: x * x, lambda x: torch.exp(x), lambda x: 1 / x])
def test_a_step_that_bends_is_not_taken_for_linear(step: Any) -> None:
    x = torch.ones(3, dtype=torch.float64)
    with pytest.raises(NotAffine):
        affine_near(trace(step, x), [x])


def test_a_product_with_nothing_does_not_bend_a_step() -> None:
    """As the release of a synapse with short-term plasticity where no spike is."""
    x = torch.ones(3, dtype=torch.float64)

    def step(x: Tensor, u: Tensor, spike: Tensor) -> Tensor:
        return 0.9 * x - x * u * spike

    traced, point = trace(step, x, x, x), [x, x, torch.zeros(1)]
    with pytest.raises(NotAffine):
        affine_near(traced, point)
    silent = affine_near(traced, point, [False, False, True])
    np.testing.assert_allclose(silent.outputs[0].slope, [0.9, 0, 0])


def test_what_cells_are_may_send_few_of_them_another_way() -> None:
    alive = torch.tensor([True, True, False, True, True])
    x = torch.ones(5, dtype=torch.float64)
    step = affine_near(trace(lambda x: torch.where(alive, 0.9 * x, 0.5 * x), x), [x])
    np.testing.assert_allclose(step.outputs[0].slope, [0.9])
    (others,) = [own.margin for own in step.conditions if own.margin.constant]
    assert ((others.offset >= 0) == alive).all()
