"""A network over a whole sequence in machine code is the network stepped by torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amphid import Network, Torch, simulate
from amphid.dynamics import (
    ALIF,
    LIF,
    Alpha,
    Conductance,
    Delta,
    Exponential,
    Graded,
    HodgkinHuxley,
    Mixed,
    Neuron,
    Refractory,
    ShortTerm,
    Synapse,
)
from amphid.simulation.sequence import run_coupled
from amphid.wiring import Connectome, from_matrix

CELLS, CONNECTIONS, STEPS = 13, 41, 97


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def wired(longest: int) -> Connectome:
    """Connections of both signs, with delays of up to so many ms."""
    drawn = np.random.default_rng(7)
    counts = np.zeros(CELLS**2)
    counts[drawn.choice(CELLS**2, CONNECTIONS, replace=False)] = drawn.integers(1, 4, CONNECTIONS)
    counts[::3] *= -1
    found = from_matrix([f"C{k}" for k in range(CELLS)], counts.reshape(CELLS, CELLS))
    delay = drawn.integers(0, longest + 1, CONNECTIONS).astype(np.float32)
    return replace(found, connections=replace(found.connections, delay=delay))


def learned(value: float, *shape: int) -> nn.Parameter:
    return nn.Parameter(torch.full(shape, value))


CASES: dict[str, Callable[[], tuple[Neuron[Any], Any]]] = {
    "current": lambda: (
        LIF(tau=learned(10.0, CELLS), v_threshold=learned(-52.0)),
        Exponential(tau=learned(5.0), amplitude=learned(30.0, CELLS)),
    ),
    "charge": lambda: (Refractory(LIF(tau=learned(9.0)), period=3.0), Delta(charge=200.0)),
    "alpha": lambda: (ALIF(jump=learned(1.0)), Alpha(tau=learned(3.0), amplitude=20.0)),
    "short term": lambda: (
        LIF(),
        ShortTerm(Exponential(tau=5.0, amplitude=40.0), use=0.5, recovery=learned(100.0)),
    ),
    "conductance": lambda: (
        HodgkinHuxley(),
        {
            "excitatory": Conductance(tau=learned(5.0), conductance=0.5, reversal=0.0),
            "inhibitory": Conductance(tau=9.0, conductance=learned(0.5), reversal=-80.0),
        },
    ),
    "graded": lambda: (Graded(), {"chemical": ShiftedRelease(gain=learned(0.7, CELLS))}),
}


class ShiftedRelease(Synapse[tuple[()]]):
    """A current as large as what arrives."""

    takes = "release"

    def __init__(self, *, gain: Tensor) -> None:
        super().__init__()
        self.hold(gain=gain)

    def init(self, like: Tensor) -> tuple[()]:
        return ()

    def step(
        self, state: tuple[()], arriving: Tensor, v_post: Tensor, dt: float
    ) -> tuple[tuple[()], Tensor]:
        return state, self.gain * arriving


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def weighed(given: Tensor, network: Network, stimulus: Tensor) -> tuple[Tensor, ...]:
    """What came out, and every gradient of a sum of it with weights of their own."""
    asked = [stimulus, *network.parameters()]
    total = (given * drawn(*given.shape)).sum()
    return given, *torch.autograd.grad(total, asked, materialize_grads=True)


@pytest.mark.parametrize(
    ("name", "longest", "batch"),
    [
        *((name, 4, (3,)) for name in CASES),
        ("current", 0, ()),
        ("current", 4, (2, 5)),
        ("conductance", 0, (2, 5)),
    ],
)
def test_outputs_and_all_gradients_are_those_of_torch(
    name: str, longest: int, batch: tuple[int, ...]
) -> None:
    neuron, synapse = CASES[name]()
    network = Network(wired(longest), neuron=neuron, synapse=synapse)
    drive = {"graded": 1.0, "conductance": 1000.0}.get(name, 170.0)
    stimulus = (drive * (1 + 0.6 * drawn(STEPS, *batch, CELLS))).requires_grad_()
    fast = run_coupled(network, stimulus, 0.5)
    assert fast is not None
    engine = Torch(dense=True, implicit=False)
    plain = getattr(simulate(network, stimulus, dt=0.5, engine=engine), neuron.output)
    assert plain.sum() > 0
    for got, expected in zip(
        weighed(fast, network, stimulus), weighed(plain, network, stimulus), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_calling_a_network_takes_the_machine_code_where_it_can() -> None:
    network = Network(wired(0), neuron=LIF(), synapse=Delta(charge=100.0))
    stimulus = (200 * drawn(STEPS, CELLS)).abs()
    found = run_coupled(network, stimulus, 1.0)
    assert found is not None
    assert torch.equal(network(stimulus), found)
    kinds = {"C1*": LIF(), "*": ALIF()}
    mixture = Network(wired(0), neuron=Mixed(kinds), synapse=Delta(charge=100.0))
    assert run_coupled(mixture, stimulus, 1.0) is None
    assert mixture(stimulus).shape == stimulus.shape


def test_other_weights_and_values_are_seen() -> None:
    network = Network(wired(0), neuron=LIF(tau=learned(10.0)), synapse=Delta(charge=100.0))
    stimulus = (200 * drawn(STEPS, CELLS)).abs()
    before = network(stimulus)
    with torch.no_grad():
        network.weight.mul_(3.0)
    heavier = network(stimulus)
    with torch.no_grad():
        network.neuron.tau.fill_(30.0)
    assert not torch.equal(before, heavier)
    assert not torch.equal(network(stimulus), heavier)
    network.synapses["chemical"].charge = 0.0
    alone = network.neuron(stimulus, dt=1.0)
    torch.testing.assert_close(network(stimulus), alone)
