"""Training meets the layers: encoders, readouts, dropout, recurrence, convolutions, connectomes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from amphid import models, wiring
from amphid.dynamics import ALIF, LIF, LeakyIntegrator
from amphid.learning import (
    RTRL,
    Backprop,
    CountCrossEntropy,
    EProp,
    Objective,
    RandomFeedback,
    RateBounds,
    TotalSpikes,
    fit,
)

T, B, K, N, C = 23, 5, 7, 3, 2


def drawn(*shape: int, seed: int = 2, scale: float = 1.0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return scale * torch.rand(shape, generator=g, dtype=torch.float64)


def filled(net: nn.Module) -> nn.Module:
    draw = torch.Generator().manual_seed(1)
    net = net.double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(2 * torch.randn(p.shape, generator=draw, dtype=torch.float64))
    return net


def classifier() -> nn.Module:
    """Still inputs, repeated; recurrent cells; dropout; counts of spikes."""
    return filled(
        models.Sequential(
            nn.Linear(K, K),
            models.Repeat(T * 0.5),
            nn.Linear(K, N),
            models.Recurrent(ALIF(resistance=8.0), nn.Linear(N, N, bias=False)),
            models.Dropout(0.2, generator=torch.Generator().manual_seed(3)),
            nn.Linear(N, C),
            LIF(resistance=20.0),
            models.TimeMean(),
        )
    )


def task(net: nn.Module, *penalties: object) -> Objective:
    labels = torch.tensor([0, 1, 1, 0, 1])
    return Objective(net, drawn(B, K, scale=4), labels, entropy, penalties, 0.5)


def entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets)


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.named_parameters())


@pytest.mark.parametrize("estimator", [Backprop(checkpoint=True), Backprop(truncate=T)], ids=repr)
@pytest.mark.parametrize("penalties", [(), (TotalSpikes(0.1),)], ids=["plain", "penalized"])
def test_encoders_and_readouts_see_all_of_time(estimator: Backprop, penalties: tuple) -> None:
    one, two = classifier(), classifier()
    wanted = Backprop()(task(one, *penalties), named(one))
    found = estimator(task(two, *penalties), named(two))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    assert all(gradient.abs().sum() > 0 for gradient in found[1].values())


def test_a_readout_hands_its_gradient_to_every_stretch() -> None:
    """Truncated to single steps a count of spikes still reaches all of them."""
    net = filled(models.Sequential(nn.Linear(K, N), LIF(resistance=20.0), models.SpikeCount()))
    x = drawn(T, B, K, scale=4).requires_grad_()
    own = Objective(net, x, torch.tensor([0, 1, 2, 0, 1]), entropy, (), 0.5)
    Backprop(truncate=1)(own, named(net))
    with torch.enable_grad():
        from amphid.learning.gradients.walking import walked

        value = walked(own, named(net), checkpointed=False, truncate=1)
    (gradient,) = torch.autograd.grad(value, x)
    assert (gradient.abs().sum((1, 2)) > 0).all()


def stack() -> nn.Module:
    return filled(
        models.Sequential(
            nn.Linear(K, N),
            models.Recurrent(LIF(resistance=8.0), nn.Linear(N, N)),
            nn.Linear(N, C),
            LeakyIntegrator(resistance=1.0),
            models.LastStep(),
        )
    )


def test_online_rules_take_recurrent_layers() -> None:
    net = stack()
    own = Objective(net, drawn(T, B, K, scale=4), task(net).targets, entropy, (), 0.5)
    exact = Backprop()(own, named(net))
    torch.testing.assert_close(RTRL()(own, named(net)), exact, rtol=1e-9, atol=1e-12)
    value, local = EProp()(own, named(net))
    assert value == exact[0]
    for name, gradient in local.items():
        alike = nn.functional.cosine_similarity(gradient.flatten(), exact[1][name].flatten(), dim=0)
        assert alike > 0.5, name
    for name in ("2.weight", "2.bias"):
        torch.testing.assert_close(local[name], exact[1][name])


def test_random_feedback_is_not_passed_by_for_spikes() -> None:
    net = stack()
    own = Objective(net, drawn(T, B, K, scale=4), task(net).targets, entropy, (), 0.5)
    random = EProp(RandomFeedback(torch.Generator().manual_seed(4)))(own, named(net))[1]
    plain = EProp()(own, named(net))[1]
    assert not torch.allclose(random["0.weight"], plain["0.weight"])
    torch.testing.assert_close(random["2.weight"], plain["2.weight"])


def test_eprop_is_exact_without_recurrence() -> None:
    net = filled(
        models.Sequential(
            nn.Linear(K, N), ALIF(resistance=20.0), nn.Linear(N, C), LIF(resistance=20.0),
            models.SpikeCount(),
        )
    )  # fmt: skip
    own = Objective(net, drawn(T, B, K, scale=4), task(net).targets, entropy, (), 0.5)
    found, wanted = EProp()(own, named(net)), Backprop()(own, named(net))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_what_comes_before_an_encoder_is_not_for_online_rules() -> None:
    net = classifier()
    for estimator in (RTRL(), EProp()):
        with pytest.raises(ValueError, match=r"cannot train 0\.weight, 0\.bias"):
            estimator(task(net), named(net))


def test_a_mixed_network_is_trained_by_fit(tmp_path) -> None:
    """Convolutions, batch norm, recurrence on a connectome, penalties, checkpoints; then again."""
    worm = wiring.fixed_indegree(18, indegree=5, generator=torch.Generator().manual_seed(1))

    def made() -> nn.Module:
        return filled(
            models.Sequential(
                nn.Conv2d(1, 2, 3),
                nn.BatchNorm2d(2),
                LIF(resistance=20.0),
                nn.Flatten(),
                nn.Linear(18, 18),
                models.Recurrent(LIF(resistance=20.0), worm),
                models.Dropout(0.1, generator=torch.Generator().manual_seed(5)),
                nn.Linear(18, C),
                LeakyIntegrator(resistance=1.0),
            )
        )

    def trained(folder: str, epochs: int, **arguments: object) -> tuple[nn.Module, object]:
        net = made()
        x, y = drawn(2, T, B, 1, 5, 5, scale=3), torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 1, 1]])
        history = fit(
            net, list(zip(x, y, strict=True)), CountCrossEntropy(scale=1 / T), epochs=epochs,
            optimizer=torch.optim.Adam(net.parameters(), lr=0.02), dt=0.5,
            penalties=(RateBounds(1e-6, lower=5.0, upper=200.0),),
            estimator=Backprop(clip_norm=5.0), folder=tmp_path / folder, **arguments,
        )  # fmt: skip
        return net, history

    whole, history = trained("whole", 8)
    assert history.losses[-1] < history.losses[0]
    trained("part", 3)
    again, _ = trained("part", 8, resume=True)
    for name, held in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], held), name


def test_what_is_not_finite_is_named_within_a_sequential() -> None:
    net = stack()
    net[0].weight.data.fill_(1e308)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match=r"is '0' \(Linear"):
        fit(net, [(drawn(T, B, K, scale=4), task(net).targets)], entropy, optimizer=optimizer)
