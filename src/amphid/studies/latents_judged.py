"""Latent models judged on reaches: cuts, hidden cells, decoders, and intervals over trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amphid.measures import bits_per_spike, psth_r2, velocity_r2
from amphid.measures.latents import best_penalty, explained, ridge_told
from amphid.models import LatentModel
from amphid.models.latents import smoothed
from amphid.studies.paired import figure
from amphid.tasks import Reaches

BEFORE = 10  # bins before the cue that models see too
HISTORY = 10  # bins, 500 ms, from which velocity is told
LATER = 4  # bins, 200 ms, that are foretold
LAG = 2  # bins by which velocity follows rates where one bin alone tells it
SHORTEST = 20  # bins from the cue on that average responses have
WIDTH = 1.4  # of the Gaussian that smooths average responses, bins
PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
DRAWS = 2000  # of trials, for an interval

Figures = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Cut:
    """Reaches cut from 500 ms before the cue to move to their end.

    counts: [T, N] of each trial; first: the bin of the cue in them. velocity: [T - first, 2] from
    the cue on. target: number of each trial's direction [B].
    """

    counts: tuple[Tensor, ...]
    first: tuple[int, ...]
    velocity: tuple[Tensor, ...]
    target: Tensor

    @classmethod
    def of(cls, reaches: Reaches) -> Cut:
        """All trials of some reaches."""
        starts = [max(0, trial.go - BEFORE) for trial in reaches]
        turn = torch.tensor([trial.target for trial in reaches]) / (2 * math.pi)
        return cls(
            tuple(trial.spikes[a : trial.end] for a, trial in zip(starts, reaches, strict=True)),
            tuple(trial.go - a for a, trial in zip(starts, reaches, strict=True)),
            tuple(trial.velocity[trial.go : trial.end] for trial in reaches),
            (8 * turn).round().long() % 8,
        )

    def __len__(self) -> int:
        return len(self.counts)

    def moving(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """Rows [T, K] of each trial from the cue on."""
        return [row[first:] for row, first in zip(rows, self.first, strict=True)]

    def aligned(self, rows: Sequence[Tensor]) -> Tensor:
        """The first 20 bins from the cue on [B, 20, K], zero where a trial is shorter."""
        return torch.stack([
            torch.nn.functional.pad(row, (0, 0, 0, SHORTEST))[:SHORTEST]
            for row in self.moving(rows)
        ])  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sums:
    """What R2 and bits per spike of any draw of trials are made of.

    error, square: [S, B, 2] sums of squared errors and of squared velocities of S seeds and B
    trials; total: [S, B, 2] of velocities; bins: [B]. gained: [S, B] nats; spikes: [S, B].
    """

    error: Tensor
    square: Tensor
    total: Tensor
    bins: Tensor
    gained: Tensor
    spikes: Tensor

    def r2(self, which: Tensor) -> Tensor:
        """R2 averaged over seeds and axes of draws of trials [D, B], one for each [D]."""
        count = self.bins[which].sum(-1)[:, None]
        error, square, total = (
            x[:, which].sum(2) for x in (self.error, self.square, self.total)
        )  # [S, D, 2]
        return (1 - error / (square - total**2 / count)).mean((0, 2))

    def bits(self, which: Tensor) -> Tensor:
        """Bits per spike averaged over seeds of draws of trials [D, B], one for each [D]."""
        gained, spikes = (x[:, which].sum(2) for x in (self.gained, self.spikes))
        return (gained / spikes).mean(0) / math.log(2)

    @classmethod
    def joined(cls, parts: Sequence[Sums]) -> Sums:
        """The sums of several seeds as one."""
        return cls(
            torch.cat([part.error for part in parts]),
            torch.cat([part.square for part in parts]),
            torch.cat([part.total for part in parts]),
            parts[0].bins,
            torch.cat([part.gained for part in parts]),
            torch.cat([part.spikes for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Judge:
    """Models are fitted to known reaches and scored on tested ones, of which some cells are hidden.

    shown, hidden: numbers of the cells.
    """

    known: Cut
    shown: Tensor
    hidden: Tensor

    @classmethod
    def drawn(cls, known: Cut, generator: torch.Generator) -> Judge:
        """A quarter of the cells is hidden, drawn."""
        cells = known.counts[0].shape[1]
        order = torch.randperm(cells, generator=generator)
        few = max(1, cells // 4)
        return cls(known, order[few:].sort().values, order[:few].sort().values)

    def fitted(self, model: LatentModel) -> LatentModel:
        """The model, fitted to the known reaches."""
        counts = self.known.counts
        return model.fit([x[:, self.shown] for x in counts], [x[:, self.hidden] for x in counts])

    def rates(self, model: LatentModel, cut: Cut) -> list[Tensor]:
        """Rates [T, N] of each trial, shown cells first."""
        return [model.rates(counts[:, self.shown]) for counts in cut.counts]

    def figures(self, model: LatentModel, tested: Cut) -> tuple[Figures, Sums]:
        """All scores of a fitted model on tested reaches, and what intervals are made of."""
        order = torch.cat((self.shown, self.hidden))
        known, rates = self.rates(model, self.known), self.rates(model, tested)
        told = tested.moving([own[:, len(self.shown) :] for own in rates])
        spikes = tested.moving([own[:, self.hidden] for own in tested.counts])
        velocities = decoded(self.known, known, tested, rates)
        each = explained(torch.cat(tested.velocity).double(), torch.cat(velocities))
        lagged = velocity_r2(
            self.known.moving(known), self.known.velocity, tested.moving(rates), tested.velocity,
            lag=LAG,
        )  # fmt: skip
        found = {
            "co_bps": bits_per_spike(torch.cat(told), torch.cat(spikes)),
            "velocity_r2": float(each.mean()),
            "velocity_r2_by_axis": each.tolist(),
            "velocity_r2_at_lag": float(lagged.mean()),
            "psth_r2": psth_r2(
                tested.aligned(rates), responses(self.known, tested)[..., order], tested.target
            ),
            "forward_bps": self._foretold(model, tested, order),
        }
        return found, sums(tested, velocities, told, spikes)

    def _foretold(self, model: LatentModel, tested: Cut, order: Tensor) -> float:
        """Bits per spike of all cells in the last 200 ms, from what was before."""
        told = [
            model.rates(counts[:-LATER][:, self.shown], ahead=LATER)[-LATER:]
            for counts in tested.counts
        ]
        return bits_per_spike(
            torch.cat(told), torch.cat([counts[-LATER:, order] for counts in tested.counts])
        )


def history(rows: Tensor, *, bins: int = HISTORY, later: int = 0) -> Tensor:
    """Each row [T, K] beside those before it, `bins` with its own, and `later` ones; ends go on."""
    place = torch.arange(len(rows))[:, None] + torch.arange(1 - bins, later + 1)
    return rows[place.clamp(0, len(rows) - 1)].flatten(1)


def decoded(
    known: Cut, rates: Sequence[Tensor], tested: Cut, told: Sequence[Tensor], *, later: int = 0
) -> list[Tensor]:
    """Velocities [T, 2] of tested trials by ridge regression on 500 ms of rates or counts.

    Features are divided by their spread; the penalty is chosen among six by five blocks of the
    known trials. later: bins after each that it is told from too.
    """

    def rows(cut: Cut, some: Sequence[Tensor]) -> list[Tensor]:
        return cut.moving([history(own.double(), later=later) for own in some])

    x, y = torch.cat(rows(known, rates)), torch.cat(list(known.velocity)).double()
    spread = x.std(0).clamp(min=1e-6)
    wanted = rows(tested, told)
    best = best_penalty(x / spread, y, PENALTIES)
    found = ridge_told(x / spread, y, torch.cat(wanted) / spread, [best])[0]
    return list(found.split([len(own) for own in wanted]))


def responses(known: Cut, tested: Cut) -> Tensor:
    """Smoothed average response [8, 20, N] to each target over all trials, NaN for one unseen."""
    counts = torch.cat((known.aligned(known.counts), tested.aligned(tested.counts))).double()
    target = torch.cat((known.target, tested.target))
    mean = [counts[target == k].mean(0) for k in range(8)]
    return torch.stack([smoothed(own, WIDTH) for own in mean])


def sums(
    tested: Cut, velocities: Sequence[Tensor], told: Sequence[Tensor], spikes: Sequence[Tensor]
) -> Sums:
    """The sums of one seed."""
    truth = [own.double() for own in tested.velocity]
    null = torch.cat(list(spikes)).double().mean(0).clamp(min=1e-9)
    gained = [
        (n * (rate.double().clamp(min=1e-9) / null).log() - rate + null).sum()
        for rate, n in zip(told, spikes, strict=True)
    ]
    pairs = list(zip(truth, velocities, strict=True))
    return Sums(
        torch.stack([(v - w).square().sum(0) for v, w in pairs])[None],
        torch.stack([v.square().sum(0) for v in truth])[None],
        torch.stack([v.sum(0) for v in truth])[None],
        torch.tensor([len(v) for v in truth]),
        torch.stack(gained)[None],
        torch.stack([n.double().sum() for n in spikes])[None],
    )


def interval(
    score: Callable[[Tensor], Tensor], trials: int, *, generator: torch.Generator
) -> list[float]:
    """95 % interval of a score over draws of as many trials, with replacement."""
    which = torch.randint(trials, (DRAWS, trials), generator=generator)
    low, high = score(which).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return [figure(float(low)), figure(float(high))]
