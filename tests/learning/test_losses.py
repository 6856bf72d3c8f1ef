"""Every loss keeps the contract of losses; each has its own law."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

import amphid.learning as room
from amphid.learning import (
    Correlation,
    CountCrossEntropy,
    FirstSpikeCrossEntropy,
    FirstSpikeError,
    PoissonLikelihood,
    RateError,
    VanRossum,
    VictorPurpura,
    first_spike,
)
from amphid.models import FirstSpikeTime

T, B, N = 17, 5, 3


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=g, dtype=torch.float64)


def spikes(seed: int = 1) -> torch.Tensor:
    return (draw(T, B, N, seed=seed) < 0.2).double()


LABELS = torch.tensor([0, 2, 1, 1, 0])
LOSSES = [
    (RateError(dt=0.5), 100 * draw(B, N)),
    (CountCrossEntropy(scale=0.3, smoothing=0.1), LABELS),
    (PoissonLikelihood(dt=0.5), spikes(2)),
    (PoissonLikelihood(log=True), spikes(2)),
    (FirstSpikeError(dt=0.5), 10 * draw(B, N)),
    (FirstSpikeCrossEntropy(tau=3.0), LABELS),
    (VanRossum(tau=4.0, dt=0.5), spikes(2)),
    (Correlation(tau=4.0, dt=0.5), spikes(2)),
    (VictorPurpura(), spikes(2)),
]
GRADED = [pair for pair in LOSSES if not isinstance(pair[0], VictorPurpura)]


def name(value: object) -> str:
    return type(value).__name__ if dataclasses.is_dataclass(value) else ""


def test_the_list_of_losses_is_complete() -> None:
    known = {
        cls.__name__
        for cls in vars(room).values()
        if isinstance(cls, type) and cls.__module__.startswith("amphid.learning.losses")
    }
    assert {type(loss).__name__ for loss, _ in LOSSES} == known


@pytest.mark.parametrize(("loss", "targets"), LOSSES, ids=name)
def test_every_loss_is_a_scalar_that_is_the_mean_over_owners(
    loss: object, targets: torch.Tensor
) -> None:
    owners = dataclasses.replace(loss, reduction=None)
    each = owners(spikes(), targets)
    assert each.shape == ((B,) if targets is LABELS else (B, N))
    value = loss(spikes(), targets)
    assert value.shape == ()
    assert float(value) == pytest.approx(float(each.mean()))
    total = dataclasses.replace(loss, reduction=torch.sum)(spikes(), targets)
    assert float(total) == pytest.approx(float(each.sum()))


@pytest.mark.parametrize(("loss", "targets"), LOSSES, ids=name)
def test_examples_do_not_mix(loss: object, targets: torch.Tensor) -> None:
    owners = dataclasses.replace(loss, reduction=None)
    whole, last = owners(spikes(), targets), spikes()[:, 3:]
    of_last = targets[3:] if targets.shape[0] == B else targets[:, 3:]
    torch.testing.assert_close(owners(last, of_last), whole[3:])


@pytest.mark.parametrize(("loss", "targets"), LOSSES, ids=name)
def test_shapes_that_do_not_fit_are_a_sentence(loss: object, targets: torch.Tensor) -> None:
    with pytest.raises(TypeError, match=r"targets must be a tensor, .*; got list"):
        loss(spikes(), targets.tolist())
    with pytest.raises(ValueError, match=r"outputs must be \[T, \*B, N\]"):
        loss(spikes(), targets[:-1])
    with pytest.raises(ValueError, match=r"outputs must be \[T, \*B, N\]"):
        loss(torch.zeros(T), targets)


@pytest.mark.parametrize(("loss", "targets"), LOSSES, ids=name)
def test_settings_that_cannot_be_are_a_sentence(loss: object, targets: torch.Tensor) -> None:
    kind = type(loss).__name__
    for setting in {"tau", "dt", "floor", "least"} & set(vars(loss)):
        for value in (0.0, -1.0, float("nan"), "1"):
            with pytest.raises(ValueError, match=f"{kind}: {setting} must be a positive number"):
                dataclasses.replace(loss, **{setting: value})
    with pytest.raises(TypeError, match=f"{kind}: reduction must be a function.*got 'mean'"):
        dataclasses.replace(loss, reduction="mean")


@pytest.mark.parametrize(("loss", "targets"), GRADED, ids=name)
def test_gradients_are_those_of_differences(loss: object, targets: torch.Tensor) -> None:
    outputs = (0.05 + 0.8 * draw(T, B, N)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), (outputs,))


@pytest.mark.parametrize(("loss", "targets"), GRADED, ids=name)
def test_every_loss_with_a_gradient_goes_through_vmap(loss: object, targets: torch.Tensor) -> None:
    many = torch.stack((spikes(3), spikes(4)))
    found = torch.func.vmap(lambda x: loss(x, targets))(many)
    torch.testing.assert_close(found, torch.stack([loss(x, targets) for x in many]))


@pytest.mark.parametrize(("loss", "targets"), GRADED, ids=name)
def test_a_silent_output_still_gets_a_finite_gradient(loss: object, targets: torch.Tensor) -> None:
    outputs = torch.zeros(T, B, N, dtype=torch.float64, requires_grad=True)
    loss(outputs, targets).backward()
    assert outputs.grad.isfinite().all()
    if not isinstance(loss, PoissonLikelihood) or loss.log:
        assert outputs.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", [VanRossum(), Correlation(), VictorPurpura()], ids=name)
def test_a_train_is_nearest_to_itself(loss: object) -> None:
    own, other = spikes(1), spikes(2)
    own[3] = 1.0  # no train is silent
    assert float(loss(own, own)) == pytest.approx(0.0, abs=1e-4)
    assert float(loss(own, own)) < float(loss(other, own))


def test_silence_does_not_win_a_correlation() -> None:
    target = spikes(2)
    silent = Correlation(reduction=None)(torch.zeros_like(target), target)
    torch.testing.assert_close(silent, torch.ones(B, N, dtype=torch.float64))
    late = torch.roll(target, 1, 0)
    assert float(Correlation()(late, target)) < 1


def test_a_pooled_correlation_sees_windows_as_one_train() -> None:
    """Of windows that are whole trains each it is the correlation over all of them."""
    own, other = spikes(1), spikes(2)
    found = Correlation(floor=0.1, pooled=True, reduction=None)(own, other)
    assert found.shape == (N,)
    turned = Correlation(floor=0.1, pooled=True)(own.flip(1), other.flip(1))
    torch.testing.assert_close(turned, found.mean())


def test_the_gradient_at_silence_asks_for_spikes_where_the_target_has_them() -> None:
    target = torch.zeros(T, 1, dtype=torch.float64)
    target[5] = 1.0
    outputs = torch.zeros_like(target).requires_grad_()
    Correlation(tau=2.0)(outputs, target).backward()
    assert int(outputs.grad[:, 0].argmin()) == 5


def test_the_first_spike_is_where_it_is() -> None:
    train = torch.zeros(T, 3, dtype=torch.float64)
    train[4, 0] = train[9, 0] = train[0, 1] = 1.0
    assert first_spike(train, dt=0.5).tolist() == [2.5, 0.5, (T + 1) * 0.5]
    assert torch.equal(first_spike(train, dt=0.5), FirstSpikeTime()(train, dt=0.5))


def test_the_time_of_a_probable_spike_is_its_expectation() -> None:
    p = 0.3
    chances = torch.full((T, 1), p, dtype=torch.float64)
    expected = sum((k + 1) * p * (1 - p) ** k for k in range(T)) + (T + 1) * (1 - p) ** T
    assert float(first_spike(chances)) == pytest.approx(expected)


def test_the_right_class_first_costs_least() -> None:
    train = torch.zeros(T, 1, 3, dtype=torch.float64)
    train[2, 0, 1] = train[6, 0, 0] = 1.0
    values = [float(FirstSpikeCrossEntropy()(train, torch.tensor([k]))) for k in range(3)]
    assert values[1] < values[0] < values[2]


def test_the_rate_is_in_hertz() -> None:
    train = torch.zeros(20, 1)
    train[::10] = 1.0  # 2 in 10 ms
    assert float(RateError(dt=0.5)(train, torch.tensor([200.0]))) == pytest.approx(0.0, abs=1e-6)


def test_the_likelihood_is_least_at_the_mean_rate() -> None:
    counts = torch.tensor([[1.0], [0.0], [2.0], [0.0]], dtype=torch.float64)
    rates = [700.0, 750.0, 800.0]
    values = [float(PoissonLikelihood()(torch.full_like(counts, r), counts)) for r in rates]
    assert min(values) == values[1]
    by_hand = 3.0 - 3 * math.log(0.75) + math.log(2.0)
    assert values[1] == pytest.approx(by_hand)
    logs = torch.full_like(counts, math.log(750.0))
    assert float(PoissonLikelihood(log=True)(logs, counts)) == pytest.approx(by_hand)
