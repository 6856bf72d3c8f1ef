"""A network that goes on does, to the last bit, what one run does, however its steps come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import amphid as am
import engine_cases
from amphid.dynamics import LIF, Graded, Mixed, Refractory, graded_synapses
from amphid.kernels import UnknownOperation
from amphid.simulation import Compiled, Ongoing
from amphid.simulation.compiled import engine
from engine_cases import Cases

pytest.importorskip("numba", reason="numba is not installed")

DT = 0.5
CASES = Cases(cells=31, edges=211, steps=37, dt=DT)


def spiking() -> am.Network:
    return engine_cases.spiking(CASES.drawn(junctions=0.0, shortest=2))


def graded() -> am.Network:
    synapses = graded_synapses(chemical=0.003, electrical=0.002)
    return am.Network(CASES.drawn(), neuron=Graded(), synapse=synapses).double()


def mixture_inside() -> am.Network:
    return CASES.network(Refractory(Mixed({"n1*": LIF(), "*": LIF(tau=12.0)}), period=2.0))


NETWORKS: dict[str, tuple[Callable[[], am.Network], float]] = {
    "spiking": (spiking, 400.0),
    "graded": (graded, 0.5),
    "mixture inside": (mixture_inside, 400.0),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_step_by_step_is_one_run(kind: str) -> None:
    make, mean = NETWORKS[kind]
    net, current = make(), CASES.drive(mean)
    record = ("spike", "v") if kind == "spiking" else ("v",)
    with torch.no_grad():
        run = am.simulate(net, current, dt=DT, record=record, engine=Compiled(1))
    going = Ongoing(net, DT)
    levels, fired = [], []
    for row in current:
        fired.append(going.go(row))
        levels.append(going.v)
    assert torch.equal(torch.stack(levels), run.v)
    torch.testing.assert_close(going.state(), run.state, rtol=0, atol=0)
    if "spike" in record:
        assert torch.equal(torch.stack(fired), run.spike.bool())
        assert run.spike.sum() > 50


@pytest.mark.parametrize("kind", NETWORKS)
def test_portions_do_not_matter(kind: str) -> None:
    make, mean = NETWORKS[kind]
    net, held = make(), CASES.drive(mean)[0]
    one, other = Ongoing(net, DT), Ongoing(net, DT)
    fired = torch.stack([one.go(held) for _ in range(30)])
    pieces = [other.go(held, steps) for steps in (7, 1, 13, 9)]
    assert torch.equal(one.v, other.v)
    for portion, piece in zip(fired.split([7, 1, 13, 9]), pieces, strict=True):
        assert torch.equal(portion.any(0), piece)
    torch.testing.assert_close(one.state(), other.state(), rtol=0, atol=0)


def test_parts_of_a_network_do_what_the_whole_does(monkeypatch: Any) -> None:
    net, held = spiking(), CASES.drive(400.0)[0]
    whole = Ongoing(net, DT, threads=1)
    monkeypatch.setattr(engine, "parts_that_pay", lambda *_: 2)
    parts = Ongoing(net, DT, threads=2)
    assert "2 parts" in parts.note
    for steps in (11, 1, 18):
        assert torch.equal(whole.go(held, steps), parts.go(held, steps))
        assert torch.equal(whole.v, parts.v)


def test_another_network_goes_on_from_its_state() -> None:
    """As where a cell dies: from the same state, both engines do the same."""
    net, current = spiking(), CASES.drive(400.0)
    going = Ongoing(net, DT)
    for row in current[:13]:
        going.go(row)
    state, killed = going.state(), net.lesioned("n3", control=False)
    then = Ongoing(killed, DT, state)
    for row in current[13:]:
        then.go(row)
    with torch.no_grad():
        run = am.simulate(
            killed, current[13:], dt=DT, state=state, record=("v",), engine=am.Torch()
        )
    torch.testing.assert_close(then.v, run.v[-1, 0], rtol=0, atol=1e-9)


class Deciding(LIF):
    def step(self, state: Any, current: Any, dt: float) -> Any:
        return (state, current) if bool(state.v.any()) else super().step(state, current, dt)


@pytest.mark.parametrize(
    ("make", "dt", "error", "sentence"),
    [
        (lambda: spiking().lesioned("n1"), DT, ValueError, "of one copy"),
        (spiking, 0.0, ValueError, "dt must be a positive number"),
        (lambda: CASES.network(Deciding()), DT, UnknownOperation, "decides by the value"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    make: Any, dt: float, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Ongoing(make(), dt)


@pytest.mark.parametrize(
    ("current", "steps", "sentence"),
    [
        (torch.zeros(31), -3, "steps must be at least 1"),
        (torch.zeros(31), 1.5, "steps must be a whole number"),
        (torch.zeros(1), 2, r"current must hold one number for each cell, \[31\]"),
        (torch.zeros(2, 31), 2, r"current must hold one number for each cell, \[31\]"),
        (torch.full((31,), torch.nan), 2, "must hold finite numbers"),
        (5.0, 2, "current must be a tensor of real numbers"),
    ],
    ids=["back", "half", "one", "two", "none", "number"],
)
def test_steps_and_currents_that_cannot_be_are_told_and_leave_it_as_it_was(
    current, steps, sentence
) -> None:
    going = Ongoing(spiking(), DT)
    going.go(torch.full((31,), 400.0), 5)
    before = going.v
    with pytest.raises((TypeError, ValueError), match=sentence):
        going.go(current, steps)
    assert going.steps == 5
    assert torch.equal(going.v, before)
