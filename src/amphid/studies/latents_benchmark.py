"""Latent models on the data sets of the Neural Latents Benchmark that are on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from amphid.measures import bits_per_spike, psth_r2, velocity_r2
from amphid.models import LatentModel
from amphid.studies.paired import figure
from amphid.studies.study import Settings
from amphid.tasks import LATENT_SETS, LatentTrials, neural_latents

Maker = Callable[[torch.Generator], LatentModel]
Figures = dict[str, Any]


def benchmarks(ways: Mapping[str, Maker], settings: Settings) -> Figures:
    """Scores by data set and model, of those sets that are here; of none of them but when full."""
    if not settings.full:
        return {}
    found: Figures = {}
    for name in LATENT_SETS:
        try:
            trials = neural_latents(name)
        except FileNotFoundError:
            continue
        found[name] = {}
        for j, (way, make) in enumerate(ways.items()):
            settings.tell(f"{name}: {way}", j, len(ways))
            found[name][way] = scored(make(torch.Generator().manual_seed(settings.seed)), trials)
    return found


def published() -> Figures:
    """Figures that the benchmark's own tools print, by data set."""
    return {
        name: [
            {"what": p.what, "co_bps": p.co_bps, "velocity_r2": p.velocity_r2, "psth_r2": p.psth_r2}
            for p in own.published
        ]
        for name, own in LATENT_SETS.items()
        if own.published
    }


def scored(model: LatentModel, trials: Mapping[str, LatentTrials]) -> Figures:
    """Scores of a model that is fitted to the split "train" on the split "val"."""
    known, tested = whole(trials["train"]), trials["val"]
    model.fit(list(known.shown), list(known.hidden))
    ahead = tested.later.shape[1]
    told = torch.stack([model.rates(own.nan_to_num(), ahead=ahead) for own in tested.shown])
    rates, later = told[:, :-ahead], told[:, -ahead:]
    cells = tested.shown.shape[-1]
    found: Figures = {
        "co_bps": figure(bits_per_spike(rates[..., cells:], tested.hidden)),
        "forward_bps": figure(bits_per_spike(later, tested.later)),
    }
    if tested.velocity is not None:
        own = torch.stack([model.rates(x) for x in known.shown])
        found["velocity_r2"] = figure(_decoded(own, known, rates, tested))
    if tested.psth is not None and bool((tested.condition >= 0).any()):
        seen = tested.condition >= 0
        found["psth_r2"] = figure(psth_r2(rates[seen], tested.psth, tested.condition[seen]))
    return found


def whole(trials: LatentTrials) -> LatentTrials:
    """Those trials whose shown cells were seen throughout; hidden counts that are NaN as means.

    Raises ValueError where there is none.
    """
    seen = ~trials.shown.isnan().flatten(1).any(1)
    if not bool(seen.any()):
        raise ValueError("there must be a trial in which the shown cells were seen throughout.")
    kept = trials.only(seen)
    mean = kept.hidden.flatten(0, 1).nanmean(0)
    return replace(kept, hidden=torch.where(kept.hidden.isnan(), mean, kept.hidden))


def _decoded(own: Tensor, known: LatentTrials, rates: Tensor, tested: LatentTrials) -> float:
    """R2 of velocity, averaged over axes and over the groups that are decoded apart."""
    assert known.velocity is not None
    assert tested.velocity is not None
    scores = [
        float(
            velocity_r2(
                own[known.group == group], known.velocity[known.group == group],
                rates[tested.group == group], tested.velocity[tested.group == group],
            ).mean()
        )
        for group in known.group.unique()
        if bool((tested.group == group).any())
    ]  # fmt: skip
    return sum(scores) / len(scores) if scores else math.nan
