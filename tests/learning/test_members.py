"""Members of a population are evaluated side by side, and what they give does not depend on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

import amphid as am
from amphid import models, wiring
from amphid.dynamics import (
    ALIF,
    LIF,
    EscapeRate,
    Exponential,
    HodgkinHuxley,
    LeakyIntegrator,
    Mixed,
    Refractory,
    SigmoidRelease,
    learned,
    step_by_step,
)
from amphid.learning import L2, Mean, Objective, TotalSpikes, VanRossum
from amphid.learning.gradients.factored import Factored

T, B, K, N, C, S = 23, 3, 7, 5, 2, 4


def drawn(*shape: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def spiking() -> nn.Module:
    return am.Sequential(
        nn.Linear(K, N), models.Gain(learned(600.0)), LIF(tau=learned(torch.full((N,), 9.0))),
        nn.Linear(N, C, bias=False), models.Gain(2000.0), Refractory(ALIF()),
    )  # fmt: skip


def reading() -> nn.Module:
    inner = am.Sequential(nn.Linear(N, C), LeakyIntegrator(tau=learned(5.0)))
    return am.Sequential(nn.Linear(K, N), LIF(resistance=30.0), inner, models.TimeMean())


def recurrent() -> nn.Module:
    cells = models.Recurrent(LIF(resistance=20.0), nn.Linear(N, N))
    return am.Sequential(nn.Linear(K, N), cells, nn.Linear(N, C))


def biophysical() -> nn.Module:
    cells = HodgkinHuxley.cortical(terminal=SigmoidRelease())
    return am.Sequential(nn.Linear(K, N), models.Gain(30.0), cells, nn.Linear(N, C))


def mixed() -> nn.Module:
    cells = Mixed({"a": LIF(), "b": ALIF(jump=learned(3.0))}, where={"a": [0, 2], "b": [1, 3, 4]})
    return am.Sequential(nn.Linear(K, N), models.Gain(300.0), cells, nn.Linear(N, C))


def by_chance() -> nn.Module:
    cells = EscapeRate(generator=torch.Generator().manual_seed(3), rate=learned(0.3))
    layers = models.Dropout(0.3, generator=torch.Generator().manual_seed(4)), nn.Dropout(0.2)
    return am.Sequential(nn.Linear(K, N), *layers, models.Gain(300.0), cells, nn.Linear(N, C))


def normalized() -> nn.Module:
    return am.Sequential(nn.Linear(K, N), models.BatchNorm(N, scale=200.0), LIF(), nn.Linear(N, C))


def connected() -> nn.Module:
    wires = wiring.layered(K, N, C).signed(wiring.all_positive)
    weight = nn.Parameter(300.0 + drawn(len(wires.connections), scale=200.0))
    cells = {"neuron": LIF(), "synapse": Exponential(tau=3.0, amplitude=1.0)}
    return nn.Sequential(Padded(), am.Network(wires, weight=weight, dale=False, **cells))


def connected_by_chance() -> nn.Module:
    wires = wiring.layered(K, N, C).signed(wiring.all_positive)
    weight = nn.Parameter(300.0 + drawn(len(wires.connections), scale=200.0))
    cells = EscapeRate(generator=torch.Generator().manual_seed(3))
    synapse = Exponential(tau=3.0, amplitude=1.0)
    net = am.Network(wires, neuron=cells, synapse=synapse, weight=weight, dale=False)
    return nn.Sequential(Padded(), net)


class Padded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(600 * x, (0, N + C))


class Own(nn.Module):
    """A model as a user writes one, that decides by what it sees where `deciding`."""

    def __init__(self, *, deciding: bool = False) -> None:
        super().__init__()
        self.first, self.cells, self.last = nn.Linear(K, N), LIF(resistance=30.0), nn.Linear(N, C)
        self.deciding = deciding

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.cells(self.first(x).relu() * 2)
        if self.deciding and float(spikes.sum()) > 40:
            spikes = spikes / 2
        return self.last(spikes)


MODELS = [
    spiking, reading, recurrent, biophysical, mixed, by_chance, normalized, connected, Own,
    connected_by_chance, lambda: Own(deciding=True), lambda: normalized().eval(),
    lambda: by_chance().eval(),
    lambda: nn.Sequential(nn.Linear(K, N), LIF(resistance=30.0), nn.Linear(N, C)),
]  # fmt: skip


def task(model: nn.Module, loss: Callable[..., Tensor] = error, **more: Any) -> Objective:
    x = (drawn(T, B, K) > 0.5).double() + 0.3
    return Objective(model.double(), x, torch.zeros((), dtype=torch.float64), loss, **more)


def spread(model: nn.Module, scale: float = 0.3) -> dict[str, Tensor]:
    return {
        name: own.detach() + scale * own.detach().abs().mean() * drawn(S, *own.shape)
        for name, own in model.named_parameters()
    }


class Sources:
    """All generators that a model may draw from."""

    def __init__(self, model: nn.Module) -> None:
        held = [own for part in model.modules() for own in vars(part).values()]
        own = [one for one in held if isinstance(one, torch.Generator)]
        self.sources = [*own, torch.default_generator]
        self.start = self.now()

    def now(self) -> list[Tensor]:
        return [own.get_state() for own in self.sources]

    def rewind(self) -> None:
        for own, state in zip(self.sources, self.start, strict=True):
            own.set_state(state)


def one_by_one(objective: Objective, members: dict[str, Tensor], sources: Sources) -> Tensor:
    """Losses [S] of single evaluations with the same random numbers, by the plain loop."""
    losses = []
    with torch.no_grad(), step_by_step():
        for k in range(S):
            sources.rewind()
            losses.append(objective({name: own[k] for name, own in members.items()}))
    return torch.stack(losses)


@pytest.mark.parametrize("model", MODELS[:6])
def test_models_of_layers_run_all_members_at_once(model: Callable[[], nn.Module]) -> None:
    objective = task(model())
    assert vmap(objective, randomness="same")(spread(objective.model)).shape == (S,)


@pytest.mark.parametrize("model", MODELS)
def test_members_side_by_side_are_members_one_by_one(model: Callable[[], nn.Module]) -> None:
    torch.manual_seed(5)
    objective = task(model())
    members, sources = spread(objective.model), Sources(objective.model)
    expected = one_by_one(objective, members, sources)
    after = sources.now()
    assert len(expected.unique()) > 1
    for chunk in (None, 3, 1):
        sources.rewind()
        got = objective.population(members, chunk)
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
        assert all(map(torch.equal, sources.now(), after))


def convolutional() -> nn.Module:
    layers = nn.Conv2d(1, 2, 3), models.Gain(800.0), LIF(), nn.AvgPool2d(2), nn.Flatten()
    return am.Sequential(*layers, nn.Linear(8, C))


def test_maps_are_members_one_by_one_too() -> None:
    torch.manual_seed(5)
    x = drawn(T, B, 1, 6, 6)
    objective = Objective(convolutional().double(), x, torch.zeros((), dtype=x.dtype), error)
    members = spread(objective.model)
    expected = one_by_one(objective, members, Sources(objective.model))
    torch.testing.assert_close(objective.population(members), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("threshold", [-9.0, 1.5])
def test_wide_inputs_are_products_or_events_alike(threshold: float) -> None:
    torch.manual_seed(5)
    model = am.Sequential(nn.Linear(67, N), LIF(resistance=30.0), nn.Linear(N, C)).double()
    x = (drawn(T, B, 67) > threshold).double()
    objective = Objective(model, x, torch.zeros((), dtype=x.dtype), error)
    members = spread(model)
    expected = one_by_one(objective, members, Sources(model))
    torch.testing.assert_close(objective.population(members), expected, rtol=1e-10, atol=1e-10)


def test_parameters_that_are_not_given_are_those_of_the_model() -> None:
    torch.manual_seed(5)
    objective = task(spiking())
    members = {"3.weight": spread(objective.model)["3.weight"]}
    expected = one_by_one(objective, members, Sources(objective.model))
    torch.testing.assert_close(objective.population(members), expected, rtol=1e-10, atol=1e-10)


def counted(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss by numbers outside of torch, one for each output."""
    return torch.tensor(outputs.numpy().sum((0, 1)) - 1.0)


