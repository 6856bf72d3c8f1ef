"""Digits told apart by the first spikes of networks that nobody trained."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from amphid.models import WaveEncoder
from amphid.studies.study import Findings, Settings, Study
from amphid.studies.without_training import (
    Amount,
    Figures,
    Judge,
    Pictures,
    controls,
    of_waves,
    waves_alone,
)
from amphid.tasks import Digits

GOALS = {"1": 0.70, "5": 0.90, "10": 0.93}
KMEANS = 0.92
NETWORKS = 3

ASSUMPTIONS = (
    "Nothing is fitted: no weight, delay or threshold. But some 225 settings were tried and chosen "
    "by labels of training images of MNIST (the first 10,000 and some thousands of the others).",
    "Rows are judged by their single nearest neighbor (Euclidean) among 1, 5 or 10 images of each "
    "class, drawn anew, or all known ones; and by k-means (100 principal directions, the best of "
    "10 starts), where each cluster stands for one digit in the best of all ways.",
    "Images are sheared upright by the moments and slopes of their ink before waves run. That is "
    "no work of the network, and it is worth much: the controls have figures of pixels and of HOG "
    "with it (upright), and `leaning` is the encoder without it.",
    "Histograms of gradients (HOG), also made upright, are a part of each row, because they bear "
    "occlusion and waves do not; `waves_alone` is the rest of the row, by itself.",
    "no_waves: what the dendrites give by themselves, no signal sent and no flood. The waves are "
    "distance transforms and flood fills, found by a race: no more is claimed.",
    "occlusion hides 8 x 8 pixels within the middle 20 x 20, shift moves by up to 2 pixels either "
    "way, noise is normal of 0.3, speckles make a tenth of the pixels black or white; neighbors "
    "are the first 10,000 known images at most, unharmed.",
)


@dataclass(frozen=True)
class Size:
    """Images that are known, tested and harmed, and how much is asked of them."""

    known: int
    tested: int
    harmed: int
    amount: Amount


QUICK = Size(4000, 2000, 500, Amount(slices=3, members=2000, starts=2))
FULL = Size(60_000, 10_000, 1000, Amount(slices=5, members=10_000, starts=5))


class DigitsWithoutTraining(Study):
    """Waves that race through untrained networks tell digits apart where labels are few."""

    name: ClassVar[str] = "digits-without-training"
    claim: ClassVar[str] = (
        "With 1, 5 and 10 labels a class, one nearest neighbor on the first spikes of untrained "
        "geometric networks, beside gradients, reads at least 70, 90 and 93 % of MNIST's test "
        "images, more than on pixels or on HOG; k-means puts more than 92 % with their kind; and "
        "occlusion does not bring them below pixels."
    )
    published: ClassVar[str] = (
        "George et al. 2021, arXiv 2103.08878: 'nearly state-of-the-art', no figure; k-means on "
        "pixels 0.53 to 0.55"
    )
    cells: ClassVar[int] = 3600

    def measure(self, settings: Settings) -> Findings:
        """Three networks, ten draws of labels; a part of the images, or all of them."""
        size = FULL if settings.full else QUICK
        seeds = tuple(range(settings.seed, settings.seed + NETWORKS))
        measured, control = compared(digits(size, settings.seed), size.amount, seeds, settings)
        small = small_digits(seeds, settings)
        return Findings(
            measured=measured | {"digits_of_8x8": small},
            reference={"accuracy": GOALS, "kmeans": KMEANS},
            control=control | {"chance": Digits(validation=0).chance},
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured, control, full=settings.full),
        )


def digits(size: Size, seed: int) -> Pictures:
    """So many known and tested images of MNIST, evenly spaced; harmed by draws of the seed.

    Its first test images are harder than the others.
    """
    task, draw = Digits(validation=0), torch.Generator().manual_seed(seed)
    known, tested = (
        (task.images[split][which].float() / 255, task.labels[split][which])
        for split, count in (("train", size.known), ("test", size.tested))
        for which in [torch.arange(count) * len(task.labels[split]) // count]
    )
    return Pictures.of(known, tested, harmed=size.harmed, generator=draw)


def compared(
    images: Pictures, amount: Amount, seeds: tuple[int, ...], settings: Settings
) -> tuple[Figures, Figures]:
    """What waves give on any images, and what the controls do, judged alike."""
    inked, judge = images.inked(), Judge(images, amount, seeds[0])
    rows = of_waves(inked, seeds, tell=lambda k: settings.tell("networks", k, len(seeds) + 2))
    measured = judge.figures(rows) | {"images_per_cpu_second": pace(images.sets["tested"])}
    alone = [waves_alone(own, inked) for own in rows]
    measured["waves_alone"] = judge.figures(alone)
    settings.tell("without straightening", len(seeds), len(seeds) + 2)
    leaning = of_waves(images.inked(straighten=False), seeds[:1], tell=lambda _: None)
    measured["leaning"] = judge.figures(leaning)
    settings.tell("controls", len(seeds) + 1, len(seeds) + 2)
    return measured, flattened(controls(images, inked, judge))


def pace(images: Tensor) -> int:
    """How many images [B, H, W] are encoded in a second of CPU; of 300 at most."""
    some, begun = images[:300], time.process_time()
    WaveEncoder().transform(some)
    return round(len(some) / (time.process_time() - begun))


def flattened(found: dict[str, Figures]) -> Figures:
    """Accuracies by the name of the control, the rest by name and what it is."""
    names = {"raw_pixels": "raw"}
    own: Figures = {}
    for name, told in found.items():
        own[name] = told["accuracy"]
        own[f"kmeans_{names.get(name, name)}"] = told["kmeans"]
        own[f"harmed_{names.get(name, name)}"] = told["harmed"]
    return own


def small_digits(seeds: tuple[int, ...], settings: Settings) -> Figures | None:
    """The 1,797 digits of 8 x 8 pixels that scikit-learn brings; None where it is not installed.

    Half of them are known. The settings are those chosen on MNIST.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        return None
    found = load_digits()
    images = torch.from_numpy(found.images).float() / 16
    labels = torch.from_numpy(found.target).long()
    draw = torch.Generator().manual_seed(seeds[0])
    order = torch.randperm(len(labels), generator=draw)
    known, tested = ((images[part], labels[part]) for part in order.split(len(labels) // 2 + 1))
    pair = Pictures.of(known, tested, generator=draw)
    measured, control = compared(pair, Amount(slices=1, members=len(labels)), seeds, settings)
    return {
        "accuracy": measured["accuracy"],
        "kmeans": measured["kmeans"],
        "raw_pixels": control["raw_pixels"],
        "kmeans_raw": control["kmeans_raw"],
    }


def holds(measured: Figures, control: Figures, *, full: bool) -> bool | None:
    """All goals reached, pixels and HOG beaten; a quick run that misses one says nothing."""
    told = measured["accuracy"]
    reached = (
        all(told[name] >= least for name, least in GOALS.items())
        and all(told[name] > control[way][name] for name in GOALS for way in ("raw_pixels", "hog"))
        and measured["kmeans"] > KMEANS
        and measured["harmed"]["occlusion"] >= control["harmed_raw"]["occlusion"]
    )
    return True if reached else False if full else None
