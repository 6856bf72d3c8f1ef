"""Long sequences in stretches: an update after each, from the state that the last one left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from amphid import models
from amphid.dynamics import ALIF, LeakyIntegrator, step_by_step
from amphid.learning import Backprop, EProp, Mollified, Stretches, TotalSpikes, fit

T, B, K, N, C, S = 17, 3, 5, 4, 2, 7


class State(NamedTuple):
    held: torch.Tensor
    steps: torch.Tensor
    nothing: None = None


class Noisy(nn.Module):
    """Cells that hear one another and themselves, with noise, and a count of their steps."""

    def __init__(self, noise: float = 0.3) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.inward, self.back = nn.Linear(K, N), nn.Linear(N, N)
        self.outward, self.generator = nn.Linear(N, C), torch.Generator().manual_seed(3)
        self.noise = noise
        self.register_buffer("seen", torch.zeros(()))
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=draw) / 2)

    def run(self, x, state=None):
        driven = self.inward(x + self.noise * torch.randn(x.shape, generator=self.generator))
        held, steps = (torch.zeros_like(driven[0]), torch.zeros(())) if state is None else state[:2]
        outputs = []
        for present in driven.unbind(0):
            held, steps = torch.tanh(present + self.back(held)), steps + 1
            outputs.append(held)
        if self.training:
            self.seen += len(x)
        return self.outward(torch.stack(outputs)), State(held, steps)

    def forward(self, x):
        return self.run(x)[0]


def data(*lengths: int, size: int = K) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(2)
    return [
        (torch.rand(t, B, size, generator=draw), torch.rand(t, B, C, generator=draw))
        for t in lengths
    ]


def error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().mean()


def momentum(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def by_hand(net: nn.Module, batches: list, epochs: int, steps: int) -> list[float]:
    """What a user writes: the mean loss of each epoch."""
    optimizer, means = momentum(net), []
    for _ in range(epochs):
        losses = []
        for x, y in batches:
            state = None
            for a, b in zip(x.split(steps), y.split(steps), strict=True):
                given, state = net.run(a, state)
                state = type(state)(*(s.detach() if s is not None else s for s in state))
                loss = error(given, b)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        means.append(sum(losses) / len(losses))
    return means


def equal(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_stretches_are_the_loop_that_carries_a_detached_state() -> None:
    one, two, batches = Noisy(), Noisy(), data(T, 2 * T)
    means = by_hand(one, batches, 2, S)
    history = fit(two, batches, error, optimizer=momentum(two), epochs=2, stretches=Stretches(S))
    assert history.updates == 2 * (3 + 5)
    assert history.losses == pytest.approx(means)
    assert equal(one, two)


def test_a_stretch_as_long_as_the_sequence_changes_nothing() -> None:
    one, two = Noisy(), Noisy()
    fit(one, data(T), error, optimizer=momentum(one), epochs=2)
    fit(two, data(T), error, optimizer=momentum(two), epochs=2, stretches=Stretches(T))
    assert equal(one, two)


def shuffled(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    batches = data(T, 2 * T, T)
    order = torch.randperm(3, generator=torch.Generator().manual_seed(epoch))
    return (batches[k] for k in order)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("update", [1, 4, 12])
def test_a_fit_stopped_within_a_sequence_goes_on_bit_for_bit(
    update: int, accumulate: int, tmp_path: Path
) -> None:
    arguments = {"epochs": 2, "stretches": Stretches(S), "accumulate": accumulate}
    whole, part, again = Noisy(), Noisy(), Noisy()
    history = fit(whole, shuffled, error, optimizer=momentum(whole), **arguments)
    arguments |= {"folder": tmp_path, "checkpoint_every": 1}
    stop = [lambda now: now.update == update]
    fit(part, shuffled, error, optimizer=momentum(part), callbacks=stop, **arguments)
    (kept,) = tmp_path.glob("checkpoints/*.json")
    assert json.loads(kept.read_text())["update"] == update
    rest = fit(again, shuffled, error, optimizer=momentum(again), resume=True, **arguments)
    assert equal(whole, again)
    assert rest.losses == history.losses


def test_batches_accumulated_go_through_time_side_by_side() -> None:
    """Those that are through drop out of the mean."""
    one, two, (long, short) = Noisy(0.0), Noisy(0.0), data(2 * S, S)
    optimizer = momentum(one)
    (a, b), (y, z) = (whole.split(S) for whole in long)
    given, state = one.run(a)
    ((error(given, y) + error(one.run(short[0])[0], short[1])) / 2).backward()
    optimizer.step()
    optimizer.zero_grad()
    error(one.run(b, State(state.held.detach(), state.steps))[0], z).backward()
    optimizer.step()
    fit(two, [long, short], error, optimizer=momentum(two), accumulate=2, stretches=Stretches(S))
    close(two, one)


def close(one: nn.Module, two: nn.Module) -> None:
    for name, p in one.named_parameters():
        torch.testing.assert_close(p, two.get_parameter(name), msg=name)


def test_weak_gradients_of_stretches_are_asked_for_all_members_at_once() -> None:
    """Members are mapped over from the same state; one by one they give the same."""
    (one, two), (x, y) = (Noisy(0.0), Noisy(0.0)), data(T)[0]
    for net, wrapped in ((one, False), (two, True)):
        weak = Mollified(torch.Generator().manual_seed(1), samples=8)
        asked = (
            (lambda loss, params, weak=weak: weak(lambda p: loss(p), params)) if wrapped else weak
        )
        fit(net, [(x, y)], error, optimizer=momentum(net), stretches=Stretches(S), estimator=asked)
    close(two, one)


def elsewhere(loss, params):
    """A gradient found at copies of the parameters, after a look somewhere else."""
    copies = {name: p.detach().clone() for name, p in params.items()}
    loss({name: p + 1 for name, p in copies.items()})
    return Backprop()(loss, copies)


def test_the_state_is_that_of_the_models_own_parameters_whatever_an_estimator_asks() -> None:
    one, two = Noisy(0.0), Noisy(0.0)
    for net, estimator in ((one, Backprop()), (two, elsewhere)):
        fit(net, data(T), error, optimizer=momentum(net), stretches=Stretches(S),
            estimator=estimator)  # fmt: skip
    close(two, one)


def test_a_state_that_is_asked_for_leaves_buffers_alone() -> None:
    net = Noisy()
    fit(net, data(T), error, optimizer=momentum(net), stretches=Stretches(S), estimator=elsewhere)
    assert net.seen == 2 * T


def test_spiking_layers_and_penalties_go_in_stretches() -> None:
    """With a learning rate of 0 the losses are those of one run, penalties those of each part."""
    net = models.Sequential(nn.Linear(K, N), ALIF(resistance=40.0), nn.Linear(N, C),
                            LeakyIntegrator())  # fmt: skip
    ((x, y),) = data(T)
    with step_by_step():
        given = net(x, dt=0.5)
        history = fit(
            net, [(x, y)], error, optimizer=torch.optim.SGD(net.parameters(), lr=0.0),
            stretches=Stretches(S), penalties=(TotalSpikes(0.0),), dt=0.5,
        )  # fmt: skip
    wanted = [error(a, b).item() for a, b in zip(given.split(S), y.split(S), strict=True)]
    assert history.losses == pytest.approx([sum(wanted) / 3])


def test_readouts_tell_of_the_sequence_so_far_and_classes_are_of_the_whole() -> None:
    net = models.Sequential(nn.Linear(K, C), models.SpikeCount())
    ((x, _),) = data(T)
    labels = torch.tensor([0, 1, 1])
    seen = []

    def loss(outputs, targets):
        seen.append(outputs.detach())
        return nn.functional.cross_entropy(outputs, targets)

    fit(net, [(x, labels)], loss, optimizer=torch.optim.SGD(net.parameters(), lr=0.0),
        stretches=Stretches(S, whole_targets=True), guard=None)  # fmt: skip
    counts = net[0](x).detach().cumsum(0)[[S - 1, 2 * S - 1, T - 1]]
    torch.testing.assert_close(torch.stack(seen), counts)


def test_a_checkpoint_of_other_stretches_is_not_resumed(tmp_path: Path) -> None:
    net = Noisy()
    arguments = {"optimizer": momentum(net), "folder": tmp_path}
    fit(net, data(T), error, stretches=Stretches(S), **arguments)
    with pytest.raises(ValueError, match=r"its stretches is Stretches\(steps=7.*here it is None"):
        fit(net, data(T), error, resume=True, **arguments)


@pytest.mark.parametrize(
    ("steps", "says"), [(0, "got 0"), (2.5, "got 2.5"), (True, "got True"), ("7", "got '7'")]
)
def test_no_number_of_steps_is_refused(steps: object, says: str) -> None:
    with pytest.raises(ValueError, match=f"steps must be a number of steps.*{says}"):
        Stretches(steps)


@pytest.mark.parametrize(
    ("net", "given", "error_", "says"),
    [
        (nn.Linear(K, C), {}, TypeError, r"run\(x, state, dt\).*got Linear"),
        (models.Sequential(models.Repeat(5), nn.Linear(K, C)), {}, TypeError, "has an encoder"),
        (Noisy(), {"stretches": Stretches}, TypeError, r"Stretches\(steps\), got <class"),
        (Noisy(), {"stretches": S}, TypeError, "got 7"),
        (Noisy(), {"batches": [(torch.rand(T, B, K), torch.rand(B, C))]}, ValueError,
         r"17 steps and targets shape \[3, 2\].*whole_targets=True"),
        (Noisy(), {"batches": [([1.0], torch.rand(B, C))]}, TypeError, "got list"),
        (Noisy(), {"estimator": EProp()}, ValueError, "EProp starts each sequence from rest"),
    ],
)  # fmt: skip
def test_what_cannot_go_in_stretches_is_said(
    net: nn.Module, given: dict, error_: type, says: str
) -> None:
    arguments = {"batches": data(T), "stretches": Stretches(S), **given}
    with pytest.raises(error_, match=says):
        fit(net, loss=error, optimizer=momentum(net), **arguments)