def test_a_loss_that_vmap_cannot_follow_is_asked_for_each_member() -> None:
    torch.manual_seed(5)
    objective = task(spiking(), counted)
    members = spread(objective.model)
    expected = one_by_one(objective, members, Sources(objective.model))
    assert expected.shape == (S, C)
    for _ in range(2):
        torch.testing.assert_close(objective.population(members), expected)


def test_penalties_are_those_of_each_member() -> None:
    torch.manual_seed(5)
    penalties = L2(0.1), TotalSpikes(0.01)
    for loss in (VanRossum(), counted):
        objective = task(spiking(), loss, penalties=penalties, dt=0.5)
        objective = replace(objective, targets=torch.zeros(T, B, C, dtype=torch.float64))
        members = spread(objective.model)
        expected = one_by_one(objective, members, Sources(objective.model))
        torch.testing.assert_close(objective.population(members), expected)


def test_the_mean_of_batches_is_that_of_each_member() -> None:
    torch.manual_seed(5)
    whole = task(Own())
    halves = Mean(
        tuple(replace(whole, inputs=x) for x in (whole.inputs[:, :1], whole.inputs[:, 1:]))
    )
    members = spread(whole.model)
    expected = one_by_one(halves, members, Sources(whole.model))
    torch.testing.assert_close(halves.population(members), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model", [spiking, recurrent])
def test_low_rank_changes_are_the_matrices_that_they_stand_for(
    model: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(5)
    objective = task(model())
    plain = spread(objective.model)
    low = {
        name: Factored(own, drawn(S, len(own), 2), 0.2 * drawn(S, own.shape[1], 2))
        for name, own in objective.model.named_parameters()
        if own.dim() == 2
    }
    members = {**plain, **{name: own.dense() for name, own in low.items()}}
    expected = one_by_one(objective, members, Sources(objective.model))
    got = objective.population({**plain, **low}, 3)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    assert not any("forward" in vars(part) for part in objective.model.modules())


def test_members_that_do_not_fit_are_refused_by_a_sentence() -> None:
    objective = task(spiking())
    with pytest.raises(ValueError, match=r"it has no 'weight', but 0\.weight, 0\.bias"):
        objective.population({"weight": drawn(S, N, K)})
    with pytest.raises(ValueError, match=r"must be \[S, \*shape\] = \[S, 5, 7\], got \[7, 5\]"):
        objective.population({"0.weight": drawn(K, N)})
    with pytest.raises(ValueError, match="as many for all parameters"):
        objective.population({"0.weight": drawn(S, N, K), "0.bias": drawn(2, N)})
    with pytest.raises(ValueError, match="at least one parameter"):
        objective.population({})


def test_what_is_wrong_with_a_loss_is_said_as_for_one_member() -> None:
    objective = task(spiking(), lambda outputs, targets: outputs @ drawn(K, K))
    with pytest.raises(RuntimeError) as caught:
        objective.population(spread(objective.model))
    assert "in the loss, for outputs [23, 3, 2]" in str(caught.value.__notes__)
