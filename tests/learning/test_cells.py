"""Noise on what arrives at cells tells a gradient that nobody differentiates."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.func import vmap

from amphid.dynamics import LIF, BinaryThreshold, EscapeRate, LeakyIntegrator
from amphid.learning import (
    ActivityPerturbation,
    Annealed,
    Backprop,
    CellPerturbation,
    Credited,
    Objective,
    TotalSpikes,
    fit,
)
from amphid.learning.gradients.cells.arriving import Moved, decides
from amphid.learning.gradients.cells.noise import Noise
from amphid.learning.gradients.cells.passes import Passes
from amphid.learning.watching import surrounded
from amphid.models import Recurrent, Sequential, SpikeCount

T, B, K, N, C = 11, 5, 7, 3, 2
BOTH = [ActivityPerturbation, CellPerturbation]


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(net: nn.Module, size: float = 1.0) -> nn.Module:
    draw = seeded(3)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(size * torch.randn(p.shape, generator=draw))
    return net


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.named_parameters())


def each(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared error of each example [B]."""
    return (outputs - targets).square().mean(-1)


def of_sequences(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared error of each example [B] over time."""
    return (outputs - targets).square().mean((0, -1))


def linear(module: nn.Module) -> bool:
    return isinstance(module, LeakyIntegrator)


@pytest.fixture
def every_direction(monkeypatch):
    """Noise along each axis in turn, the same in all examples, instead of at random."""

    def along(noise: Noise, key: int, count: int) -> list[torch.Tensor]:
        shapes = [entry.arriving.shape for entry in noise.entries]
        sizes = [shape[0] * shape[-1] for shape in shapes]
        assert count == sum(sizes)
        axes = (math.sqrt(count) * torch.eye(count)).split(sizes, 1)
        own = zip(axes, shapes, noise.sizes, strict=True)
        return [
            size * axis.view(count, shape[0], 1, shape[-1]).expand(-1, -1, B, -1)
            for axis, shape, size in own
        ]

    monkeypatch.setattr(Noise, "drawn", along)


@pytest.mark.usefixtures("every_direction")
@pytest.mark.parametrize("estimator", BOTH)
def test_in_a_linear_network_all_directions_together_are_the_gradient(estimator):
    """Membranes without a threshold, a squared error: pairs tell each slope without an error."""
    layers = (nn.Linear(K, N), LeakyIntegrator(tau=5.0), nn.Linear(N, C), LeakyIntegrator(tau=3.0))
    net = drawn(Sequential(*layers))
    x, y = torch.randn(T, B, K, generator=seeded()), torch.randn(T, B, C, generator=seeded(2))
    loss = Objective(net, x, y, of_sequences)
    found = estimator(seeded(), samples=2 * T * (N + C), cells=linear)(loss, named(net))
    torch.testing.assert_close(found, Backprop()(loss, named(net)))


@pytest.mark.usefixtures("every_direction")
def test_what_cells_hear_of_themselves_is_a_part_of_what_arrives():
    """Linear recurrent cells: the gradient of every weight, also of the way back."""
    net = drawn(Sequential(nn.Linear(K, N), Recurrent(LeakyIntegrator(), nn.Linear(N, N))))
    x, y = torch.randn(T, B, K, generator=seeded()), torch.randn(T, B, N, generator=seeded(2))
    loss = Objective(net, x, y, of_sequences)
    noisy = ActivityPerturbation(
        seeded(), samples=2 * T * N, cells=lambda part: isinstance(part, Recurrent)
    )
    torch.testing.assert_close(noisy(loss, named(net)), Backprop()(loss, named(net)))


@pytest.mark.usefixtures("every_direction")
def test_cells_one_by_one_leave_out_what_they_do_to_one_another():
    cells = Recurrent(LeakyIntegrator(resistance=10.0), nn.Linear(N, N))
    net = drawn(
        Sequential(nn.Linear(K, N), cells, nn.Linear(N, C), LeakyIntegrator(resistance=10.0))
    )
    x, y = torch.randn(T, B, K, generator=seeded()), torch.randn(T, B, C, generator=seeded(2))
    loss = Objective(net, x, y, of_sequences)
    noisy = CellPerturbation(
        seeded(), samples=2 * T * N, cells=lambda part: isinstance(part, Recurrent)
    )
    exact, found = Backprop()(loss, named(net))[1], noisy(loss, named(net))[1]
    torch.testing.assert_close(found["2.weight"], exact["2.weight"])
    assert not torch.allclose(found["1.projection.weight"], exact["1.projection.weight"])


@pytest.mark.parametrize("estimator", BOTH)
def test_binary_cells_get_the_slope_of_a_step_smoothed_by_the_noise(estimator):
    r"""dL/dalpha = c phi((alpha - theta) / sigma) / sigma for a loss c z."""
    net = nn.Sequential(nn.Linear(K, N, bias=False), BinaryThreshold(v_threshold=0.0))
    drawn(net, 0.3)
    x, costs = torch.randn(B, K, generator=seeded()), torch.tensor([1.0, -2.0, 3.0])
    loss = Objective(net, x, costs, lambda outputs, costs: (outputs * costs).sum(-1))
    noisy = estimator(seeded(), samples=20_000, radius=0.5, absolute=True)
    _, found = noisy(loss, named(net))
    alpha = x @ net[0].weight.T
    density = torch.exp(-(alpha**2) / (2 * 0.25)) / (0.5 * math.sqrt(2 * math.pi))
    wanted = (costs * density).T @ x / B
    torch.testing.assert_close(found["0.weight"], wanted.detach(), rtol=0.0, atol=0.04)


@pytest.mark.parametrize("estimator", BOTH)
def test_penalties_count_and_are_not_counted_twice(estimator):
    """Of total activity of linear cells, and nothing else, each weight has its exact slope."""
    net = drawn(Sequential(nn.Linear(K, N), LIF(resistance=10.0), nn.Linear(N, C)))
    x = 9 * torch.rand(T, B, K, generator=seeded())
    nothing = Objective(net, x, None, lambda outputs, _: 0 * outputs.sum((0, 2)))
    penalized = Objective(net, x, None, nothing.loss, (TotalSpikes(0.1),))
    value, found = estimator(seeded(), samples=8)(penalized, named(net))
    assert float(value) == pytest.approx(penalized(named(net)).mean().item())
    assert found["0.weight"].abs().sum() > 0
    assert estimator(seeded(), samples=8)(nothing, named(net))[1]["0.weight"].abs().sum() == 0


def test_an_example_answers_for_no_other():
    """Where one example alone has a loss, the input of the others does not matter."""
    net = drawn(nn.Sequential(nn.Linear(K, N), BinaryThreshold(v_threshold=0.0), nn.Linear(N, C)))
    x, one = torch.randn(B, K, generator=seeded()), torch.eye(B)[2]

    def found(x):
        loss = Objective(net, x, one, lambda outputs, one: outputs.sum(-1) * one)
        return ActivityPerturbation(seeded(), absolute=True)(loss, named(net))[1]["0.weight"]

    other = x.clone()
    other[3] *= 7
    assert found(x).abs().sum() > 0
    torch.testing.assert_close(found(x), found(other))


def test_noise_is_not_blamed_for_losses_that_came_before_it_or_long_after():
    """The input comes in one step only: earlier losses teach its weights nothing."""
    net = drawn(Sequential(nn.Linear(K, N, bias=False), LIF(resistance=20.0), nn.Linear(N, C)))
    x = torch.zeros(T, B, K)
    x[6] = torch.rand(B, K, generator=seeded())

    def slope(block: int, **settings):
        wanted = torch.zeros(T, B, C)
        wanted[block : block + 1] = 1.0
        criterion = Credited(lambda outputs, wanted: (outputs * wanted).sum(), steps=1)
        noisy = ActivityPerturbation(seeded(), 64, 50.0, absolute=True, **settings)
        return noisy(Objective(net, x, wanted, criterion), named(net))[1]["0.weight"].norm()

    assert slope(5) == 0
    assert slope(6) > 0
    assert slope(9) > 0
    assert slope(9, window=2) == 0
    assert slope(9, window=3) > 0
    assert slope(5, steps=3) == 0  # stretches 0-2, 3-5, 6-8
    assert slope(8, steps=3, window=0) > 0
    assert slope(9, steps=3, window=0) == 0


def test_cells_that_are_outputs_answer_for_their_own_output_alone():
    outer = LIF(resistance=20.0)
    net = drawn(Sequential(nn.Linear(K, N), LIF(resistance=20.0), nn.Linear(N, C), outer))
    net.append(SpikeCount())
    x = 5 * torch.rand(T, B, K, generator=seeded())
    first = torch.tensor([1.0, 0.0]).expand(B, C)
    criterion = Credited(
        lambda outputs, wanted: (outputs * wanted).sum(), outputs=True, sequence=False
    )
    noisy = ActivityPerturbation(seeded(), 64, 30.0, absolute=True)
    found = noisy(Objective(net, x, first, criterion), named(net))[1]
    assert found["2.weight"][0].abs().sum() > 0
    assert found["2.weight"][1].abs().sum() == 0
    assert found["0.weight"].abs().sum() > 0


class Refusing(nn.Module):
    """Passes on its input, in a way that vmap cannot follow."""

    def forward(self, x):
        return x if float(x.detach().sum()) < math.inf else -x


@pytest.mark.parametrize(
    "cells",
    [
        LIF(resistance=20.0),
        BinaryThreshold(),
        EscapeRate(generator=seeded(), resistance=20.0),
        Recurrent(LIF(resistance=20.0), nn.Linear(N, N, dtype=torch.float64)),
    ],
    ids=lambda cells: type(cells).__name__,
)
def test_runs_side_by_side_are_those_one_after_another(cells):
    net = drawn(Sequential(nn.Linear(K, N), cells, nn.Dropout(0.3), nn.Linear(N, C)))
    net.insert(0, nn.BatchNorm1d(K))
    x, y = 5 * torch.rand(T, B, K, generator=seeded()), torch.ones(T, B, C)

    def losses(net, criterion):
        net = copy.deepcopy(net)
        torch.manual_seed(5)
        passes = Passes(Objective(net, x, y, criterion), named(net), decides, 3, "test")
        own = 9 * torch.randn(4, 4, B, N, generator=seeded())
        own[0] = 0
        return passes.heard()[0].detach(), passes.losses([own])

    value, together = losses(net, of_sequences)
    torch.testing.assert_close(together[0], value)
    assert (together[1:] != value).any()
    by_number = losses(net, lambda a, b: of_sequences(a, b) * (float(a.detach().sum()) < 1e9))
    torch.testing.assert_close(by_number[1], together)
    refusing = Sequential(*net[:3], Refusing(), *net[3:])
    torch.testing.assert_close(losses(refusing, of_sequences)[1], together)


@pytest.mark.parametrize("estimator", BOTH)
def test_generators_and_buffers_are_left_where_one_forward_leaves_them(estimator):
    def made():
        own = seeded(4)
        cells = EscapeRate(generator=own, resistance=20.0)
        return own, drawn(Sequential(nn.BatchNorm1d(K), nn.Linear(K, N), cells, nn.Dropout(0.3)))

    x, y = 5 * torch.rand(T, B, K, generator=seeded()), torch.ones(T, B, N)
    own, net = made()
    torch.manual_seed(5)
    Objective(net, x, y, of_sequences)(named(net))
    after, buffers = torch.get_rng_state(), dict(net.named_buffers())
    other, same = made()
    torch.manual_seed(5)
    estimator(seeded())(Objective(same, x, y, of_sequences), named(same))
    assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(own.get_state(), other.get_state())
    for name, buffer in same.named_buffers():
        assert torch.equal(buffer, buffers[name]), name


class Counting(nn.Module):
    """Counts how often it is asked."""

    asked = 0

    def forward(self, x):
        self.asked += 1
        return x


def test_what_comes_before_the_first_cells_is_computed_once():
    counting, after = Counting(), Counting()
    net = drawn(Sequential(counting, nn.Linear(K, N), LIF(resistance=20.0), after, nn.Linear(N, C)))
    x, y = torch.rand(T, B, K, generator=seeded()), torch.ones(T, B, C)
    ActivityPerturbation(seeded(), samples=8)(Objective(net, x, y, of_sequences), named(net))
    assert counting.asked == 1
    assert after.asked == 2  # once as it is, once for all samples


class Skipping(nn.Sequential):
    """A stack in which the input also goes past all layers."""

    def forward(self, x):
        return super().forward(x) + x.sum(-1, keepdim=True)


def test_a_model_of_layers_may_do_more_than_its_layers_do():
    net = drawn(Skipping(nn.Linear(K, N), BinaryThreshold(), nn.Linear(N, C)))
    x, y = torch.randn(B, K, generator=seeded()), torch.ones(B, C)
    passes = Passes(Objective(net, x, y, each), named(net), decides, None, "test")
    value = passes.heard()[0].detach()
    assert torch.equal(passes.losses([torch.zeros(2, B, N)]), value.expand(2, B))


def test_a_cell_that_noise_cannot_reach_is_not_blamed():
    """Far from threshold it gives out the same with all noise: its slope is exactly zero."""
    net = drawn(nn.Sequential(nn.Linear(K, N), BinaryThreshold(v_threshold=0.0), nn.Linear(N, C)))
    with torch.no_grad():
        net[0].bias[1] = 1e6
    x, y = torch.randn(B, K, generator=seeded()), torch.randn(B, C, generator=seeded(2))
    noisy = ActivityPerturbation(seeded(), samples=8, radius=1.0, absolute=True)
    found = noisy(Objective(net, x, y, each), named(net))[1]["0.bias"]
    assert found[1] == 0
    assert found[0] != 0


def test_cells_in_the_batch_of_vmap_run_in_machine_code_from_any_state(monkeypatch):
    cells = LIF(resistance=20.0)
    x, state = 30 * torch.rand(T, B, N), cells.init(torch.zeros(B, N))
    stepped = []
    monkeypatch.setattr(
        "amphid.dynamics.sequence.run_plainly", lambda *given: stepped.append(given)
    )
    offsets = torch.randn(C, T, B, N)

    def run(offset):
        with surrounded([("", cells)], Moved([offset], None)):
            return cells.run(x, state)[0]

    with torch.no_grad():
        together = vmap(run)(offsets)
        apart = torch.stack([cells.run(x + offset, state)[0] for offset in offsets])
    assert torch.equal(together, apart)
    assert together.sum() > 0
    assert not stepped


class Steps(nn.Module):
    """Cells of a user's own: a sign."""

    def forward(self, x):
        return x.sign()


@pytest.mark.parametrize("estimator", BOTH)
def test_cells_of_ones_own_learn_to_tell_signs_apart(estimator):
    net = nn.Sequential(nn.Linear(C, 29), Steps(), nn.Linear(29, C))
    drawn(net, 0.5)
    x = torch.randn(200, C, generator=seeded())
    labels = (x[:, 0] * x[:, 1] > 0).long()
    fit(
        net,
        list(zip(x.split(40), labels.split(40), strict=True)),
        nn.CrossEntropyLoss(reduction="none"),
        optimizer=torch.optim.Adam(net.parameters(), 0.05),
        epochs=20,
        estimator=estimator(seeded(), cells=lambda part: isinstance(part, Steps)),
        progress=False,
    )
    assert (net(x).argmax(1) == labels).double().mean() > 0.8  # a line tells half


def test_a_share_of_wrong_answers_is_a_loss():
    """No derivative anywhere: neither of the cells nor of the loss."""
    net = nn.Sequential(nn.Linear(C, 1), BinaryThreshold(v_threshold=0.0))
    drawn(net, 0.5)
    x = torch.randn(200, C, generator=seeded())
    wanted = (x[:, :1] > x[:, 1:]).double()
    fit(
        net,
        [(x, wanted)],
        lambda outputs, wanted: (outputs != wanted).double().flatten(),
        optimizer=torch.optim.Adam(net.parameters(), 0.03),
        epochs=60,
        estimator=ActivityPerturbation(seeded()),
        progress=False,
    )
    assert (net(x) == wanted).double().mean() > 0.93


@pytest.mark.parametrize("estimator", BOTH)
def test_a_fit_goes_on_where_it_stopped(estimator, tmp_path):
    x, y = torch.randn(3, B, K, generator=seeded()), torch.randn(3, B, C, generator=seeded(2))

    def trained(folder, epochs):
        net = drawn(nn.Sequential(nn.Linear(K, N), BinaryThreshold(), nn.Linear(N, C)))
        fit(
            net, list(zip(x, y, strict=True)), each,
            optimizer=torch.optim.Adam(net.parameters()), epochs=epochs, progress=False,
            estimator=estimator(seeded(), radius=Annealed(1.0, 0.1, 9)), resume=True,
            folder=tmp_path / folder,
        )  # fmt: skip
        return net[0].weight

    trained("parts", 1)
    assert torch.equal(trained("parts", 3), trained("whole", 3))


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"samples": 3}, "even"),
        ({"samples": 0}, "even"),
        ({"radius": 0.0}, "radius"),
        ({"steps": 0}, "steps"),
        ({"window": -1}, "window"),
        ({"generator": 5}, "torch.Generator"),
    ],
)
def test_settings_that_are_none_are_refused(estimator, settings, says):
    with pytest.raises((TypeError, ValueError), match=says):
        estimator(**{"generator": seeded(), **settings})


