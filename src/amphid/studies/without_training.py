"""Images described by what nobody trained, and how well that tells their classes apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median, stdev
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from amphid.models import WaveEncoder
from amphid.models.waves.histograms import GradientHistograms
from amphid.models.waves.oriented import OrientedWaves
from amphid.studies.harmed_images import HARMS
from amphid.studies.paired import figure
from amphid.studies.rows_judged import (
    by_few,
    clusters,
    draws,
    matched,
    nearest,
    principal,
    share_right,
)

Figures = dict[str, Any]
Sets = Mapping[str, Tensor]
Describe = Callable[[Tensor], Tensor]
SHOWN = (1, 5, 10)  # labels of each class
NEIGHBORS = 10_000  # known images that harmed ones are compared with, at most


@dataclass(frozen=True)
class Amount:
    """How much is asked.

    draws: of the labels that are shown. slices, members: sets of images to cluster, and of how many
    images each. starts: seeds of the clustering, each the best of `tries` starts of k-means.
    """

    draws: int = 10
    slices: int = 5
    members: int = 1000
    starts: int = 3
    tries: int = 10


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images [B, H, W] from 0 to 1 and their labels [B]: those that are known, those to be told.

    sets: "known", "tested", and one of each harm, of the first of the tested images.
    """

    sets: Sets
    labels: Mapping[str, Tensor]

    @staticmethod
    def of(
        known: tuple[Tensor, Tensor],
        tested: tuple[Tensor, Tensor],
        *,
        harmed: int = 0,
        generator: torch.Generator,
    ) -> Pictures:
        """Images and labels of both, and `harmed` of the tested images harmed in every way."""
        sets = {"known": known[0], "tested": tested[0]}
        if harmed:
            some = tested[0][:harmed]
            sets |= {name: harm(some, generator) for name, harm in HARMS.items()}
        return Pictures(sets, {"known": known[1], "tested": tested[1]})

    def described(self, describe: Describe) -> Sets:
        """Rows of each set."""
        return {name: describe(images) for name, images in self.sets.items()}

    def inked(self, *, straighten: bool = True) -> Pictures:
        """The same as ink on a square of 28 pixels, upright or as it leans."""
        encoder = WaveEncoder(straighten=straighten)
        return Pictures(self.described(encoder.ink), self.labels)


@dataclass
class Judge:
    """How well rows tell classes apart, with the same labels shown to all kinds of rows."""

    pictures: Pictures
    amount: Amount
    seed: int
    shown: dict[int, list[Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(self.seed)
        known = self.pictures.labels["known"]
        self.shown = {
            count: list(draws(known, count, repeats=self.amount.draws, generator=draw))
            for count in SHOWN
        }

    def few(self, rows: Sets) -> dict[str, list[float]]:
        """Share of tested images told by one neighbor, in each draw of labels."""
        labels = self.pictures.labels
        return {
            str(count): by_few(
                rows["tested"], labels["tested"], rows["known"], labels["known"], shown=shown
            )
            for count, shown in self.shown.items()
        }

    def all(self, rows: Sets) -> dict[str, float]:
        """Share of tested images told by one neighbor among all known ones, and of harmed ones
        by one among the first 10,000."""
        labels = self.pictures.labels
        told = {}
        for name in (name for name in rows if name != "known"):
            most = None if name == "tested" else NEIGHBORS
            found = nearest(rows[name], rows["known"][:most], labels["known"][:most])
            told[name] = share_right(found, labels["tested"][: len(found)])
        return told

    def clustered(self, rows: Sets) -> list[float]:
        """Share of images that k-means puts with their kind, for each slice and start."""
        size, labels = self.amount.members, self.pictures.labels
        every = torch.cat([rows["tested"], rows["known"]]).split(size)[: self.amount.slices]
        answers = torch.cat([labels["tested"], labels["known"]])
        found = []
        for part, own in zip(every, answers.split(size), strict=False):
            draw = torch.Generator().manual_seed(self.seed)
            told = principal(part, generator=draw)
            for _ in range(self.amount.starts):
                groups = clusters(
                    told, len(answers.unique()), starts=self.amount.tries, generator=draw
                )
                found.append(matched(groups, own))
        return found

    def figures(self, rows: Sequence[Sets]) -> Figures:
        """Of one or several networks: means, medians and spreads."""
        few = [self.few(own) for own in rows]
        told = [self.all(own) for own in rows]
        clustered = [value for own in rows for value in self.clustered(own)]
        by_network = [
            {name: mean(values) for name, values in own.items()} | {"all": whole["tested"]}
            for own, whole in zip(few, told, strict=True)
        ]
        return {
            "accuracy": _means(by_network),
            "deviation_over_draws": {name: _deviation(own[name] for own in few) for name in few[0]},
            "by_network": [_means([own]) for own in by_network],
            "kmeans": figure(median(clustered)),
            "kmeans_range": [figure(min(clustered)), figure(max(clustered))],
            "harmed": {name: value for name, value in _means(told).items() if name != "tested"},
        }


def of_waves(inked: Pictures, seeds: Sequence[int], *, tell: Callable[[int], None]) -> list[Sets]:
    """Rows of each set by the standard waves of each seed; what needs no seed is done once."""
    done: dict[tuple[str, int], Tensor] = {}
    found: list[Sets] = []
    for number, seed in enumerate(seeds):
        tell(number)
        rows = {}
        for name, ink in inked.sets.items():
            parts = []
            for place, own in enumerate(WaveEncoder(seed=seed).running):
                if isinstance(own, OrientedWaves):
                    parts.append(own.encode(ink))
                    continue
                if (name, place) not in done:
                    done[name, place] = own.encode(ink)
                parts.append(done[name, place])
            rows[name] = torch.cat(parts, 1)
        found.append(rows)
    return found


def waves_alone(rows: Sets, inked: Pictures) -> Sets:
    """The same rows without the gradients, which come last."""
    size = of_gradients(inked.sets["tested"][:1]).shape[1]
    return {name: own[:, :-size] for name, own in rows.items()}


def without_waves(ink: Tensor) -> Tensor:
    """What the dendrites of the recipe give by themselves, no signal sent: rows of ink."""
    own = [waves for waves in WaveEncoder().running if isinstance(waves, OrientedWaves)]
    return torch.cat([waves.share * waves.read(waves.onset(ink)) for waves in own], 1)


def of_pixels(images: Tensor) -> Tensor:
    """The pixels [B, P] of images, all squares adding up to 1."""
    return functional.normalize(images.flatten(1), dim=1)


def of_gradients(images: Tensor) -> Tensor:
    """Histograms of oriented gradients of images."""
    return GradientHistograms(side=images.shape[-1]).encode(images)


def controls(images: Pictures, inked: Pictures, judge: Judge) -> dict[str, Figures]:
    """What others would take: pixels and histograms of gradients, as they are and upright."""
    ways = {
        "raw_pixels": (images, of_pixels),
        "hog": (images, of_gradients),
        "raw_pixels_upright": (inked, of_pixels),
        "hog_upright": (inked, of_gradients),
        "no_waves": (inked, without_waves),
    }
    return {name: judge.figures([shown.described(way)]) for name, (shown, way) in ways.items()}


def _means(found: Sequence[Mapping[str, float]]) -> Figures:
    return {name: figure(mean(own[name] for own in found)) for name in found[0]}


def _deviation(networks: Any) -> float | None:
    """Standard deviation over draws of labels of the mean over networks."""
    by_draw = [mean(values) for values in zip(*networks, strict=True)]
    return figure(stdev(by_draw)) if len(by_draw) > 1 else None
