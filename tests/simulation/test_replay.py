"""Steps over tensors that stay in place give the bits of plain ones, and leave the host alone."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import amphid as am
from amphid import dynamics, learning
from amphid.dynamics import LIF, GapJunction, Graded, GradedSynapse, Neuron
from amphid.simulation import memory, replay
from amphid.simulation.replay import HostWork, Replay
from amphid.simulation.stepping import choose
from amphid.simulation.torch_engine import Plain
from amphid.wiring import Cells, Connections, Connectome
from engine_cases import Cases, hearing_interrupts

STEPS = 15
cases = Cases(cells=31, edges=199, steps=200)
NEURONS, SYNAPSES = cases.neurons(), cases.synapses()
IN_BLOCKS = "in blocks of 7"


def both(net: am.Network, current: Any, **given: Any) -> tuple[am.Recording, am.Recording]:
    """The recordings of the plain loop and of blocks of seven steps."""
    how = {"implicit": given.pop("implicit", None)}
    with torch.no_grad():
        plain = am.simulate(net, current, engine=am.Torch(replay=0, **how), **given)
        return plain, am.simulate(net, current, engine=am.Torch(replay=7, **how), **given)


def same(ours: am.Recording, theirs: am.Recording) -> None:
    assert ours.fields.keys() == theirs.fields.keys()
    for name, field in theirs.fields.items():
        assert torch.equal(ours.fields[name], field), name
    if theirs.events is not None:
        assert torch.equal(ours.events.index, theirs.events.index)
    assert (ours.weight is None) == (theirs.weight is None)
    pairs = zip(*(pytree.tree_leaves(run.state) for run in (ours, theirs)), strict=True)
    for one, other in pairs:
        if isinstance(other, Tensor):
            assert torch.equal(one, other.expand_as(one))  # ours are all as wide as the widest


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(("make", "mean"), NEURONS.values(), ids=NEURONS.keys())
def test_every_neuron_takes_the_same_steps(make: Any, mean: float, implicit: bool | None) -> None:
    net = cases.network(make())
    if implicit and not getattr(net.neuron, "solvable", False):
        pytest.skip("these cells have no linear membrane")
    spikes = ["spike"] if net.neuron.output == "spike" else []
    given = {"dt": 0.05, "record": ["v", net.neuron.output, *spikes], "implicit": implicit}
    given["state"] = net.rest(0.05)  # where cells draw, both must start alike
    theirs, ours = both(net, cases.drive(3 * mean)[:STEPS], **given)
    assert IN_BLOCKS in ours.notes[0]
    same(ours, theirs)


@pytest.mark.parametrize("make", SYNAPSES.values(), ids=SYNAPSES.keys())
def test_every_synapse_carries_the_same_spikes(make: Any) -> None:
    net = cases.network(LIF(), make())
    theirs, ours = both(net, cases.drive(400.0)[:100], dt=cases.dt, record=["v", "spike"])
    assert IN_BLOCKS in ours.notes[0]
    assert len(theirs.spikes) > 50
    same(ours, theirs)


@pytest.mark.parametrize("every", [1, 2, 7, 11, 500])
@pytest.mark.parametrize("largest", [1, 1000, 1 << 25])
def test_windows_and_samples_of_any_length_are_kept(
    every: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "WINDOW", largest)
    net = cases.network(LIF())
    record = {"spike": None, "v": ["n3", "n1"], "chemical.s": None}
    same(*both(net, cases.drive(300.0)[:101], dt=0.05, every=every, record=record)[::-1])


def test_trials_of_weights_and_of_values_are_as_wide_as_any_of_them() -> None:
    values = torch.linspace(0.09, 0.13, 3, dtype=torch.float64)[:, None]
    weight = torch.rand(3, cases.edges, generator=torch.Generator().manual_seed(2)) * 6
    for net in (
        cases.network(LIF(resistance=values)),
        cases.network(LIF(), weight=weight),
        cases.network(LIF()).lesioned("n1", "n2"),
    ):
        for current in (cases.drive(300.0)[:50], cases.drive(300.0, 2, 1)[:50]):
            same(*both(net, current, dt=cases.dt, record=["v", "spike"])[::-1])


def test_draws_from_outside_and_from_a_state_are_the_same() -> None:
    net = cases.network(LIF())
    noise = am.poisson(
        net.connectome, "n1*", rate=100.0, amplitude=900.0, duration=40.0, dt=cases.dt,
        generator=torch.Generator().manual_seed(3), trials=2,
    )  # fmt: skip
    theirs, ours = both(net, noise, record=["v", "spike"])
    same(ours, theirs)
    same(*both(net, noise, record=["v", "spike"], state=theirs.state)[::-1])


@pytest.mark.parametrize("factor", [False, True])
def test_weights_move_alike(factor: bool) -> None:
    net = cases.network(LIF(), wired=cases.drawn(junctions=0.1))
    rule: Any = learning.STDP(potentiation=0.1, greatest=9.0)
    if factor:
        reward = torch.linspace(-1, 1, 150, dtype=torch.float64)
        rule = learning.Modulated(rule, signal=reward, tau=20.0)
    current = cases.drive(400.0)[:150]
    given = {"dt": cases.dt, "plasticity": (rule,), "record": ["spike", "weight"], "every": 3}
    theirs, ours = both(net, current, **given)
    assert "in blocks of 6" in ours.notes[0]
    assert not torch.equal(theirs.weight[0], theirs.weight[-1])
    assert torch.equal(ours.weight, theirs.weight)
    same(ours, theirs)


def test_a_gradient_takes_the_plain_loop() -> None:
    net = cases.network(LIF())
    run = am.simulate(net, cases.drive(300.0)[:9], dt=cases.dt, engine=am.Torch(replay=7))
    assert run.spike.requires_grad
    assert "in blocks" not in run.notes[0]


class Asking(Neuron[dynamics.integrate_and_fire.LIFState]):
    """A neuron that looks at its voltages while it steps."""

    def init(self, like: Tensor) -> Any:
        return dynamics.integrate_and_fire.LIFState(torch.zeros_like(like))

    def step(self, state: Any, current: Tensor, dt: float) -> Any:
        v = state.v + current * dt
        v = v - 1.0 if float(v.max()) > 5.0 else v
        return dynamics.integrate_and_fire.LIFState(v), (v > 4.0).to(v)


def test_a_step_that_asks_the_host_is_taken_by_itself_and_the_note_says_why() -> None:
    net = cases.network(Asking())
    theirs, ours = both(net, cases.drive(1.0)[:50], dt=cases.dt, record=["v", "spike"])
    assert "since the host has a part in them (aten._local_scalar_dense" in ours.notes[0]
    same(ours, theirs)


@pytest.mark.parametrize("number", [-1, 1.5])
def test_a_number_of_steps_that_makes_no_sense_is_refused(number: Any) -> None:
    with pytest.raises(ValueError, match="replay must be a number of steps"):
        am.Torch(replay=number)


def test_what_is_told_to_the_host_is_heard() -> None:
    x, mask = torch.randn(5), torch.tensor([True, False, True, True, False])
    asked = {
        "_local_scalar_dense": lambda: x.sum().item(),
        "nonzero": lambda: x.nonzero(),
        "index.Tensor": lambda: x[mask],
        "bernoulli": lambda: torch.bernoulli(x.abs().clamp(max=1)),
        "_to_copy": lambda: x.to("meta"),
        "add": lambda: x.to("meta") + torch.tensor(1.0),  # a number may come along, a tensor not
    }
    for name, work in asked.items():
        with HostWork() as heard:
            work()
        assert any(name in found for found in heard.found) == (name != "add"), name
    with HostWork() as heard:
        torch.where(x > 0, x * 2, 0.0).index_select(0, torch.tensor([1, 2]))
    assert not heard.found


def on_meta(net: am.Network, current: Tensor, dt: float, implicit: bool) -> HostWork:
    """What the host hears of a step on a device that holds no numbers, and could tell none."""
    net, device = net.to("meta"), torch.device("meta")
    given = {"cells": None, "dt": dt, "record": ("v",), "every": 1, "state": None}
    state = pytree.tree_map(
        lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, net_state(net, current)
    )
    task = am.simulation.Task(net, current.to(device), **given, progress=None)
    stepper = choose(net, net.wires(dt), dt, implicit=implicit)
    loop = Replay(Plain(stepper, task), state, current[0].to(device), 3)
    if loop.solver and loop.solver.laplacian is not None:
        loop.solver._renew(current[0].to(device), loop.solver.laplacian)
    with HostWork() as heard:
        loop._blocks(0, 3)
    return heard


def net_state(net: am.Network, current: Tensor) -> Any:
    return net.init(current[0].to(net.weight.device), net.wires(cases.dt))


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(("make", "mean"), NEURONS.values(), ids=NEURONS.keys())
def test_no_step_of_a_neuron_tells_the_host_a_number(
    make: Any, mean: float, implicit: bool
) -> None:
    net = cases.network(make())
    if implicit and not getattr(net.neuron, "solvable", False):
        pytest.skip("these cells have no linear membrane")
    assert not on_meta(net, cases.drive(mean, 2)[:3], cases.dt, implicit).found


@pytest.mark.parametrize("make", SYNAPSES.values(), ids=SYNAPSES.keys())
def test_no_step_of_a_synapse_tells_the_host_a_number(make: Any) -> None:
    net = cases.network(LIF(), make())
    assert not on_meta(net, cases.drive(1.0)[:3], cases.dt, implicit=False).found


def junctions(cells: int = 53) -> tuple[am.Network, Tensor]:
    draw = torch.Generator().manual_seed(4)
    ends = torch.randint(cells, (2, 3 * cells), generator=draw).numpy()
    kind = ["electrical", "chemical", "chemical"] * cells
    wired = Connectome(
        Cells([f"n{k}" for k in range(cells)]), Connections(*ends, kind=kind, sign=1)
    )
    net = am.Network(
        wired, neuron=Graded(),
        synapse={
            "excitatory": GradedSynapse(conductance=1.0, reversal=0.0),
            "inhibitory": GradedSynapse(conductance=1.0, reversal=-70.0),
            "electrical": GapJunction(conductance=1.0),
        },
    ).double()  # fmt: skip
    current = 50 * torch.randn(101, 2, cells, generator=draw, dtype=torch.float64)
    return net, current


@pytest.mark.parametrize("matrix", [True, False])
def test_voltages_that_are_solved_together_have_the_same_bits(
    matrix: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not matrix:
        monkeypatch.setattr("amphid.simulation.joint.LARGEST_MATRIX", 0)
    net, current = junctions()
    theirs, ours = both(net, current, dt=1.0, record=["v"])
    assert "semi-implicit" in ours.notes[0]
    assert IN_BLOCKS in ours.notes[0]
    same(ours, theirs)


def test_solves_that_need_more_iterations_are_done_again_where_the_host_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("amphid.simulation.joint.SPARE_ITERATIONS", 0)
    monkeypatch.setattr(replay, "WINDOW", 1)
    asked: list[int] = []
    seen = Replay._seen
    monkeypatch.setattr(Replay, "_seen", lambda *a: asked.append(a[-1]) or seen(*a))
    net, current = junctions()
    same(*both(net, current, dt=1.0, record=["v"])[::-1])
    assert 0 < len(asked) <= replay.MISSES


def test_currents_that_are_not_finite_give_voltages_that_are_not_numbers() -> None:
    net, current = junctions()
    state = net.rest(1.0)
    state = state._replace(neuron=net.neuron.at(state.neuron, torch.full_like(state.v, torch.nan)))
    for run in both(net, current[:9], dt=1.0, record=["v"], state=state, implicit=True):
        assert run.v.isnan().all()


def test_an_interrupted_replay_goes_on_from_where_its_recording_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, "WINDOW", 1)
    net, current = cases.network(LIF()), cases.drive(300.0)[:101]
    calls = []

    def interrupted(self: Any, name: str, row: int, value: Tensor) -> None:
        calls.append(name)
        if len(calls) == 30:
            os.kill(os.getpid(), signal.SIGINT)
        kept(self, name, row, value)

    kept = replay._Block._keep
    whole, _ = both(net, current, dt=cases.dt, record=["v"])
    monkeypatch.setattr(replay._Block, "_keep", interrupted)
    given = {"dt": cases.dt, "record": ["v"], "engine": am.Torch(replay=7)}
    with torch.no_grad(), hearing_interrupts():
        part = am.simulate(net, current, **given)
        rest = am.simulate(net, current[part.steps :], state=part.state, **given)
    assert part.steps == 28
    assert "interrupted after 28 of 101 steps" in part.notes[0]
    assert torch.equal(torch.cat((part.v, rest.v)), whole.v)


def test_a_matrix_by_rows_carries_what_the_edges_do() -> None:
    net = cases.network(LIF(), wired=cases.drawn(junctions=0.0))
    wires = net.wires(cases.dt)["chemical"]
    rows = net.wires(cases.dt, rows=True)["chemical"]
    assert all(carry.matrix is None for _, carry in wires._by_lag)
    assert all(carry.rows is not None for _, carry in rows._by_lag)
    for batch in ((), (3,), (2, 3)):
        past = tuple(torch.rand(*batch, cases.cells).double() for _ in range(wires.longest))
        torch.testing.assert_close(rows.deliver(past), wires.deliver(past))
    with HostWork() as heard:
        rows.deliver(past)
    assert not heard.found
    moved = rows.at(2 * wires.weight)
    torch.testing.assert_close(moved.deliver(past), 2 * wires.deliver(past))


def test_the_estimate_counts_what_a_device_is_given_at_once(monkeypatch: Any) -> None:
    net, current = cases.network(LIF()), cases.drive(1.0)
    given = {"cells": None, "dt": 0.5, "record": ("spike",), "every": 1, "state": None}
    needs = []
    for replays in (False, True):
        monkeypatch.setattr(memory, "_replays", lambda task, replays=replays: replays)
        needs.append(memory.needs(am.simulation.Task(net, current, **given, progress=None)))
    here, there = (needed["the stimulus"] for needed in needs)
    assert there == here + (3 * 200 - 64) * cases.cells * 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_device_replays_the_steps_of_the_plain_loop(batch: tuple[int, ...]) -> None:
    for net, current, dt in (
        (cases.network(LIF()), cases.drive(300.0, *batch), cases.dt),
        (cases.network(dynamics.Refractory(dynamics.ALIF())), cases.drive(400.0, *batch), cases.dt),
        (junctions()[0], junctions()[1][:, : batch[0] if batch else 1].mean(1, keepdim=True), 1.0),
    ):
        net, current = net.cuda(), current.cuda()
        record = ["v", "spike"] if net.neuron.output == "spike" else ["v"]
        with torch.no_grad():
            plain = am.simulate(net, current, dt=dt, record=record, engine=am.Torch(replay=0))
            ours = am.simulate(net, current, dt=dt, record=record)
        assert "replayed in blocks of 16" in ours.notes[0]
        torch.testing.assert_close(ours.v, plain.v, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours.state, plain.state, rtol=1e-9, atol=1e-9)
        if plain.events is not None:
            assert len(plain.events) > 50
            assert torch.equal(ours.events.index, plain.events.index)
