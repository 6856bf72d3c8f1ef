"""The compiled engine gives the spikes of the torch engine, however cells and runs are cut."""

from __future__ import annotations

import inspect
import os
import signal
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import amphid as am
from amphid import dynamics
from amphid.dynamics import (
    ALIF,
    LIF,
    Conductance,
    Delta,
    Exponential,
    GapJunction,
    Graded,
    GradedSynapse,
    Neuron,
    Refractory,
    ShortTerm,
    Synapse,
)
from amphid.kernels import UnknownOperation
from amphid.simulation import Compiled, Stimulus
from amphid.simulation.compiled.edges import order_of
from amphid.wiring import Cells, Connections, Connectome
from engine_cases import Cases, hearing_interrupts, same

pytest.importorskip("numba", reason="numba is not installed")

CELLS, EDGES, STEPS, DT = 71, 499, 397, 0.5
TORCH = am.Torch(implicit=False)
CASES = Cases(CELLS, EDGES, STEPS, DT)
NEURONS, SYNAPSES = CASES.neurons(), CASES.synapses()
each, drawn, network, drive = CASES.each, CASES.drawn, CASES.network, CASES.drive


def both(net: am.Network, current: Any, **given: Any) -> tuple[am.Recording, am.Recording]:
    """The recordings of the torch engine and of the compiled one."""
    given = {"dt": DT, "state": net.rest(DT)} | given
    with torch.no_grad():
        return (
            am.simulate(net, current, engine=TORCH, **given),
            am.simulate(net, current, engine=Compiled(), **given),
        )


def concrete(kind: type) -> set[type]:
    below = {leaf for child in kind.__subclasses__() for leaf in concrete(child) | {child}}
    own = {leaf for leaf in below if leaf.__module__.startswith("amphid.dynamics")}
    return {leaf for leaf in own if not inspect.isabstract(leaf)}


def test_the_lists_hold_every_neuron_and_synapse() -> None:
    assert {type(make()) for make, _ in NEURONS.values()} == concrete(Neuron)
    made = {type(make()) for make in SYNAPSES.values()}
    assert made == concrete(Synapse) - {GapJunction, GradedSynapse}


@pytest.mark.parametrize(("make", "mean"), NEURONS.values(), ids=NEURONS.keys())
def test_every_neuron_fires_the_spikes_of_the_torch_engine(make: Any, mean: float) -> None:
    net, dt = network(make()), 0.05  # at which explicit steps will do
    spikes = ["spike"] if net.neuron.output == "spike" else []
    given = {"record": ["v", net.neuron.output, *spikes], "dt": dt, "state": net.rest(dt)}
    theirs, ours = both(net, drive(3 * mean), **given)
    assert ours.notes == ("compiled engine, explicit steps, double precision",)
    assert float(theirs.v.std()) > 0
    same(ours, theirs)


@pytest.mark.parametrize("make", SYNAPSES.values(), ids=SYNAPSES.keys())
@pytest.mark.parametrize("delays", [False, True])
def test_every_synapse_carries_the_spikes_of_the_torch_engine(make: Any, delays: bool) -> None:
    net = network(LIF(), make(), drawn(delays=delays))
    theirs, ours = both(net, drive(130.0), record=["v", "spike"])
    same(ours, theirs)


@pytest.mark.parametrize("every", [1, 3, 500])
def test_sampled_variables_of_cells_and_synapses_are_those_of_the_torch_engine(every: int) -> None:
    synapse = Conductance(tau=5.0, conductance=0.7, reversal=0.0)
    net = network(Refractory(ALIF()), synapse)
    names = ["v", "threshold", "held", "excitatory.g", "inhibitory.s", "spike"]
    same(*both(net, drive(200.0), record=names, every=every)[::-1])


def test_variables_of_mixed_cells_are_sampled() -> None:
    net = network(NEURONS["Mixed with release"][0]())
    names = ["v", "release", "output", "chemical.s"]
    same(*both(net, drive(180.0), record=names, every=7)[::-1])


@pytest.mark.parametrize("kind", ["Refractory around Mixed", "Mixed of Mixed"])
def test_a_mixture_inside_goes_on_from_the_state_of_either_engine(kind: str) -> None:
    make, mean = NEURONS[kind]
    alive = (torch.arange(CELLS) % 5 > 0).double()
    for neuron in (make(), dynamics.Ablated(make(), alive=torch.stack((alive, 1 - alive)))):
        net, current = network(neuron), drive(3 * mean, 2)
        given = {"dt": 0.05, "record": ["v", "spike"] if net.neuron.output == "spike" else ["v"]}
        with torch.no_grad():
            start = {"state": net.init(torch.zeros(2, CELLS).double(), net.wires(0.05))}
            whole = am.simulate(net, current, engine=TORCH, **given, **start)
            for one, two in ((TORCH, Compiled()), (Compiled(), TORCH), (Compiled(), Compiled())):
                first = am.simulate(net, current[:201], engine=one, **given, **start)
                then = {"state": first.state}
                second = am.simulate(net, current[201:], engine=two, **given, **then)
                joined = torch.cat((first.v, second.v))
                torch.testing.assert_close(joined, whole.v, rtol=1e-9, atol=1e-9)
                torch.testing.assert_close(second.state, whole.state, rtol=1e-9, atol=1e-9)


