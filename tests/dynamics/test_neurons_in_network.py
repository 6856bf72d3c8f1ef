"""Neurons in a network that finds their cells by name and may solve all voltages at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from amphid.dynamics import (
    LIF,
    AdEx,
    Exponential,
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
)
from amphid.simulation import Network, Torch, simulate
from amphid.wiring import Cells, Connections, Connectome

NAMES = ("AVAL", "AVAR", "ALML", "ALMR", "M1")


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def wired(pre: list[int], post: list[int], kind: str = "chemical") -> Connectome:
    cells = Cells(NAMES, cell_class=("AVA", "AVA", "ALM", "ALM", ""), kind="inter")
    return Connectome(cells, Connections(pre, post, kind=kind, sign=1 if kind == "chemical" else 0))


def test_a_network_finds_the_cells_of_each_part_by_name_class_and_pattern() -> None:
    mixed = Mixed({"ALM*": LIF(), "AVA": Graded(), "*": LeakyIntegrator()})
    network = Network(wired([], []), neuron=mixed)
    run = simulate(network, torch.full((61, 5), 400.0), dt=0.5, record=("v", "release", "output"))
    assert run["ALML"].output.sum() > 2
    assert set(run["ALML"].output.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(run["AVAL"].output, run["AVAL"].release)
    torch.testing.assert_close(run["M1"].output, run["M1"].v)
    assert not run["ALMR"].release.any()


def test_a_network_names_a_part_that_finds_no_cell() -> None:
    with pytest.raises(KeyError, match="AVB"):
        Network(wired([], []), neuron=Mixed({"AVB": LIF(), "*": LIF()}))
    with pytest.raises(ValueError, match="no part for cell 4 of 5"):
        Network(wired([], []), neuron=Mixed({"ALM": LIF(), "AVA": LIF()}))


def test_spikes_and_release_both_reach_their_targets() -> None:
    """A spiking and a releasing cell, each onto one reader; the rest hear nothing."""
    mixed = Mixed({"ALM": LIF(), "AVA": Graded(), "*": LeakyIntegrator()})
    network = Network(
        wired([0, 2], [4, 3]), neuron=mixed, synapse=Exponential(tau=5.0, amplitude=40.0)
    )
    stimulus = torch.zeros(201, 5)
    stimulus[:, 0], stimulus[:, 2] = 1.0, 300.0
    run = simulate(network, stimulus, dt=0.5, record=("v",))
    assert run["M1"].v.max() > 0.5
    assert run["ALMR"].v.max() > -64.5
    assert run["AVAR"].v.max() == run["AVAR"].v.min()


def test_graded_parts_settle_at_the_rest_of_the_network() -> None:
    mixed = Mixed({"AVA": Graded(), "ALM": Graded(), "*": LeakyIntegrator(v_rest=-50.0)})
    network = Network(
        wired([0, 1, 2], [1, 2, 3]),
        neuron=mixed,
        synapse={"excitatory": GradedSynapse(conductance=0.01, reversal=0.0)},
    )
    run = simulate(network, torch.zeros(301, 5), dt=1.0, record=("v",))
    assert (run.v[0] > -35.0).sum() > 2
    torch.testing.assert_close(run.v, run.v[:1].expand_as(run.v), rtol=0, atol=1e-8)


def chain(neuron: Any) -> Network:
    wires = wired([0, 1, 2, 3], [1, 2, 3, 4], kind="electrical")
    return Network(wires, neuron=neuron, synapse={"electrical": GapJunction(conductance=2.0)})


@pytest.mark.parametrize(
    "neuron",
    [
        LIF(),
        AdEx(),
        Izhikevich(),
        MorrisLecar(),
        FitzHughNagumo(),
        HodgkinHuxley.squid(),
        HodgkinHuxley.cortical(terminal=SigmoidRelease()),
        Mixed({"ALM": AdEx(), "*": Refractory(LIF())}),
    ],
    ids=lambda x: type(x).__name__,
)
@torch.no_grad()
def test_solved_together_or_each_for_itself_cells_do_the_same(neuron: Any) -> None:
    """Two ways of stepping a chain of gap junctions differ by what halves with dt."""
    network, apart = chain(neuron), []
    for steps in (50, 100):
        stimulus = torch.zeros(steps, 5)
        stimulus[:, 1] = 40.0
        together, alone = (
            simulate(network, stimulus, dt=4.0 / steps, record=("v",), engine=Torch(implicit=way)).v
            for way in (True, False)
        )
        assert (alone - alone[0]).abs().max() > 0.2
        apart.append((together[-1] - alone[-1]).norm().item())
    assert apart[0] / apart[1] == pytest.approx(2.0, abs=0.15)
    assert apart[1] < 0.1 * (alone - alone[0]).abs().max()


@torch.no_grad()
def test_solved_together_refractory_cells_fire_as_often() -> None:
    network, stimulus = chain(Refractory(LIF(), period=3.0)), torch.full((401, 5), 600.0)
    together, alone = (
        simulate(network, stimulus, dt=0.1, engine=Torch(implicit=way)).spike.sum(0)
        for way in (True, False)
    )
    assert (alone > 3).all()
    assert ((together - alone).abs() <= 1).all()
