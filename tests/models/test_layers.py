"""What every layer over time promises, whatever it does."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import amphid as am
from amphid import models, wiring
from amphid.dynamics import LIF, Graded, HodgkinHuxley, learned
from amphid.models import (
    BatchNormThroughTime,
    Connections,
    Delay,
    DelayedLinear,
    Dropout,
    FirstSpikeTime,
    LastStep,
    LatencyCode,
    Layer,
    PoissonCode,
    RateCode,
    Readout,
    Recurrent,
    Repeat,
    Sequential,
    SpikeCount,
    TimeMax,
    TimeMean,
)

T, B, N = 11, 5, 7


class Case(NamedTuple):
    """A layer, and what it cannot promise."""

    make: Callable[[], nn.Module]
    deterministic: bool = True


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wired() -> am.Connectome:
    ring = wiring.random(N, probability=0.4, generator=seeded())
    return ring.with_connections(delay=[k % 3 for k in range(len(ring.connections))])


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(300 * torch.randn(outputs, inputs, generator=seeded()))
        layer.bias.fill_(100.0)
    return layer


def spiking() -> Sequential:
    return Sequential(linear(N, N), LIF(), Delay(2.5), linear(N, N), HodgkinHuxley())


def inner() -> Sequential:
    return Sequential(Delay(1.0), linear(N, N))


LAYERS = {
    "Sequential": Case(spiking),
    "Sequential in Sequential": Case(
        lambda: Sequential(spiking(), Sequential(linear(N, 3), LIF()))
    ),
    "Recurrent": Case(lambda: Recurrent(LIF(), linear(N, N))),
    "Recurrent graded": Case(lambda: Recurrent(Graded(), nn.Linear(N, N))),
    "Recurrent layers": Case(lambda: Recurrent(LIF(), inner())),
    "Recurrent connectome": Case(lambda: Recurrent(LIF(), wired())),
    "Recurrent delayed": Case(
        lambda: Recurrent(LIF(), DelayedLinear(N, N, delay=torch.rand(N, N, generator=seeded())))
    ),
    "Connections": Case(lambda: Connections(wired())),
    "Delay": Case(lambda: Delay(3.0)),
    "Delay none": Case(lambda: Delay(0.0)),
    "Delay each": Case(lambda: Delay(learned(torch.linspace(0.0, 4.5, N)), longest=6.0)),
    "Delay spread": Case(lambda: Delay(torch.linspace(0.0, 4.5, N), longest=6.0, spread=1.5)),
    "DelayedLinear": Case(lambda: DelayedLinear(N, 3, delay=learned(1.3), longest=4.0)),
    "Dropout": Case(lambda: Dropout(0.4, generator=seeded()), deterministic=False),
    "BatchNormThroughTime": Case(lambda: BatchNormThroughTime(N, T)),
    "RateCode": Case(lambda: RateCode(0.5, generator=seeded()), deterministic=False),
    "PoissonCode": Case(lambda: PoissonCode(0.5, generator=seeded()), deterministic=False),
    "SpikeCount": Case(SpikeCount),
    "TimeMean": Case(TimeMean),
    "TimeMax": Case(TimeMax),
    "LastStep": Case(LastStep),
    "FirstSpikeTime": Case(FirstSpikeTime),
}
ENCODERS = {"Repeat": Case(lambda: Repeat(11.0)), "LatencyCode": Case(lambda: LatencyCode(11.0))}
ORDINARY = {"BatchNorm", "Gain", "PopulationCode"}
STATEFUL = [
    name for name in LAYERS if name.startswith(("Sequential", "Recurrent", "Delay", "Conn"))
]
STATEFUL = [name for name in (*STATEFUL, "Dropout") if name != "Delay none"]

every_layer = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS.keys())
repeatable = pytest.mark.parametrize(
    "case",
    [c for c in LAYERS.values() if c.deterministic],
    ids=[k for k, c in LAYERS.items() if c.deterministic],
)


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def spikes(*shape: int, seed: int = 1) -> Tensor:
    return (torch.rand(*shape, generator=seeded(seed)) < 0.3).double()


def test_the_lists_hold_every_layer_there_is() -> None:
    def below(kind: type) -> set[type]:
        found = set() if inspect.isabstract(kind) else {kind}
        return found.union(*(below(each) for each in kind.__subclasses__()))

    listed = {type(case.make()) for case in (*LAYERS.values(), *ENCODERS.values())}
    there = {kind for kind in below(Layer) if kind.__module__.startswith("amphid.")}
    assert listed == there | {Sequential}
    assert {kind.__name__ for kind in listed} | ORDINARY <= set(models.__all__)
    assert not [kind for kind in listed if kind.__subclasses__()]


@repeatable
def test_two_halves_of_a_sequence_make_the_whole(case: Case) -> None:
    layer, x = case.make().eval(), spikes(T, B, N)
    whole, end = layer.run(x)
    first, state = layer.run(x[:4])
    second, after = layer.run(x[4:], state)
    halves = second if isinstance(layer, Readout) else torch.cat((first, second))
    torch.testing.assert_close(halves, whole)
    torch.testing.assert_close(pytree.tree_leaves(after), pytree.tree_leaves(end))


@repeatable
def test_steps_one_by_one_make_the_sequence(case: Case) -> None:
    layer, x = case.make().eval(), spikes(T, B, N)
    state, outputs = None, []
    for present in x:
        state, y = layer.step(state, present)
        outputs.append(y)
    expected, end = layer.run(x)
    stepped = outputs[-1] if isinstance(layer, Readout) else torch.stack(outputs)
    torch.testing.assert_close(stepped, expected)
    torch.testing.assert_close(pytree.tree_leaves(state), pytree.tree_leaves(end))


@repeatable
def test_the_call_is_the_run_from_rest_and_keeps_nothing(case: Case) -> None:
    layer, x = case.make().eval(), spikes(T, B, N)
    before = copy.deepcopy(layer.state_dict())
    torch.testing.assert_close(layer(x), layer.run(x)[0])
    torch.testing.assert_close(layer(x), layer(x), rtol=0, atol=0)
    assert layer.state_dict().keys() == before.keys()


@repeatable
def test_an_example_does_not_hang_on_its_place_in_the_batch(case: Case) -> None:
    layer, x = case.make().eval(), spikes(T, B, N)
    order = torch.tensor([3, 1, 4, 0, 2])
    there = -2 if isinstance(layer, Readout) else 1
    torch.testing.assert_close(layer(x[:, order]), layer(x).index_select(there, order))


@repeatable
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_any_axes_of_batch_are_the_same_examples(case: Case, batch: tuple[int, ...]) -> None:
    layer, x = case.make().eval(), spikes(T, 6, N)
    whole = layer(x)
    if batch == (2, 3):
        many = layer(x.reshape(T, 2, 3, N))
        torch.testing.assert_close(many.reshape(whole.shape), whole)
    else:
        one = layer(x[:, 0] if batch == () else x[:, :1])
        expected = whole.select(-2, 0)
        torch.testing.assert_close(one.reshape(expected.shape), expected)


@every_layer
def test_types_and_shapes_are_those_of_the_input(case: Case) -> None:
    layer = case.make().float()
    y, state = layer.run(spikes(T, B, N).float())
    leaves = [leaf for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()]
    assert {y.dtype, *(leaf.dtype for leaf in leaves)} == {torch.float32}
    assert y.shape[: y.dim() - 1] == ((B,) if isinstance(layer, Readout) else (T, B))


@every_layer
def test_gradients_reach_the_input_and_every_parameter(case: Case) -> None:
    layer, x = case.make(), (0.2 + 0.6 * spikes(T, B, N)).requires_grad_()
    y, _ = layer.run(x)
    (y * torch.linspace(0.5, 1.5, y.numel()).reshape(y.shape)).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", STATEFUL)
def test_a_state_of_another_batch_is_refused_in_a_sentence(name: str) -> None:
    layer = LAYERS[name].make()
    _, state = layer.run(spikes(T, B, N))
    with pytest.raises(ValueError, match=r"state"):
        layer.run(spikes(T, 3, N), state)


@every_layer
def test_an_input_without_time_is_refused_in_a_sentence(case: Case) -> None:
    for wrong in (spikes(N), spikes(0, B, N)):
        with pytest.raises(ValueError, match=r"\[T, \*B, N\]"):
            case.make().run(wrong)


@every_layer
def test_copies_and_state_dicts_do_the_same(case: Case) -> None:
    layer, x = case.make().eval(), spikes(T, B, N)
    other = case.make().eval()
    other.load_state_dict(layer.state_dict(), strict=True)
    torch.testing.assert_close(other(x), layer(x))
    if case.deterministic:
        torch.testing.assert_close(copy.deepcopy(layer)(x), layer(x))
    assert repr(layer)


@pytest.mark.parametrize("case", ENCODERS.values(), ids=ENCODERS.keys())
def test_an_encoder_makes_time_of_a_still_input(case: Case) -> None:
    layer, x = case.make(), torch.rand(B, N, generator=seeded())
    assert layer(x).shape == (T, B, N)
    assert layer(x, dt=0.5).shape == (2 * T, B, N)
    torch.testing.assert_close(layer(x[:1])[:, 0], layer(x)[:, 0])
    with pytest.raises(TypeError, match="no single step"):
        layer.step(None, x)
    with pytest.raises(ValueError, match="no step"):
        layer(x, dt=100.0)
