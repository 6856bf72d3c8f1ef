"""Reports on gradients, widths of surrogates and scales of weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import amphid as am
from amphid import learning, wiring
from amphid.dynamics import (
    LIF,
    Exponential,
    FastSigmoid,
    Gaussian,
    Graded,
    HodgkinHuxley,
    LeakyIntegrator,
    Refractory,
    Relative,
    SigmoidRelease,
    Triangle,
)
from amphid.models import BatchNorm, Gain, Recurrent, Sequential, TimeMean

T, B, N = 31, 5, 13
cross_entropy = nn.functional.cross_entropy


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch() -> tuple[Tensor, Tensor]:
    x = (torch.rand(T, B, N, generator=seeded()) < 0.2).float()
    return x, torch.arange(B) % 3


def net(scale: float = 1500.0, surrogate: Any = None, layers: int = 2) -> Sequential:
    torch.manual_seed(0)
    stack: list[nn.Module] = []
    for _ in range(layers):
        linear = nn.Linear(N, N)
        linear.weight.data.mul_(scale)
        stack += [linear, LIF(surrogate=surrogate or FastSigmoid())]
    return Sequential(*stack, nn.Linear(N, 3), LeakyIntegrator(), TimeMean())


def test_norms_are_those_of_autograd():
    model, (x, y) = net(), batch()
    report = learning.gradient_report(model, (x, y), cross_entropy)
    value = cross_entropy(model(x), y)
    value.backward()
    assert report.loss == pytest.approx(value.item())
    for own, (name, parameter) in zip(report.parameters, model.named_parameters(), strict=True):
        assert own.name == name
        assert own.norm == pytest.approx(parameter.grad.norm().item(), rel=1e-5)
        assert own.relative == pytest.approx(own.norm / parameter.norm().item(), rel=1e-5)
        assert own.zeros == pytest.approx((parameter.grad == 0).float().mean().item())
    current = model[0](x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(model[1:](current), y), current)
    assert report.layers[0].norm == pytest.approx(gradient.norm().item(), rel=1e-5)
    assert report.layers[0].ratio == report.layers[0].norm / report.layers[-1].norm
    assert report.layers[0].current == pytest.approx(current.max().item())


def test_rates_and_silent_cells_are_counted():
    model, (x, y) = net(), batch()
    spikes = model[:2](x)
    first = learning.gradient_report(model, (x, y), cross_entropy).layers[0]
    assert (first.name, first.kind, first.cells, first.output) == ("1", "LIF", N, "spike")
    assert first.rate == pytest.approx(spikes.mean().item())
    assert first.silent == pytest.approx((spikes.sum((0, 1)) == 0).float().mean().item())
    assert 0 < first.silent < 1
    half = learning.gradient_report(Sequential(LIF(), TimeMean()), (x, y), cross_entropy, dt=0.5)
    assert half.layers[0].rate == Sequential(LIF())(x, dt=0.5).mean() / 0.5


def test_nothing_is_changed():
    model, (x, y) = net(), batch()
    model.insert(1, BatchNorm(N, scale=200.0))
    before = {name: own.clone() for name, own in model.state_dict().items()}
    expected = model.eval()(x)
    learning.gradient_report(model.train(), (x, y), cross_entropy)
    assert model.training
    assert all(own.grad is None for own in model.parameters())
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    torch.testing.assert_close(model.eval()(x), expected, rtol=0, atol=0)
    assert "forward" not in vars(model[2])


def hot() -> nn.Linear:
    """Currents that make cells fire at every step."""
    linear = nn.Linear(N, N)
    linear.bias.data.fill_(1e5)
    return linear


SILENT, LOST = (
    r"Layers 1 and 3: up to 100% of the cells give out nothing",
    r"Layer 1 receives .* of",
)
ADVICE = [
    (lambda: net(scale=1.0), SILENT),
    (lambda: net(scale=1.0), LOST),
    (lambda: net(scale=1.0, surrogate=Triangle()), "No gradient reaches 0.weight, 0.bias"),
    (lambda: Sequential(hot(), net()[1:]), r"Layer 1.1: up to \d+% of the cells are saturated"),
    (
        lambda: net(scale=4000.0, surrogate=Triangle(0.1)),
        r"Layers 1 and 3: more than 99% of the gradient is exactly zero. The surrogate",
    ),
    (
        lambda: net(scale=2500.0, surrogate=FastSigmoid(1e-4), layers=5),
        r"raise the weights in between|narrow the surrogates in between",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), ADVICE, ids=range(len(ADVICE)))
def test_advice_names_the_layer_and_the_way_out(make: Callable[[], nn.Module], sentence: str):
    report = learning.gradient_report(make(), batch(), cross_entropy)
    assert any(re.search(sentence, said) for said in report.advice), str(report)


def test_a_net_in_good_health_gets_no_advice():
    torch.manual_seed(1)
    model = Sequential(nn.Linear(N, 7), LeakyIntegrator(), nn.Linear(7, 3), TimeMean())
    report = learning.gradient_report(model, batch(), cross_entropy)
    assert report.advice == ()
    assert str(report).endswith("Nothing stands out.")


def test_it_prints_a_table_of_plain_text():
    lines = str(learning.gradient_report(net(), batch(), cross_entropy)).splitlines()
    assert lines[0].startswith("loss ")
    head = lines[2].split()
    assert head == ["layer", "cells", "output", "silent", "saturated", "gradient", "ratio", "zeros"]
    assert lines[3].startswith("1 LIF")
    assert " Hz " in lines[3]
    assert all(line.isascii() for line in lines)


def network() -> am.Network:
    wired = wiring.random(N, probability=0.3, generator=seeded())
    synapse = Exponential(tau=5.0, amplitude=100.0)
    return am.Network(wired, neuron=Refractory(LIF()), synapse=synapse)


class OwnLoop(nn.Module):
    """A user's module, which calls `run`."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.cells = nn.Linear(N, 3), LIF()

    def forward(self, x: Tensor) -> Tensor:
        return self.cells.run(300 * self.inputs(x))[0].mean(0)


