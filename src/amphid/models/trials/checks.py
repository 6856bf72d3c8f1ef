"""What trials and their classes must be."""

from __future__ import annotations

from torch import Tensor


def check_classes(rows: Tensor, classes: Tensor, kinds: int) -> None:
    """Raise ValueError, in a sentence, unless there is a class for each row and two of each."""
    if classes.shape != rows.shape[:1] or classes.is_floating_point():
        raise ValueError(
            f"classes must be one whole number [B] for each of {len(rows)} examples, got "
            f"{classes.dtype} of shape {list(classes.shape)}."
        )
    counts = classes.clamp(0, kinds - 1).bincount(minlength=kinds)
    if int(classes.min()) < 0 or int(classes.max()) >= kinds or int(counts.min()) < 2:
        raise ValueError(
            f"classes must be 0 to {kinds - 1}, at least two examples of each, got "
            f"{classes.unique().tolist()} with {counts.tolist()} examples."
        )


def check_trials(trials: Tensor, channels: int | None, samples: int) -> None:
    """Raise ValueError, in a sentence, unless trials are [B, channels, T] with enough samples."""
    if trials.dim() != 3 or (channels is not None and trials.shape[1] != channels):
        raise ValueError(
            f"trials must be [B, {channels or 'channels'}, T], got shape {list(trials.shape)}."
        )
    if trials.shape[-1] < samples:
        raise ValueError(
            f"trials must last at least {samples} samples here, got {trials.shape[-1]}."
        )
