"""What may be looked at: frames that are past, how often, and what they did not foretell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.wiring import checks

FEWEST = 20  # pairs of frames that a regression is made of at least
TINY = 1e-9


@dataclass(frozen=True)
class Pace:
    """How often a worm's own statistics are taken anew, always from frames that are past.

    first: frame from which activity counts. early: frame at which they are first taken; before it
    they are zero. every: frames until they are taken anew. until: no frame from there on counts;
    all the past does when None.
    """

    first: int = 40
    early: int = 100
    every: int = 20
    until: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("first", 0), ("early", 0), ("every", 1), ("until", 0)):
            if name != "until" or self.until is not None:
                checks.whole(name, getattr(self, name), least=least)

    def spans(self, frames: int) -> Iterator[tuple[slice, slice]]:
        """Frames that count, and those that come next, for which they speak."""
        for now in range(self.early, frames, self.every):
            known = now if self.until is None else min(now, self.until)
            yield slice(self.first, known), slice(now, now + self.every)


def slow_means(activity: Tensor, spans: Sequence[float]) -> Tensor:
    """Exponential running means [T, N, S] of activity [T, N], one for each span in frames."""
    rate = 1 / torch.tensor(spans, dtype=activity.dtype)
    mean = activity[0, :, None].expand(-1, len(spans))
    means = []
    for frame in activity[..., None]:
        mean = mean + rate * (frame - mean)
        means.append(mean)
    return torch.stack(means)


def lagged(activity: Tensor, lags: int) -> Tensor:
    """The last frames [T, N, lags] of activity [T, N], the present one first; 0 before any."""
    rows = [torch.nn.functional.pad(activity, (0, 0, lag, 0)) for lag in range(lags)]
    return torch.stack([row[: len(activity)] for row in rows], -1)


def surprises(activity: Tensor, known: slice, horizon: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each cell's slope over a horizon [N], its past [P, N], and what came of it unforeseen [P, N].

    Of the frames that are known. No pairs at all when they are fewer than 20.
    """
    past, future = activity[known][:-horizon], activity[known][horizon:]
    if len(past) < FEWEST:
        return torch.zeros_like(activity[0]), past[:0], future[:0]
    slope = (past * future).sum(0) / (past.square().sum(0) + TINY)
    return slope, past, future - slope * past
