"""Rules that go forward in time and down in space: what each keeps of the gradient, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from amphid import models
from amphid.dynamics import (
    ALIF,
    LIF,
    BinaryThreshold,
    EscapeRate,
    HodgkinHuxley,
    LeakyIntegrator,
    step_by_step,
)
from amphid.learning import OSTL, OTTT, Backprop, EProp, Objective, RandomFeedback
from amphid.wiring import from_matrix

T, B, K, N, M, C = 17, 3, 5, 4, 7, 2
TAU, RESISTANCE = 13.0, 3.0


@pytest.fixture(autouse=True)
def plain() -> Iterator[None]:
    """No machine code: what is compared here is the same in steps of torch, and cheaper."""
    with step_by_step():
        yield


def soft(**changes: object) -> LIF:
    """A cell whose reset takes the threshold off, at 0 mV at rest."""
    values = {"tau": TAU, "resistance": RESISTANCE, "v_rest": 0.0, "v_threshold": 9.0}
    return LIF(**values | {"v_reset": None} | changes)


def filled(*layers: nn.Module) -> models.Sequential:
    draw = torch.Generator().manual_seed(1)
    net = models.Sequential(*layers).double()
    with torch.no_grad():
        for p in (p for layer in net.modules() if isinstance(layer, nn.Linear)
                  for p in layer.parameters()):  # fmt: skip
            p.copy_(6 * torch.randn(p.shape, generator=draw, dtype=torch.float64) + 3)
    return net


def error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().mean()


def task(net: nn.Module, steps: int = T) -> Objective:
    draw = torch.Generator().manual_seed(2)
    x = 3 * torch.rand(steps, B, K, generator=draw, dtype=torch.float64)
    targets = torch.rand(steps, B, C, generator=draw, dtype=torch.float64)
    return Objective(net, x, targets, error, (), 0.5)


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(wanted)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-9, atol=1e-12, msg=name)
        assert gradient.abs().sum() > 0, name


def recurrent(neuron: nn.Module) -> models.Recurrent:
    return models.Recurrent(neuron, nn.Linear(N, N))


@pytest.mark.parametrize(
    "tau", [TAU, torch.linspace(5, 23, N, dtype=torch.float64)], ids=["one", "each"]
)
def test_ottt_is_the_gradient_of_one_layer_whose_reset_takes_the_threshold_off(tau: object) -> None:
    net = filled(nn.Linear(K, N), models.Gain(1.3), soft(tau=tau), nn.Linear(N, C),
                 LeakyIntegrator())  # fmt: skip
    net[1].gain.requires_grad_(False)
    own = task(net)
    value, found = OTTT()(own, named(net))
    assert value == Backprop()(own, named(net))[0]
    close(found, Backprop()(own, named(net))[1])


def test_ottt_leaves_out_the_reset_that_puts_to_a_voltage() -> None:
    net = filled(nn.Linear(K, N), soft(v_reset=0.0), nn.Linear(N, C))
    own = task(net)
    found, whole = OTTT()(own, named(net))[1], Backprop()(own, named(net))[1]
    assert not torch.allclose(found["0.weight"], whole["0.weight"], rtol=0.01)
    torch.testing.assert_close(found["2.weight"], whole["2.weight"])


def test_ottt_is_the_double_loop_of_its_paper() -> None:
    """The trace of Xiao et al., eq. 6 and 7, written as a sum over pairs of steps, by hand."""
    net = filled(nn.Linear(K, N), soft(), nn.Linear(N, M), soft(), nn.Linear(M, C))
    own = task(net)
    found = OTTT()(own, named(net))[1]
    kept = np.exp(-own.dt / TAU)
    spikes, slopes = [own.inputs], []
    for linear, cells in ((net[0], net[1]), (net[2], net[3])):
        v, fired, steep = torch.zeros(B, linear.out_features).double(), [], []
        for x in spikes[-1]:
            v = kept * v + (1 - kept) * RESISTANCE * linear(x).detach()
            over = (v - cells.v_threshold).requires_grad_()
            spike = cells.surrogate(over)
            steep += torch.autograd.grad(spike.sum(), over)
            fired.append(spike.detach())
            v = v - spike.detach() * cells.v_threshold
        spikes.append(torch.stack(fired))
        slopes.append(torch.stack(steep) * (1 - kept) * RESISTANCE)
    signal = 2 * (net[4](spikes[2]) - own.targets).detach() / own.targets.numel() @ net[4].weight
    upper = signal * slopes[1]
    lower = (upper @ net[2].weight) * slopes[0]
    for name, reached, arriving in (("2", upper, spikes[1]), ("0", lower, spikes[0])):
        wanted = torch.zeros_like(net[int(name)].weight)
        for t in range(T):
            for s in range(t + 1):
                wanted += kept ** (t - s) * reached[t].T @ arriving[s]
        torch.testing.assert_close(found[f"{name}.weight"], wanted.detach())


def test_ottt_and_eprop_agree_on_recurrent_cells_whose_reset_takes_the_threshold_off() -> None:
    net = filled(nn.Linear(K, N), recurrent(soft()), nn.Linear(N, C))
    close(OTTT()(task(net), named(net))[1], EProp()(task(net), named(net))[1])


def test_ottt_takes_connections_with_delays() -> None:
    counts = np.ones((N, N))
    wires = from_matrix([f"C{k}" for k in range(N)], counts)
    delay = 0.5 * (np.arange(len(wires.connections)) % 3 + 1).astype(np.float32)
    wires = replace(wires, connections=replace(wires.connections, delay=delay))
    each = torch.linspace(5, 23, N, dtype=torch.float64)
    for tau in (TAU, each):
        back = models.Recurrent(soft(tau=tau), models.Connections(wires, scale=4.0))
        net = filled(nn.Linear(K, N), back, nn.Linear(N, C))
        close(OTTT()(task(net), named(net))[1], EProp()(task(net), named(net))[1])


@pytest.mark.parametrize(
    "neuron",
    [
        ALIF(resistance=3.0, tau=nn.Parameter(torch.tensor(15.0)), reset_gradient=True),
        LIF(resistance=3.0, v_threshold=nn.Parameter(torch.linspace(-51, -49, N))),
    ],
    ids=["ALIF", "LIF"],
)
def test_ostl_is_the_gradient_of_one_recurrent_layer(neuron: nn.Module) -> None:
    net = filled(nn.Linear(K, N), recurrent(neuron), nn.Linear(N, C), LeakyIntegrator())
    own = task(net, steps=29)
    close(OSTL()(own, named(net))[1], Backprop()(own, named(net))[1])


def test_ostl_hands_signals_down_within_the_step_and_is_whole_within_each_layer() -> None:
    """Signals by hand from the slopes of each step; then plain backpropagation in each layer."""
    net = filled(
        nn.Linear(K, N), recurrent(ALIF(resistance=3.0)),
        nn.Linear(N, M), ALIF(resistance=3.0), nn.Linear(M, C),
    )  # fmt: skip
    own = task(net)
    lower = net[1](net[0](own.inputs), dt=own.dt)
    middle = lower.detach()
    upper = net[3](net[2](middle), dt=own.dt)
    seen = upper.detach().requires_grad_()
    (signal,) = torch.autograd.grad(error(net[4](seen), own.targets), seen)
    state, slopes = net[3].init(seen[0]), []
    for x in net[2](middle).detach():
        into = x.requires_grad_()
        state, given = net[3].step(type(state)(*(held.detach() for held in state)), into, own.dt)
        slopes += torch.autograd.grad(given.sum(), into)
    down = (signal * torch.stack(slopes)) @ net[2].weight
    parts = (("0", lower, down), ("1", lower, down), ("2", upper, signal))
    found = OSTL()(own, named(net))[1]
    for prefix, given, told in parts:
        for name, p in named(net[int(prefix)]).items():
            (wanted,) = torch.autograd.grad((given * told.detach()).sum(), p, retain_graph=True)
            torch.testing.assert_close(found[f"{prefix}.{name}"], wanted)
    whole = Backprop()(own, named(net))[1]
    assert not torch.allclose(found["0.weight"], whole["0.weight"], rtol=0.01)


@pytest.mark.parametrize("rule", [OSTL, OTTT])
def test_random_feedback_changes_what_comes_down_only(rule: type) -> None:
    net = filled(nn.Linear(K, N), soft(), nn.Linear(N, M), soft(), nn.Linear(M, C))
    plain = rule()(task(net), named(net))[1]
    random = rule(RandomFeedback(torch.Generator().manual_seed(5)))(task(net), named(net))[1]
    for name in plain:
        assert torch.allclose(plain[name], random[name]) == name.startswith("4."), name


def test_feedback_that_is_none_is_refused() -> None:
    for given in ("random", RandomFeedback):
        with pytest.raises(TypeError, match="feedback must be one such as RandomFeedback"):
            OSTL(given)
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator, got 3"):
        RandomFeedback(3)


@pytest.mark.parametrize(
    ("cells", "rule", "error_", "says"),
    [
        (soft(tau=nn.Parameter(torch.tensor(9.0))), OTTT, ValueError, "OTTT cannot train 1.tau"),
        (HodgkinHuxley(), OTTT, TypeError, "HodgkinHuxley depends on its state"),
        (BinaryThreshold(), OTTT, TypeError, "BinaryThreshold has none"),
        *((EscapeRate(generator=torch.Generator()), rule, TypeError,
           "real numbers, but EscapeRate also keeps") for rule in (OTTT, OSTL, EProp)),
        (models.Recurrent(soft(), from_matrix(list("abcd"), np.ones((N, N)))), OSTL, TypeError,
         "1.projection is a Connections"),
    ],
)  # fmt: skip
def test_what_a_rule_cannot_do_is_said(
    cells: nn.Module, rule: type, error_: type, says: str
) -> None:
    net = filled(nn.Linear(K, N), cells, nn.Linear(N, C))
    with pytest.raises(error_, match=says):
        rule()(task(net), named(net))
