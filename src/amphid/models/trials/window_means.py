"""Slow potentials: means over windows of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from amphid.models.trials.checks import check_trials
from amphid.wiring import checks

Window = tuple[int, int]  # first sample, and the one after the last


class WindowMeans(nn.Module):
    """Mean of each channel in each window: trials [B, C, T] to [B, windows * C].

    windows: pairs (first sample, the one after the last). baseline: a window whose mean is taken
    off, so that only the change since then counts; none is when None.
    """

    def __init__(self, windows: Sequence[Window], *, baseline: Window | None = None) -> None:
        super().__init__()
        if not isinstance(windows, Sequence) or not len(windows):
            raise ValueError(
                f"windows must be a list of at least one window (first, end), got {windows!r}."
            )
        for window in (*windows, *([] if baseline is None else [baseline])):
            if not _is_window(window):
                raise ValueError(
                    f"windows must be (first, end), samples with first < end, got {window!r}."
                )
        self.windows, self.baseline = tuple(windows), baseline

    @classmethod
    def every(cls, width: int, samples: int) -> WindowMeans:
        """Windows of that many samples, side by side, of trials of that many."""
        if checks.whole("width", width) > checks.whole("samples", samples):
            raise ValueError(f"width must be at most the {samples} samples, got {width}.")
        return cls([(first, first + width) for first in range(0, samples - width + 1, width)])

    def fit(self, trials: Tensor, classes: Tensor) -> Self:
        """Nothing is to be learned."""
        return self

    def forward(self, trials: Tensor) -> Tensor:
        """Means [B, windows * C] of trials [B, C, T]."""
        check_trials(trials, None, max(end for _, end in self.windows))
        means = torch.stack([trials[..., slice(*window)].mean(-1) for window in self.windows], 1)
        if self.baseline is not None:
            means = means - trials[..., slice(*self.baseline)].mean(-1)[:, None]
        return means.flatten(1)


def _is_window(window: object) -> bool:
    return (
        isinstance(window, tuple | list)
        and len(window) == 2
        and all(isinstance(end, int) and not isinstance(end, bool) for end in window)
        and 0 <= window[0] < window[1]
    )
