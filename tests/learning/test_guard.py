"""A flipped sign of loss, reward, penalty, estimator or optimizer stops a fit, nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import (
    L2,
    Backprop,
    Correlation,
    CountCrossEntropy,
    DirectionGuard,
    EProp,
    PoissonLikelihood,
    RandomFeedback,
    Reward,
    Stretches,
    Then,
    TotalSpikes,
    VanRossum,
    fit,
)
from amphid.learning.fitting.signs import towards
from amphid.learning.fitting.tally import Tally
from amphid.models import Sequential

T, B, K, N, C = 13, 11, 7, 5, 3


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(surrogate: Any = None, seed: int = 1) -> Sequential:
    cells = LIF(resistance=10.0) if surrogate is None else LIF(resistance=10.0, surrogate=surrogate)
    net = Sequential(nn.Linear(K, N), cells, nn.Linear(N, C), LeakyIntegrator(resistance=1.0))
    draw = seeded(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return net


def data(count: int = 40, seed: int = 2) -> list[tuple[Tensor, Tensor]]:
    draw = seeded(seed)
    return [
        (5 * torch.rand(T, B, K, generator=draw), torch.randint(0, C, (B,), generator=draw))
        for _ in range(count)
    ]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs.mean(0), targets)


def flipped(outputs: Tensor, targets: Tensor) -> Tensor:
    return -cross_entropy(outputs, targets)


class Ascent:
    """An estimator with a flipped sign."""

    def __call__(self, loss: Any, params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        value, found = Backprop()(loss, params)
        return value, {name: -g for name, g in found.items()}


class PenaltiesPay:
    """An estimator that subtracts the gradient of penalties."""

    def __call__(self, loss: Any, params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        value, whole = Backprop()(loss, params)
        _, bare = Backprop()(replace(loss, penalties=()), params)
        return value, {name: 2 * bare[name] - g for name, g in whole.items()}


class Uphill(torch.optim.SGD):
    """An optimizer with a flipped sign."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=group["lr"])


class Backward(torch.autograd.Function):
    """Spikes with a derivative of the wrong sign."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).to(distance)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return -grad / (1 + distance.abs()).square()


class Paying:
    """A penalty with a flipped sign."""

    watches = False

    def __call__(self, params: dict[str, Tensor], activity: object) -> Tensor:
        return -0.1 * sum(held.square().sum() for held in params.values())


def run(loss: Any = cross_entropy, net: nn.Module | None = None, **asked: Any) -> int:
    """How many updates were done; the guard may stop it."""
    net = network() if net is None else net
    make = asked.pop("make", lambda params: torch.optim.Adam(params, lr=0.01))
    return fit(net, data(), loss, optimizer=make(net.parameters()), **asked).updates


def hidden_only(params: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(list(params)[:2], lr=0.01)


FLIPS: dict[str, tuple[dict[str, Any], str]] = {
    "estimator": ({"estimator": Ascent()}, "loss rises against its gradient, .* in 4 of 4 steps"),
    "nested": ({"estimator": Then(Ascent(), 30, Backprop())}, "flipped in the estimator"),
    "surrogate": (
        {"net": network(Backward.apply), "make": hidden_only}, "the derivative of a surrogate"
    ),
    "optimizer": (
        {"make": lambda params: Uphill(params, lr=0.01)}, r"flipped in the optimizer. fit lowers"
    ),
    "maximize": (
        {"make": lambda params: torch.optim.Adam(params, maximize=True)}, "has maximize=True"
    ),
    "loss": ({"loss": flipped}, "for such that go away from them: its sign is flipped"),
    "reward": ({"loss": Reward(cross_entropy)}, "its sign is flipped"),
    "penalty": ({"penalties": (L2(0.1), Paying())}, "Paying object .* below zero"),
    "penalty only": (
        {"penalties": (L2(0.01),), "estimator": PenaltiesPay()},
        "penalty 0, L2, rises against what it adds to the gradient, in 3 of 3 steps",
    ),
    "activity only": (
        {"penalties": (L2(0.0), TotalSpikes(0.1)), "estimator": PenaltiesPay()},
        "penalty 1, TotalSpikes, rises against",
    ),
    "witness": (
        {"loss": flipped, "guard": DirectionGuard(lowers=(cross_entropy,), signs=False)},
        "witness 0, cross_entropy, rises while the loss goes down, and should not, in 15 of 15",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLIPS)
def test_a_flipped_sign_stops_a_fit_within_the_first_steps(name: str) -> None:
    asked, says = FLIPS[name]
    with pytest.raises(ValueError, match=says):
        run(**asked)


@pytest.mark.parametrize("name", FLIPS)
def test_without_a_guard_nothing_stops_it(name: str) -> None:
    assert run(**FLIPS[name][0] | {"guard": None}) == 40


def test_a_schedule_that_goes_below_zero_is_stopped() -> None:
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch)
    with pytest.raises(ValueError, match=r"the learning rate is -0\.01"):
        fit(net, data(1), cross_entropy, optimizer=optimizer, schedule=schedule, epochs=5)


class Policy(nn.Module):
    """Chances of K actions, from logits."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(K, generator=seeded()))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.log_softmax(-1).expand(len(x), K)