MODELS = {
    "network": (network, "model Refractory"),
    "recurrent": (lambda: Recurrent(LIF(), nn.Linear(N, N)), "model LIF"),
    "graded": (lambda: nn.Sequential(nn.Linear(N, 3), Graded()), "1 Graded"),
    "own": (OwnLoop, "cells LIF"),
    "maps": (
        lambda: Sequential(
            nn.Unflatten(1, (1, 1, N)), nn.Conv2d(1, 2, (1, 11)), Gain(1e3), LIF(), nn.Flatten()
        ),
        "3 LIF",
    ),
}


@pytest.mark.parametrize(("make", "line"), MODELS.values(), ids=MODELS.keys())
def test_any_module_with_neurons_has_a_report(make: Callable[[], nn.Module], line: str):
    x, _ = batch()
    report = learning.gradient_report(make(), (400 * x, 0.1), lambda y, t: (y - t).square().mean())
    assert line in str(report)
    assert report.layers[-1].norm > 0


def test_a_model_without_neurons_is_refused():
    x, y = batch()
    with pytest.raises(ValueError, match="no neuron of this Linear was called"):
        learning.gradient_report(nn.Linear(N, 3), (x[0], y), cross_entropy)


def test_inputs_that_say_nothing_are_refused():
    (x, y), model = batch(), net()
    for wrong, says in ((x * torch.nan, "not finite everywhere"), (x[:, :0], "are empty")):
        with pytest.raises(ValueError, match=says):
            learning.scale_weights(model, wrong)
    with pytest.raises(ValueError, match="inputs of the batch are not finite"):
        learning.gradient_report(model, (x * torch.nan, y), cross_entropy)
    with pytest.raises(TypeError, match=r"pair \(inputs, targets\), got Tensor"):
        learning.gradient_report(model, x, cross_entropy)
    with pytest.raises(TypeError, match="got the class CrossEntropyLoss"):
        learning.gradient_report(net(), batch(), nn.CrossEntropyLoss)


# widths of surrogates


def test_a_surrogate_becomes_a_share_of_the_spread_of_its_membrane():
    """Below threshold the distance is the voltage itself, less the threshold."""
    x = 50 * torch.randn(T, B, N, generator=seeded())
    cell = LIF(surrogate=Gaussian(0.01))
    membrane = LeakyIntegrator(v_rest=-65.0)(x)
    assert membrane.max() < -50
    widths = learning.scale_surrogates(cell, x, share=0.5)
    assert widths == {"": pytest.approx(0.5 * membrane.std(correction=0).item(), rel=1e-5)}
    assert cell.surrogate == Gaussian(widths[""])


