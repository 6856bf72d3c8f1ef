"""Handwritten digits."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.tasks.batches import Batches
from amphid.tasks.idx import read_idx
from amphid.tasks.task import Reference, Score, Split, Task, accuracy, over_time
from amphid.wiring.data import data_file

FOLDER = "mnist"
CLASSES = 10
SIDE = 28  # pixels
AT_ONCE = 500  # images that are scored together


@final
class Digits(Task):
    """Which digit was written? MNIST: 60,000 images to learn from, 10,000 to be tested on.

    samples: images to train on; all that are not kept for validation when None. validation: images
    of the training files that are kept for choosing. generator: draws which images are which; when
    None the first are trained on and the last are kept. The test images are always all of the test
    files, and none of them is ever in another split.

    images[split] is [B, 28, 28] uint8, labels[split] [B]; batches give the images as float32 from 0
    to 1. The four idx files are read from `AMPHID_DATA`/mnist or from the cache.

    Raises FileNotFoundError, with the way out, where they are not on this machine; OSError for
    damaged ones; ValueError for more images than there are.
    Reference: LeCun et al. 1998, doi 10.1109/5.726791.
    """

    name: ClassVar[str] = "digits"
    question: ClassVar[str] = "Which digit was written?"
    reference: ClassVar[tuple[Reference, ...]] = (
        Reference(0.953, "784-300-10 network", "LeCun et al. 1998, doi 10.1109/5.726791"),
        Reference(0.9905, "LeNet-5, convolutional", "LeCun et al. 1998, doi 10.1109/5.726791"),
        Reference(
            0.95,
            "6,400 spiking cells, no labels in training",
            "Diehl and Cook 2015, doi 10.3389/fncom.2015.00099",
        ),
    )

    def __init__(
        self,
        samples: int | None = None,
        *,
        validation: int = 5000,
        generator: torch.Generator | None = None,
    ) -> None:
        images, labels = _pairs("train")
        order = (
            torch.arange(len(labels))
            if generator is None
            else torch.randperm(len(labels), generator=generator, device=generator.device).cpu()
        )
        chosen, kept = _portions(order, samples, validation)
        tested, answers = _pairs("t10k")
        self.images = {"train": images[chosen], "validation": images[kept], "test": tested}
        self.labels = {"train": labels[chosen], "validation": labels[kept], "test": answers}

    @property
    def chance(self) -> float:
        """The share of the test images that show the most frequent digit."""
        return float(self.labels["test"].bincount().max()) / len(self.labels["test"])

    def batches(
        self, split: Split, *, size: int = 64, generator: torch.Generator | None = None
    ) -> Batches:
        """Pairs (images [B, 28, 28] from 0 to 1, digits [B]) of "train", "validation" or "test"."""
        if split not in self.images:
            raise KeyError(f"split must be one of {', '.join(self.images)}, got {split!r}.")
        return Batches(self.images[split], self.labels[split], size, generator, _bright)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of outputs [B, 10], or of [T, B, 10] summed over time, in nats."""
        return functional.cross_entropy(over_time(outputs, targets), targets)

    def score(self, model: nn.Module, split: Split = "test") -> Score:
        """Share of images whose digit gets the largest output, with its 95 % interval."""
        return accuracy(model, self.batches(split, size=AT_ONCE))


def _bright(images: Tensor) -> Tensor:
    return images.float() / 255.0


def _pairs(which: str) -> tuple[Tensor, Tensor]:
    """Images [B, 28, 28] and labels [B] of a pair of files."""
    pictures = data_file(FOLDER, f"{which}-images-idx3-ubyte", FOLDER)
    answers = data_file(FOLDER, f"{which}-labels-idx1-ubyte", FOLDER)
    images, labels = read_idx(pictures), read_idx(answers)
    if images.dtype != torch.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise OSError(
            f"{pictures} should hold images [B, {SIDE}, {SIDE}] of bytes, it holds "
            f"{list(images.shape)} of {images.dtype}."
        )
    if labels.dtype != torch.uint8 or labels.shape != images.shape[:1]:
        raise OSError(
            f"{answers} should hold a label of one byte for each of {len(images):,} images, it "
            f"holds {list(labels.shape)} of {labels.dtype}."
        )
    if not len(labels) or int(labels.max()) >= CLASSES:
        raise OSError(f"{answers} should hold labels from 0 to {CLASSES - 1}, and at least one.")
    return images, labels.long()


def _portions(order: Tensor, samples: int | None, validation: int) -> tuple[Tensor, Tensor]:
    """Which images are trained on, and which are kept for validation."""
    if not isinstance(validation, int) or not 0 <= validation < len(order):
        raise ValueError(
            f"validation must be a number of the {len(order):,} training images, got "
            f"{validation!r}."
        )
    most = len(order) - validation
    samples = most if samples is None else samples
    if not isinstance(samples, int) or not 1 <= samples <= most:
        raise ValueError(
            f"samples must be 1 to {most:,}: {validation:,} of {len(order):,} training images are "
            f"kept for validation; got {samples!r}."
        )
    return order[:samples], order[most:]
