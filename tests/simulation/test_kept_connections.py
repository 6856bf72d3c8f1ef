"""What is worked out from connections is kept between runs, and never serves others than these."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import amphid as am
import engine_cases
from amphid import dynamics
from amphid.dynamics import Graded
from amphid.simulation import Compiled
from amphid.simulation.compiled import engine
from amphid.simulation.compiled.connected import connected
from amphid.simulation.kept import Kept
from engine_cases import Cases

pytest.importorskip("numba", reason="numba is not installed")

DT = 0.5
CASES = Cases(cells=71, edges=499, steps=23, dt=DT)
RELEASING = dynamics.graded_synapses(chemical=0.003, electrical=0.002)


def spiking() -> am.Network:
    return engine_cases.spiking(CASES.drawn(junctions=0.0, shortest=2))


def graded() -> am.Network:
    return am.Network(CASES.drawn(), neuron=Graded(), synapse=RELEASING).double()


NETWORKS: dict[str, tuple[Callable[[], am.Network], float]] = {
    "spiking": (spiking, 400.0),
    "graded": (graded, 0.5),
}


def ran(net: am.Network, mean: float, state: Any = None, threads: int = 1) -> am.Recording:
    with torch.no_grad():
        return am.simulate(
            net, CASES.drive(mean), dt=DT, record=("v",), state=state, engine=Compiled(threads)
        )


def alone(net: am.Network) -> am.Network:
    """The same network on a connectome of its own, of which nothing is kept."""
    return copy.deepcopy(net)


def in_place(net: am.Network) -> am.Network:
    with torch.no_grad():
        net.weight[5] += 3.0
    return net


def behind_the_back(net: am.Network) -> am.Network:
    net.weight.data[7] *= 4.0
    return net


def by_numpy(net: am.Network) -> am.Network:
    net.weight.detach().numpy()[11] = 9.0
    return net


def exchanged(net: am.Network) -> am.Network:
    values = net.weight.detach().clone()
    values[[2, 3]] = values[[3, 2]] + torch.tensor([0.0, 1.0], dtype=values.dtype)
    net.weight = nn.Parameter(values)
    return net


def other_weights(net: am.Network) -> am.Network:
    return net.weighted(2 * net.weight.detach())


def turned(net: am.Network) -> am.Network:
    net.sign[::3] *= -1
    return net


def drawn_side_by_side(net: am.Network) -> am.Network:
    return net.weighted(net.weight.detach() * torch.tensor([[1.0], [2.0]]))


def lesioned(net: am.Network) -> am.Network:
    return net.lesioned("n3", ["n5", "n7"])


def rewired(net: am.Network) -> am.Network:
    wires = net.connectome.connections
    post = np.roll(wires.post, 1)
    order = np.where(wires.electrical & (wires.pre > post), wires.pre, post)
    connectome = net.connectome.with_connections(post=order)
    synapses: Any = dict(net.groups())
    weight = net.weight.detach().clone()
    return am.Network(connectome, neuron=net.neuron, synapse=synapses, weight=weight)


CHANGES = (
    in_place,
    behind_the_back,
    by_numpy,
    exchanged,
    other_weights,
    turned,
    drawn_side_by_side,
    lesioned,
    rewired,
)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *(("spiking", change) for change in CHANGES),
        *(("graded", change) for change in (in_place, behind_the_back, rewired)),
    ],
)
def test_a_network_that_was_changed_runs_as_one_that_never_ran(kind: str, change: Any) -> None:
    make, mean = NETWORKS[kind]
    net = make()
    ran(net, mean)
    fresh, known = change(alone(net)), change(net)
    assert torch.equal(ran(known, mean).v, ran(fresh, mean).v)
    assert torch.equal(ran(net, mean).v, ran(alone(net), mean).v)  # and the first one again


def test_another_dt_has_lags_of_its_own() -> None:
    net, mean = spiking(), 400.0
    for dt in (DT, DT / 2, DT):
        with torch.no_grad():
            given = {"dt": dt, "record": ("v",), "engine": Compiled(1)}
            known, fresh = (
                am.simulate(own, CASES.drive(mean), **given) for own in (net, alone(net))
            )
        assert torch.equal(known.v, fresh.v)


def test_parts_are_cut_anew_where_a_weight_was_changed(monkeypatch: Any) -> None:
    monkeypatch.setattr(engine, "parts_that_pay", lambda *_: 2)
    net, state = spiking(), None
    for change in (in_place, behind_the_back, in_place):
        run = ran(net, 400.0, state, threads=2)
        assert "2 parts" in run.notes[0]
        assert torch.equal(run.v, ran(alone(net), 400.0, state, threads=1).v)
        change(net)
        state = run.state


@pytest.mark.parametrize("kind", NETWORKS)
def test_pieces_of_a_run_are_the_whole_run(kind: str) -> None:
    make, mean = NETWORKS[kind]
    net, current = make(), CASES.drive(mean)
    with torch.no_grad():
        given = {"dt": DT, "record": ("v",), "engine": Compiled(1)}
        whole = am.simulate(net, current, **given)
        state, pieces = net.rest(DT), []
        for part in current.split(5):
            run = am.simulate(net, part, state=state, **given)
            state = run.state
            pieces.append(run.v)
    torch.testing.assert_close(torch.cat(pieces), whole.v, rtol=1e-9, atol=1e-9)


def test_nothing_is_made_twice_and_ends_outlive_a_change_of_weights() -> None:
    net = spiking()
    first = connected(net, DT)
    assert connected(net, DT) is first
    assert connected(copy.copy(net), DT) is first
    again = connected(in_place(net), DT)
    for group, own in again.items():
        assert own.post is first[group].post
        assert not torch.equal(own.weight, first[group].weight) or group == "inhibitory"


def test_what_is_kept_goes_with_its_connectome() -> None:
    net = spiking()
    ran(net, 400.0)
    wires = weakref.ref(connected(net, DT)["excitatory"])
    del net
    gc.collect()
    assert wires() is None


def test_a_value_is_made_once_for_each_key_and_object() -> None:
    class Owner:
        pass

    kept: Kept[int] = Kept()
    one, other = Owner(), Owner()
    assert kept.last(one) is None
    assert [kept.of(one, key, lambda key=key: 2 * key) for key in (3, 3, 5)] == [6, 6, 10]  # type: ignore[misc]
    assert kept.of(one, 5, lambda: 7) == 10
    assert kept.of(other, 5, lambda: 7) == 7
    assert kept.last(one) == 10
    kept.keep(one, 11)
    assert kept.last(one) == 11
