"""Activity within an intrinsic manifold, decoders of it, and perturbations inside and outside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from amphid.models import TunedPopulation
from amphid.models.latents.factors import Factors
from amphid.studies.closed_loop import directions

CELLS, FACTORS = 90, 10
BASELINE, DEPTH = 0.02, 0.03  # spikes per ms; DEPTH for a command of length one along the best way
REPERTOIRE = 0.7  # spread of commands in the calibration, along each of their axes
BIN = 45.0  # ms
SMOOTHING = 100.0  # ms, of the decoded velocity
SPEED = 0.12  # mm/ms that a command of length one means
TARGETS, TRIALS, BINS = 8, 30, 20  # of the calibration: trials to each target, bins of each
CANDIDATES = 500
PROGRESS = 0.1, 0.25  # of a perturbation before learning, as a share of that without


class Circuit(NamedTuple):
    """Cells that few commands drive, and how they drive them before anything is learned."""

    population: TunedPopulation  # [N] cells tuned to commands [K]
    aim: Tensor  # what is added to the rates for each axis of the direction meant [N, 2]


class Readout(NamedTuple):
    """From counts [N] to velocity: v <- keep v + gain ((counts - mean) / spread)."""

    keep: Tensor  # [2, 2]
    gain: Tensor  # [2, N], mm/ms
    mean: Tensor  # [N]
    spread: Tensor  # [N]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A decoder of factors, in parts, so that either part may be perturbed."""

    keep: Tensor  # [2, 2]
    steer: Tensor  # from factors to velocity [2, K]
    find: Tensor  # from standardized counts to factors [K, N]
    mean: Tensor  # [N]
    spread: Tensor  # [N]

    def readout(self, inside: Tensor | None = None, outside: Tensor | None = None) -> Readout:
        """With the factors or the cells in another order, or as it is."""
        steer = self.steer if inside is None else self.steer[:, inside]
        find = self.find if outside is None else self.find[:, outside]
        return Readout(self.keep, steer @ find, self.mean, self.spread)

    def steady(self, readout: Readout, modulation: Tensor) -> Tensor:
        """Velocity [2, ...] that a lasting modulation of rates [N, ...] comes to."""
        change = modulation * BIN / self.spread.reshape(-1, *[1] * (modulation.dim() - 1))
        return torch.linalg.solve(torch.eye(2) - self.keep, (readout.gain @ change.flatten(1)))


def circuit(generator: torch.Generator) -> Circuit:
    """Cells and their drive, drawn."""
    population = TunedPopulation.drawn(
        CELLS, FACTORS, generator=generator, baseline=BASELINE, depth=DEPTH
    )
    commands = torch.linalg.qr(torch.randn(FACTORS, 2, generator=generator)).Q
    return Circuit(population, population.slope @ commands)


def calibrated(circuit: Circuit, generator: torch.Generator) -> Calibrated:
    """The decoder of trials in which the direction meant is known: from counts to velocity.

    Factors are found in standardized counts, made orthogonal, and scaled to unit variance; they
    steer by least squares, smoothed exponentially. On top of the direction meant, commands vary
    from trial to trial along all their axes.
    """
    target = directions(TARGETS, 1.0).repeat(TRIALS, 1)
    still = REPERTOIRE * torch.randn(len(target), FACTORS, generator=generator)
    rates = circuit.population(still) + target @ circuit.aim.T
    counts = torch.poisson(rates.clamp(min=0).expand(BINS, -1, -1) * BIN, generator=generator)
    mean, spread = counts.mean((0, 1)), counts.std((0, 1)).clamp(min=1e-6)
    standard = (counts - mean) / spread
    find = _finder(standard.flatten(0, 1))
    velocity = (SPEED * target).expand(BINS, -1, -1)
    steer = torch.linalg.lstsq((standard @ find.T).flatten(0, 1), velocity.flatten(0, 1)).solution.T
    keep = math.exp(-BIN / SMOOTHING)
    return Calibrated(keep * torch.eye(2), (1 - keep) * steer, find, mean, spread)


def _finder(standard: Tensor) -> Tensor:
    """From standardized counts [N] to orthogonal factors of unit variance [K, N]."""
    found = Factors.fitted(standard.double(), FACTORS)
    whole = torch.eye(standard.shape[1], dtype=torch.float64) + found.level
    posterior = found.of(whole).T  # linear, as it is of values around their level
    _, size, turn = torch.linalg.svd(found.loading, full_matrices=False)
    factors = size[:, None] * (turn @ posterior)
    values = standard.double() @ factors.T
    return (factors / values.std(0)[:, None]).float()


class Difficulty(NamedTuple):
    """How hard perturbations are before anything is learned, without noise [M]."""

    progress: Tensor  # velocity towards the target, as a share of that without perturbation
    speed: Tensor  # likewise


def difficulty(circuit: Circuit, decoder: Calibrated, readouts: list[Readout]) -> Difficulty:
    """Of readouts, for the modulation that the subject starts with."""
    target = directions(TARGETS, 1.0).T
    modulation = circuit.aim @ target
    intact = (target * decoder.steady(decoder.readout(), modulation)).sum(0).mean()
    moved = torch.stack([decoder.steady(one, modulation) for one in readouts])  # [M, 2, targets]
    progress = (target * moved).sum(1).mean(1) / intact
    return Difficulty(progress, moved.norm(dim=1).mean(1) / intact)


def matched(
    circuit: Circuit, decoder: Calibrated, generator: torch.Generator
) -> tuple[Readout, Readout]:
    """A perturbation inside the manifold and one outside, as hard before learning.

    Of the candidates drawn, the pair whose progress and speed are nearest, where progress is
    within `PROGRESS`. Raises ValueError where there is no such pair.
    """
    inside = [
        decoder.readout(inside=torch.randperm(FACTORS, generator=generator))
        for _ in range(CANDIDATES)
    ]
    outside = [
        decoder.readout(outside=torch.randperm(CELLS, generator=generator))
        for _ in range(CANDIDATES)
    ]
    hard = [torch.stack(difficulty(circuit, decoder, some), 1) for some in (inside, outside)]
    apart = torch.cdist(hard[0], hard[1])
    for axis, some in enumerate(hard):
        unfit = (some[:, 0] < PROGRESS[0]) | (some[:, 0] > PROGRESS[1])
        apart = apart.masked_fill(unfit.unsqueeze(1 - axis), float("inf"))
    if not bool(apart.isfinite().any()):
        raise ValueError("no two perturbations of this circuit are as hard: take another seed.")
    one, other = divmod(int(apart.argmin()), CANDIDATES)
    return inside[one], outside[other]


def reach(decoder: Calibrated, readout: Readout, ways: Tensor, strength: float) -> float:
    """The fastest progress, mm/ms, by modulations of that length within the span of ways [N, K]."""
    target = directions(TARGETS, 1.0).T
    basis = torch.linalg.qr(ways).Q
    moved = decoder.steady(readout, basis)  # [2, K]
    return strength * float((moved.T @ target).norm(dim=0).mean())