class Divergence:
    """A penalty: how far a policy has gone from where it began, in nats."""

    watches = False

    def __init__(self, policy: Policy, sign: float = 1.0) -> None:
        self.start, self.sign = policy.logits.detach().log_softmax(-1), sign

    def __call__(self, params: dict[str, Tensor], activity: object) -> Tensor:
        own = params["logits"].log_softmax(-1)
        return self.sign * 0.1 * (own.exp() * (own - self.start)).sum()


def earned(outputs: Tensor, targets: Tensor) -> Tensor:
    """The expected reward of a policy, where each action pays something."""
    return (outputs.exp() * targets).sum(-1).mean()


def bandit(loss: Any, sign: float = 1.0, **asked: Any) -> tuple[float, float, int]:
    """Reward before and after, and updates, of 1,000."""
    policy, pays = Policy(), torch.randn(K, generator=seeded(3))
    batch, seen = (torch.zeros(B, 1), pays), []
    with torch.no_grad():
        before = float(earned(policy(batch[0]), pays))
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    try:
        fit(
            policy, [batch] * 100, loss, optimizer=optimizer, epochs=10,
            penalties=(Divergence(policy, sign),), callbacks=[lambda now: seen.append(now.update)],
            **asked,
        )  # fmt: skip
    except ValueError as error:
        assert "sign" in str(error) or "below zero" in str(error)  # noqa: PT017
    with torch.no_grad():
        return before, float(earned(policy(batch[0]), pays)), max(seen, default=0)


def test_a_flipped_reward_with_its_penalty_is_stopped_within_a_hundredth_of_the_run() -> None:
    """One bug flips both: a policy learns to earn least, or anything at all far from its start."""
    before, after, updates = bandit(Reward(earned))
    assert after > before
    assert updates == 1000
    assert bandit(Reward(earned), estimator=Ascent())[2] < 10
    assert bandit(Reward(earned), sign=-1.0)[2] < 10
    before, after, updates = bandit(earned, guard=None)
    assert after < before
    assert updates == 1000
    assert bandit(earned, guard=DirectionGuard(raises=(earned,)))[2] < 20


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    "loss", [VanRossum(tau=5.0, dt=1.0), Correlation(tau=5.0, dt=1.0), CountCrossEntropy(scale=1.0),
             PoissonLikelihood(), nn.MSELoss(), nn.BCEWithLogitsLoss(), nn.PoissonNLLLoss(),
             nn.SmoothL1Loss()],
    ids=lambda loss: type(loss).__name__,
)  # fmt: skip
def test_losses_that_are_what_they_say_are_told_from_flipped_ones(loss: Any, sign: float) -> None:
    from amphid.learning.fitting.signs import check_loss
    from amphid.learning.gradients.objective import Objective

    draw = seeded(5)
    given = torch.rand(T, B, C, generator=draw)
    spikes = (torch.rand(T, B, C, generator=draw) < 0.2).float()
    targets = torch.arange(B) % C if isinstance(loss, CountCrossEntropy) else spikes
    objective = Objective(nn.Identity(), given, targets, lambda o, t: sign * loss(o, t))
    if sign > 0:
        check_loss(objective, {})
    else:
        with pytest.raises(ValueError, match="its sign is flipped"):
            check_loss(objective, {})


def test_targets_that_do_not_tell_are_left_alone() -> None:
    outputs = torch.rand(T, B, C)
    for targets in (None, 3.0, torch.zeros(T, B, C), torch.rand(B, C), torch.full((B,), C)):
        assert towards(outputs, targets) is None
    assert towards(outputs, torch.zeros(T, C).long()) is None
    assert towards(torch.rand(B, C), torch.arange(B) % C).shape == (B, C)


def test_an_alarm_without_any_direction_is_as_rare_as_asked() -> None:
    """Chances of all paths of steps up and down, a fair coin each."""
    for alarm in (1e-2, 1e-3):
        paths, alarmed = {(0, 0): 1.0}, 0.0
        while paths:
            ahead: dict[tuple[int, int], float] = {}
            for (wrong, right), chance in paths.items():
                for step in ((wrong + 1, right), (wrong, right + 1)):
                    own = Tally()
                    for k, count in enumerate(step):
                        for _ in range(count):
                            own.count(1.0 - k, float(k))
                    if own.flipped(alarm):
                        alarmed += chance / 2
                    elif own.open(alarm):
                        ahead[step] = ahead.get(step, 0.0) + chance / 2
            paths = {step: chance for step, chance in ahead.items() if chance > 1e-9}
        assert alarm / 10 < alarmed < alarm


