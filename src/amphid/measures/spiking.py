"""Measures of spikes."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.simulation import Recording, Spikes


def rate(run: Recording) -> Tensor:
    """Mean firing rate of each cell [*B, N] in Hz; of `run.of("spike")` where some were chosen.

    Raises ValueError when no spikes were recorded.
    """
    spikes = spikes_of(run)
    counts = torch.bincount(_train(spikes), minlength=_trains(spikes)).double()
    return counts.reshape(spikes.shape[1:]) * (1000.0 / run.duration)


def interval_variation(run: Recording) -> Tensor:
    """Coefficient of variation of the intervals between the spikes of each cell [*B, N].

    Standard deviation over mean: 0 for a clock, 1 for a Poisson process. nan for cells with fewer
    than two intervals. Raises ValueError when no spikes were recorded.
    """
    spikes = spikes_of(run)
    train, order = _train(spikes).sort(stable=True)
    time = spikes.index[0][order].double()
    within = train[1:] == train[:-1]
    interval, owner = time.diff()[within], train[1:][within]

    def total(value: Tensor) -> Tensor:
        return torch.zeros(_trains(spikes), dtype=torch.float64).index_add(0, owner, value)

    count = total(torch.ones_like(interval))
    mean = total(interval) / count
    deviation = (total((interval - mean[owner]) ** 2) / count).sqrt()
    known = torch.where(count >= 2, deviation / mean, torch.nan)
    return known.reshape(spikes.shape[1:])


def spikes_of(run: Recording) -> Spikes:
    """The spikes of a recording, or a ValueError that says how to record them."""
    if run.spikes is None:
        raise ValueError(
            f"this measure needs spikes, got {run!r}: simulate(..., record=('spike',))."
        )
    return run.spikes


def _train(spikes: Spikes) -> Tensor:
    """[K] which spike train each spike belongs to: trials and cells, numbered through."""
    number = torch.zeros_like(spikes.cell)
    for size, place in zip(spikes.shape[1:], spikes.index[1:], strict=True):
        number = number * size + place
    return number


def _trains(spikes: Spikes) -> int:
    return int(torch.tensor(spikes.shape[1:]).prod())
