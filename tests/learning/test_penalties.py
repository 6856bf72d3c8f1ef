"""Every penalty keeps the contract of penalties; hidden cells are heard however they are run."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import amphid.learning as room
from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import (
    L1,
    L2,
    Backprop,
    Balance,
    Objective,
    RateBounds,
    Saturation,
    TotalSpikes,
    fit,
)  # fmt: skip

T, B, K, N, C = 23, 5, 7, 3, 2
PENALTIES = [
    L1(0.3), L2(0.3), RateBounds(0.01, lower=20.0, upper=60.0), TotalSpikes(0.1), Balance(0.3),
    Saturation(10.0, least=0.02, most=0.06),
]  # fmt: skip


class Net(nn.Module):
    """Two layers that can be run from any state."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.inward, self.outward = nn.Linear(K, N), nn.Linear(N, C)
        self.cells, self.readout = LIF(resistance=10.0), LeakyIntegrator()
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=draw))
        self.double()

    def run(self, x, state=None, dt=1.0):
        hidden, outer = (None, None) if state is None else state
        spikes, hidden = self.cells.run(self.inward(x), hidden, dt)
        y, outer = self.readout.run(self.outward(spikes), outer, dt)
        return y, (hidden, outer)

    def forward(self, x, dt=1.0):
        return self.run(x, dt=dt)[0]


def inputs(seed: int = 2) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return 6 * torch.rand(T, B, K, generator=g, dtype=torch.float64)


def nothing(outputs: torch.Tensor, targets: object) -> torch.Tensor:
    return 0 * outputs.sum()


def objective(net: nn.Module, *penalties: object, dt: float | None = None) -> Objective:
    return Objective(net, inputs(), None, nothing, penalties, dt)


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.named_parameters())


def test_the_list_of_penalties_is_complete() -> None:
    known = {
        cls.__name__
        for cls in vars(room).values()
        if isinstance(cls, type) and cls.__module__ == "amphid.learning.penalties"
    }
    assert {type(penalty).__name__ for penalty in PENALTIES} == known


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
def test_every_penalty_is_a_scalar_with_a_gradient(penalty: object) -> None:
    net = Net()
    value, gradients = Backprop()(objective(net, penalty), named(net))
    assert float(value) > 0
    assert any(gradient.abs().sum() > 0 for gradient in gradients.values())
    double, _ = Backprop()(
        objective(net, type(penalty)(**{**vars(penalty), "strength": 2 * penalty.strength})),
        named(net),
    )
    assert float(double) == pytest.approx(2 * float(value))


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("estimator", [Backprop(checkpoint=5), Backprop(truncate=T)])
def test_every_penalty_is_the_same_however_time_is_walked(
    penalty: object, estimator: Backprop
) -> None:
    net = Net()
    value, gradients = Backprop()(objective(net, penalty), named(net))
    again, others = estimator(objective(net, penalty), named(net))
    torch.testing.assert_close(again, value)
    torch.testing.assert_close(others, gradients)


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
def test_a_penalty_on_what_is_not_there_is_a_sentence(penalty: object) -> None:
    net = Net()
    lost = type(penalty)(**{**vars(penalty), "on": "nowhere*"})
    with pytest.raises(KeyError, match=r"'nowhere\*', which fits no"):
        objective(net, lost)(named(net))
    with pytest.raises(ValueError, match="strength must be a number, not negative"):
        type(penalty)(-1.0)


def test_penalties_of_parameters_are_what_they_say() -> None:
    params = {"a.weight": torch.tensor([3.0, -4.0]), "a.bias": torch.tensor([7.0])}
    assert float(L1(0.5)(params, {})) == 7.0
    assert float(L1(0.5, on="*.weight")(params, {})) == 3.5
    assert float(L2(0.5, on=("*.weight",))(params, {})) == 0.5 / 2 * 25.0


def test_weight_decay_is_the_gradient_of_l2() -> None:
    net, twin = Net(), Net()
    data = [(inputs(), None)]
    arguments = {"epochs": 3, "progress": None}
    sgd = torch.optim.SGD
    fit(net, data, mean_square, optimizer=sgd(net.parameters(), lr=0.1), penalties=[L2(0.2)],
        **arguments)  # fmt: skip
    decayed = sgd(twin.parameters(), lr=0.1, weight_decay=0.2)
    fit(twin, data, mean_square, optimizer=decayed, **arguments)
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def mean_square(outputs: torch.Tensor, targets: object) -> torch.Tensor:
    return outputs.square().mean()


