"""Every estimator keeps the contract; checkpoints change nothing, and clipping clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from amphid.dynamics import ALIF, LIF, LeakyIntegrator
from amphid.learning import Backprop, Mean, Objective

T, B, K, N, C = 37, 5, 7, 3, 2


class State(NamedTuple):
    hidden: object
    fed: torch.Tensor
    outer: object


class Recurrent(nn.Module):
    """Cells that feed back on themselves, and a readout; it draws noise, and counts its steps."""

    def __init__(self, cells: int = N, noise: float = 0.0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.inward, self.outward = nn.Linear(K, cells), nn.Linear(cells, C)
        self.back = nn.Linear(cells, cells, bias=False)
        self.cells, self.readout = ALIF(resistance=10.0), LeakyIntegrator()
        self.noise, self.generator = noise, torch.Generator().manual_seed(3)
        self.register_buffer("steps", torch.zeros(()))
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=draw))
        self.double()

    def run(self, x, state=None, dt=1.0):
        driven = self.inward(x)
        driven = driven + self.noise * torch.randn(driven.shape, generator=self.generator).to(x)
        if state is None:
            like = driven[0]
            state = State(self.cells.init(like), torch.zeros_like(like), None)
        hidden, fed, outer = state
        spikes = []
        for current in driven.unbind(0):
            hidden, fed = self.cells.step(hidden, current + self.back(fed), dt)
            spikes.append(fed)
        if self.training:
            self.steps += len(x)
        y, outer = self.readout.run(self.outward(torch.stack(spikes)), outer, dt)
        return y, State(hidden, fed, outer)

    def forward(self, x, dt=1.0):
        return self.run(x, dt=dt)[0]


def drawn(steps: int = T, seed: int = 2) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return 6 * torch.rand(steps, B, K, generator=g, dtype=torch.float64)


def error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().mean()


def task(net: nn.Module, steps: int = T) -> Objective:
    targets = torch.ones(steps, B, C, dtype=torch.float64)
    return Objective(net, drawn(steps), targets, error, dt=0.5)


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.named_parameters())


def norm(gradients: dict[str, torch.Tensor]) -> float:
    return float(torch.cat([g.flatten() for g in gradients.values()]).norm())


@pytest.mark.parametrize("checkpoint", [True, 1, 2, 6, 37, 99])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_checkpoints_change_no_gradient(checkpoint: int, noise: float) -> None:
    """What lies between is drawn again as it was, and buffers move once."""
    plain, saved = Recurrent(noise=noise), Recurrent(noise=noise)
    # one draw for all of time is not that for a stretch after another
    wanted = by_hand(plain, checkpoint) if noise else Backprop()(task(plain), named(plain))
    found = Backprop(checkpoint=checkpoint)(task(saved), named(saved))
    assert torch.equal(found[0], wanted[0])
    for name, gradient in found[1].items():
        torch.testing.assert_close(gradient, wanted[1][name], rtol=1e-12, atol=1e-12)
    assert saved.steps == plain.steps == T
    if noise:
        assert torch.equal(saved.generator.get_state(), plain.generator.get_state())


def by_hand(net: Recurrent, checkpoint: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The same stretches with everything kept."""
    state, outputs, own = None, [], task(net)
    for x in own.inputs.split(6 if checkpoint is True else checkpoint):
        y, state = net.run(x, state, 0.5)
        outputs.append(y)
    value = error(torch.cat(outputs), own.targets)
    return value.detach(), dict(
        zip(named(net), torch.autograd.grad(value, list(net.parameters())), strict=True)
    )


def test_a_gradient_through_one_step_after_another_is_bit_for_bit() -> None:
    one, two = Recurrent(), Recurrent()
    wanted, found = by_hand(one, 6), Backprop(checkpoint=6)(task(two), named(two))
    for name, gradient in found[1].items():
        assert torch.equal(gradient, wanted[1][name])


@pytest.mark.parametrize("checkpoint", [False, 3])
def test_a_truncation_that_covers_all_is_none(checkpoint: int) -> None:
    net = Recurrent()
    wanted = Backprop()(task(net), named(net))
    found = Backprop(truncate=T, checkpoint=checkpoint)(task(net), named(net))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("checkpoint", [False, 3])
def test_what_passes_through_the_state_is_clipped_between_all_and_nothing(checkpoint):
    """A limit out of reach changes nothing; one next to nothing cuts, as truncation does."""
    net = Recurrent()
    loss, params = task(net), named(net)
    whole, cut = Backprop()(loss, params)[1], Backprop(truncate=5)(loss, params)[1]
    for limit, expected in ((1e9, whole), (1e-300, cut)):
        found = Backprop(clip_state=limit, clip_every=5, checkpoint=checkpoint)(loss, params)[1]
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient)


def test_truncation_cuts_where_it_says() -> None:
    """Against states detached by hand."""
    net = Recurrent()
    state, outputs, own = None, [], task(net)
    for x in own.inputs.split(5):
        y, state = net.run(x, state, 0.5)
        state = pytree.tree_map(lambda s: s.detach(), state)
        outputs.append(y)
    value = error(torch.cat(outputs), own.targets)
    wanted = torch.autograd.grad(value, list(net.parameters()))
    for estimator in (Backprop(truncate=5), Backprop(truncate=5, checkpoint=True)):
        got, gradients = estimator(own, named(net))
        assert torch.equal(got, value.detach())
        torch.testing.assert_close(tuple(gradients.values()), wanted, rtol=1e-12, atol=1e-14)
    assert norm(gradients) != pytest.approx(norm(Backprop()(own, named(net))[1]), rel=1e-3)


