"""Transfer: features of the digits 0 to 4 make 5 to 9 easier to learn from few examples."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.learning import Progress, fit
from amphid.studies.paired import difference, drawn, figure
from amphid.studies.study import Findings, Settings, Study
from amphid.tasks import Batches, Digits, Split, accuracy

CLASSES, UNITS = 5, 64
LABELS = 10  # of each class of the second half
RATE = 1e-3
BATCH = 10
LOOKS = (5, 10, 20, 40, 80, 160, 320)  # updates after which accuracy is measured
MARGIN = 0.05

ASSUMPTIONS = (
    "Net: convolutions of 5 x 5 with 8 and 16 maps, each rectified and pooled 2 x 2, 64 rectified "
    "units, 5 outputs. All layers go on learning; a copied net keeps all but its last layer, which "
    "is drawn anew, alike in all arms of a seed.",
    f"Fine-tuning: {LABELS} labeled images of each of 5 to 9, Adam at {RATE:g}, batches of "
    f"{BATCH}, {LOOKS[-1]} updates in every arm; no early stopping and no choice by test images. "
    "Tested on test images of 5 to 9.",
    "Steps: updates until the accuracy that a net from scratch has in the end. An arm that never "
    "reaches it counts as if it did at the last look.",
    "Controls: the net pretrained on images of 0 to 4 whose labels were shuffled, which knows the "
    "images but not the digits; and the chance level. Intervals: 95 %, Student's t over paired "
    "seeds.",
)


@dataclass(frozen=True)
class Amount:
    """How much is learned from before, and tested on."""

    pretraining: int
    tested: int
    seeds: int


QUICK, FULL = Amount(2000, 1000, seeds=5), Amount(25_000, 5000, seeds=10)


class Transfer(Study):
    """A net that knows 0 to 4 learns 5 to 9 from 10 labels per class better and sooner."""

    name: ClassVar[str] = "transfer"
    claim: ClassVar[str] = (
        "Pretrained on the digits 0 to 4 and tuned on 5 to 9 with 10 labels per class, a net is at "
        "least 5 points better on unseen images than the same net from scratch, in fewer steps."
    )
    published: ClassVar[str] = "none: at least 5 points and fewer steps, our own bar"

    def measure(self, settings: Settings) -> Findings:
        """5 seeds and 2,000 images of 0 to 4, or 10 seeds and 25,000."""
        computed = time.process_time()
        amount = FULL if settings.full else QUICK
        seeds = tuple(settings.seed + k for k in range(amount.seeds))
        runs = []
        for k, seed in enumerate(seeds):
            settings.tell(f"seed {seed}", k, len(seeds))
            runs.append(curves(seed, amount))
        measured, control = summarized(runs)
        measured["minutes"] = figure((time.process_time() - computed) / 60)
        return Findings(
            measured=measured,
            reference={"gain": MARGIN},
            control=control,
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured),
        )


Curve = tuple[float, ...]


def curves(seed: int, amount: Amount) -> dict[str, Curve]:
    """Test accuracy at every look, of all arms of a seed."""
    task = Digits(generator=torch.Generator().manual_seed(seed))
    lot = torch.Generator().manual_seed(seed)
    known = part(task, "train", (0, 1, 2, 3, 4), amount.pretraining)
    few, test = labeled(task), part(task, "test", (5, 6, 7, 8, 9), amount.tested)
    mixed = known.targets[torch.randperm(len(known.targets), generator=lot)]
    arms: dict[str, tuple[Pair, ...]] = {
        "pretrained": (known,),
        "scratch": (),
        "shuffled labels": (Pair(known.images, mixed),),
    }
    return {name: tuned(before, few, test, seed) for name, before in arms.items()}


class Pair(NamedTuple):
    """Images [B, 28, 28] uint8 and their classes [B], from 0."""

    images: Tensor
    targets: Tensor

    def batches(self, size: int, generator: torch.Generator | None = None) -> Batches:
        """In batches of images [B, 1, 28, 28] from 0 to 1."""
        return Batches(self.images[:, None], self.targets, size, generator, _bright)


def part(task: Digits, split: Split, digits: Sequence[int], count: int) -> Pair:
    """The first `count` images of those digits, the lowest of which is class 0."""
    wanted = torch.isin(task.labels[split], torch.tensor(digits)).nonzero()[:count, 0]
    return Pair(task.images[split][wanted], task.labels[split][wanted] - min(digits))


def labeled(task: Digits) -> Pair:
    """The first 10 training images of each of 5 to 9."""
    each = [part(task, "train", (digit,), LABELS).images for digit in range(5, 10)]
    return Pair(torch.cat(each), torch.arange(CLASSES).repeat_interleave(LABELS))


def small_net(generator: torch.Generator) -> nn.Sequential:
    """Two convolutions and two linear layers: images [B, 1, 28, 28] to [B, 5]."""
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, UNITS), nn.ReLU(), nn.Linear(UNITS, CLASSES),
    )  # fmt: skip
    drawn(net, generator)
    return net


def tuned(before: Sequence[Pair], few: Pair, test: Pair, seed: int) -> Curve:
    """Test accuracy at every look of a net that learned from `before`, then from few labels."""
    net = small_net(torch.Generator().manual_seed(seed))
    order = torch.Generator().manual_seed(seed + 1)
    for pair in before:
        _learn(net, pair.batches(32, order), epochs=2)
        drawn(net[-1], torch.Generator().manual_seed(seed + 2))
    if not before:
        drawn(net[-1], torch.Generator().manual_seed(seed + 2))
    order.manual_seed(seed + 3)
    found: list[float] = []

    def look(progress: Progress) -> None:
        if progress.row is not None and progress.update in LOOKS:
            found.append(accuracy(net, test.batches(500)).value)

    walked = few.batches(BATCH, order)
    _learn(net, walked, epochs=LOOKS[-1] // len(walked), look=look)
    return tuple(found)


def steps_to(curve: Curve, goal: float) -> int:
    """Updates at the first look at which a curve is at the goal; the last look if it never is."""
    return next((at for at, value in zip(LOOKS, curve, strict=True) if value >= goal), LOOKS[-1])


def summarized(runs: Sequence[Mapping[str, Curve]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured, and the control, from the curves of all seeds."""
    last = {name: [run[name][-1] for run in runs] for name in runs[0]}
    steps = {
        name: [steps_to(run[name], run["scratch"][-1]) for run in runs]
        for name in ("pretrained", "scratch")
    }
    curve = {name: [figure(mean(at)) for at in zip(*(run[name] for run in runs), strict=True)]
             for name in runs[0]}  # fmt: skip
    measured = {
        "test_accuracy": figure(mean(last["pretrained"])),
        "from scratch": figure(mean(last["scratch"])),
        "gain": difference(last["pretrained"], last["scratch"]),
        "steps": {name: figure(mean(told)) for name, told in steps.items()},
        "seeds with fewer steps": sum(a < b for a, b in zip(*steps.values(), strict=True)),
        "seeds": len(runs),
        "looks": list(LOOKS),
        "curve": {name: curve[name] for name in ("pretrained", "scratch")},
    }
    control = {
        "chance": figure(1 / CLASSES),
        "shuffled labels": figure(mean(last["shuffled labels"])),
        "gain by shuffled labels": difference(last["shuffled labels"], last["scratch"]),
        "curve of shuffled labels": curve["shuffled labels"],
    }
    return measured, control


def holds(measured: Mapping[str, Any]) -> bool:
    """5 points and more, surely above nothing, and fewer steps in most seeds."""
    gain = measured["gain"]
    fewer = measured["seeds with fewer steps"] > measured["seeds"] / 2
    return bool(gain["mean"] >= MARGIN and gain["interval"][0] > 0 and fewer)


def _learn(
    net: nn.Module, batches: Batches, epochs: int, look: Callable[[Progress], None] | None = None
) -> None:
    fit(
        net,
        batches,
        functional.cross_entropy,
        optimizer=torch.optim.Adam(net.parameters(), lr=RATE),
        epochs=epochs,
        callbacks=() if look is None else (look,),
        progress=None,
    )


def _bright(images: Tensor) -> Tensor:
    return images.float() / 255.0
