"""Trials stepped side by side give what the torch engine gives, in joint steps as in explicit ones.

Tiles are made eight trials wide here, so that a batch of eleven has a whole tile and a part of one.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import amphid as am
from amphid import dynamics
from amphid.dynamics import (
    ALIF,
    LIF,
    Ablated,
    AdEx,
    BinaryThreshold,
    ClearingLIF,
    EscapeRate,
    FitzHughNagumo,
    GapJunction,
    Graded,
    GradedSynapse,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrator,
    Mixed,
    MorrisLecar,
    Refractory,
    SigmoidRelease,
    ThresholdIntegrator,
)
from amphid.simulation import Compiled, Stimulus
from amphid.simulation.compiled.joint import BothWays, Elimination
from amphid.simulation.wires import Wires
from amphid.wiring import Cells, Connections, Connectome
from engine_cases import Cases, hearing_interrupts, seeded
from engine_cases import same as same_runs

pytest.importorskip("numba", reason="numba is not installed")

CELLS, EDGES, STEPS, TRIALS, DT = 29, 151, 101, 11, 0.5
CASES = Cases(CELLS, EDGES, STEPS, DT, junctions=0.3)
SYNAPSES = CASES.synapses()
each, drawn, network, drive = CASES.each, CASES.drawn, CASES.network, CASES.drive


@pytest.fixture(autouse=True)
def narrow_tiles(monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.tiles.WIDEST", 8)


# each with a mean current in pA and a time step in ms at which most of them fire or release
NEURONS: dict[str, tuple[Any, float, float]] = {
    "LIF": (LIF, 200.0, DT),
    "LIF per cell": (lambda: LIF(tau=each(20.0), resistance=each(0.1)), 200.0, DT),
    "ThresholdIntegrator": (ThresholdIntegrator, 90.0, DT),
    "LeakyIntegrator": (LeakyIntegrator, 100.0, DT),
    "ALIF": (ALIF, 250.0, DT),
    "Izhikevich": (Izhikevich, 250.0, DT),
    "AdEx": (AdEx, 1200.0, DT),
    "HodgkinHuxley": (HodgkinHuxley, 900.0, 0.05),
    "HodgkinHuxley releasing": (lambda: HodgkinHuxley(terminal=SigmoidRelease()), 900.0, 0.05),
    "MorrisLecar": (MorrisLecar, 250.0, DT),
    "FitzHughNagumo": (FitzHughNagumo, 60.0, DT),
    "Graded": (Graded, 0.5, DT),
    "BinaryThreshold": (lambda: BinaryThreshold(v_threshold=150.0), 130.0, DT),
    "EscapeRate": (lambda: EscapeRate(generator=seeded(5)), 200.0, DT),
    "Refractory": (lambda: Refractory(AdEx(), period=each(4.0)), 1200.0, DT),
    "Ablated": (lambda: Ablated(LIF(), alive=each(1.0) > 0.95), 200.0, DT),
    "ClearingLIF": (ClearingLIF, 200.0, DT),
    "Mixed": (lambda: Mixed({"n1*": Refractory(LIF()), "*": ALIF()}), 250.0, DT),
    "Mixed with release": (
        lambda: Mixed({"n1*": Graded(capacitance=200.0), "*": LIF()}), 200.0, DT
    ),
}  # fmt: skip


def worm_like(**given: Any) -> am.Network:
    """Graded cells whose voltages must be solved together."""
    wired, synapses = drawn(delays=False), dynamics.graded_synapses()
    return am.Network(wired, neuron=Graded(), synapse=synapses, **given).double()


def both(
    net: am.Network, current: Any, implicit: bool | None = False, **given: Any
) -> tuple[am.Recording, am.Recording]:
    """The recordings of the torch engine and of the compiled one."""
    with torch.no_grad():
        theirs, ours = (
            am.simulate(net, current, engine=engine, **{"dt": DT, **given})
            for engine in (am.Torch(implicit=implicit), Compiled(implicit=implicit))
        )
    return theirs, ours


def same(pair: tuple[am.Recording, am.Recording], bound: float = 1e-9) -> None:
    """See engine_cases."""
    same_runs(*pair[::-1], bound)


def recorded(net: am.Network) -> list[str]:
    return list(dict.fromkeys(["v", net.neuron.output]))


@pytest.mark.parametrize(("make", "mean", "dt"), NEURONS.values(), ids=NEURONS.keys())
def test_every_neuron_does_side_by_side_what_it_does_alone(make, mean, dt) -> None:
    net = network(make())
    start = net.init(torch.zeros(TRIALS, CELLS, dtype=torch.float64), net.wires(dt))  # drawn once
    pair = both(net, drive(mean, TRIALS), record=recorded(net), dt=dt, state=start)
    assert float(pair[0].v.std()) > 0
    same(pair)


@pytest.mark.parametrize("make", SYNAPSES.values(), ids=SYNAPSES.keys())
def test_every_synapse_carries_the_spikes_of_all_trials(make) -> None:
    same(both(network(LIF(), make()), drive(200.0, TRIALS), record=["v", "spike"]))


@pytest.mark.parametrize(
    "name",
    ["LIF per cell", "ALIF", "HodgkinHuxley", "MorrisLecar", "Graded", "Refractory",
     "Ablated", "Mixed", "Mixed with release"],
)  # fmt: skip
def test_cells_with_a_linear_membrane_are_solved_jointly(name) -> None:
    make, mean, dt = NEURONS[name]
    net = network(make())
    current = drive(mean, TRIALS)[:41]  # later, an upstroke has magnified what a solve leaves
    pair = both(net, current, implicit=True, record=recorded(net), dt=dt)
    assert "semi-implicit" in pair[1].notes[0]
    same(pair, 1e-6)


@pytest.mark.parametrize("make", [SYNAPSES["ShortTerm"], SYNAPSES["NMDA"], SYNAPSES["Delta"]])
def test_synapses_deliver_to_joint_steps(make) -> None:
    same(both(network(LIF(), make()), drive(200.0), implicit=True, record=["v", "spike"]), 1e-7)


def test_joint_steps_need_no_gap_junctions() -> None:
    synapse = GradedSynapse(conductance=0.01, reversal=0.0)
    groups = {"excitatory": synapse, "inhibitory": synapse}
    net = am.Network(drawn(junctions=0.0), neuron=Graded(), synapse=groups).double()
    same(both(net, drive(0.5, TRIALS), implicit=True, record=["v"]))
    groups["electrical"] = GapJunction(conductance=0.02)
    net = am.Network(drawn(junctions=0.0), neuron=Graded(), synapse=groups).double()
    same(both(net, drive(0.5, TRIALS), implicit=True, record=["v"]), 1e-7)


@pytest.mark.parametrize("batch", [(), (1,), (17,), (2, 3), (2, 1, 31)])
def test_a_batch_of_any_shape_is_solved(batch: tuple[int, ...], monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.tiles.WIDEST", 64)
    pair = both(worm_like(), drive(5.0, *batch), implicit=None, record=["v", "release"])
    assert pair[1].notes[0].startswith("compiled engine, semi-implicit steps")
    same(pair, 1e-7)


def test_a_single_stimulus_drives_trials_with_weights_and_values_of_their_own() -> None:
    weight = torch.rand(TRIALS, EDGES, generator=seeded(5), dtype=torch.float64) * 6
    leak = torch.linspace(0.01, 0.03, TRIALS, dtype=torch.float64)[:, None]
    synapses = dynamics.graded_synapses()
    for values in ({}, {"g_leak": leak}, {"g_leak": leak * each(1.0)}):
        net = am.Network(
            drawn(delays=False), neuron=Graded(**values), synapse=synapses, weight=weight
        ).double()
        same(both(net, drive(5.0), implicit=None, record=["v"]), 1e-7)
    net = network(LIF(resistance=leak * 5), weight=weight)
    same(both(net, drive(200.0), record=["v", "spike"]))


def test_large_networks_are_solved_without_a_matrix(monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.joint.LARGEST_MATRIX", 0)
    for dt in (DT, 20.0):
        same(both(worm_like(), drive(5.0, TRIALS), implicit=True, record=["v"], dt=dt), 1e-6)


def test_the_complete_factor_is_that_of_the_matrix() -> None:
    generator = seeded(5)
    pre, post = torch.randint(CELLS, (2, 61), generator=generator)
    weight = torch.rand(61, generator=generator, dtype=torch.float64)
    wires = Wires(pre, post, weight, np.ones(61, dtype=int), CELLS)
    junctions = BothWays.of(wires)
    found = Elimination.of(junctions)
    assert found.complete
    whole = (wires.degree() + 0.5).numpy()
    factor, pivot = found.factor(found.entries(junctions, weight.numpy()), whole)
    lower = np.eye(CELLS)
    here = np.repeat(np.arange(CELLS), np.diff(found.start))
    lower[here, found.cells] = -factor
    matrix = np.diag(np.full(CELLS, 0.5)) + wires.laplacian().numpy()
    np.testing.assert_allclose(lower @ np.diag(1 / pivot) @ lower.T, matrix, atol=1e-12)


@pytest.mark.parametrize("joint", [False, True])
def test_the_number_of_threads_changes_nothing(joint: bool) -> None:
    net, current = worm_like(), drive(5.0, TRIALS)
    with torch.no_grad():
        one, two = (
            am.simulate(
                net, current, dt=0.02, record=["v"],
                engine=Compiled(threads=threads, implicit=joint),
            )
            for threads in (1, 2)
        )  # fmt: skip
    assert torch.equal(one.v, two.v)


def test_the_order_of_cells_changes_nothing() -> None:
    wired, order = drawn(), np.random.default_rng(3).permutation(CELLS)
    current = drive(200.0, TRIALS)
    plain = both(network(LIF(), wired=wired), current)[1]
    turned = both(network(LIF(), wired=wired.subset(*order)), current[..., order])[1]
    assert torch.equal(turned.spike, plain.spike[..., order])


@pytest.mark.parametrize("joint", [False, True])
def test_a_run_in_pieces_is_the_whole_run(joint: bool) -> None:
    net, current = network(LIF(), SYNAPSES["ShortTerm"]()), drive(200.0, TRIALS)
    torch_, compiled = am.Torch(implicit=joint), Compiled(implicit=joint)
    with torch.no_grad():
        whole = am.simulate(net, current, dt=DT, engine=torch_, record=["v"])
        parts, state = [], None
        for engine, piece in zip(
            (compiled, compiled, torch_, compiled), current.split([3, 40, 30, 28]), strict=True
        ):
            run = am.simulate(net, piece, dt=DT, engine=engine, state=state, record=["v"])
            parts, state = [*parts, run.v], run.state
    torch.testing.assert_close(torch.cat(parts), whole.v, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(state, whole.state, rtol=1e-8, atol=1e-8)


def test_graded_release_arrives_after_its_delay() -> None:
    same(both(network(Graded()), drive(0.5, TRIALS), record=["v", "release"], every=3))


def test_currents_that_stay_and_that_are_given_to_some_cells_are_those_of_all() -> None:
    net, cells = network(LIF()), torch.tensor([5, 2, 28, 2])  # one of them twice
    current = drive(700.0, TRIALS)[..., :4]
    current[20:60] = current[20]
    for given in (current, current[:1].expand(STEPS, -1, -1), current[:, :1]):
        stimulus = Stimulus(given, cells, CELLS, DT)
        whole = stimulus.dense().expand(-1, TRIALS, -1)
        theirs = both(net, whole, record=["v", "spike"])[0]
        if given.shape[1] == TRIALS:
            same((theirs, both(net, stimulus, record=["v", "spike"])[1]))
        else:
            weighted = network(LIF(resistance=torch.full((TRIALS, 1), 0.1).double()))
            same(both(weighted, stimulus, record=["v", "spike"]))


@pytest.mark.parametrize("joint", [False, True])
def test_sources_drive_all_trials(joint: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.tiles.DRAWN", 7 * TRIALS * CELLS)
    net = network(LIF(resistance=torch.full((TRIALS, 1), 0.1).double()))
    trains = am.poisson(
        net.connectome, "n1*", rate=0.5, amplitude=900.0, duration=50.5, dt=DT,
        generator=seeded(5),
    )  # fmt: skip
    same(both(net, trains, dt=None, implicit=joint, record=["v", "spike"]), 1e-7)
    net, noise = network(LIF()), Stimulus(drive(150.0, TRIALS), torch.arange(CELLS), CELLS, DT)
    same(both(net, trains + noise, dt=None, implicit=joint, record=["v", "spike"]), 1e-7)


def test_variables_of_mixed_cells_and_of_synapses_are_sampled() -> None:
    net = network(NEURONS["Mixed with release"][0]())
    names = ["v", "release", "output", "chemical.s"]
    same(both(net, drive(200.0, TRIALS), record=names, every=7))
    same(both(net, drive(200.0, TRIALS), record=["v", "chemical.s"], every=7))


def test_more_spikes_than_there_is_room_for_are_all_kept(monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.tiles.ROOM", 1)
    same(both(network(LIF()), drive(900.0, TRIALS)))


def test_single_precision_stays_close() -> None:
    exact = both(worm_like(), drive(5.0, TRIALS), implicit=None, record=["v"])[1]
    single = both(worm_like().float(), drive(5.0, TRIALS).float(), implicit=None, record=["v"])[1]
    torch.testing.assert_close(single.v.double(), exact.v, rtol=0, atol=1e-3)


def test_a_trial_without_a_solution_leaves_the_others_alone() -> None:
    net, current = worm_like(), drive(5.0, TRIALS)
    start = net.init(current[0], net.wires(DT))
    whole = both(net, current, implicit=True, record=["v"], state=start)[1]
    v = start.neuron.v.clone()
    v[4, 7] = float("inf")
    spoiled = start._replace(neuron=start.neuron._replace(v=v))
    part = both(net, current, implicit=True, record=["v"], state=spoiled)[1]
    assert part.v[:, 4].isnan().all()
    others = [k for k in range(TRIALS) if k != 4]
    torch.testing.assert_close(part.v[:, others], whole.v[:, others], rtol=1e-8, atol=1e-8)


def test_chosen_cells_are_recorded_of_all_trials() -> None:
    names = {"v": ["n7", "n3"], "spike": ["n1*"], "threshold": None}
    pair = both(network(ALIF()), drive(250.0, TRIALS), record=names, every=2)
    assert pair[1].v.shape[1:] == (TRIALS, 2)
    same(pair)


def test_what_does_not_converge_is_said(monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.tiles.MOST", 1)
    with pytest.raises(RuntimeError, match="could not be solved: try a smaller dt"):
        am.simulate(worm_like(), drive(5.0), dt=DT, engine=Compiled(implicit=True))


def test_joint_steps_are_refused_for_cells_without_a_linear_membrane() -> None:
    net = am.Network(Connectome(Cells(["a"]), Connections()), neuron=ClearingLIF())
    with pytest.raises(ValueError, match="implicit=True needs cells with a linear membrane"):
        am.simulate(net, torch.zeros(3, 1), dt=DT, engine=Compiled(implicit=True))


def test_an_interrupted_batch_returns_what_was_run() -> None:
    def stop(done: int, steps: int) -> None:
        if done >= 20:
            os.kill(os.getpid(), signal.SIGINT)

    net, current = worm_like(), drive(5.0, TRIALS)
    given: dict[str, Any] = {"dt": DT, "engine": Compiled(), "record": ["v"]}
    with torch.no_grad(), hearing_interrupts():
        whole = am.simulate(net, current, **given)
        part = am.simulate(net, current, progress=stop, **given)
    assert 20 <= part.steps < STEPS
    assert torch.equal(part.v, whole.v[: part.steps])


def test_learned_values_are_read() -> None:
    neuron = Graded(g_leak=nn.Parameter(each(0.02)))
    synapses = dynamics.graded_synapses(electrical=nn.Parameter(torch.tensor(0.02)))
    net = am.Network(drawn(delays=False), neuron=neuron, synapse=synapses).double()
    same(both(net, drive(5.0, TRIALS), implicit=None, record=["v"]), 1e-7)
