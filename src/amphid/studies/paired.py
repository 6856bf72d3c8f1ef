"""Arms that share their seeds: weights drawn alike, and differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn


def drawn(net: nn.Module, generator: torch.Generator) -> None:
    """Draw weights and biases of all linear and convolutional layers as torch does, from there."""
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            reach = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.weight, -reach, reach, generator=generator)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -reach, reach, generator=generator)


def difference(one: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Mean of one minus other, pair by pair, with its 95 % interval by Student's t.

    Raises ValueError for less than two pairs.
    """
    gaps = [a - b for a, b in zip(one, other, strict=True)]
    low, high = interval(gaps)
    return {"mean": figure(mean(gaps)), "interval": [figure(low), figure(high)]}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean, by Student's t. Raises ValueError for less than two values."""
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError(f"values must be at least two for an interval, got {len(values)}.")
    reach = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean(values) - reach, mean(values) + reach


def figure(value: float) -> float:
    """A figure as a report prints it."""
    return round(float(value), 4)
