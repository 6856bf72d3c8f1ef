"""Train a network on the digits, and keep account of the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from amphid.learning import Backprop, EachUpdate, Estimator, Progress, fit
from amphid.learning.gradients.objective import Criterion, Penalty
from amphid.tasks import Digits, Score


@dataclass(frozen=True)
class Protocol:
    """How a network is trained: by Adam, under one cycle of learning rates.

    size: images in a batch. sharpness: what outputs are multiplied by to be logits. shift: pixels,
    in either direction, by which the images of a batch are moved together at the most.
    Reference: Smith and Topin 2019, doi 10.1117/12.2520589.
    """

    epochs: int
    learning_rate: float = 4e-3
    size: int = 128
    sharpness: float = 2.0
    penalties: Sequence[Penalty] = ()
    shift: int = 0


@dataclass(frozen=True)
class Trained:
    """Scores of a trained network, and what the training took."""

    test: Score
    train: Score
    validation: tuple[float, ...]
    """Accuracy after each epoch."""
    minutes: float
    """Those that the processor computed, all threads together: the clock of an idle machine shows
    no more."""
    clock_minutes: float

    def figures(self) -> dict[str, object]:
        """By name, as studies print them."""
        return {
            "test_accuracy": round(self.test.value, 4),
            "test_accuracy_low": round(self.test.low, 4),
            "test_accuracy_high": round(self.test.high, 4),
            "train_accuracy": round(self.train.value, 4),
            "minutes": round(self.minutes, 2),
            "clock_minutes": round(self.clock_minutes, 2),
        }


def train(
    task: Digits,
    model: nn.Module,
    protocol: Protocol,
    *,
    generator: torch.Generator,
    estimator: Estimator = Backprop(),  # noqa: B008  frozen
    criterion: Criterion | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train on "train", look at "validation" after each epoch, and at "test" once, at the end.

    Minutes are those of training, validation included; the test is not. estimator: where gradients
    come from. criterion: the loss that it is told of; that of the task when None. tell: hears how
    many updates are done, and of how many.
    """
    judged = task.loss if criterion is None else criterion
    batches = task.batches("train", size=protocol.size, generator=generator)
    if protocol.shift:
        batches = replace(batches, prepared=moved(batches.prepared, protocol.shift, generator))
    optimizer = torch.optim.Adam(model.parameters(), lr=protocol.learning_rate)
    updates = len(batches) * protocol.epochs
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, protocol.learning_rate, total_steps=updates
    )

    def heard(progress: Progress) -> None:
        if tell:
            tell(progress.update, updates)

    clock, processor = time.perf_counter(), time.process_time()
    history = fit(
        model, batches, lambda outputs, digits: judged(protocol.sharpness * outputs, digits),
        estimator=estimator, optimizer=optimizer, epochs=protocol.epochs,
        schedule=EachUpdate(cycle),
        validate=_validator(task), penalties=protocol.penalties, callbacks=(heard,),
        progress=False,
    )  # fmt: skip
    minutes = (time.process_time() - processor) / 60
    clock_minutes = (time.perf_counter() - clock) / 60
    seen = tuple(history["accuracy"]) if len(task.labels["validation"]) else ()
    return Trained(task.score(model), task.score(model, "train"), seen, minutes, clock_minutes)


def moved(
    prepared: Callable[[Tensor], Tensor], shift: int, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """Prepares images [B, H, W] and moves them together by up to `shift` pixels either way.

    What leaves at one side comes in at the other: the margins of digits are blank.
    """

    def prepare(images: Tensor) -> Tensor:
        down, right = torch.randint(-shift, shift + 1, (2,), generator=generator).tolist()
        return prepared(images).roll((down, right), (-2, -1))

    return prepare


def _validator(task: Digits) -> Callable[[nn.Module], dict[str, float]]:
    def accuracy(model: nn.Module) -> dict[str, float]:
        some = len(task.labels["validation"]) > 0
        return {"accuracy": task.score(model, "validation").value} if some else {}

    return accuracy
