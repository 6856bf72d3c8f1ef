"""Gradients carried forward in time: exact where they claim to be, local where they must be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from amphid import models
from amphid.dynamics import ALIF, LIF, AdEx, Izhikevich, LeakyIntegrator, Refractory, step_by_step
from amphid.learning import (
    L2,
    RTRL,
    AdaptiveFeedback,
    Backprop,
    EProp,
    Mean,
    Objective,
    RandomFeedback,
    SymmetricFeedback,
    TotalSpikes,
    fit,
)
from amphid.wiring import Connectome, from_matrix

T, B, K, N, M, C = 19, 3, 5, 4, 7, 2


@pytest.fixture(autouse=True)
def plain() -> Iterator[None]:
    """No machine code: what is compared here is the same in steps of torch, and cheaper."""
    with step_by_step():
        yield


class Recurrent(nn.Module):
    """Cells that hear one another one step later."""

    def __init__(self, neuron: nn.Module, projection: nn.Module, *, cut: bool = False) -> None:
        super().__init__()
        self.neuron, self.projection, self.cut = neuron, projection, cut

    def run(self, x, state=None, dt=1.0):
        like = x[0]
        now, given = (self.neuron.init(like), torch.zeros_like(like)) if state is None else state
        outputs = []
        for current in x.unbind(0):
            fed = given.detach() if self.cut else given
            now, given = self.neuron.step(now, current + self.projection(fed), dt)
            outputs.append(given)
        return torch.stack(outputs), (now, given)

    def forward(self, x, dt=1.0):
        return self.run(x, dt=dt)[0]


class Chain(nn.Sequential):
    """A sequential that carries states."""

    def forward(self, x, dt=1.0):
        return self.run(x, None, dt)[0]

    def run(self, x, state=None, dt=1.0):
        after = []
        for place, layer in enumerate(self):
            if hasattr(layer, "run"):
                x, own = layer.run(x, None if state is None else state[place], dt)
            else:
                x, own = layer(x), None
            after.append(own)
        return x, tuple(after)


def filled(net: nn.Module, seed: int = 1) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    net = net.double()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                for p in layer.parameters():
                    p.copy_(torch.randn(p.shape, generator=draw, dtype=torch.float64))
                layer.weight *= 10
                if layer.bias is not None:
                    layer.bias += 12
    return net


def learned(*shape: int, value: float) -> nn.Parameter:
    return nn.Parameter(torch.full(shape, value, dtype=torch.float64))


def alone(neuron: nn.Module) -> nn.Module:
    """Cells without connections among them, and a readout."""
    return filled(Chain(nn.Linear(K, N), neuron, nn.Linear(N, C), LeakyIntegrator()))


def recurrent(*, cut: bool = False, neuron: nn.Module | None = None) -> nn.Module:
    cells = ALIF(resistance=3.0) if neuron is None else neuron
    hidden = Recurrent(cells, nn.Linear(N, N, bias=False), cut=cut)
    return filled(Chain(nn.Linear(K, N), hidden, nn.Linear(N, C), LeakyIntegrator()))


def deep(*, cut: bool = False) -> nn.Module:
    first = Recurrent(LIF(resistance=3.0), nn.Linear(N, N), cut=cut)
    second = Recurrent(ALIF(resistance=3.0), nn.Linear(M, M), cut=cut)
    return filled(
        Chain(nn.Linear(K, N), first, nn.Linear(N, M), second, nn.Linear(M, C), LeakyIntegrator())
    )


def error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().mean()


def task(net: nn.Module, *penalties: object, steps: int = T, dt: float = 1.0) -> Objective:
    draw = torch.Generator().manual_seed(2)
    x = 3 * torch.rand(steps, B, K, generator=draw, dtype=torch.float64)
    targets = torch.rand(steps, B, C, generator=draw, dtype=torch.float64)
    return Objective(net, x, targets, error, penalties, dt)


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.named_parameters())


def close(found: tuple, wanted: tuple) -> None:
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-12, atol=0)
    assert list(found[1]) == list(wanted[1])
    for name, gradient in found[1].items():
        torch.testing.assert_close(gradient, wanted[1][name], rtol=1e-9, atol=1e-13, msg=name)
        assert gradient.abs().sum() > 0, name


def agree(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], name: str) -> float:
    return float(nn.functional.cosine_similarity(one[name].flatten(), two[name].flatten(), dim=0))


NEURONS = [
    LIF(resistance=3.0, tau=learned(N, value=15.0)),
    LIF(resistance=learned(value=3.0), reset_gradient=True),
    ALIF(resistance=3.0, jump=learned(N, value=2.0), tau_adaptation=learned(1, value=90.0)),
    Refractory(LIF(resistance=3.0), period=3.0),
    AdEx(),
    Izhikevich(),
]


@pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: type(n).__name__)
def test_eprop_is_the_gradient_where_no_cell_hears_another(neuron: nn.Module) -> None:
    net = alone(neuron)
    if isinstance(neuron, AdEx | Izhikevich):
        with torch.no_grad():
            net[0].weight *= 20
            net[0].bias *= 50
    close(EProp()(task(net, dt=0.5), named(net)), Backprop()(task(net, dt=0.5), named(net)))


@pytest.mark.parametrize("make", [recurrent, deep])
def test_eprop_is_the_gradient_with_recurrent_connections_cut(make: object) -> None:
    net, cut = make(), make(cut=True)
    close(EProp()(task(net), named(net)), Backprop()(task(cut), named(cut)))
    whole = Backprop()(task(net), named(net))[1]
    assert agree(EProp()(task(net), named(net))[1], whole, "0.weight") < 0.9999


def test_rtrl_is_the_gradient() -> None:
    for net in (recurrent(), deep()):
        close(RTRL()(task(net), named(net)), Backprop()(task(net), named(net)))


def test_rtrl_is_the_gradient_of_what_a_user_writes() -> None:
    class Cubic(nn.Module):
        """A state of two tensors, one of them a count."""

        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor([0.3, 0.5], dtype=torch.float64))

        def run(self, x, state=None):
            v, steps = (torch.zeros_like(x[0]), torch.zeros((), dtype=torch.long))
            v, steps = (v, steps) if state is None else state
            outputs = []
            for present in x.unbind(0):
                v, steps = torch.tanh(self.a * v**3 + present + 0.1 * steps), steps + 1
                outputs.append(self.a[0] * v)
            return torch.stack(outputs), (v, steps)

        def forward(self, x):
            return self.run(x)[0]

    net = Cubic()
    x = torch.linspace(-1, 1, 2 * 3 * T, dtype=torch.float64).view(T, 3, 2)
    own = Objective(net, x, torch.zeros(()), error)
    close(RTRL()(own, named(net)), Backprop()(own, named(net)))


@pytest.mark.parametrize("estimator", [EProp(), RTRL()], ids=repr)
def test_penalties_and_parts_count(estimator: object) -> None:
    net = alone(LIF(resistance=3.0))
    parts = Mean((task(net, L2(0.1)), task(net, L2(0.1), steps=7)))
    close(estimator(parts, named(net)), Backprop()(parts, named(net)))


def test_eprop_sees_penalties_of_activity() -> None:
    net, cut = deep(), deep(cut=True)
    close(
        EProp()(task(net, TotalSpikes(0.1)), named(net)),
        Backprop()(task(cut, TotalSpikes(0.1)), named(cut)),
    )
    with pytest.raises(ValueError, match="RTRL does not see hidden cells"):
        RTRL()(task(net, TotalSpikes(0.1)), named(net))


def test_only_what_is_asked_for_is_found() -> None:
    net = recurrent()
    asked = {"1.projection.weight": net[1].projection.weight}
    wanted = EProp()(task(net), named(net))[1]["1.projection.weight"]
    assert torch.equal(EProp()(task(net), asked)[1]["1.projection.weight"], wanted)


def test_random_feedback_changes_hidden_layers_only() -> None:
    net = deep()
    feedback = RandomFeedback(torch.Generator().manual_seed(5))
    value, found = EProp(feedback)(task(net), named(net))
    same, wanted = EProp()(task(net), named(net))
    assert value == same
    assert set(feedback.state_dict()) == {"2", "4"}
    for name, gradient in found.items():
        assert torch.allclose(gradient, wanted[name], rtol=1e-9) == name.startswith("4."), name
    again = EProp(feedback)(task(net), named(net))[1]
    for name, gradient in found.items():
        assert torch.equal(gradient, again[name])


def test_feedback_of_the_own_weights_is_symmetric() -> None:
    net = deep()
    feedback = RandomFeedback(torch.Generator())
    feedback.load_state_dict({name: net[int(name)].weight.detach() for name in ("2", "4")})
    close(EProp(feedback)(task(net), named(net)), EProp()(task(net), named(net)))


def test_adaptive_feedback_becomes_the_weights_as_both_decay() -> None:
    """Their difference shrinks by 1 - rate * decay a step, whatever the gradients are."""
    net, rate, decay = recurrent(), 0.05, 0.3
    feedback = AdaptiveFeedback(
        RandomFeedback(torch.Generator().manual_seed(5)), rate=rate, decay=decay
    )
    start = feedback.weights("2", net[2].weight.detach()) - net[2].weight.detach()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, weight_decay=decay)
    own = task(net)
    fit(net, [(own.inputs, own.targets)] * 7, error, optimizer=optimizer, dt=1.0,
        estimator=EProp(feedback))  # fmt: skip
    after = feedback.state_dict()["2"] - net[2].weight.detach()
    torch.testing.assert_close(after, start * (1 - rate * decay) ** 7)


def test_eprop_learns_what_backpropagation_learns() -> None:
    """A target that a recurrent network made, with other weights."""
    losses = {}
    for estimator in (Backprop(), EProp(), EProp(RandomFeedback(torch.Generator()))):
        net, own = recurrent(neuron=LIF(resistance=3.0)), task(recurrent())
        targets = filled(recurrent(), seed=9)(own.inputs).detach()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        history = fit(net, [(own.inputs, targets)], error, optimizer=optimizer, epochs=30,
                      estimator=estimator)  # fmt: skip
        losses[repr(estimator)] = history.losses[-1] / history.losses[0]
    assert max(losses.values()) < 0.5, losses


def test_a_resume_remembers_the_feedback(tmp_path) -> None:
    def trained(seed: int, **arguments: object) -> torch.Tensor:
        net = recurrent()
        own = task(net)
        fit(net, [(own.inputs, own.targets)], error, folder=tmp_path,
            optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
            estimator=EProp(RandomFeedback(torch.Generator().manual_seed(seed))),
            **arguments)  # fmt: skip
        return net[0].weight.detach()

    trained(1, epochs=2)
    resumed = trained(2, epochs=4, resume=True)
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert torch.equal(trained(1, epochs=4), resumed)


def test_a_gain_before_the_cells_is_taken_along() -> None:
    net = filled(
        models.Sequential(
            nn.Linear(K, N), models.Gain(3.0), LIF(resistance=1.0),
            nn.Linear(N, M), models.Gain(2.0), LIF(resistance=1.0), nn.Linear(M, C),
        )
    )  # fmt: skip
    cells = net[:3](task(net).inputs)
    assert cells.sum() > 0
    close(EProp()(task(net), named(net)), Backprop()(task(net), named(net)))


def test_connections_learn_by_eprop_as_a_matrix_does() -> None:
    draw = torch.Generator().manual_seed(5)
    weight = 40 * torch.randn(N, N, generator=draw, dtype=torch.float64)
    matrix = nn.Linear(N, N, bias=False).double()
    matrix.weight.data.copy_(weight.T)
    wires = from_matrix([f"C{k}" for k in range(N)], np.ones((N, N)))
    own = weight[tuple(torch.tensor(end) for end in pairs(wires))]
    edges = models.Connections(wires, nn.Parameter(own))
    found = []
    for back in (matrix, edges):
        hidden = models.Recurrent(LIF(resistance=3.0), back)
        net = filled(models.Sequential(nn.Linear(K, N), nn.Identity(), nn.Linear(N, C)))
        net[1] = hidden
        matrix.weight.data.copy_(weight.T)
        found.append(EProp()(task(net), named(net))[1])
    by_edge = found[1]["1.projection.weight"]
    assert by_edge.abs().sum() > 0
    torch.testing.assert_close(by_edge, found[0]["1.projection.weight"].T[pairs(wires)])


def test_eprop_is_the_gradient_of_delayed_connections_onto_cells_that_send_nothing_on() -> None:
    counts = np.zeros((N, N))
    counts[:2, 2:] = 1.0
    wires = from_matrix([f"C{k}" for k in range(N)], counts)
    delay = np.arange(len(wires.connections), dtype=np.float32)
    wires = replace(wires, connections=replace(wires.connections, delay=delay))
    net = filled(models.Sequential(nn.Linear(K, N), nn.Identity(), nn.Linear(N, C)))
    net[1] = models.Recurrent(LIF(resistance=3.0), models.Connections(wires, scale=40.0)).double()
    nn.init.zeros_(net[0].weight)
    net[0].bias.data.copy_(torch.tensor([8.0, 9.0, 4.0, 3.0]))
    found, wanted = (way(task(net, steps=61), named(net))[1] for way in (EProp(), Backprop()))
    name = "1.projection.weight"
    assert (wanted[name] != 0).all()
    torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-13)


def pairs(wires: Connectome) -> tuple[np.ndarray, np.ndarray]:
    return wires.connections.pre.astype(np.int64), wires.connections.post.astype(np.int64)


@pytest.mark.parametrize(
    ("net", "error_", "says"),
    [
        (nn.Linear(K, C), TypeError, "needs a stack of layers.*got Linear"),
        (nn.Sequential(nn.Linear(K, C)), TypeError, "this model has none"),
        (
            Chain(nn.Linear(K, M), nn.Linear(M, N), LIF(), nn.Linear(N, C)),
            ValueError,
            "EProp cannot train 0.weight, 0.bias",
        ),
        (
            Chain(Recurrent(LIF(), nn.Sequential(nn.Linear(N, N))), nn.Linear(N, C)),
            TypeError,
            "projection that is a Linear or Connections, but layer 0 has Sequential",
        ),
    ],
)
def test_what_eprop_cannot_do_is_said(net: nn.Module, error_: type, says: str) -> None:
    with pytest.raises(error_, match=says):
        EProp()(task(net.double()), named(net))


def test_what_is_no_objective_is_refused() -> None:
    for estimator in (EProp(), RTRL()):
        with pytest.raises(TypeError, match="needs an Objective"):
            estimator(lambda p: p["x"], {"x": torch.ones(())})
    assert SymmetricFeedback().state_dict() == {}
