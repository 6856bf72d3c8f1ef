"""What is done to recorded calcium before a model sees it: nothing that looks ahead.

A z-score over a whole recording tells a model of its future; these functions use, for each animal,
its own first frames and its past.
"""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.wiring import checks

CALIBRATION = 240  # frames, 144 s at 0.6 s a frame
CLIP = 8.0  # standard deviations; activity is heavy-tailed
DRIFT = 100  # frames, 60 s
FLAT = 1e-6  # a cell that varies less than this, in its own units, is all zeros


def calibrated(activity: Tensor, *, calibration: int = CALIBRATION, clip: float = CLIP) -> Tensor:
    """Z-scores [T, N] by mean and standard deviation of the first `calibration` frames.

    clip: the largest absolute z-score, larger ones become it. A cell that does not vary in these
    frames is zero throughout. The frames of calibration themselves know each other; those behind
    them depend on no later frame.
    """
    frames = _counted("calibration", calibration, activity, least=2)
    if not checks.real("clip", clip) > 0:
        raise ValueError(f"clip must be a positive number of standard deviations, got {clip!r}.")
    own = activity[:frames]
    mean, spread = own.mean(0), own.std(0)
    scaled = (activity - mean) / spread.clamp_min(FLAT)
    return torch.where(spread > FLAT, scaled, 0.0).clamp(-clip, clip)


def running_mean(activity: Tensor, *, frames: int = DRIFT) -> Tensor:
    """Mean [T, N] of each frame and the `frames - 1` before it; of fewer where there are fewer."""
    _counted("frames", frames, activity, least=1)
    total = activity.double().cumsum(0)
    before = torch.cat([torch.zeros_like(total[:frames]), total[:-frames]])[: len(total)]
    count = torch.arange(1, len(total) + 1, device=total.device).clamp_max(frames)
    return ((total - before) / count[:, None]).to(activity.dtype)


def high_passed(activity: Tensor, *, frames: int = DRIFT) -> Tensor:
    """Activity [T, N] minus its mean over the last `frames` frames: drift removed, causally."""
    return activity - running_mean(activity, frames=frames)


def _counted(name: str, value: int, activity: Tensor, *, least: int) -> int:
    if not isinstance(activity, Tensor) or not activity.is_floating_point():
        got = activity.dtype if isinstance(activity, Tensor) else type(activity).__name__
        raise TypeError(f"activity must be a tensor of floats [T, N], got {got}.")
    checks.whole(name, value, least=least)
    if activity.dim() != 2 or value > len(activity):
        raise ValueError(
            f"{name} must be {least} to T frames of an activity [T, N], got {value!r} for shape "
            f"{list(activity.shape)}."
        )
    return value
