"""Spike trains that are to be given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from amphid.measures import train_correlation
from amphid.models.evaluating import evaluating
from amphid.tasks.task import NINETY_FIVE, Reference, Score, Split, Task
from amphid.tasks.trains import Replicas, Trains, delayed, rises

LATEST = 12.0  # ms, the longest lag that is tried
STEP = 0.5  # ms between lags that are tried
LEAST = 1e-3  # spread of a filtered train, in spikes, below which it counts as silent


@final
class SpikeReplication(Task):
    """Give back the spike trains that come in, each cell its own, a little later.

    cells: N trains at once. duration: ms of a window. trains: how they are drawn, and dt. lag: ms
    by which the spikes asked for in training are later than those that come in. tau: ms of the
    filter under which trains are compared. samples: windows of a walk through "train". held: those
    of "validation", and of "test". generator: draws all three; `batches` with a generator draws
    windows that were never seen, in every walk others.

    Inputs are pulses of height 1 [T, B, N], targets spikes of 0 and 1. A model is called as
    `model(inputs, dt=dt)` and may give spikes, or releases from 0 to 1: its spikes are where its
    output rises above one half.

    The score is the correlation of filtered trains, pooled over windows and averaged over cells, at
    one constant lag for all cells: the best one on windows of "train". Silence has 0, as any output
    that does not look at its input. No figure was published.
    Reference: J. Hazelden, the plan of a 10 x 30 x 30 x 10 network, github.com/meeree.
    """

    name: ClassVar[str] = "spike-replication"
    question: ClassVar[str] = "Which spikes came in?"
    reference: ClassVar[tuple[Reference, ...]] = ()

    def __init__(
        self,
        cells: int = 10,
        *,
        duration: float = 300.0,
        trains: Trains = Trains(),  # noqa: B008  frozen
        lag: float = 2.0,
        tau: float = 10.0,
        samples: int = 60,
        held: int = 20,
        generator: torch.Generator,
    ) -> None:
        for name, value, least in (("cells", cells, 1), ("samples", samples, 1), ("held", held, 2)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a number, at least {least}, got {value!r}.")
        steps = round(duration / trains.dt)
        if not 0 <= lag < duration or steps < 1:
            raise ValueError(f"lag must be 0 to less than {duration:g} ms, got {lag!r}.")
        self.cells, self.trains, self.lag, self.tau = cells, trains, lag, tau
        sizes = {"train": samples, "validation": held, "test": held}
        self.onsets = {
            split: trains.onsets(steps, count, cells, generator) for split, count in sizes.items()
        }

    @property
    def chance(self) -> float:
        """The correlation of an output that does not look at its input."""
        return 0.0

    def batches(
        self, split: Split, *, size: int = 6, generator: torch.Generator | None = None
    ) -> Replicas:
        """Pairs (pulses [T, B, N], spikes `lag` ms later) of a split; with a generator, new ones.

        Raises ValueError for a generator and another split than "train".
        """
        if split not in self.onsets:
            raise KeyError(f"split must be one of {', '.join(self.onsets)}, got {split!r}.")
        if generator is not None and split != "train":
            raise ValueError(f"{split!r} is drawn once and stays: no generator, or split 'train'.")
        lag = round(self.lag / self.trains.dt)
        return Replicas(self.onsets[split], self.trains, size, lag, generator)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """One minus the correlation of filtered trains, pooled over windows, mean over cells."""
        return 1 - self._alike(outputs, targets).mean()

    def score(self, model: nn.Module, split: Split = "test") -> Score:
        """Correlation with what came in; its interval is that of the jackknife over windows."""
        return self.scored(model, split)[0]

    def scored(self, model: nn.Module, split: Split = "test") -> tuple[Score, float]:
        """The score, and the lag in ms that windows of "train" told."""
        lag = self.best_lag(model)
        given, wanted = self.given(model, split), delayed(self.onsets[split], lag)
        value, spread = _jackknifed(lambda u, w: float(self._alike(u, w).mean()), given, wanted)
        reach, samples = NINETY_FIVE * spread, given.shape[1]
        return Score(value, value - reach, value + reach, samples), lag * self.trains.dt

    def best_lag(self, model: nn.Module) -> int:
        """The lag, in steps, at which spikes given out for windows of "train" are most alike."""
        given = self.given(model, "train")
        held = self.onsets["train"][:, : given.shape[1]]
        last = min(LATEST, (len(held) - 1) * self.trains.dt)
        tried = [round(k * STEP / self.trains.dt) for k in range(int(last / STEP) + 1)]
        return max(tried, key=lambda lag: float(self._alike(given, delayed(held, lag)).mean()))

    def given(self, model: nn.Module, split: Split = "test") -> Tensor:
        """The spikes [T, B, N] that a model gives out for a split, for no more windows than held.

        The model is in eval mode meanwhile.
        """
        some = self.onsets[split][:, : self.onsets["test"].shape[1]]
        with evaluating(model), torch.no_grad():
            return rises(model(self.trains.pulses(some), dt=self.trains.dt))

    def _alike(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Correlation of each cell [N]."""
        return train_correlation(
            outputs, targets.to(outputs), tau=self.tau, dt=self.trains.dt, floor=LEAST, pooled=True
        )


def _jackknifed(
    figure: Callable[[Tensor, Tensor], float], one: Tensor, other: Tensor
) -> tuple[float, float]:
    """A figure of two tensors [T, B, N], and its standard error by leaving out each of B."""
    count = one.shape[1]
    kept = [[k for k in range(count) if k != left] for left in range(count)]
    without = torch.tensor([figure(one[:, some], other[:, some]) for some in kept])
    return figure(one, other), float(((count - 1) * without.var(correction=0)).sqrt())
