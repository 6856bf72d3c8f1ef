"""What an estimator that perturbs parameters can be made of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from amphid.learning.gradients.weak.schedules import check_radius


def check_settings(own: object, pairs: int = 1) -> None:
    """Raise TypeError or ValueError, naming it, for a setting of an estimator that is none.

    pairs: samples come in groups of so many.
    """
    settings = vars(own)
    check_generator(settings["generator"])
    check_radius(settings["radius"])
    samples = settings["samples"]
    if not isinstance(samples, int) or samples < 2 or samples % pairs:
        least = f"at least 2, and a multiple of {pairs}" if pairs > 1 else "at least 2"
        raise ValueError(f"samples must be a number of losses, {least}, got {samples!r}.")
    for name, such in (("design", "Gaussian()"), ("kernel", "GaussianKernel()"),
                       ("solver", "Ridge()"), ("scope", "Everything()")):  # fmt: skip
        if name in settings:
            check_made(name, settings[name], such)


def check_made(name: str, given: object, such: str) -> None:
    """Raise TypeError for what cannot be called, or is a class that nothing was made of."""
    if isinstance(given, type) or not callable(given):
        raise TypeError(f"{name} must be one such as {such}, got {given!r}.")


def check_generator(generator: object) -> None:
    """Raise TypeError for what numbers cannot be drawn from."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be a torch.Generator, such as torch.Generator().manual_seed(0), got "
            f"{generator!r}."
        )


def check_params(params: Mapping[str, Tensor]) -> None:
    """Raise ValueError where there is nothing to perturb, TypeError for what is no real number."""
    if not params:
        raise ValueError("params must hold at least one parameter by name, got none.")
    for name, held in params.items():
        if not isinstance(held, Tensor) or not held.is_floating_point():
            kind = held.dtype if isinstance(held, Tensor) else type(held).__name__
            raise TypeError(f"the parameter {name!r} must be a tensor of real numbers, got {kind}.")
