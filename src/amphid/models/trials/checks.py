"""What trials and their classes must be."""

from __future__ import annotations

import torch
from torch import Tensor

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_classes(rows: Tensor, classes: Tensor, kinds: int) -> None:
    """Raise ValueError, in a sentence, unless there is a class for each row and two of each."""
    check_real("examples", rows)
    whole = isinstance(classes, Tensor) and classes.dtype in WHOLE
    if not whole or classes.shape != rows.shape[:1] or not len(classes):
        got = (
            f"{classes.dtype} of shape {list(classes.shape)}"
            if isinstance(classes, Tensor)
            else (type(classes).__name__)
        )
        raise ValueError(
            f"classes must be one whole number [B] for each of {len(rows)} examples, got {got}."
        )
    counts = classes.clamp(0, kinds - 1).bincount(minlength=kinds)
    if int(classes.min()) < 0 or int(classes.max()) >= kinds or int(counts.min()) < 2:
        raise ValueError(
            f"classes must be 0 to {kinds - 1}, at least two examples of each, got "
            f"{classes.unique().tolist()} with {counts.tolist()} examples."
        )


def check_real(name: str, values: object) -> None:
    """Raise TypeError, in a sentence, for what is no tensor of floats."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(
            f"{name} must be a tensor of floats, got {got}: torch.as_tensor(...).float() makes one."
        )


def check_trials(trials: Tensor, channels: int | None, samples: int) -> None:
    """Raise ValueError, in a sentence, unless trials are [B, channels, T] with enough samples."""
    check_real("trials", trials)
    if trials.dim() != 3 or (channels is not None and trials.shape[1] != channels):
        raise ValueError(
            f"trials must be [B, {channels or 'channels'}, T], got shape {list(trials.shape)}."
        )
    if trials.shape[-1] < samples:
        raise ValueError(
            f"trials must last at least {samples} samples here, got {trials.shape[-1]}."
        )