def test_activity_is_that_of_the_hidden_cells() -> None:
    net = Net()
    spikes = net.cells(net.inward(inputs()), dt=0.5).detach()
    total = objective(net, TotalSpikes(1.0, on="cells"), dt=0.5)({}).detach()
    assert float(total) == pytest.approx(float(spikes.sum((0, 2)).mean()))
    rate = spikes.mean((0, 1)) * 1000 / 0.5
    bound = objective(net, RateBounds(1.0, lower=50.0, upper=80.0, on="cells"), dt=0.5)({}).detach()
    apart = rate - rate.clamp(50.0, 80.0)
    assert float(bound) == pytest.approx(float(apart.square().mean()))
    assert float(bound) > 0


def test_a_fit_brings_rates_within_bounds() -> None:
    net = nn.Sequential(nn.Linear(K, N), LIF(resistance=10.0)).double()
    nn.init.zeros_(net[0].weight)
    nn.init.zeros_(net[0].bias)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    bounds = RateBounds(1e-4, lower=40.0, upper=120.0)
    history = fit(net, [(inputs(), None)], nothing, optimizer=optimizer, penalties=[bounds],
                  epochs=80)  # fmt: skip
    rate = net(inputs()).mean((0, 1)) * 1000
    assert history.losses[0] == pytest.approx(1e-4 * 40.0**2)
    assert history.losses[-1] < 0.2 * history.losses[0]
    assert (rate > 15).all()


def test_nothing_is_left_behind_on_the_model() -> None:
    net = Net()
    before = {name: set(vars(module)) for name, module in net.named_modules()}
    objective(net, TotalSpikes(1.0))(named(net))

    def broken(outputs: torch.Tensor, targets: object) -> torch.Tensor:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError):
        Objective(net, inputs(), None, broken, (TotalSpikes(1.0),))(named(net))
    assert {name: set(vars(module)) for name, module in net.named_modules()} == before


def test_models_in_several_threads_are_heard_apart() -> None:
    found: dict[int, float] = {}

    def count(seed: int) -> None:
        net = Net(seed)
        for _ in range(5):
            found[seed] = objective(net, TotalSpikes(1.0))(named(net)).item()

    threads = [threading.Thread(target=count, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = {seed: objective(Net(seed), TotalSpikes(1.0))({}).item() for seed in (1, 2, 3)}
    assert found == alone


def test_saturation_looks_at_the_share_of_time() -> None:
    net = Net()
    spikes = net.cells(net.inward(inputs())).detach()
    share = spikes.mean((0, 1))
    apart = share - share.clamp(0.05, 0.1)
    found = objective(net, Saturation(3.0, least=0.05, most=0.1, on="cells"))({}).detach()
    assert float(found) == pytest.approx(3.0 * float(apart.square().mean()))
    assert float(found) > 0
    with pytest.raises(ValueError, match="the least not above the most"):
        Saturation(1.0, least=0.6)


def test_balance_is_of_what_each_cell_receives() -> None:
    params = {
        "a.weight": torch.tensor([[3.0, -1.0, -2.0], [3.0, -1.0, 0.0], [2.0, 0.0, 0.0]]),
        "a.bias": torch.tensor([7.0]),
    }
    apart = (0.0 + (2 / 4) ** 2 + 1.0) / 3
    assert float(Balance(0.5)(params, {})) == pytest.approx(0.5 * apart)
    assert float(Balance(1.0, ratio=3.0, on="a.weight")(params, {})) == pytest.approx(
        ((6 / 12) ** 2 + 0.0 + 1.0) / 3
    )
    with pytest.raises(ValueError, match="ratio must be a number above zero"):
        Balance(1.0, ratio=0.0)


def test_bounds_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="the lower not above the upper"):
        RateBounds(1.0, lower=50.0, upper=20.0)


def test_a_model_without_cells_has_no_activity() -> None:
    with pytest.raises(ValueError, match="found no layer in the model"):
        objective(nn.Linear(K, N).double(), TotalSpikes(1.0))({})


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Saturation("x"), "strength must be a number"),
        (lambda: Saturation(1.0, least="x"), "least and most must be shares"),
        (lambda: Saturation(1.0, most=float("nan")), "least and most must be shares"),
        (lambda: Balance(None), "strength must be a number"),
        (lambda: Balance(1.0, ratio="x"), "ratio must be a number"),
        (lambda: RateBounds(1.0, "x"), "lower and upper must be rates"),
        (lambda: TotalSpikes([1]), "strength must be a number"),
        (lambda: L1(1.0, on=3)({"w": torch.ones(2)}, {}), "on must be a name"),
    ],
)
def test_what_is_no_number_is_refused(make, match) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        make()
