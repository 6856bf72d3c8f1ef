"""Behind a WeakGrad layer torch sees a slope that was measured, whatever follows."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from amphid.learning import WeakGrad, fit, least_squares, smoothed

B, K, N, C = 5, 7, 3, 2


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(net: nn.Module) -> nn.Module:
    draw = seeded(3)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return net.double()


def summed(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss of each example that is linear in the outputs."""
    return (outputs * targets).sum(-1)


def exact(net: nn.Sequential, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    plain = nn.Sequential(*(part for part in net if not isinstance(part, WeakGrad)))
    return list(torch.autograd.grad(summed(plain(x), y).mean(), plain.parameters()))


@pytest.mark.parametrize("samples", [N, N + 4])
@pytest.mark.parametrize("examples", [True, False])
def test_in_front_of_a_linear_map_it_is_autograd(samples, examples):
    """As many samples as what is regressed has entries, with a loss an example or one in all."""
    weak = WeakGrad(seeded(), samples if examples else B * samples)
    net = drawn(nn.Sequential(nn.Linear(K, N), weak, nn.Linear(N, C)))
    x, y = torch.randn(2, B, K, generator=seeded()).double(), torch.randn(B, C).double()
    x = x[0]

    def criterion(outputs, targets):
        losses = summed(outputs, targets)
        return losses if examples else losses.mean()

    judged = weak.judging(criterion)
    value = judged(net(x), y)
    assert value.shape == ((B,) if examples else ())
    (3 * value.mean()).backward()  # what the loss is multiplied by counts
    for p, wanted in zip(net.parameters(), exact(net, x, y), strict=True):
        torch.testing.assert_close(p.grad, 3 * wanted)


def test_the_smoothed_slope_is_autograd_in_the_mean():
    weak = WeakGrad(seeded(), 20_000, slope=smoothed)
    net = drawn(nn.Sequential(nn.Linear(K, N), weak, nn.Linear(N, C)))
    x, y = torch.randn(B, K, generator=seeded()).double(), torch.randn(B, C).double()
    weak.judging(summed)(net(x), y).mean().backward()
    (wanted, *_) = exact(net, x, y)
    assert (net[0].weight.grad - wanted).norm() < 0.05 * wanted.norm()


def test_with_fewer_samples_than_entries_the_shortest_slope_fits_them_all():
    noise, change = torch.randn(3, 7, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    slope = least_squares(noise, change, torch.tensor(1.0))
    torch.testing.assert_close(noise @ slope, change)
    torch.testing.assert_close(slope, torch.linalg.pinv(noise) @ change)


def test_sequences_have_their_batch_second():
    weak = WeakGrad(seeded(), 3, axis=1)
    x = torch.randn(7, B, N, generator=seeded(), requires_grad=True)
    copies = weak(x)
    assert copies.shape == (7, 4 * B, N)
    assert torch.equal(copies[:, :B], x)
    weak.judging(lambda outputs, _: outputs.sum((0, 2)), axis=1)(copies, None).sum().backward()
    assert x.grad.shape == x.shape


class Steps(nn.Module):
    """Heaviside units."""

    def forward(self, x):
        return (x > 0).to(x.dtype)


def test_a_network_with_steps_learns_in_front_of_them_too():
    draw = seeded()
    weak = WeakGrad(draw, 4, 0.5, slope=smoothed)
    net = nn.Sequential(nn.Linear(C, 29), nn.Tanh(), nn.Linear(29, 29), weak, Steps())
    net.append(nn.Linear(29, C))
    drawn(net)
    x = torch.randn(200, C, generator=draw).double()
    labels = (x[:, 0] * x[:, 1] > 0).long()
    before = net[0].weight.clone()

    def accuracy() -> float:
        net.eval()
        return (net(x).argmax(1) == labels).double().mean().item()

    fit(
        net,
        list(zip(x.split(40), labels.split(40), strict=True)),
        weak.judging(nn.CrossEntropyLoss(reduction="none")),
        optimizer=torch.optim.Adam(net.parameters(), 0.01),
        epochs=30,
        progress=False,
    )
    assert accuracy() > 0.8  # a line tells half
    assert not torch.equal(before, net[0].weight)


def test_what_follows_need_not_be_differentiable_at_all():
    weak = WeakGrad(seeded(), 9)
    x = torch.randn(B, N, generator=seeded(), requires_grad=True)
    weak.judging(lambda outputs, _: (outputs.detach() > 0).double().mean(1))(
        weak(x), None
    ).mean().backward()
    assert x.grad.abs().sum() > 0


def test_in_evaluation_it_passes_its_input_on():
    weak = WeakGrad(seeded(), 9)
    x, y = torch.randn(B, N, requires_grad=True), torch.zeros(B, N)
    judged = weak.judging(functional.mse_loss)
    with torch.no_grad():
        assert weak(x) is x
        assert judged(weak(x), y) == functional.mse_loss(x, y)
    weak.eval()
    assert weak(x) is x


def test_losses_that_were_not_handed_over_are_asked_for():
    weak = WeakGrad(seeded(), 9)
    x = torch.randn(B, N, requires_grad=True)
    with pytest.raises(RuntimeError, match="judging"):
        weak(x).sum().backward()
    with pytest.raises(ValueError, match="5 examples"):
        weak.judging(lambda outputs, _: outputs.sum(0))(weak(x), None)


@pytest.mark.parametrize(
    ("given", "says"),
    [((5, 3), "Generator"), ((seeded(), 0), "samples"), ((seeded(), 3, -1.0), "radius")],
)
def test_settings_that_are_none_are_refused(given, says):
    with pytest.raises((TypeError, ValueError), match=says):
        WeakGrad(*given)