def test_a_network_without_connections_runs() -> None:
    wired = Connectome(Cells([f"n{i}" for i in range(CELLS)]), Connections())
    net = am.Network(wired, neuron=LIF(), synapse=Delta(charge=1.0)).double()
    same(*both(net, drive(150.0))[::-1])
    same(*both(am.Network(wired, neuron=LIF()).double(), drive(150.0))[::-1])


def test_nothing_at_all_is_stepped_as_the_torch_engine_steps_it() -> None:
    nobody = am.Network(Connectome(Cells([]), Connections()), neuron=LIF()).double()
    for net, current in ((nobody, torch.zeros(7, 0)), (network(LIF()), torch.zeros(7, 0, CELLS))):
        theirs, ours = both(net, current.double(), record=["v", "spike"], state=None)
        assert ours.notes[-1] == "not compiled: there is no cell, or no trial, to step"
        assert ours.v.shape == theirs.v.shape == current.shape
        assert ours.spikes.shape == tuple(current.shape)


def test_a_current_that_tires_may_carry_its_sign_in_the_weights() -> None:
    wired = drawn(junctions=0.0)
    tiring = ShortTerm(Exponential(tau=5.0, amplitude=60.0), use=0.4, recovery=120.0)
    net = am.Network(wired, neuron=LIF(), synapse=tiring).double()
    same(*both(net, drive(150.0), record=["v", "spike"])[::-1])


def test_one_cell_alone_runs() -> None:
    wired = Connectome(Cells(["only"]), Connections([0], [0], sign=[-1]))
    net = am.Network(wired, neuron=LIF(), synapse=Delta(charge=9.0)).double()
    same(*both(net, drive(400.0)[:, :1], record=["v"])[::-1])


def test_equal_weights_and_lags_are_carried_alike() -> None:
    for delays in (False, True):
        wired = drawn(delays=delays, junctions=0.0)
        net = network(LIF(), wired=wired, weight=torch.full((EDGES,), 2.0))
        same(*both(net, drive(150.0))[::-1])


def test_a_stimulus_of_some_cells_is_that_of_all() -> None:
    cells = torch.tensor([5, 2, 70, 2])  # one of them twice
    stimulus = Stimulus(drive(700.0)[:, :4], cells, CELLS, DT)
    net = network(LIF())
    theirs, ours = both(net, stimulus, dt=None, record=["v", "spike"])
    same(ours, theirs)
    same(both(net, stimulus.dense(), record=["v", "spike"])[1], theirs)


def test_a_batch_of_stimuli_weights_and_values_runs_trial_by_trial() -> None:
    values = torch.linspace(0.09, 0.13, 3, dtype=torch.float64)[:, None]
    weight = torch.rand(3, EDGES, generator=torch.Generator().manual_seed(2)) * 6
    for net in (
        network(LIF(resistance=values)),
        network(LIF(), weight=weight),
        network(LIF(resistance=values, tau=each(20.0)), weight=weight),
    ):
        for current in (drive(150.0), drive(150.0, 3), drive(150.0, 2, 1)):
            theirs, ours = both(net, current, record=["v", "spike"], state=None)
            same(ours, theirs)


@pytest.mark.parametrize("threads", [1, 2, None])
def test_the_number_of_threads_changes_nothing(threads: int | None) -> None:
    net, current = network(LIF()), drive(150.0, 5)
    with torch.no_grad():
        theirs = am.simulate(net, current, dt=DT, engine=TORCH, record=["v", "spike"])
        engine = Compiled(threads=threads)
        same(am.simulate(net, current, dt=DT, engine=engine, record=["v", "spike"]), theirs)


