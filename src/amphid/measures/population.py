"""Measures of what all cells do together."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.measures.spiking import spikes_of
from amphid.simulation import Recording


def population_rate(run: Recording, bin: float = 1.0) -> Tensor:
    """Mean rate of all cells in bins of time [*B, bins] in Hz.

    bin: ms, a whole number of steps; what is left at the end makes no bin. Raises ValueError when
    no spikes were recorded, or the bin does not fit.
    """
    spikes = spikes_of(run)
    steps = round(bin / run.dt)
    bins = run.steps // steps if steps else 0
    if steps < 1 or abs(steps * run.dt - bin) > 1e-6 * bin or not bins:
        raise ValueError(
            f"bin must be a whole number of steps of {run.dt:g} ms and fit into {run.duration:g} "
            f"ms, got {bin!r} ms."
        )
    number = spikes.index[0] // steps
    kept = number < bins
    place, trials = torch.zeros_like(number), 1
    for size, axis in zip(spikes.shape[1:-1], spikes.index[1:-1], strict=True):
        place, trials = place * size + axis, trials * size
    counts = torch.bincount((place * bins + number)[kept], minlength=trials * bins).double()
    rates = counts * (1000.0 / (bin * spikes.shape[-1]))
    return rates.reshape(*spikes.shape[1:-1], bins)


def fluctuation(run: Recording, bin: float = 1.0) -> Tensor:
    """Standard deviation of the population rate over its mean [*B].

    Independent Poisson cells give 1 / sqrt(spikes in a bin); cells that fire in volleys more than
    1. nan where nothing fires. Raises ValueError as `population_rate` does.
    """
    rates = population_rate(run, bin)
    return rates.std(-1, correction=0) / rates.mean(-1)


def rhythm(run: Recording, bin: float = 1.0, *, longest: float = 100.0) -> tuple[Tensor, Tensor]:
    """Frequency [*B] in Hz and strength [*B] of the rhythm of the population rate.

    Its autocorrelation is followed to below zero, and then to its highest point within `longest`
    ms. How high that is, is the strength: 1 for a rhythm that never tires, about 0 for none. Where
    it first comes that high, give or take a tenth, is the period. nan where it never falls below
    zero, or nothing fires.
    Raises ValueError as `population_rate` does.
    """
    rates = population_rate(run, bin)
    lags = min(round(longest / bin), rates.shape[-1] // 2)
    apart = rates - rates.mean(-1, keepdim=True)
    power = torch.fft.rfft(apart, 2 * rates.shape[-1]).abs().square()
    overlapping = torch.arange(rates.shape[-1], rates.shape[-1] - lags, -1)
    alike = torch.fft.irfft(power)[..., :lags] / overlapping
    alike = alike / alike[..., :1]
    after = (alike < 0).cumsum(-1) > 0
    strength = torch.where(after, alike, -2.0).amax(-1)
    high = after & (alike >= strength.unsqueeze(-1) - 0.1 * strength.abs().unsqueeze(-1))
    place = high.to(torch.int8).argmax(-1)
    found = after.any(-1)
    frequency = torch.where(found, 1000.0 / (place * bin), torch.nan)
    return frequency, torch.where(found, strength, torch.nan)
