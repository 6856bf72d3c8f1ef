"""A loss apart for each output, example or block is what the criterion says of each by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import amphid as am
from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import (
    L2,
    Backprop,
    Correlation,
    CountCrossEntropy,
    Credited,
    Mollified,
    Objective,
    RateError,
    VanRossum,
    VictorPurpura,
)
from amphid.learning.gradients.credit import credit_of

T, B, D, N = 11, 5, 2, 3


def trains(*shape: int, seed: int = 1) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=g) < 0.4).double()


@pytest.mark.parametrize("criterion", [
    VanRossum(),
    VanRossum(reduction=torch.sum),
    Correlation(),
    lambda y, target: Correlation()(y, target),
    lambda y, target: VictorPurpura()(y, target),  # not for vmap: it depends on values
])  # fmt: skip
def test_each_output_is_judged_by_itself(criterion: object) -> None:
    y, target = trains(T, B, N), trains(T, B, N, seed=2)
    found = Credited(criterion, outputs=True)(y, target)
    alone = [criterion(y[..., j : j + 1], target[..., j : j + 1]) for j in range(N)]
    torch.testing.assert_close(found, torch.stack(alone))


def test_each_example_is_judged_by_itself_over_all_axes_of_the_batch() -> None:
    y, target = trains(T, B, D, N), trains(T, B, D, N, seed=2)
    found = Credited(VanRossum(), examples=True)(y, target)
    each = VanRossum(reduction=None)(y, target).mean(-1)
    torch.testing.assert_close(found, each.flatten())
    torch.testing.assert_close(found.mean(), VanRossum()(y, target))


def test_blocks_examples_and_outputs_are_axes_in_this_order() -> None:
    y, target = trains(T, B, N), trains(T, B, N, seed=2)
    found = Credited(VanRossum(), outputs=True, examples=True, steps=4)(y, target)
    assert found.shape == (3, B, N)
    each = [
        VanRossum(reduction=None)(*pair) for pair in zip(y.split(4), target.split(4), strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(each))


def test_targets_may_lack_time_or_cells() -> None:
    y = trains(T, B, N)
    rates = 100 * torch.rand(B, N, generator=torch.Generator().manual_seed(3)).double()
    each = RateError(reduction=None)(y, rates)
    torch.testing.assert_close(Credited(RateError(), outputs=True, examples=True)(y, rates), each)
    classes = torch.arange(B) % N
    each = CountCrossEntropy(reduction=None)(y, classes)
    torch.testing.assert_close(Credited(CountCrossEntropy(), examples=True)(y, classes), each)
    logits = y.sum(0)
    each = nn.functional.cross_entropy(logits, classes, reduction="none")
    own = Credited(nn.functional.cross_entropy, examples=True, sequence=False)
    torch.testing.assert_close(own(logits, classes), each)


def test_its_gradient_is_that_of_the_criterion() -> None:
    y, target = trains(T, B, N).requires_grad_(), trains(T, B, N, seed=2)
    apart = Credited(Correlation(), outputs=True, examples=True)(y, target).mean()
    (own,) = torch.autograd.grad(apart, y)
    (whole,) = torch.autograd.grad(Correlation()(y, target), y)
    torch.testing.assert_close(own, whole)


def test_what_cannot_be_told_apart_is_refused() -> None:
    y = trains(T, B, N)
    with pytest.raises(ValueError, match="a target for each"):
        Credited(CountCrossEntropy(), outputs=True)(y, torch.arange(B) % N)
    with pytest.raises(ValueError, match="outputs must be"):
        Credited(VanRossum())(y[:, 0, 0], y[:, 0, 0])
    with pytest.raises(ValueError, match="steps must be"):
        Credited(VanRossum(), steps=0)
    with pytest.raises(ValueError, match="sequence=False"):
        Credited(VanRossum(), steps=3, sequence=False)
    with pytest.raises(TypeError, match="criterion must be"):
        Credited(VanRossum)


def objective(*layers: nn.Module, **settings: object) -> Objective:
    model = am.models.Sequential(*layers).double()
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.rand(p.shape, generator=draw) + 0.5)
    loss = Credited(VanRossum(), outputs=True)
    return Objective(model, trains(T, B, D), trains(T, B, N, seed=2), loss, **settings)


def named(loss: Objective) -> dict[str, torch.Tensor]:
    return dict(loss.model.named_parameters())


def test_the_last_rows_answer_for_their_own_output_alone() -> None:
    loss = objective(
        nn.Linear(D, 7), LIF(resistance=20.0), nn.Linear(7, N),
        LIF(resistance=20.0, tau=nn.Parameter(torch.full((N,), 9.0))), LeakyIntegrator(),
    )  # fmt: skip
    found = credit_of(loss, named(loss))
    assert set(found) == {"2.weight", "2.bias"} | {n for n in named(loss) if n.startswith("3.")}
    assert set(found.values()) == {0}


def test_recurrent_cells_penalties_and_other_losses_give_no_credit() -> None:
    last = am.models.Recurrent(LIF(resistance=20.0), nn.Linear(N, N))
    loss = objective(nn.Linear(D, N), last)
    assert credit_of(loss, named(loss)) == {}
    loss = objective(nn.Linear(D, N), LIF(resistance=20.0), penalties=(L2(0.1),))
    assert credit_of(loss, named(loss)) == {}
    whole = Objective(loss.model, loss.inputs, loss.targets, VanRossum())
    assert credit_of(whole, named(loss)) == {}


def test_credit_is_checked() -> None:
    params = {"w": torch.zeros(3, 2)}
    assert credit_of(None, params, {"w": -1}) == {"w": 1}
    for wrong in ({"v": 0}, {"w": 2}):
        with pytest.raises(ValueError, match="credit must name"):
            credit_of(None, params, wrong)
    estimator = Mollified(torch.Generator(), samples=2, credit={"w": 0})
    with pytest.raises(ValueError, match="as many owners last"):
        estimator(lambda p: p["w"].sum(0), params)


@pytest.mark.parametrize("axis", [0, 1])
def test_credit_is_exact_where_each_owner_depends_on_its_own_slice(axis: int) -> None:
    """Pairs along a basis of one slice, which moves all slices at once."""
    g = torch.Generator().manual_seed(5)
    a = torch.randn(3, 3, generator=g, dtype=torch.float64)
    params = {"w": torch.randn(3, 3, generator=g, dtype=torch.float64)}

    def basis(key: int, first: int, stop: int, shapes: object) -> dict[str, torch.Tensor]:
        own = 3**0.5 * torch.eye(3).double()[first:stop]  # direction k moves entry k of each slice
        return {"w": own[:, None, :].expand(-1, 3, 3).movedim(1, axis + 1)}

    estimator = Mollified(torch.Generator(), samples=6, design=basis, credit={"w": axis})
    _, found = estimator(lambda p: (a * p["w"]).sum(1 - axis), params)
    exact = Backprop()(lambda p: (a * p["w"]).sum(1 - axis), params)[1]
    torch.testing.assert_close(found["w"], exact["w"])
