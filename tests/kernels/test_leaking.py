"""A sum over the past that forgets: its values, its adjoint, and its copies."""

from __future__ import annotations

import torch
from torch.func import vmap

from amphid.kernels import leaking_sum, step_by_step

T, S, N = 7, 5, 3


def sequence(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_what_is_left_is_a_sum_of_powers() -> None:
    x = sequence(T, N)
    ages = torch.arange(T)[:, None] - torch.arange(T)
    powers = torch.where(ages >= 0, 0.7 ** ages.double(), 0.0)
    torch.testing.assert_close(leaking_sum(x, 0.7), powers @ x)


def test_its_gradient_is_the_sum_over_the_future_and_can_be_differentiated_again() -> None:
    x = sequence(T, N).requires_grad_()
    assert torch.autograd.gradcheck(lambda own: leaking_sum(own, 0.7), x)
    assert torch.autograd.gradgradcheck(lambda own: leaking_sum(own, 0.7).square(), x)


def test_copies_within_vmap_are_copies_one_by_one() -> None:
    x = sequence(T, S, N)
    with torch.no_grad():
        found = vmap(lambda own: leaking_sum(own, 0.7), in_dims=1)(x)
    assert torch.equal(found, torch.stack([leaking_sum(own, 0.7) for own in x.unbind(1)]))


def test_torch_is_told_to_do_it_where_it_wants_to_see_it() -> None:
    with step_by_step():
        assert leaking_sum(sequence(T, N), 0.7) is None
