"""A network that goes on leaves cells alone that rest, and does what stepping all of them does."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import amphid as am
from amphid.dynamics import LIF, Conductance, Exponential, Neuron, Refractory, ShortTerm
from amphid.simulation import Compiled, NetworkState, Ongoing
from amphid.simulation.compiled import engine, waking
from amphid.wiring import Cells, Connections, Connectome

pytest.importorskip("numba", reason="numba is not installed")

CELLS, EDGES, DT = 2111, 8009, 0.5  # large enough for the engine to think of it
ALL = Compiled(1, skip_resting=False)


class Drifting(Neuron[Any]):
    """A leaky cell written so that rounding moves it at rest."""

    class State(NamedTuple):
        v: Tensor

    def init(self, like: Tensor) -> Any:
        return self.State(torch.full_like(like, -51.9))

    def step(self, state: Any, current: Tensor, dt: float) -> tuple[Any, Tensor]:
        v = 0.95 * state.v + (1 - 0.95) * -51.9 + 0.017 * current
        spike = (v > -45.1).to(v.dtype)
        return self.State(torch.where(spike > 0, -51.9, v)), spike


def wired() -> Connectome:
    """A random connectome, every fifth of its cells inhibits."""
    rng = np.random.default_rng(0)
    pre, post = rng.integers(0, CELLS, (2, EDGES))
    sign = np.where(np.arange(CELLS) % 5, 1, -1)
    names = [f"n{i}" for i in range(CELLS)]
    return Connectome(Cells(names), Connections(pre, post, sign=sign[pre], delay=1.5))


def linear() -> am.Network:
    """Below threshold a linear map; two groups that decay at different speeds."""
    synapse = {
        "excitatory": Exponential(tau=5.0, amplitude=30.0),
        "inhibitory": Exponential(tau=9.0, amplitude=-30.0),
    }
    return am.Network(wired(), neuron=Refractory(Drifting(), period=2.0), synapse=synapse).double()


def bent() -> am.Network:
    """Conductances are no linear map: cells rest where a step changes nothing."""
    synapse = {
        "excitatory": Conductance(tau=0.7, conductance=30.0, reversal=0.0),
        "inhibitory": Conductance(tau=0.9, conductance=30.0, reversal=-80.0),
    }
    return am.Network(wired(), neuron=LIF(), synapse=synapse).double()


def depressing() -> am.Network:
    """What a spike releases depends on earlier ones; facilitation in one of the groups."""
    synapse = {
        "excitatory": ShortTerm(Exponential(tau=5.0, amplitude=60.0), use=0.6, recovery=90.0),
        "inhibitory": ShortTerm(
            Exponential(tau=9.0, amplitude=-60.0), use=0.3, recovery=70.0, facilitation=50.0
        ),
    }
    return am.Network(wired(), neuron=Refractory(LIF(), period=2.0), synapse=synapse).double()


def into(amplitude: float, *cells: int) -> Tensor:
    current = torch.zeros(CELLS, dtype=torch.float64)
    current[list(cells)] = amplitude
    return current


PORTIONS: list[tuple[Callable[[], Tensor], int]] = [
    (lambda: into(0.0), 7),
    (lambda: into(900.0, *range(19)), 61),
    (lambda: into(0.0), 3),
    (lambda: into(-150.0, 1000, 1009), 29),  # perturbed, not made to fire
    (lambda: into(0.0), 211),
    (lambda: into(700.0, 3), 53),
    (lambda: into(600.0, *range(0, CELLS, 3)), 17),  # so many that all are stepped
    (lambda: into(0.0), 3001),
]


def every_cell(
    net: am.Network, current: Tensor, steps: int, state: NetworkState
) -> tuple[Tensor, NetworkState]:
    """Which cells fired in some steps of all cells, and the state at their end."""
    with torch.no_grad():
        run = am.simulate(net, current.repeat(steps, 1), dt=DT, state=state, engine=ALL)
    assert run.state is not None
    return run.spikes.dense().bool().any(0).reshape(-1), run.state


@pytest.mark.parametrize("make", [linear, bent, depressing], ids=lambda make: make.__name__)
def test_a_network_at_rest_does_what_stepping_every_cell_does(
    make: Callable[[], am.Network],
) -> None:
    """Currents come and go; cells are perturbed, fire, and go back to rest."""
    net = make()
    if make is linear:
        rest = net.neuron.init(torch.zeros(1, dtype=torch.float64))
        after, _ = net.neuron.step(rest, torch.zeros(1, dtype=torch.float64), DT)
        assert after.v != rest.v
    going, state, fired_ever = Ongoing(net, DT), net.rest(DT), 0
    for current, steps in PORTIONS:
        fired, state = every_cell(net, current(), steps, state)
        assert torch.equal(going.go(current(), steps), fired)
        torch.testing.assert_close(going.v, state.v, rtol=1e-10, atol=1e-10)
        fired_ever += int(fired.sum())
    torch.testing.assert_close(going.state().given, state.given)
    torch.testing.assert_close(going.state().past, state.past)
    torch.testing.assert_close(going.state().synapses, state.synapses, rtol=1e-9, atol=1e-10)
    assert fired_ever > 100
    assert skipped(going) > 50


@pytest.mark.parametrize("make", [linear, depressing], ids=lambda make: make.__name__)
def test_a_lesion_in_between_is_that_of_a_run_that_steps_every_cell(
    make: Callable[[], am.Network],
) -> None:
    net = make()
    killed = net.lesioned(["n3", "n7", "n1000"], control=False)
    on, off = into(900.0, *range(19)), into(0.0)
    fired, state = every_cell(net, on, 40, net.rest(DT))
    going = Ongoing(net, DT)
    assert torch.equal(going.go(on, 40), fired)
    going = Ongoing(killed, DT, going.state())
    for current, steps in ((on, 31), (off, 97), (on, 13)):
        fired, state = every_cell(killed, current, steps, state)
        assert torch.equal(going.go(current, steps), fired)
        torch.testing.assert_close(going.v, state.v.reshape(-1), rtol=1e-10, atol=1e-10)
        kept = going.state()
        torch.testing.assert_close(kept.synapses, state.synapses, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(kept.past, state.past)
    assert not fired[[3, 7]].any()
    assert skipped(going) == 100


@pytest.mark.parametrize("make", [linear, depressing], ids=lambda make: make.__name__)
def test_neither_portions_nor_looks_change_a_bit(make: Callable[[], am.Network]) -> None:
    net = make()
    one, other = Ongoing(net, DT), Ongoing(net, DT)
    for current, steps in PORTIONS:
        fired = torch.zeros(CELLS, dtype=torch.bool)
        for _ in range(steps):
            fired |= one.go(current())
            if one.steps % 5 == 0:
                assert torch.equal(one.v, one.state().v)
        assert torch.equal(other.go(current(), steps), fired)
        assert torch.equal(one.v, other.v)
    torch.testing.assert_close(one.state(), other.state(), rtol=0, atol=0)


@pytest.mark.parametrize("far", [1e9, 1e300, float("inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=str)
def test_a_cell_that_never_fires_keeps_no_other_awake(kind: torch.dtype, far: float) -> None:
    threshold = torch.full((CELLS,), -50.0, dtype=torch.float64)
    threshold[:3] = far
    cell = Refractory(LIF(v_threshold=threshold), period=2.0)
    net = am.Network(wired(), neuron=cell, synapse=Exponential(tau=5.0, amplitude=30.0)).to(kind)
    assert Ongoing(net, DT).note.endswith("resting cells skipped")


def test_a_network_that_has_gone_on_for_long_does_what_a_fresh_one_does() -> None:
    """Beyond 2 ** 31 steps: here it is told that it has taken them, at rest."""
    net = linear()
    fresh, old = Ongoing(net, DT, threads=1), Ongoing(net, DT, threads=1)
    old.steps = 2**31 - 100
    old._walk.program.counters[0][0] = old.steps  # type: ignore[attr-defined]
    for current, steps in ((into(0.0), 200), (into(900.0, *range(19)), 40), (into(0.0), 100)):
        assert torch.equal(fresh.go(current, steps), old.go(current, steps))
        assert torch.equal(fresh.v, old.v)
    programs = [going._walk.program for going in (fresh, old)]  # type: ignore[attr-defined]
    assert programs[0].sleeping.skipped == programs[1].sleeping.skipped
    assert skipped(fresh) > 50


def test_cells_are_all_stepped_while_many_of_them_are_driven() -> None:
    net, many = linear(), into(10.0, *range(CELLS))
    going, state = Ongoing(net, DT), net.rest(DT)
    for steps in (30, 30):
        _, state = every_cell(net, many, steps, state)
        going.go(many, steps)
    assert torch.equal(going.v, state.v)
    assert skipped(going) == 0
    going.go(into(0.0), 180)
    assert skipped(going) == 75


def test_parts_of_a_network_take_over_where_all_are_stepped(monkeypatch: Any) -> None:
    """To the bit; the state changes hands twice."""
    whole = Ongoing(linear(), DT, threads=1)
    monkeypatch.setattr(engine, "parts_that_pay", lambda *_: 2)
    parts = Ongoing(linear(), DT, threads=2)
    assert isinstance(parts._walk, waking.Waking)
    handed = [False]
    for current, steps in [*PORTIONS, *PORTIONS[:2]]:
        for piece in (steps // 2, steps - steps // 2):
            assert torch.equal(whole.go(current(), piece), parts.go(current(), piece))
            assert torch.equal(whole.v, parts.v)
            torch.testing.assert_close(whole.state(), parts.state(), rtol=0, atol=0)
            handed.append(parts._walk.parts is not None)
    assert sum(now != before for before, now in pairwise(handed)) == 2
    assert skipped(parts) == skipped(whole)


def test_a_network_that_fired_for_long_is_left_alone_again_when_it_rests() -> None:
    """Tries are never further apart than some thousand steps, however many have failed."""
    going = Ongoing(linear(), DT)
    going.go(into(900.0, *range(0, CELLS, 17)), 66_000)
    assert skipped(going) == 0
    going.go(into(0.0), 22_000)
    assert skipped(going) > 5


def skipped(going: Ongoing) -> int:
    """In how many percent of the steps cells at rest were left alone."""
    told = going.note.rpartition("resting cells skipped")
    assert told[1], going.note
    share = re.search(r"(\d+)%", told[2])
    return int(share[1]) if share else 100
