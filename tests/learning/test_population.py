"""A loss at many sets of parameters is the loss at each of them, with the same random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from amphid.learning import L2, Factored, Mean, Objective, losses_of

S, T, B, K, N = 7, 5, 3, 4, 2


class Noisy(nn.Module):
    """A linear map whose input is disturbed by numbers of its own generator and of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(K, N).double()
        self.generator = torch.Generator().manual_seed(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = torch.rand(x.shape, generator=self.generator, dtype=x.dtype)
        return self.map(x + own + torch.rand_like(x))


def objective(model: nn.Module, batch: int = B, reduction: str = "mean") -> Objective:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(T, batch, K, generator=g, dtype=torch.float64)
    y = torch.zeros(T, batch, N, dtype=torch.float64)
    return Objective(model, x, y, nn.MSELoss(reduction=reduction))


def members(model: nn.Module) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    return {
        name: p.detach() + torch.randn(S, *p.shape, generator=g, dtype=p.dtype)
        for name, p in model.named_parameters()
    }


def one_by_one(loss: object, many: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [loss({name: held[s] for name, held in many.items()}) for s in range(S)]


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_it_is_the_loss_of_each_member(reduction: str) -> None:
    model = nn.Linear(K, N).double()
    loss, many = objective(model, reduction=reduction), members(model)
    found = losses_of(loss, many)
    assert not found.requires_grad
    torch.testing.assert_close(found, torch.stack(one_by_one(loss, many)).detach())


def test_parameters_that_are_not_given_are_the_models_own() -> None:
    model = nn.Linear(K, N).double()
    loss, many = objective(model), members(model)
    whole = many | {"bias": model.bias.detach().expand(S, N)}
    torch.testing.assert_close(losses_of(loss, {"weight": many["weight"]}), losses_of(loss, whole))


def test_every_member_sees_the_same_random_numbers_and_one_call_leaves_them_where_it_would() -> (
    None
):
    model = Noisy()
    loss = objective(model)
    same = {name: p.detach().expand(S, *p.shape) for name, p in model.named_parameters()}
    with torch.random.fork_rng():
        own, torchs = model.generator.get_state(), torch.get_rng_state()
        once = loss({})
        after = model.generator.get_state(), torch.get_rng_state()
        model.generator.set_state(own)
        torch.set_rng_state(torchs)
        found = losses_of(loss, same)
        assert torch.equal(model.generator.get_state(), after[0])
        assert torch.equal(torch.get_rng_state(), after[1])
    torch.testing.assert_close(found, once.detach().expand(S))


def test_a_population_is_asked_once() -> None:
    class Together:
        calls = 0

        def population(self, many: dict[str, torch.Tensor]) -> torch.Tensor:
            self.calls += 1
            return many["x"].sum(1)

    loss = Together()
    x = torch.arange(S * K).view(S, K).double()
    assert torch.equal(losses_of(loss, {"x": x}), x.sum(1))
    assert loss.calls == 1


@pytest.mark.parametrize("answer", [float, np.float64, lambda v: np.array([v, 2 * v])])
def test_a_black_box_may_answer_in_numpy(answer: object) -> None:
    x = torch.arange(S).double()
    found = losses_of(lambda p: answer(p["x"].numpy() ** 2), {"x": x})
    torch.testing.assert_close(found.view(S, -1)[:, 0].double(), x.square())


def test_the_mean_of_parts_is_the_mean_of_their_losses() -> None:
    model = nn.Linear(K, N).double()
    parts, many = (objective(model), objective(model, 5)), members(model)
    own = [losses_of(part, many) for part in parts]
    torch.testing.assert_close(losses_of(Mean(parts), many), (own[0] + own[1]) / 2)


def test_parts_with_other_owners_are_refused() -> None:
    model = nn.Linear(K, N).double()
    parts = objective(model, reduction="none"), objective(model, 5, reduction="none")
    with pytest.raises(ValueError, match="same owners"):
        losses_of(Mean(parts), members(model))


def test_a_factored_member_is_its_matrix() -> None:
    g = torch.Generator().manual_seed(4)
    base = torch.randn(N, 3, 5, generator=g)
    left, right = torch.randn(S, N, 2, generator=g), torch.randn(S, 15, 2, generator=g)
    held = Factored(base, left, right)
    whole = base + torch.einsum("sor,sir->soi", left, right).view(S, N, 3, 5)
    torch.testing.assert_close(held.dense(), whole)
    torch.testing.assert_close(held[2:4].dense(), whole[2:4])
    torch.testing.assert_close(
        losses_of(lambda p: p["w"].sum(), {"w": held}), whole.flatten(1).sum(1)
    )


@pytest.mark.parametrize(
    "many", [{}, {"x": torch.zeros(0, 3)}, {"x": torch.ones(2), "y": torch.ones(3)}]
)
def test_members_of_unequal_number_are_refused(many: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="members must hold one entry"):
        losses_of(lambda p: 0.0, many)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="loss must give a number"):
        losses_of(lambda p: "much", {"x": torch.ones(2)})


def test_a_population_of_the_wrong_size_is_refused() -> None:
    class Wrong:
        def population(self, many: object) -> torch.Tensor:
            return torch.zeros(3)

    with pytest.raises(ValueError, match="one entry for each of 2 members"):
        losses_of(Wrong(), {"x": torch.ones(2)})


def test_penalties_see_parameters_that_are_the_same_for_all_members() -> None:
    model = nn.Linear(K, N).double()
    loss = replace(objective(model), penalties=(L2(0.7),))
    many = members(model) | {"bias": model.bias.detach().expand(S, N)}
    torch.testing.assert_close(losses_of(loss, many), torch.stack(one_by_one(loss, many)).detach())
