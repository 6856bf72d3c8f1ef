"""Recurrent cells in machine code are the loop over steps, with every gradient."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.dynamics import ALIF, LIF, Graded, HodgkinHuxley, Refractory
from amphid.models import Connections, Recurrent, Sequential
from amphid.models.recurrent import RecurrentState
from amphid.models.recurrent_sequence import SPIKES, VALUES, run_recurrent
from amphid.wiring import Connectome, from_matrix

N, CONNECTIONS, T = 13, 41, 47


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def wired(longest: int = 0) -> Connectome:
    """Connections of both signs, with delays of up to so many ms."""
    random = np.random.default_rng(7)
    counts = np.zeros(N**2)
    counts[random.choice(N**2, CONNECTIONS, replace=False)] = random.integers(1, 4, CONNECTIONS)
    counts[::3] *= -1
    found = from_matrix([f"C{k}" for k in range(N)], counts.reshape(N, N))
    delay = random.integers(0, longest + 1, CONNECTIONS).astype(np.float32)
    return replace(found, connections=replace(found.connections, delay=delay))


def linear(scale: float, *, bias: bool = True) -> nn.Linear:
    module = nn.Linear(N, N, bias=bias)
    with torch.no_grad():
        module.weight.copy_(scale * drawn(N, N))
        if bias:
            module.bias.copy_(scale * drawn(N))
    return module


def learned(value: float, *shape: int) -> nn.Parameter:
    return nn.Parameter(torch.full(shape, value))


CASES: dict[str, Callable[[], Recurrent]] = {
    "linear": lambda: Recurrent(
        LIF(tau=learned(10.0, N), v_threshold=learned(-52.0)), linear(20.0)
    ),
    "without bias": lambda: Recurrent(ALIF(jump=learned(1.0)), linear(20.0, bias=False)),
    "refractory": lambda: Recurrent(Refractory(LIF(tau=learned(9.0)), period=3.0), linear(20.0)),
    "graded": lambda: Recurrent(Graded(), linear(1.0)),
    "biophysical": lambda: Recurrent(HodgkinHuxley(), linear(200.0)),
    "connectome": lambda: Recurrent(LIF(), Connections(wired(), scale=30.0)),
    "delays": lambda: Recurrent(LIF(tau=learned(10.0)), Connections(wired(4), scale=30.0)),
}


def weighed(given: Tensor, state: Any, asked: list[Tensor], **settings: Any) -> tuple[Tensor, ...]:
    """What came out, and every gradient of a sum of it with weights of their own."""
    parts = [part for part in (given, *pytree.tree_leaves(state)) if part.is_floating_point()]
    total = sum((part * drawn(*part.shape)).sum() for part in parts)
    found = torch.autograd.grad(total, asked, materialize_grads=True, **settings)
    return *parts, *found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_outputs_state_and_all_gradients_are_those_of_the_loop(
    name: str, batch: tuple[int, ...]
) -> None:
    layer = CASES[name]()
    drive = {"graded": 1.0, "biophysical": 1000.0}.get(name, 250.0)
    x = drive * (1 + 0.6 * drawn(T, *batch, N))
    with torch.no_grad():
        _, state = layer.run_plainly(x[:7], layer.init(x[0]), 0.5)  # signals are under way
    x = x[7:].requires_grad_()
    leaves, tree = pytree.tree_flatten(state)
    leaves = [leaf.requires_grad_() if leaf.is_floating_point() else leaf for leaf in leaves]
    state = pytree.tree_unflatten(leaves, tree)
    fast = run_recurrent(layer, layer.neuron, layer.projection, x, state, 0.5)
    assert fast is not None
    plain = layer.run_plainly(x, state, 0.5)
    assert plain[0].sum() > 0
    assert pytree.tree_structure(RecurrentState(*fast[1])) == pytree.tree_structure(plain[1])
    asked = [x, *layer.parameters(), *(leaf for leaf in leaves if leaf.requires_grad)]
    for got, expected in zip(weighed(*fast, asked), weighed(*plain, asked), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_it_can_be_differentiated_twice() -> None:
    layer = Recurrent(Graded(), Connections(wired(4)))
    x = drawn(T, 3, N).requires_grad_()
    asked = [x, *layer.parameters()]
    seconds = []
    for given, _ in (layer.run(x), layer.run_plainly(x, layer.init(x[0]), 1.0)):
        found = torch.autograd.grad(given.square().sum(), asked, create_graph=True)
        total = sum(own.square().sum() for own in found)
        seconds.append((*found, *torch.autograd.grad(total, asked)))
    for got, expected in zip(*seconds, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_calling_it_takes_the_machine_code_where_it_can() -> None:
    x = 170 * (1 + 0.6 * drawn(T, 3, N))
    layer = CASES["linear"]()
    fast = run_recurrent(layer, layer.neuron, layer.projection, x, layer.init(x[0]), 1.0)
    assert fast is not None
    assert torch.equal(layer(x), fast[0])


@pytest.mark.parametrize(
    "projection",
    [
        lambda: nn.Sequential(linear(20.0)),
        lambda: Sequential(linear(20.0)),
        lambda: nn.utils.parametrizations.weight_norm(linear(20.0)),
        lambda: hooked(linear(20.0)),
    ],
    ids=["torch", "layers", "parametrized", "hooked"],
)
def test_any_other_projection_is_gone_through_step_by_step(
    projection: Callable[[], nn.Module],
) -> None:
    layer, x = Recurrent(LIF(), projection()), 170 * (1 + 0.6 * drawn(T, 3, N))
    assert run_recurrent(layer, layer.neuron, layer.projection, x, layer.init(x[0]), 1.0) is None
    torch.testing.assert_close(layer(x), layer.run_plainly(x, layer.init(x[0]), 1.0)[0])


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, inputs, given: 2 * given)
    return module


def test_products_too_large_to_be_taken_pair_by_pair_are_left_to_torch() -> None:
    for neuron, most in ((LIF(), SPIKES), (Graded(), VALUES)):
        layer = Recurrent(neuron, linear(0.1))
        copies = most // N**2
        for size, fits in ((copies, True), (copies + 1, False)):
            x = torch.zeros(1, size, N)
            state = layer.init(x[0])
            found = run_recurrent(layer, layer.neuron, layer.projection, x, state, 1.0)
            assert (found is not None) == fits


def test_other_weights_biases_values_and_projections_are_seen() -> None:
    layer, x = Recurrent(LIF(tau=learned(10.0)), linear(20.0)), 170 * (1 + 0.6 * drawn(T, 3, N))
    seen = [layer(x)]
    with torch.no_grad():
        layer.projection.weight.mul_(2.0)
    seen.append(layer(x))
    with torch.no_grad():
        layer.projection.bias.add_(50.0)
    seen.append(layer(x))
    with torch.no_grad():
        layer.neuron.tau.fill_(30.0)
    seen.append(layer(x))
    layer.projection = Connections(wired(), scale=30.0)
    seen.append(layer(x))
    layer.projection = Connections(wired(4), scale=30.0)
    seen.append(layer(x))
    for k, given in enumerate(seen):
        assert not any(torch.equal(given, other) for other in seen[:k])
    torch.testing.assert_close(seen[-1], layer.run_plainly(x, layer.init(x[0]), 1.0)[0])


def test_a_layer_that_nobody_holds_is_freed_with_its_machine_code() -> None:
    layer = CASES["linear"]()
    layer((170 * drawn(T, 3, N)).requires_grad_()).sum().backward()
    there = weakref.ref(layer), weakref.ref(layer.neuron), weakref.ref(layer.projection)
    del layer
    gc.collect()
    assert [own() for own in there] == [None] * 3