class Peak(TorchDispatchMode):
    """The most bytes that tensors made within the block held at once."""

    def __init__(self, given: torch.Tensor) -> None:
        super().__init__()
        self.given = given.untyped_storage()._cdata
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for held in pytree.tree_leaves(result):
            if isinstance(held, torch.Tensor):
                storage = held.untyped_storage()
                if storage._cdata != self.given:
                    self.live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.calls += 1
        if self.calls % 101 == 0:
            self.live = {key: one for key, one in self.live.items() if not one[0].expired()}
            self.most = max(self.most, sum(size for _, size in self.live.values()))
        return result


def peak(estimator: Backprop, steps: int) -> int:
    net = LIF(resistance=nn.Parameter(torch.full((199,), 3.0)))
    inputs = torch.ones(steps, 1, 199)

    def last(outputs: torch.Tensor, targets: None) -> torch.Tensor:
        return outputs[-1].sum()

    with Peak(inputs) as seen:
        estimator(Objective(Summed(net), inputs, None, last), {"net.resistance": net.resistance})
    return seen.most


class Summed(nn.Module):
    """All cells in one output, which takes next to no room itself."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def run(self, x, state=None):
        now, sums = self.net.init(x[0]) if state is None else state, []
        for current in x.unbind(0):
            now, spikes = self.net.step(now, current, 1.0)
            sums.append(spikes.sum(-1, keepdim=True))
        return torch.stack(sums), now

    def forward(self, x):
        return self.run(x)[0]


@pytest.mark.parametrize(
    ("estimator", "power"),
    [(Backprop(), 1.0), (Backprop(checkpoint=True), 0.5)],
    ids=["plain", "checkpointed"],
)
def test_memory_grows_with_the_root_of_time(estimator: Backprop, power: float) -> None:
    few, many = peak(estimator, 36), peak(estimator, 576)
    assert many / few == pytest.approx((576 / 36) ** power, rel=0.3)


def test_a_norm_is_clipped_as_torch_does() -> None:
    net = Recurrent()
    _, whole = Backprop()(task(net), named(net))
    for limit in (0.3 * norm(whole), 3 * norm(whole)):
        _, clipped = Backprop(clip_norm=limit)(task(net), named(net))
        for name, p in named(net).items():
            p.grad = whole[name].clone()
        nn.utils.clip_grad_norm_(net.parameters(), limit)
        for name, p in named(net).items():
            torch.testing.assert_close(clipped[name], p.grad, rtol=1e-4, atol=0)
            p.grad = None


def test_entries_are_clipped() -> None:
    net = Recurrent()
    _, whole = Backprop()(task(net), named(net))
    _, clipped = Backprop(clip_value=1e-3)(task(net), named(net))
    assert norm(whole) > norm(clipped)
    for name, gradient in clipped.items():
        assert torch.equal(gradient, whole[name].clamp(-1e-3, 1e-3))


def test_the_mean_of_parts_is_one_loss_for_any_estimator() -> None:
    net = Recurrent()
    parts = Mean((task(net), task(net, 11)))
    value, gradients = Backprop()(parts, named(net))
    again, others = Backprop()(lambda params: parts(params), named(net))
    torch.testing.assert_close((value, gradients), (again, others))


def test_parts_with_other_owners_are_refused() -> None:
    def each(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.sum((1, 2))

    net = Recurrent()
    parts = [Objective(net, drawn(steps), None, each) for steps in (5, 7)]
    with pytest.raises(ValueError, match=r"losses of shapes \[5\], \[7\]"):
        Mean(tuple(parts))({})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Backprop(clip_norm=0.0), "clip_norm must be above zero"),
        (lambda: Backprop(clip_value=-1.0), "clip_value must be above zero"),
        (lambda: Backprop(clip_state=0.0), "clip_state must be above zero"),
        (lambda: Backprop(clip_state=1.0, clip_every=3, truncate=7), "that divides truncate=7"),
        (lambda: Backprop(truncate=0), "truncate must be a number of steps"),
        (lambda: Backprop(truncate=2.5), "truncate must be a number of steps"),
        (lambda: Backprop(checkpoint=-3), "checkpoint must be a number of steps"),
    ],
)
def test_what_cannot_be_is_said(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_what_cannot_be_walked_is_said() -> None:
    walking = Backprop(truncate=3)
    with pytest.raises(TypeError, match="got function"):
        walking(lambda p: p["x"], {"x": torch.ones(())})
    linear = nn.Linear(K, C).double()
    with pytest.raises(TypeError, match=r"run\(x, state, dt\).*got Linear"):
        walking(Objective(linear, drawn(), None, error), named(linear))
    net = Recurrent()
    with pytest.raises(TypeError, match="inputs in one tensor"):
        walking(Objective(net, [drawn()], None, error), named(net))
