"""Small problems, each with one property that is said to defeat differentiation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import (
    LIF,
    BinaryThreshold,
    FastSigmoid,
    HodgkinHuxley,
    LeakyIntegrator,
    SigmoidRelease,
)
from amphid.learning import scale_weights
from amphid.models import Gain, Recurrent, Sequential
from amphid.studies.paired import drawn

Score = Callable[[Any, Any], Tensor]
DT = 0.1  # ms, of Hodgkin-Huxley cells
ACTIVE = 3e-3  # variance of a release, about that of one spike in an example
RATE = 0.04  # spikes per ms of LIF cells at the start


@dataclass(frozen=True, eq=False)
class Posed:
    """A problem: a model, batches to learn from, one to be tested on, and what counts.

    loss: of (outputs, targets), minimized. score: of the test batch; 1 is perfect. unit: the batch
    loss of each example or output, for estimators that can use it. dt: ms.
    """

    model: nn.Module
    batches: list[tuple[Any, Any]]
    test: tuple[Any, Any]
    loss: Callable[[Any, Any], Tensor]
    score: Score
    dt: float | None = None


def window(duration: float, draw: torch.Generator) -> Posed:
    """Hodgkin-Huxley cells, 5-8-3, that imitate a teacher over a window, ms."""
    model, probe = _biophysical(draw), _pulses(duration, draw)
    teacher = _biophysical(draw)
    while not _active(teacher, probe):
        teacher = _biophysical(draw)
    return _imitating(model, teacher, lambda: _pulses(duration, draw), dt=DT)


def recurrence(duration: float, width: float, draw: torch.Generator) -> Posed:
    """40 recurrent LIF cells that draw three curves, each from a burst of its own inputs, in ms."""
    cells = LIF(resistance=1.0, surrogate=FastSigmoid(width))
    model = Sequential(
        nn.Linear(6, 40, bias=False), Recurrent(cells, nn.Linear(40, 40, bias=False)),
        nn.Linear(40, 3), LeakyIntegrator(resistance=1.0),
    )  # fmt: skip
    drawn(model, draw)
    steps = int(duration)
    time = torch.arange(steps)[:, None] / steps
    phase = torch.rand(3, generator=draw)
    curves = torch.sin(2 * torch.pi * (torch.tensor([1.0, 2.0, 3.0]) * time + phase))
    drive = (torch.rand(steps, 1, 6, generator=draw) < 0.2).float()
    scale_weights(model, drive, rate=RATE)
    batch = (drive, curves[:, None])
    return Posed(model, [batch], batch, _squared, _explained)


def noise(spread: float, draw: torch.Generator) -> Posed:
    """LIF cells, 10-20-5, with so much noise (pA) in every step, that imitate a teacher without."""
    first = nn.Linear(10, 20)
    model = Sequential(first, Noise(spread, draw), LIF(), nn.Linear(20, 5), Smooth())
    teacher = Sequential(nn.Linear(10, 20), LIF(), nn.Linear(20, 5), Smooth())
    for own in (model, teacher):
        drawn(own, draw)
    factors = scale_weights(teacher, _poisson(100, 10, draw), rate=RATE)
    with torch.no_grad():
        first.weight *= factors["0"]
    return _imitating(model, teacher, lambda: _poisson(100, 10, draw))


def binary(hidden: int, draw: torch.Generator) -> Posed:
    """Cells of yes or no, whose true derivative is zero, that learn the classes of a teacher."""
    model, teacher = (
        Sequential(nn.Linear(20, hidden), BinaryThreshold(v_threshold=0.0, surrogate=_step),
                   nn.Linear(hidden, 5))
        for _ in range(2)
    )  # fmt: skip
    for own in (model, teacher):
        drawn(own, draw)
    return _classified(model, teacher, draw)


def delays(longest: int, draw: torch.Generator) -> Posed:
    """Delays of whole steps that are learned; the weights are given."""
    weight = torch.randn(4, 20, generator=draw) / 20**0.5
    model, teacher = (Delays(weight, longest, draw) for _ in range(2))
    return _imitating(model, teacher, lambda: _poisson(80, 20, draw))


def step_loss(draw: torch.Generator) -> Posed:
    """An ordinary network, 20-10-5, that learns classes by the share of wrong answers alone."""
    model, teacher = (
        nn.Sequential(nn.Linear(20, 10), nn.Tanh(), nn.Linear(10, 5)) for _ in range(2)
    )
    for own in (model, teacher):
        drawn(own, draw)
    posed = _classified(model, teacher, draw)
    return Posed(posed.model, posed.batches, posed.test, wrong, posed.score)


class Noise(nn.Module):
    """Normal noise on every number that passes."""

    def __init__(self, spread: float, generator: torch.Generator) -> None:
        super().__init__()
        self.spread, self.generator = spread, generator

    def forward(self, x: Tensor) -> Tensor:
        """The same with noise."""
        return x + self.spread * torch.randn(x.shape, generator=self.generator)


class Smooth(nn.Module):
    """A low-pass filter of 10 steps over time."""

    def forward(self, x: Tensor) -> Tensor:
        """Filtered [T, *B, N]."""
        filtered: Tensor = LeakyIntegrator(tau=10.0, resistance=1.0, v_rest=0.0)(x)
        return filtered


class Delays(nn.Module):
    """Inputs [T, B, N] that arrive whole steps later, weighted and smoothed."""

    weight: Tensor

    def __init__(self, weight: Tensor, longest: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.longest = longest
        own = longest * torch.rand(*weight.shape, generator=generator)
        self.delay = nn.Parameter(own)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [T, B, M]."""
        late = self.delay.clamp(0, self.longest).round()  # its derivative is zero
        lags = torch.arange(self.longest + 1)
        taps = (lags == late[..., None]).to(x) * self.weight[..., None]  # [M, N, D]
        taps = taps + 0 * late[..., None]
        padded = torch.cat([x.new_zeros(self.longest, *x.shape[1:]), x])
        ago = padded.unfold(0, self.longest + 1, 1).flip(-1)  # [T, B, N, D]
        summed: Tensor = Smooth()(torch.einsum("tbnd,mnd->tbm", ago, taps))
        return summed