def test_every_surrogate_of_a_model_is_scaled_and_nothing_else_changes():
    model, (x, _) = net(surrogate=Relative(Triangle, 0.1)), batch()
    expected = model(x)
    widths = learning.scale_surrogates(model, x)
    assert set(widths) == {"1", "3"}
    assert [model[k].surrogate for k in (1, 3)] == [Triangle(width) for width in widths.values()]
    torch.testing.assert_close(model(x), expected)
    assert set(learning.scale_surrogates(network(), 300 * x)) == {"neuron.neuron"}
    hodgkin = Sequential(Gain(1000.0), HodgkinHuxley())
    assert learning.scale_surrogates(hodgkin, x)["1.terminal"] > 1


def test_widths_that_cannot_be_set_are_refused():
    x, _ = batch()
    with pytest.raises(ValueError, match="share must be a positive number"):
        learning.scale_surrogates(LIF(), x, share=0.0)
    with pytest.raises(TypeError, match="has no width that could be set"):
        learning.scale_surrogates(LIF(surrogate=lambda v: (v > 0).float()), x)


# scales of weights


@pytest.mark.parametrize("gain", [False, True])
def test_weights_are_scaled_until_cells_fire_at_the_rate(gain: bool):
    torch.manual_seed(0)
    x, _ = batch()
    between = (lambda: [Gain(1.0)]) if gain else (lambda: [])
    cells = LIF(), Recurrent(LIF(), nn.Linear(37, 37)), LeakyIntegrator()
    layers = [nn.Linear(N, 37), nn.Linear(37, 37), nn.Linear(37, 11)]
    model = Sequential(
        *(
            part
            for pair in zip(layers, cells, strict=True)
            for part in (pair[0], *between(), pair[1])
        )
    )
    before = layers[0].weight.detach().clone()
    factors = learning.scale_weights(model, x, rate=0.05, spread=2.0)
    report = learning.gradient_report(model, (x, 0.0), lambda y, t: y.square().mean())
    for one in report.layers[:2]:
        assert one.rate == pytest.approx(0.05, rel=0.05)
    assert model(x).std().item() == pytest.approx(2.0, rel=1e-3)
    names = ["1", "4", "7"] if gain else ["0", "2", "4"]
    assert list(factors) == names
    torch.testing.assert_close(layers[0].weight, before * (1.0 if gain else factors["0"]))


def test_a_release_is_scaled_until_it_rises_at_the_rate_though_too_much_blocks_it():
    """Hodgkin-Huxley cells under a steady current beyond 2.2 pA fire once and are blocked."""
    cells = HodgkinHuxley.cortical(capacitance=1.0, terminal=SigmoidRelease())
    model = Sequential(nn.Linear(1, 1, bias=False), cells)
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    steady = torch.ones(3001, 1, 1)
    learning.scale_weights(model, steady, rate=0.02, dt=0.1, answer=learning.rises_per_ms)
    assert learning.rises_per_ms(model(steady, dt=0.1), 0.1) == pytest.approx(0.02, abs=0.004)
    assert 0.5 < model[0].weight.item() < 2.2


def test_a_fresh_net_of_torch_layers_gets_gradients_everywhere():
    """As torch initializes it, the first of five layers receives less than 1e-9 of the last."""
    torch.manual_seed(0)
    fresh = net(scale=1.0, layers=4)
    before = learning.gradient_report(fresh, batch(), cross_entropy).layers[0].ratio
    learning.scale_weights(fresh, batch()[0])
    after = learning.gradient_report(fresh, batch(), cross_entropy).layers[0].ratio
    assert before < 1e-9
    assert 0.01 < after < 100


def test_what_cannot_be_made_to_fire_is_a_sentence():
    x, _ = batch()
    with pytest.raises(ValueError, match="no factor of the weights of layer 0 makes"):
        learning.scale_weights(Sequential(nn.Linear(N, 3, bias=False), LIF()), 0 * x)
    with pytest.raises(TypeError, match="inputs must be a tensor, got list"):
        learning.scale_weights(Sequential(nn.Linear(N, 3, bias=False), LIF()), [1.0])
    with pytest.raises(TypeError, match="layer by layer, got Linear"):
        learning.scale_weights(nn.Linear(N, 3), x)
