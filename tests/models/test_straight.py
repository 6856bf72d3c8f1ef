"""Chains of layers in machine code both ways: what they give and what they see of a change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import amphid as am
from amphid import models
from amphid.dynamics import (
    ALIF,
    LIF,
    FastSigmoid,
    HodgkinHuxley,
    LeakyIntegrator,
    SigmoidRelease,
    learned,
    step_by_step,
)
from amphid.learning import Backprop, Objective
from amphid.models.straight import straight

T, B, C, K, N, M = 23, 3, 2, 7, 5, 11


def spiking() -> nn.Module:
    return am.Sequential(
        nn.Linear(K, N), models.Gain(6000.0), LIF(reset_gradient=True),
        nn.Linear(N, M, bias=False), models.Gain(6000.0), ALIF(),
        nn.Linear(M, C), models.Gain(6000.0), LIF(tau=7.0),
    )  # fmt: skip


def graded() -> nn.Module:
    cells = HodgkinHuxley.cortical(terminal=SigmoidRelease())
    return am.Sequential(
        nn.Linear(K, N), models.Gain(30.0), cells, nn.Linear(N, C), LeakyIntegrator()
    )


def sequence(*batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(batch))
    return torch.rand(T, *batch, K, generator=generator, dtype=torch.float64).round()


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    net, generator = make().double(), torch.Generator().manual_seed(5)
    for own in net.parameters():
        own.data = torch.randn(own.shape, generator=generator, dtype=own.dtype)
    return net


def weighed(net: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of a sum over it with weights that differ."""
    output = net(x)
    value = (output * torch.linspace(-1.0, 2.0, output.numel()).to(output).view_as(output)).sum()
    return [output.detach(), *torch.autograd.grad(value, [*net.parameters()])]


@pytest.mark.parametrize("batch", [(), (B,), (B, 2)], ids=str)
@pytest.mark.parametrize("make", [spiking, graded], ids=lambda make: make.__name__)
def test_the_way_back_through_a_chain_is_that_of_torch(
    make: Callable[[], nn.Module], batch: tuple[int, ...]
) -> None:
    net, x = seeded(make), sequence(*batch)
    assert straight(net, x, 1.0) is not None
    found = weighed(net, x)
    with step_by_step():
        plain = weighed(net, x)
    assert found[0].count_nonzero() > 0
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_runs_that_wait_for_their_gradients_do_not_disturb_each_other() -> None:
    net, weights = seeded(spiking), torch.linspace(0.0, 1.0, C, dtype=torch.float64)
    own = [*net.parameters()]
    inputs = [sequence(), sequence().flip(0)]
    apart = [torch.autograd.grad((net(x) * weights).sum(), own) for x in inputs]
    values = [(net(x) * weights).sum() for x in inputs]
    for value, grads in zip(values, apart, strict=True):
        for _ in range(2):
            found = torch.autograd.grad(value, own, retain_graph=True)
            assert all(map(torch.equal, found, grads))


def test_a_number_of_a_cell_that_is_learned_gets_its_gradient() -> None:
    cells = LIF(tau=learned(torch.full((N,), 9.0)))
    net, x = am.Sequential(nn.Linear(K, N), models.Gain(6000.0), cells).double(), sequence()
    found = weighed(net, x)
    with step_by_step():
        plain = weighed(net, x)
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_sequences_may_be_of_any_length() -> None:
    net, x = seeded(spiking), sequence(B)
    for steps in (T, 11, T - 2, 11):
        found = weighed(net, x[:steps])
        with step_by_step():
            plain = weighed(net, x[:steps])
        for one, other in zip(found, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_an_objective_gives_what_its_model_called_by_hand_gives() -> None:
    net, x = seeded(spiking), sequence(B)
    target = torch.zeros(T, B, C, dtype=torch.float64)
    value, found = Backprop()(
        Objective(net, x, target, nn.functional.mse_loss), dict(net.named_parameters())
    )
    loss = nn.functional.mse_loss(net(x), target)
    assert torch.equal(value, loss)
    assert all(map(torch.equal, found.values(), torch.autograd.grad(loss, [*net.parameters()])))


def test_other_parameters_stand_in_for_those_of_the_model() -> None:
    net, other, x = seeded(spiking), seeded(spiking), sequence()
    with torch.no_grad():
        for own in other.parameters():
            own.mul_(1.5)
    given = functional_call(net, dict(other.named_parameters()), (x,))
    assert torch.equal(given, other(x))
    assert not torch.equal(given, net(x))


def change_a_setting(net: nn.Module) -> None:
    net[2].surrogate = FastSigmoid(40.0)


def change_a_number(net: nn.Module) -> None:
    net[8].tau = 19.0


def change_a_gain(net: nn.Module) -> None:
    net[1].multiply(1.5)


def replace_a_layer(net: nn.Module) -> None:
    net[8] = LIF(tau=3.0)


def replace_a_weight(net: nn.Module) -> None:
    net[6].weight = nn.Parameter(-net[6].weight.detach())


def take_a_bias_away(net: nn.Module) -> None:
    net[6].bias = None


def listen(net: nn.Module) -> None:
    net[2].register_forward_hook(lambda module, given, found: 2 * found)


@pytest.mark.parametrize(
    "change",
    [change_a_setting, change_a_number, change_a_gain, replace_a_layer, replace_a_weight,
     take_a_bias_away, listen],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_a_change_of_the_model_is_seen(change: Callable[[nn.Module], None]) -> None:
    net, x = seeded(spiking), sequence()
    before = weighed(net, x)
    change(net)
    found = weighed(net, x)
    with step_by_step():
        plain = weighed(net, x)
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    same = len(before) == len(found) and all(map(torch.equal, before, found))
    assert not same


def test_an_input_that_needs_a_gradient_gets_one() -> None:
    net, x = seeded(spiking), sequence().requires_grad_()
    assert torch.autograd.grad(net(x).sum(), x)[0].count_nonzero() > 0
