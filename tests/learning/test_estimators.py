"""Every estimator of a gradient keeps the contract, so that fit takes any of them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import amphid.learning as room
from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import (
    L2,
    OSTL,
    OTTT,
    RTRL,
    SPSA,
    ActivityPerturbation,
    Alternating,
    Auto,
    Backprop,
    CellPerturbation,
    Corrected,
    EProp,
    Frozen,
    Grouped,
    Guided,
    LowRank,
    Mean,
    Memory,
    Mollified,
    Objective,
    OneSided,
    Rademacher,
    RandomFeedback,
    Regression,
    Spread,
    Then,
    fit,
)

T, B, K, N, C = 11, 5, 7, 3, 2

ESTIMATORS = [
    Backprop(),
    Backprop(clip_norm=0.1),
    Backprop(clip_value=0.01),
    Backprop(checkpoint=True),
    Backprop(clip_state=0.1, clip_every=5),
    Backprop(truncate=5),
    Backprop(truncate=11, checkpoint=3),
    EProp(),
    EProp(RandomFeedback(torch.Generator())),
    OSTL(),
    OSTL(RandomFeedback(torch.Generator())),
    OTTT(),
    RTRL(),
    Grouped({"0.*": EProp(), "2.*": Backprop()}),
    Grouped({"0.*": Frozen(), "2.*": RTRL()}),
    Then(EProp(), 3, Backprop()),
    ActivityPerturbation(torch.Generator(), samples=16),
    ActivityPerturbation(torch.Generator(), samples=16, steps=3, window=2),
    CellPerturbation(torch.Generator()),
    CellPerturbation(torch.Generator(), steps=3, window=2),
    Mollified(torch.Generator(), samples=16),
    Mollified(torch.Generator(), samples=16, sides=OneSided(), design=Rademacher()),
    Mollified(torch.Generator(), samples=16, scope=Alternating(), design=LowRank(2)),
    Regression(torch.Generator(), samples=16),
    Regression(torch.Generator(), samples=16, intercept=False, memory=Memory(2)),
    Guided(torch.Generator(), samples=16),
    SPSA(torch.Generator(), samples=16),
    Spread(Mollified(torch.Generator(), samples=16), portions=3),
    Corrected(Backprop(), Mollified(torch.Generator(), samples=4)),
    Auto(torch.Generator(), probes=32),
]
NEVER_TRAINS = [Frozen()]
WITHOUT_A_MODEL = [Backprop(), Backprop(clip_norm=1.0), Grouped({"*": Backprop()})]
SMOOTHING = (
    Guided,
    Mollified,
    Regression,
    SPSA,
    Spread,
)  # their value is that of the smoothed loss


class Net(nn.Sequential):
    """Cells, and a readout, that can be run from any state."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(K, N), LIF(resistance=10.0), nn.Linear(N, C), LeakyIntegrator())
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=draw))
        self.double()

    def run(self, x, state=None, dt=1.0):
        hidden, outer = (None, None) if state is None else state
        spikes, hidden = self[1].run(self[0](x), hidden, dt)
        y, outer = self[3].run(self[2](spikes), outer, dt)
        return y, (hidden, outer)

    def forward(self, x, dt=1.0):
        return self.run(x, dt=dt)[0]


def error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().mean()


def task(net: nn.Module, seed: int = 2) -> Objective:
    g = torch.Generator().manual_seed(seed)
    x = 6 * torch.rand(T, B, K, generator=g, dtype=torch.float64)
    return Objective(net, x, torch.ones(T, B, C, dtype=torch.float64), error, (L2(0.1),))


def once(estimator: object, loss: object, params: dict[str, torch.Tensor]) -> object:
    """What an estimator says that was not asked before: its draws are the same every time."""
    return copy.deepcopy(estimator)(loss, params)


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.named_parameters())


def test_the_list_of_estimators_is_complete() -> None:
    known = {
        cls.__name__
        for cls in vars(room).values()
        if isinstance(cls, type)
        and cls.__module__.startswith("amphid.learning.gradients")
        and list(getattr(cls.__call__, "__annotations__", {})) == ["loss", "params", "return"]
    }
    listed = [*ESTIMATORS, *NEVER_TRAINS]
    assert {type(estimator).__name__ for estimator in listed} == known - {
        "Estimator",
        "Averaged",
    }  # test_averaged.py


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *NEVER_TRAINS], ids=repr)
def test_every_estimator_gives_value_and_gradients_and_changes_nothing(estimator: object) -> None:
    net = Net()
    before = {name: p.clone() for name, p in named(net).items()}
    value, gradients = once(estimator, task(net), named(net))
    assert value.shape == ()
    assert not value.requires_grad
    around = 0.2 if isinstance(estimator, SMOOTHING) else 1e-6
    assert float(value) == pytest.approx(task(net)(named(net)).item(), rel=around)
    for name, p in named(net).items():
        assert gradients[name].shape == p.shape
        assert gradients[name].dtype == p.dtype
        assert not gradients[name].requires_grad
        assert torch.equal(p, before[name])
        assert p.grad is None
    assert set(gradients) == set(before)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *NEVER_TRAINS], ids=repr)
def test_every_estimator_takes_other_parameters_than_the_models(estimator: object) -> None:
    net, other = Net(), Net()
    with torch.no_grad():
        for p in other.parameters():
            p *= 0.9
    found = once(estimator, task(net), {name: p.detach() for name, p in named(other).items()})
    torch.testing.assert_close(found, once(estimator, task(other), named(other)))


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *NEVER_TRAINS], ids=repr)
def test_every_estimator_takes_the_mean_of_parts(estimator: object) -> None:
    net = Net()
    if getattr(estimator, "clip_norm", None) or getattr(estimator, "clip_value", None):
        pytest.skip("what is clipped is no mean")
    parts = task(net), task(net, 3)
    (one, by_one), (two, by_two) = (once(estimator, part, named(net)) for part in parts)
    value, gradients = once(estimator, Mean(parts), named(net))
    assert float(value) == pytest.approx(float(one + two) / 2)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, (by_one[name] + by_two[name]) / 2)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_every_estimator_trains_in_a_fit(estimator: object) -> None:
    net = Net()
    own = task(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    history = fit(
        net,
        [(own.inputs, own.targets)],
        error,
        optimizer=optimizer,
        epochs=9,
        estimator=copy.deepcopy(estimator),
    )
    assert history.losses[-1] < history.losses[0]


@pytest.mark.parametrize("estimator", WITHOUT_A_MODEL, ids=repr)
def test_any_function_of_parameters_can_be_asked(estimator: object) -> None:
    params = {"x": torch.tensor([0.1, 0.2]), "unused": torch.ones(3)}
    value, gradients = estimator(lambda p: p["x"] ** 2, params)
    assert float(value) == pytest.approx(0.025)
    torch.testing.assert_close(gradients["x"], params["x"])
    assert (gradients["unused"] == 0).all()
