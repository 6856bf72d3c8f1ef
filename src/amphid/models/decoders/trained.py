"""Decoders that are trained, such as by `learning.fit`."""

from __future__ import annotations

import math
from typing import NamedTuple, Self, final

import torch
from torch import Tensor, nn

from amphid.dynamics import LeakyIntegrator
from amphid.dynamics.integrate_and_fire import LeakyIntegratorState, LIFState
from amphid.models.classifiers import unit_lif
from amphid.models.decoders.decoder import Decoder, Trials, check_positive, trials
from amphid.wiring import checks


class TrainedDecoder(Decoder):
    """A decoder whose parameters are learned by gradients. Abstract.

    Inside, counts and velocities are in units of their own spread, see `scaled_to`.
    """

    center: Tensor  # mean counts [N]
    spread: Tensor  # their standard deviation [N]
    drift: Tensor  # mean velocity [D]
    size: Tensor  # its standard deviation [D]

    def __init__(self, cells: int, axes: int) -> None:
        super().__init__(cells, axes)
        for name, shape in (("center", cells), ("drift", axes)):
            self.register_buffer(name, torch.zeros(shape))
        for name, shape in (("spread", cells), ("size", axes)):
            self.register_buffer(name, torch.ones(shape))

    def scaled_to(self, counts: Trials, velocity: Trials) -> Self:
        """With the means and spreads of counts [T, N] and velocities [T, D], or of trials; itself.

        Best done once, before training.
        """
        pairs = trials(self, counts, velocity)
        for values, mean, wide in (
            (torch.cat([one for one, _ in pairs]), self.center, self.spread),
            (torch.cat([one for _, one in pairs]), self.drift, self.size),
        ):
            mean.copy_(values.mean(0))
            wide.copy_(values.std(0, correction=0))
            wide[wide == 0] = 1.0  # a silent cell stays at zero
        return self

    def inward(self, counts: Tensor) -> Tensor:
        """Counts in units of their spread."""
        return (counts - self.center) / self.spread

    def outward(self, y: Tensor) -> Tensor:
        """Velocities of what is in units of their spread."""
        return y * self.size + self.drift


class RecurrentDecoderState(NamedTuple):
    """What gated units remember."""

    hidden: Tensor  # [*B, H]


@final
class RecurrentDecoder(TrainedDecoder):
    """Gated recurrent units, and a linear readout of them.

    cells: N. axes: D. hidden: H, units. generator: draws the first weights.
    Reference: Cho et al. 2014, arXiv 1406.1078.
    """

    def __init__(
        self, cells: int, axes: int, *, hidden: int = 64, generator: torch.Generator
    ) -> None:
        super().__init__(cells, axes)
        check_positive("RecurrentDecoder", hidden=hidden)
        self.hidden = hidden
        self.units = nn.GRU(cells, hidden)
        self.readout = nn.Linear(hidden, axes)
        draw(self, generator)

    def init(self, like: Tensor) -> RecurrentDecoderState:
        """All units at zero."""
        shape = self.taken(like).shape[:-1]
        return RecurrentDecoderState(self.center.new_zeros(*shape, self.hidden))

    def run(
        self, counts: Tensor, state: RecurrentDecoderState | None = None
    ) -> tuple[Tensor, RecurrentDecoderState]:
        """Velocities [T, *B, D] of counts [T, *B, N], and what the units hold."""
        counts, state = self.begin(counts, state)
        batch = counts.shape[1:-1]
        rows = self.inward(counts).reshape(len(counts), -1, self.cells)
        y, last = self.units(rows, state.hidden.reshape(1, -1, self.hidden))
        velocity = self.outward(self.readout(y)).reshape(len(counts), *batch, self.axes)
        return velocity, RecurrentDecoderState(last.reshape(*batch, self.hidden))


class SpikingDecoderState(NamedTuple):
    """Membranes of the cells and of the readout."""

    cells: LIFState  # v [*B, H]
    readout: LeakyIntegratorState  # v [*B, D]


@final
class SpikingDecoder(TrainedDecoder):
    """Leaky integrate-and-fire cells, and leaky membranes that read their spikes out.

    A bin is a step; counts are a current, and thresholds are one.

    cells: N. axes: D. hidden: H, spiking cells. interval: ms of a bin. tau: ms, of the cells.
    smoothing: ms, of the readout. generator: draws the first weights.
    """

    def __init__(
        self,
        cells: int,
        axes: int,
        *,
        interval: float,
        hidden: int = 128,
        tau: float = 60.0,
        smoothing: float = 60.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__(cells, axes)
        check_positive("SpikingDecoder", hidden=hidden)
        for name, value in {"interval": interval, "tau": tau, "smoothing": smoothing}.items():
            checks.positive(f"SpikingDecoder: {name}", value)
        self.interval, self.hidden = float(interval), hidden
        self.current = nn.Linear(cells, hidden)
        self.spiking = unit_lif(tau, dt=interval)
        self.weighed = nn.Linear(hidden, axes)
        self.membrane = LeakyIntegrator(tau=smoothing, resistance=1.0)
        draw(self, generator)

    def init(self, like: Tensor) -> SpikingDecoderState:
        """All membranes at rest."""
        shape = self.taken(like).shape[:-1]
        return SpikingDecoderState(
            self.spiking.init(self.center.new_zeros(*shape, self.hidden)),
            self.membrane.init(self.center.new_zeros(*shape, self.axes)),
        )

    def run(
        self, counts: Tensor, state: SpikingDecoderState | None = None
    ) -> tuple[Tensor, SpikingDecoderState]:
        """Velocities [T, *B, D] of counts [T, *B, N], and the membranes."""
        counts, state = self.begin(counts, state)
        current = self.current(self.inward(counts))
        spikes, cells = self.spiking.run(current, state.cells, self.interval)
        v, readout = self.membrane.run(self.weighed(spikes), state.readout, self.interval)
        return self.outward(v), SpikingDecoderState(cells, readout)


def draw(decoder: nn.Module, generator: torch.Generator) -> None:
    """Draw every matrix uniformly within 1 / sqrt(its inputs), and every vector of biases alike."""
    checks.drawing(generator)
    for name, held in decoder.named_parameters():
        reach = 1 / math.sqrt(held.shape[-1]) if held.dim() > 1 else 0.0
        if "norm" not in name:
            nn.init.uniform_(held, -reach, reach, generator=generator)
