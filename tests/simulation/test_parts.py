"""Parts of one network, stepped side by side, give what one loop gives, to the last bit."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import amphid as am
import engine_cases
from amphid import dynamics
from amphid.dynamics import LIF, Exponential, Graded
from amphid.simulation import Compiled, Stimulus
from amphid.simulation.compiled.together import parts_that_pay
from amphid.simulation.simulate import Task
from amphid.wiring import fixed_indegree
from engine_cases import Cases, hearing_interrupts

pytest.importorskip("numba", reason="numba is not installed")

CELLS, EDGES, STEPS, DT = 211, 1499, 157, 0.5
CUTS = {
    "parts of 64": [0, 64, 128, 211],
    "an empty part": [0, 128, 128, 211],
    "two": [0, 64, 211],
}
ODD_CUTS = {"one cell alone": [0, 1, 211], "primes": [0, 5, 71, 73, 167, 211], "none": [0, 0, 211]}


CASES = Cases(CELLS, EDGES, STEPS, DT, junctions=0.0)


def spiking() -> am.Network:
    return engine_cases.spiking(CASES.drawn(shortest=2))


def depressing() -> am.Network:
    return engine_cases.depressing(CASES.drawn(shortest=2))


def graded() -> am.Network:
    groups = dynamics.graded_synapses(chemical=0.003, electrical=0.002)
    return am.Network(CASES.drawn(junctions=0.3), neuron=Graded(), synapse=groups)


def mixed() -> am.Network:
    return engine_cases.mixed(CASES.drawn(shortest=2))


# each with its current in pA, its dt in ms and what is recorded
NETWORKS: dict[str, tuple[Any, float, float, list[str]]] = {
    "spiking": (spiking, 260.0, DT, ["v", "excitatory.g", "spike"]),
    "depressing": (depressing, 220.0, DT, ["v", "excitatory.u", "spike"]),
    "graded": (graded, 0.5, 0.05, ["v", "release"]),
    "mixed": (mixed, 220.0, 0.05, ["v", "output"]),
}


def drive(amplitude: float, *batch: int, kind: torch.dtype = torch.float64) -> Tensor:
    return CASES.uniform(amplitude, *batch).to(kind)


def run(net: am.Network, current: Any, cuts: list[int] | None, **given: Any) -> am.Recording:
    """A run of the compiled engine, whole or cut at those cells."""
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        parts = 1 if cuts is None else len(cuts) - 1
        patch.setattr("amphid.simulation.compiled.engine.parts_that_pay", lambda *_: parts)
        patch.setattr("amphid.simulation.compiled.together.borders", lambda *_: cuts)
        return am.simulate(net, current, engine=Compiled(threads=2), **given)


def same(ours: am.Recording, theirs: am.Recording) -> None:
    """Every bit is the same."""
    engine_cases.same(ours, theirs, bound=0.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_partition_gives_the_bits_of_one_loop(name: str) -> None:
    make, amplitude, dt, record = NETWORKS[name]
    net = make().double()
    given = {"dt": dt, "record": record, "every": 3, "state": net.rest(dt)}
    whole = run(net, drive(amplitude), None, **given)
    assert float(whole.v.std()) > 0
    for cuts in (CUTS | ODD_CUTS).values():
        parts = run(net, drive(amplitude), cuts, **given)
        assert f"{len(cuts) - 1} parts" in parts.notes[0]
        same(parts, whole)


@pytest.mark.parametrize("name", ["spiking", "depressing", "graded"])
def test_parts_of_whole_rows_give_the_same_bits_in_single_precision(name: str) -> None:
    make, amplitude, dt, record = NETWORKS[name]
    net, current = make().float(), drive(amplitude, kind=torch.float32)
    given = {"dt": dt, "record": record, "state": net.rest(dt)}
    whole = run(net, current, None, **given)
    for cuts in CUTS.values():
        same(run(net, current, cuts, **given), whole)


def test_trials_are_cut_alike() -> None:
    net, current = spiking().double(), drive(260.0, 2)
    given = {"dt": DT, "record": ["v", "spike"]}
    same(run(net, current, CUTS["two"], **given), run(net, current, None, **given))


def test_a_stimulus_of_some_cells_reaches_them_in_their_parts() -> None:
    cells = torch.tensor([5, 2, 70, 2, 210])
    stimulus = Stimulus(drive(900.0)[:, :5], cells, CELLS, DT)
    net = spiking().double()
    given = {"dt": None, "record": ["v", "spike"]}
    same(run(net, stimulus, ODD_CUTS["primes"], **given), run(net, stimulus, None, **given))


def test_a_run_goes_on_from_the_state_of_parts_and_of_the_whole() -> None:
    net, current = depressing().double(), drive(220.0)
    whole = run(net, current, None, dt=DT, record=["v"])
    for first, second in ((None, CUTS["two"]), (CUTS["two"], None), (CUTS["two"], CUTS["two"])):
        pieces, state = [], None
        for cuts, piece in zip((first, second, first), current.split([1, 100, 56]), strict=True):
            part = run(net, piece, cuts, dt=DT, record=["v"], state=state)
            pieces, state = [*pieces, part.v], part.state
        torch.testing.assert_close(torch.cat(pieces), whole.v, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(state, whole.state, rtol=1e-12, atol=1e-12)


def test_more_spikes_than_there_is_room_for_are_all_kept(monkeypatch: Any) -> None:
    monkeypatch.setattr("amphid.simulation.compiled.program.ROOM", 1)
    net, current = spiking().double(), drive(900.0)
    given = {"dt": DT, "record": ["spike"]}
    parts = run(net, current, CUTS["two"], **given)
    assert len(parts.spikes) > 4 * CELLS
    same(parts, run(net, current, None, **given))


def test_interrupted_parts_stop_at_the_same_step() -> None:
    def stop(done: int, steps: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    net, current = spiking().double(), drive(260.0)
    whole = run(net, current, None, dt=DT, record=["v", "spike"])
    with hearing_interrupts():
        part = run(net, current, CUTS["two"], dt=DT, record=["v", "spike"], progress=stop)
    assert 0 < part.steps < STEPS
    assert f"interrupted after {part.steps} of {STEPS} steps" in part.notes[0]
    assert torch.equal(part.v, whole.v[: part.steps])
    assert torch.equal(part.spike, whole.spike[: part.steps])


def test_an_error_in_one_part_is_raised(monkeypatch: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr("amphid.simulation.compiled.part_program.PartProgram.advance", fail)
    with pytest.raises(MemoryError, match="no more"):
        run(spiking().double(), drive(260.0), CUTS["two"], dt=DT)


def test_threads_are_used_where_a_packet_pays_for_them() -> None:
    def parts(cells: int, delay: float, batch: tuple[int, ...] = (), threads: int = 2) -> int:
        draw = torch.Generator().manual_seed(0)
        wires = fixed_indegree(cells, indegree=11, generator=draw)
        wires = wires.with_connections(delay=np.full(len(wires.connections), delay))
        net = am.Network(wires, neuron=LIF(), synapse=Exponential(tau=5.0, amplitude=30.0))
        none = torch.zeros(1, *batch, 0)
        task = Task(net, none, torch.zeros(0, dtype=torch.int64), 0.1, (), 1, None, None)
        return parts_that_pay(task, net.wires(0.1), threads)

    assert parts(30011, 1.5) == 2
    assert parts(30011, 1.5, threads=1) == 1
    assert parts(30011, 1.5, batch=(2,)) == 1  # a thread for each trial
    assert parts(30011, 1.5, batch=(2,), threads=4) == 2
    assert parts(30011, 0.0) == 1  # nothing but synchronization
    assert parts(211, 1.5) == 1


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_trains_reach_cells_in_their_parts(kind: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(3)
    net = spiking().to(kind)
    timing = {"duration": STEPS * DT, "dt": DT}
    trains = am.simulation.poisson(
        net.connectome, "*", rate=0.4, amplitude=900.0, generator=draw, **timing
    )
    given = {"dt": None, "record": ["v", "spike"]}
    whole = run(net, trains, None, **given)
    for cuts in CUTS.values():
        same(run(net, trains, cuts, **given), whole)


def test_chosen_cells_are_kept_of_all_parts_in_the_order_asked_for() -> None:
    net, record = spiking().double(), {"spike": ["n20*"], "v": ["n130", "n7", "n199", "n64"]}
    given = {"dt": DT, "record": record}
    whole = run(net, drive(260.0), None, **given)
    for cuts in (CUTS | ODD_CUTS).values():
        same(run(net, drive(260.0), cuts, **given), whole)
