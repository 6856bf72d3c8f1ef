"""A linear map by events is the linear map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from amphid.kernels import project, step_by_step
from amphid.kernels.projection import DENSE, Events

T, B, F, K = 101, 7, 53, 31


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def sparse(share: float, *, plain: bool) -> Tensor:
    there = drawn(T, B, F) < torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(share))
    return there.double() if plain else there * drawn(T, B, F, seed=1)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.15])
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_are_those_of_torch(
    share: float, plain: bool, with_bias: bool
) -> None:
    x = sparse(share, plain=plain).requires_grad_()
    weight = drawn(K, F).requires_grad_()
    bias = drawn(K).requires_grad_() if with_bias else None
    asked = [x, weight, *([] if bias is None else [bias])]
    fast, slow = project(x, weight, bias), linear(x, weight, bias)
    assert "_Projection" in str(fast.grad_fn.next_functions)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    weighing = drawn(T, B, K, seed=2)
    got = torch.autograd.grad((fast * weighing).sum(), asked)
    expected = torch.autograd.grad((slow * weighing).sum(), asked)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_a_dense_input_and_one_of_nothing_are_projected_too() -> None:
    weight = drawn(K, F)
    assert Events.of(drawn(T * B, F)) is None
    assert Events.of(sparse(2 * DENSE, plain=True).view(-1, F)) is None
    for x in (drawn(T, B, F), torch.zeros(T, B, F, dtype=torch.float64), drawn(2, F), drawn(F)):
        torch.testing.assert_close(project(x, weight), linear(x, weight), rtol=1e-12, atol=1e-12)


def test_a_gradient_of_a_projection_is_differentiated_again_step_by_step() -> None:
    x, weight = sparse(0.05, plain=True).requires_grad_(), drawn(K, F).requires_grad_()

    def twice(y: Tensor) -> tuple[Tensor, ...]:
        first = torch.autograd.grad((y**3).sum(), [x, weight], create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in first), [x, weight])

    with step_by_step():
        plain = project(x, weight)
    for got, expected in zip(twice(plain), twice(linear(x, weight)), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(RuntimeError, match="step_by_step"):
        twice(project(x, weight))


def test_transforms_see_an_ordinary_product() -> None:
    x, weight = sparse(0.05, plain=True), drawn(3, K, F)
    mapped = torch.func.vmap(project, in_dims=(None, 0))(x, weight)
    torch.testing.assert_close(mapped, torch.stack([linear(x, w) for w in weight]))