def wrong(outputs: Tensor, labels: Tensor) -> Tensor:
    """Share of wrong answers, of each example: 0 or 1."""
    return (outputs.argmax(-1) != labels).to(outputs)


def _step(distance: Tensor) -> Tensor:
    return (distance > 0).to(distance)


def _biophysical(draw: torch.Generator) -> nn.Module:
    cells = [HodgkinHuxley.cortical(capacitance=1.0, terminal=SigmoidRelease()) for _ in range(2)]
    model = Sequential(nn.Linear(5, 8), Gain(8.0), cells[0], nn.Linear(8, 3), Gain(8.0), cells[1])
    drawn(model, draw)
    return model


def _active(teacher: nn.Module, probe: Tensor) -> bool:
    """Whether every output of a teacher does something that can be imitated."""
    with torch.no_grad():
        return bool((teacher(probe, dt=DT).flatten(0, -2).var(0) > ACTIVE).all())


def _imitating(
    model: nn.Module, teacher: nn.Module, inputs: Callable[[], Tensor], dt: float | None = None
) -> Posed:
    """Four batches and a test batch of what a teacher makes of inputs."""
    timing = {} if dt is None else {"dt": dt}
    with torch.no_grad():
        pairs = [(x, teacher(x, **timing)) for x in (inputs() for _ in range(5))]
    return Posed(model, pairs[:4], pairs[4], _squared, _explained, dt)


def _classified(model: nn.Module, teacher: nn.Module, draw: torch.Generator) -> Posed:
    """Twenty batches and a test batch of inputs and the classes that a teacher gives them."""
    pairs = []
    with torch.no_grad():
        for size in [100] * 20 + [2000]:
            x = torch.randn(size, 20, generator=draw)
            outputs = teacher(x)
            pairs.append((x, (outputs - outputs.mean(0)).argmax(-1)))
    return Posed(model, pairs[:20], pairs[20], _by_example, lambda o, t: 1 - wrong(o, t).mean())


def _by_example(outputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, labels, reduction="none")


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    axes = tuple(range(targets.dim() - 1))
    return (outputs - targets).square().mean() / targets.var(axes, correction=0).mean()


def _explained(outputs: Tensor, targets: Tensor) -> Tensor:
    return 1 - _squared(outputs, targets)


def _pulses(duration: float, draw: torch.Generator) -> Tensor:
    """Spikes of 1 ms, 40 Hz, of 5 cells and 4 examples [T, 4, 5]."""
    steps, lasting = round(duration / DT), round(1 / DT)
    begun = (torch.rand(steps, 4, 5, generator=draw) < 0.04 * DT).float().cumsum(0)
    lately = begun.clone()
    lately[lasting:] -= begun[:-lasting]
    return 5 * (lately > 0).float()


def _poisson(steps: int, cells: int, draw: torch.Generator) -> Tensor:
    return (torch.rand(steps, 8, cells, generator=draw) < 0.1).float()


CASES: Mapping[str, Callable[[torch.Generator], Posed]] = {
    "window": lambda draw: window(100.0, draw),
    "recurrence": lambda draw: recurrence(150.0, 10.0, draw),
    "noise": lambda draw: noise(100.0, draw),
    "binary units": lambda draw: binary(50, draw),
    "discrete delays": lambda draw: delays(20, draw),
    "step loss": step_loss,
}
"""A problem for each property, of a generator."""