class Drawing(nn.Module):
    """Noise from a generator of its own, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.norm, self.drop = network(), nn.BatchNorm1d(K), nn.Dropout(0.2)
        self.generator = seeded(7)

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.rand(x.shape, generator=self.generator)
        return self.net(self.drop(self.norm(x.flatten(0, 1)).view_as(x)))


def trained(guard: DirectionGuard | None, **asked: Any) -> dict[str, Tensor]:
    torch.manual_seed(3)
    net = Drawing()
    estimator = Then(Backprop(), 2, Backprop(clip_norm=0.1))
    fit(
        net, data(9), cross_entropy, optimizer=torch.optim.Adam(net.parameters(), lr=0.01),
        penalties=(L2(1e-3), TotalSpikes(1e-3)), estimator=estimator, guard=guard, epochs=2,
        **asked,
    )  # fmt: skip
    return dict(net.state_dict())


@pytest.fixture
def torchs_own():
    before = torch.get_rng_state()
    yield
    torch.set_rng_state(before)


def test_a_guard_changes_nothing(torchs_own: None) -> None:
    """Not the parameters, not running averages, no random number, nor what estimators remember."""
    torch.testing.assert_close(trained(None), trained(DirectionGuard()), rtol=0, atol=0)


@pytest.mark.parametrize("update", [1, 4, 11])
def test_a_guarded_fit_goes_on_bit_for_bit(update: int, tmp_path: Path, torchs_own: None) -> None:
    guard = DirectionGuard(lowers=(cross_entropy,))
    whole = trained(guard, folder=tmp_path / "whole")
    stop = [lambda now: now.update == update]
    trained(guard, folder=tmp_path / "parts", callbacks=stop, checkpoint_every=1)
    again = trained(guard, folder=tmp_path / "parts", resume=True)
    torch.testing.assert_close(whole, again, rtol=0, atol=0)


def test_what_a_guard_has_seen_is_kept(tmp_path: Path) -> None:
    """Stopped after two steps of a flipped estimator, the third is what it goes on with."""
    net = network()
    asked = {"estimator": Ascent(), "folder": tmp_path, "checkpoint_every": 1}
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    stop = [lambda now: now.update == 2]
    fit(net, data(), cross_entropy, optimizer=optimizer, callbacks=stop, **asked)
    with pytest.raises(ValueError, match="in 4 of 4 steps, the last of them update 3"):
        fit(net, data(), cross_entropy, optimizer=optimizer, resume=True, **asked)


SOUND: dict[str, dict[str, Any]] = {
    "momentum": {"make": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.99)},
    "decay": {"make": lambda params: torch.optim.SGD(params, lr=0.01, weight_decay=10.0)},
    "decoupled": {"make": lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=10.0)},
    "long steps": {"make": lambda params: torch.optim.SGD(params, lr=30.0)},
    "short steps": {"make": lambda params: torch.optim.SGD(params, lr=1e-9)},
    "no steps": {"make": lambda params: torch.optim.SGD(params, lr=0.0)},
    "feedback": {"estimator": EProp(RandomFeedback(seeded(4)))},
    "clipped": {"estimator": Backprop(clip_norm=1e-3), "penalties": (L2(0.1), TotalSpikes(1.0))},
    "tiny": {"penalties": (L2(1e-9), TotalSpikes(0.0))},
    "parts": {"accumulate": 3, "penalties": (L2(0.1),)},
    "accuracy": {
        "guard": DirectionGuard(raises=(lambda o, t: (o.mean(0).argmax(-1) == t).float(),))
    },
}


@pytest.mark.parametrize("name", SOUND)
def test_a_fit_in_good_order_is_not_stopped(name: str) -> None:
    assert run(**SOUND[name]) > 10


def test_a_guard_costs_a_few_forwards_and_leaves_off() -> None:
    def counted(guard: DirectionGuard | None) -> int:
        calls: list[int] = []

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            calls.append(1)
            return cross_entropy(outputs, targets)

        run(loss, epochs=2, guard=guard, penalties=(L2(1e-3),))
        return len(calls)

    assert counted(None) == 80
    assert counted(DirectionGuard()) - 80 <= 12


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: DirectionGuard(raises=cross_entropy), TypeError, "raises must be a tuple"),
        (lambda: DirectionGuard(lowers=(3,)), TypeError, "lowers must be a tuple"),
        (lambda: DirectionGuard(alarm=0.0), ValueError, "alarm must be a chance"),
        (lambda: run(guard=True), TypeError, r"guard must be DirectionGuard\(...\), or None"),
        (lambda: Reward(nn.MSELoss), TypeError, "criterion must be a function"),
    ],
)
def test_what_is_no_guard_is_said(make: Callable[[], object], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_a_reward_is_a_loss_with_the_other_sign() -> None:
    assert float(Reward(lambda o, t: o * t)(torch.tensor(2.0), 3.0)) == -6
    assert math.isnan(float(Reward(lambda o, t: o)(torch.tensor(math.nan), None)))


def test_a_guard_leaves_the_states_of_long_sequences_alone() -> None:
    """Cells of the next stretch start where the update left them, not where the guard looked."""
    found = []
    for guard in (None, DirectionGuard()):
        net = network()
        fit(
            net, data(4), cross_entropy, optimizer=torch.optim.Adam(net.parameters(), lr=0.01),
            stretches=Stretches(5, whole_targets=True), guard=guard,
        )  # fmt: skip
        found.append(dict(net.state_dict()))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