@pytest.mark.parametrize("estimator", BOTH)
def test_models_that_cannot_be_asked_are_refused_in_a_sentence(estimator):
    x = torch.randn(B, K)
    net = nn.Sequential(nn.Linear(K, N), nn.ReLU())
    with pytest.raises(TypeError, match="choose them"):
        estimator(seeded())(Objective(net, x, x[:, :N], each), named(net))
    learned = nn.Sequential(nn.Linear(K, N), LIF(tau=nn.Parameter(torch.tensor(9.0))))
    with pytest.raises(ValueError, match=r"1\.tau"):
        estimator(seeded())(Objective(learned, x[None], x[None], each), named(learned))
    with pytest.raises(TypeError, match="Objective"):
        estimator(seeded())(lambda params: params["x"].sum(), {"x": x})


def test_losses_that_fit_no_example_or_carry_no_gradient_are_refused():
    net = nn.Sequential(nn.Linear(K, N), BinaryThreshold())
    x = torch.randn(B, K)
    strange = Objective(net, x, None, lambda outputs, _: outputs.sum() * torch.ones(B + 1))
    with pytest.raises(ValueError, match="6 examples"):
        ActivityPerturbation(seeded())(strange, named(net))
    flat = Objective(net, x, None, lambda outputs, _: (outputs > 2).double().mean())
    with pytest.raises(TypeError, match="ActivityPerturbation"):
        CellPerturbation(seeded())(flat, named(net))
