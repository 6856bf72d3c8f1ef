"""Estimators side by side and one after another: each does its own part and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import (
    L2,
    Backprop,
    EProp,
    Frozen,
    Grouped,
    Mean,
    Objective,
    RandomFeedback,
    Then,
    fit,
)
from amphid.learning.gradients.grouped import held_at
from amphid.models import Sequential

T, B, K, N, C = 11, 5, 7, 3, 2


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network() -> Sequential:
    net = Sequential(nn.Linear(K, N), LIF(resistance=10.0), nn.Linear(N, C), LeakyIntegrator())
    draw = seeded()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return net.double()


def batch(seed: int = 2) -> tuple[Tensor, Tensor]:
    x = 6 * torch.rand(T, B, K, generator=seeded(seed), dtype=torch.float64)
    return x, torch.ones(T, B, C, dtype=torch.float64)


def error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def task(net: nn.Module, seed: int = 2) -> Objective:
    return Objective(net, *batch(seed), error, (L2(0.1),))


class Drawn:
    """An estimator that says noise, and remembers how often it did."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator, self.count = generator, 0

    def __call__(self, loss: Any, params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        self.count += 1
        noise = {
            name: torch.randn(p.shape, generator=self.generator, dtype=p.dtype)
            for name, p in params.items()
        }
        return loss(params).mean().detach(), noise

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


@pytest.mark.parametrize("weights", ["own", "other"])
@pytest.mark.parametrize("parts", [1, 2])
def test_groups_with_one_estimator_are_that_estimator(weights: str, parts: int) -> None:
    """At the parameters of the model and at others; penalties see all parameters."""
    net = network()
    loss = Mean((task(net), task(net, 3))) if parts == 2 else task(net)
    params = {
        name: p if weights == "own" else 0.9 * p.detach() for name, p in net.named_parameters()
    }
    for one in (Backprop(), EProp(), Backprop(checkpoint=True)):
        found = Grouped({"0.*": one, "2.weight": one, "2.b*": one})(loss, params)
        torch.testing.assert_close(found, one(loss, params))
        assert list(found[1]) == list(params)


def test_an_estimator_sees_only_its_own_parameters() -> None:
    seen = []

    def spying(loss: Any, params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        seen.append(sorted(params))
        return Backprop()(loss, params)

    net = network()
    Grouped({"0.*": spying, "2.*": Frozen()})(task(net), dict(net.named_parameters()))
    assert seen == [["0.bias", "0.weight"]]


def test_what_is_frozen_stays_and_the_rest_moves() -> None:
    net = network()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    groups = Grouped({"0.*": Frozen(), "2.*": Backprop()})
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    fit(net, [batch()], error, optimizer=optimizer, estimator=groups)
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"2.weight", "2.bias"}


def test_a_full_name_comes_before_a_pattern() -> None:
    params = {"a": torch.ones(2), "ab": torch.ones(3)}
    groups = Grouped({"a*": Backprop(), "ab": Frozen()})
    _, found = groups(lambda p: sum(x.sum() for x in p.values()), params)
    assert (found["a"] == 1).all()
    assert (found["ab"] == 0).all()


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"0.*": Backprop()}, "parameter '2.weight' fits no group of 0.*"),
        ({"0.*": Backprop(), "*": Frozen()}, r"'0.weight' fits the groups 0.\* and \*"),
        ({"*": Backprop(), "9.*": Frozen()}, "group '9.*' fits no parameter; there are 0.weight"),
    ],
)
def test_every_parameter_belongs_to_one_group(groups: dict[str, Any], says: str) -> None:
    net = network()
    with pytest.raises(KeyError, match=says):
        Grouped(groups)(task(net), dict(net.named_parameters()))


@pytest.mark.parametrize("groups", [{}, "all", {"*": Backprop}, {"*": 3}])
def test_what_are_no_groups_is_said(groups: Any) -> None:
    with pytest.raises(TypeError, match=r"groups must map|needs an estimator such as"):
        Grouped(groups)


def test_a_black_box_is_held_too_and_asked_once_for_a_population() -> None:
    class Box:
        def __call__(self, params: dict[str, Tensor]) -> Tensor:
            return params["a"].sum() * params["b"].sum()

        def population(self, members: dict[str, Tensor]) -> Tensor:
            return members["a"].sum(1) * members["b"].sum(1)

    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
    held = held_at(Box(), {"b": b})
    assert held({"a": a}) == 36
    torch.testing.assert_close(held.population({"a": torch.stack([a, 2 * a])}), 12 * a * 3)
    plain = held_at(lambda p: p["a"].sum() * p["b"].sum(), {"b": b})
    torch.testing.assert_close(plain.population({"a": torch.stack([a, 2 * a])}), 12 * a * 3)


def test_first_one_then_the_other() -> None:
    params = {"x": torch.ones(3)}
    then = Then(Frozen(), 2, Backprop())
    sums = [float(then(lambda p: p["x"].sum(), params)[1]["x"].sum()) for _ in range(4)]
    assert sums == [0, 0, 3, 3]
    with pytest.raises(ValueError, match="updates must be a number"):
        Then(Frozen(), -1, Backprop())
    with pytest.raises(TypeError, match="must be estimators"):
        Then(Frozen(), 1, Backprop)


def deep() -> Then:
    """Generators and memories several layers down."""
    groups = Grouped({"0.*": Drawn(seeded(5)), "2.*": EProp(RandomFeedback(seeded(6)))})
    return Then(groups, 5, Grouped({"0.*": Frozen(), "2.*": Drawn(seeded(7))}))


@pytest.mark.parametrize("update", [3, 5, 7])
def test_a_fit_with_nested_estimators_goes_on_bit_for_bit(update: int, tmp_path: Path) -> None:
    def trained(folder: str, **more: Any) -> tuple[Tensor, Then]:
        net, estimator = network(), deep()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        fit(
            net, [batch(), batch(3)], error, optimizer=optimizer, estimator=estimator, epochs=4,
            folder=tmp_path / folder, checkpoint_every=1, **more,
        )  # fmt: skip
        return torch.cat([p.detach().flatten() for p in net.parameters()]), estimator

    whole, done = trained("whole")
    trained("parts", callbacks=[lambda now: now.update == update])
    again, resumed = trained("parts", resume=True)
    assert torch.equal(whole, again)
    assert resumed.state_dict()["first"]["0.*"] == done.state_dict()["first"]["0.*"]
    assert resumed.asked == 8
