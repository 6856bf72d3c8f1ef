"""Networks of cells with a membrane of fractional order."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import amphid as am
from amphid import dynamics, wiring
from amphid.kernels import UnknownOperation

MEMORY = dynamics.ExponentialMemory(error=1e-2, horizon=1000)


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        yield
    torch.set_default_dtype(torch.float32)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layers() -> wiring.Connectome:
    return wiring.layered(5, 7, 3, generator=seeded()).signed(wiring.all_positive)


def slow(neuron: dynamics.Neuron[Any], **changes: Any) -> dynamics.Fractional:
    return dynamics.Fractional(neuron, **{"order": 0.7, "memory": MEMORY, **changes})


def test_engines_fire_the_same_spikes() -> None:
    """Refractory outside, and beside cells of another order."""
    parts = {
        "L0.*": dynamics.Refractory(slow(dynamics.LIF()), period=3.0),
        "*": slow(dynamics.ALIF(), order=0.9),
    }
    net = am.Network(
        layers(),
        neuron=dynamics.Mixed(parts),
        synapse=dynamics.Exponential(tau=5.0, amplitude=200.0),
    )
    stimulus = 400.0 + 200.0 * torch.randn(150, 15, generator=seeded())
    plain = am.simulate(net, stimulus, dt=0.5, record=("spike", "v"), engine=am.Torch(dense=True))
    fast = am.simulate(net, stimulus, dt=0.5, record=("spike", "v"), engine=am.Compiled())
    assert plain.spike.sum() > 30
    torch.testing.assert_close(fast.v, plain.v)


def test_gap_junctions_are_solved_for_with_the_past() -> None:
    """Backward Euler on the same fractional difference; both engines, and a cell that is alone."""
    worm = wiring.celegans().signed(wiring.by_transmitter)
    net = am.Network(worm, neuron=slow(dynamics.Graded()), synapse=dynamics.graded_synapses())
    touch = am.pulse(worm, "PLML", start=5.0, stop=30.0, amplitude=20.0, duration=40.0, dt=0.5)
    plain = am.simulate(net, touch, dt=0.5, record=("v",), engine=am.Torch())
    fast = am.simulate(net, touch, dt=0.5, record=("v",), engine=am.Compiled())
    assert any("one linear solve" in note for note in fast.notes)
    torch.testing.assert_close(fast.v, plain.v, rtol=0.0, atol=1e-6)
    whole = slow(dynamics.Graded(), memory=dynamics.FullMemory())
    full = am.Network(worm, neuron=whole, synapse=dynamics.graded_synapses())
    exact = am.simulate(full, touch, dt=0.5, record=("v",), engine=am.Torch())
    moved = (exact.v - exact.v[0]).abs().max()
    assert (plain.v - exact.v).abs().max() < 0.02 * moved


def test_what_grows_is_left_to_torch_in_a_sentence() -> None:
    neuron = slow(dynamics.LIF(), memory=dynamics.BlockMemory())
    net = am.Network(layers(), neuron=neuron, synapse=dynamics.Delta(charge=100.0))
    stimulus = torch.full((20, 2, 15), 500.0)
    with pytest.raises(UnknownOperation, match="what BlockMemory keeps grows with the past"):
        am.simulate(net, stimulus, dt=1.0, engine=am.Compiled())
    first = am.simulate(net, stimulus[:9], dt=1.0, record=("v",), engine=am.Torch())
    second = am.simulate(
        net, stimulus[9:], dt=1.0, record=("v",), state=first.state, engine=am.Torch()
    )
    whole = am.simulate(net, stimulus, dt=1.0, record=("v",), engine=am.Torch())
    torch.testing.assert_close(torch.cat((first.v, second.v)), whole.v)


def test_lesions_of_cells_with_a_memory_run_side_by_side() -> None:
    net = am.Network(
        layers(),
        neuron=slow(dynamics.LIF(), memory=dynamics.FullMemory()),
        synapse=dynamics.Exponential(tau=5.0, amplitude=200.0),
    )
    stimulus = torch.full((60, 15), 500.0)
    both = am.simulate(net.lesioned("L0.0"), stimulus, dt=1.0, record=("v",), engine=am.Torch())
    alone = am.simulate(net, stimulus, dt=1.0, record=("v",), engine=am.Torch())
    torch.testing.assert_close(both.v[:, 0], alone.v)
    assert (both.v[:, 1] - alone.v).abs().max() > 1.0


def test_cells_of_many_exponentials_are_all_stepped() -> None:
    """Machine code that skips them would take minutes to compile."""
    net = am.Network(
        layers(),
        neuron=slow(dynamics.LIF()),
        synapse=dynamics.Exponential(tau=5.0, amplitude=200.0),
    )
    pulse = am.pulse(
        net.connectome, "L0.*", start=1.0, stop=5.0, amplitude=500.0, duration=9.0, dt=0.5
    )
    with pytest.raises(ValueError, match=r"moves by .* numbers, more than are worth compiling"):
        am.simulate(net, pulse, dt=0.5, engine=am.Compiled(skip_resting=True))
