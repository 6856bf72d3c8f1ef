"""What a cell's own past tells: recent frames, slow means, and how it has behaved so far."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.models.forecasts.autoregression import with_one
from amphid.models.graphs.past import TINY, Pace, lagged, slow_means, surprises

LAGS = 8
SLOW = (3.0, 10.0, 30.0, 100.0)  # frames
SMOOTH = (5.0, 30.0)  # frames


def own_history(activity: Tensor, horizon: int, pace: Pace) -> Tensor:
    """Features [T, N, 19] of each cell's own past, and of nothing else.

    Eight frames and a one; means over 3, 10, 30, 100 frames; the present and a mean of 5 frames,
    times the cell's autocorrelation so far, at one frame and at the horizon; means of 5 and of 30
    frames, times how well they have foretold so far what the present did not.
    """
    smooth = slow_means(activity, SMOOTH)
    recent = torch.stack([activity, smooth[..., 0]], -1)
    near, far, gains = _so_far(activity, smooth, horizon, pace)
    fixed = [with_one(lagged(activity, LAGS)), slow_means(activity, SLOW)]
    return torch.cat([*fixed, near * recent, far * recent, gains * smooth], -1)


def _so_far(
    activity: Tensor, smooth: Tensor, horizon: int, pace: Pace
) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes at one frame and at the horizon [T, N, 1], gains of the smooth means [T, N, S]."""
    near, far = torch.zeros_like(activity)[..., None], torch.zeros_like(activity)[..., None]
    gains = torch.zeros_like(smooth)
    for known, coming in pace.spans(len(activity)):
        near[coming] = surprises(activity, known, 1)[0][:, None]
        slope, past, unforeseen = surprises(activity, known, horizon)
        far[coming] = slope[:, None]
        if len(past):
            before = smooth[known][:-horizon]
            power = before.square().mean(0) + TINY
            gains[coming] = (before * unforeseen[..., None]).mean(0) / power
    return near, far, gains