def test_a_run_goes_on_from_the_state_of_either_engine() -> None:
    net, current = network(LIF(), SYNAPSES["ShortTerm"]()), drive(150.0)
    with torch.no_grad():
        whole = am.simulate(net, current, dt=DT, engine=TORCH, record=["v"])
        for first, second in ((TORCH, Compiled()), (Compiled(), TORCH), (Compiled(), Compiled())):
            parts, state, pieces = [], None, current.split([3, 200, 194])
            for engine, piece in zip((first, second, first), pieces, strict=True):
                run = am.simulate(net, piece, dt=DT, engine=engine, state=state, record=["v"])
                parts, state = [*parts, run.v], run.state
            torch.testing.assert_close(torch.cat(parts), whole.v, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(state, whole.state, rtol=1e-10, atol=1e-10)


def test_the_state_that_a_run_starts_from_is_left_alone() -> None:
    net = network(LIF())
    state = net.rest(DT)
    before = state.v.clone()
    with torch.no_grad():
        am.simulate(net, drive(150.0), dt=DT, engine=Compiled(), state=state)
    assert torch.equal(state.v, before)


def test_the_order_of_cells_changes_nothing() -> None:
    wired, current = drawn(), drive(150.0)
    order = np.random.default_rng(3).permutation(CELLS)
    plain = both(network(LIF(), wired=wired), current)[1]
    turned = both(network(LIF(), wired=wired.subset(*order)), current[:, order])[1]
    assert torch.equal(turned.spike, plain.spike[:, order])


def test_more_spikes_than_there_is_room_for_are_all_kept(monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.program.ROOM", 1)
    theirs, ours = both(network(LIF()), drive(900.0, 2), state=None)
    assert len(theirs.spikes) > 4 * CELLS
    same(ours, theirs)


def test_single_precision_fires_about_the_same_spikes() -> None:
    net, current = network(LIF()), drive(150.0)
    exact = both(net, current)[1]
    single = both(net.float(), current.float(), state=None)[1]
    assert single.notes == ("compiled engine, explicit steps, single precision",)
    assert single.state.v.dtype == torch.float32
    assert abs(len(single.spikes) / len(exact.spikes) - 1) < 0.02
    assert float((single.spike != exact.spike).sum()) < 0.05 * len(exact.spikes)


def test_an_interrupted_run_returns_what_was_run() -> None:
    def stop(done: int, steps: int) -> None:
        if done >= 40:
            os.kill(os.getpid(), signal.SIGINT)

    net, current = network(LIF()), drive(150.0, 2)
    given = {"dt": DT, "engine": Compiled(), "record": ["v", "spike"]}
    with torch.no_grad(), hearing_interrupts():
        whole = am.simulate(net, current, **given)
        part = am.simulate(net, current, progress=stop, **given)
    assert 40 <= part.steps < STEPS
    assert f"interrupted after {part.steps} of {STEPS} steps" in part.notes[0]
    assert torch.equal(part.v, whole.v[: part.steps])
    assert torch.equal(part.spike, whole.spike[: part.steps])


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    with torch.no_grad():
        am.simulate(
            network(LIF()), drive(150.0), dt=DT, engine=Compiled(),
            progress=lambda done, steps: told.append((done, steps)),
        )  # fmt: skip
    assert told[-1] == (STEPS, STEPS)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


class Counting(Neuron[dynamics.integrate_and_fire.LIFState]):
    """A neuron that reads other cells."""

    def init(self, like: Tensor) -> Any:
        return dynamics.integrate_and_fire.LIFState(torch.zeros_like(like))

    def step(self, state: Any, current: Tensor, dt: float) -> Any:
        return state, (state.v + current.cumsum(-1) > 0).to(state.v)


def test_a_neuron_that_cannot_be_compiled_is_refused_by_the_name_of_what_it_does() -> None:
    with pytest.raises(UnknownOperation, match=r"aten.cumsum.*Torch\(\)"):
        both(network(Counting()), drive(1.0))


def test_values_of_two_types_are_refused() -> None:
    single = network(LIF()).float().rest(DT)
    with pytest.raises(ValueError, match=r"in torch.float32, the network in torch.float64"):
        am.simulate(network(LIF()), drive(1.0), dt=DT, state=single, engine=Compiled())
    net = network(LIF()).float()
    net.neuron.tau = each(20.0)
    with pytest.raises(UnknownOperation, match=r"torch.float32 into one in torch.float64"):
        am.simulate(net, drive(1.0), dt=DT, engine=Compiled())


@pytest.mark.parametrize("engine", [TORCH, Compiled()])
def test_variables_that_are_not_there_are_named_alike(engine: Any) -> None:
    for name, told in (("w", "has no variable"), ("chemical.x", "variables of chemical are")):
        with pytest.raises(KeyError, match=told):
            am.simulate(network(LIF()), drive(1.0), dt=DT, engine=engine, record=[name])
    with pytest.raises(KeyError, match="give out 'release' instead"):
        am.simulate(network(Graded()), drive(1.0), dt=0.05, engine=engine, record=["spike"])


@pytest.mark.parametrize("threads", [0, -1, 1.5])
def test_a_number_of_threads_that_makes_no_sense_is_refused(threads: Any) -> None:
    with pytest.raises(ValueError, match="threads must be a number of threads"):
        Compiled(threads=threads)


@pytest.mark.parametrize("largest", [7, 70_000, 2**40])
def test_connections_are_ordered_as_sorting_would(largest: int) -> None:
    cells = np.random.default_rng(1).integers(0, largest, 997)
    assert np.array_equal(order_of(cells), np.argsort(cells, kind="stable"))
