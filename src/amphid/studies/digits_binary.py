"""Networks of cells of a single yes or no that read handwritten digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.dynamics import BinaryThreshold, Boxcar
from amphid.dynamics.surrogate import Surrogate
from amphid.learning import ActivityPerturbation, Backprop, CellPerturbation, Estimator
from amphid.models import dense_classifier
from amphid.studies.digits_training import Protocol, Trained, train
from amphid.studies.study import Findings, Settings, Study
from amphid.tasks import Digits

SIDE, HIDDEN, CLASSES = 28, 500, 10
LEAST, MINUTES, SHORTLY = 0.97, 60.0, 10.0
"""Least accuracy on the test images, the most that a training may take, and a part of that."""

ASSUMPTIONS = (
    "784-500-10: the image as a current in one step, BinaryThreshold cells that give out 1 above "
    "0 pA, else 0, and a linear readout. Adam, one cycle of learning rates, cross-entropy.",
    "cells: CellPerturbation, one pair; signals come back through the weights of the readout, and "
    "noise measures the slope of each cell. activity: ActivityPerturbation, four pairs of runs; "
    "hidden weights learn from the losses of images under noise and from nothing else. In both, "
    "and in all controls, the readout is differentiated exactly.",
    "true_derivative: that of a step, zero, so that the readout alone learns. straight_through: "
    "slope 1/2w within w of threshold, by backpropagation, an invented derivative.",
    "55,000 images are trained on; settings were chosen by the other 5,000. Minutes are those that "
    "the processor computed, of the longest training, with a look at the validation images after "
    "each epoch. after_10_minutes is the test accuracy where a training took no longer, else the "
    "validation accuracy of the last epoch that had ended by then.",
)


@dataclass(frozen=True)
class Way:
    """One way to train: where gradients come from, and what stands for that of a step."""

    estimator: Callable[[torch.Generator], Estimator]
    protocol: Protocol
    surrogate: Surrogate = Boxcar()  # noqa: RUF009  frozen


def never(distance: Tensor) -> Tensor:
    """A step with its true derivative, which is none."""
    return (distance > 0).to(distance.dtype)


WAYS = {
    "cells": Way(lambda draw: CellPerturbation(draw, radius=0.5), Protocol(20, 2e-3)),
    "activity": Way(
        lambda draw: ActivityPerturbation(draw, samples=8, radius=0.1), Protocol(30, 2e-3, 256)
    ),
}
CONTROLS = {
    "straight_through": Way(lambda _: Backprop(), Protocol(20, 2e-3)),
    "true_derivative": Way(lambda _: Backprop(), Protocol(20, 2e-3), never),
}
QUICK = {"cells": 6, "activity": 2, "straight_through": 6, "true_derivative": 6}
"""Epochs of a quick run."""


class DigitsBinary(Study):
    """Weak gradients teach cells that say yes or no, of which nothing is differentiated."""

    name: ClassVar[str] = "digits-binary"
    claim: ClassVar[str] = (
        "A 784-500-10 network of binary threshold cells, without a surrogate, learns MNIST to at "
        "least 97 % in an hour on two cores by noise on what arrives at its cells."
    )
    cells: ClassVar[int] = HIDDEN + CLASSES
    published: ClassVar[str] = "784-300-10 with sigmoid units, by backpropagation: 95.3 %"

    def measure(self, settings: Settings) -> Findings:
        """Train each way from each seed, and the controls from the first."""
        task = Digits()
        seeds = tuple(range(settings.seed, settings.seed + (3 if settings.full else 1)))
        found = {
            name: [_trained(name, task, way, seed, settings) for seed in seeds]
            for name, way in WAYS.items()
        }
        measured = figures(found)
        return Findings(
            measured=measured,
            reference={
                "test_accuracy": LEAST,
                "minutes": MINUTES,
                **{held.what: held.score for held in task.reference},
            },
            control=_controls(task, settings),
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=judged(measured, full=settings.full),
        )


def figures(found: Mapping[str, Sequence[Trained]]) -> dict[str, Any]:
    """Those of cells that are perturbed each by itself, and those of each way by its name."""
    by_way = {name: _of_way(own) for name, own in found.items()}
    return {**by_way["cells"], **by_way}


def judged(measured: dict[str, Any], *, full: bool) -> bool | None:
    """Whether the accuracy was reached in time; None where a quick run fell short of it."""
    reached = measured["test_accuracy"] >= LEAST and measured["minutes"] <= MINUTES
    return True if reached else False if full else None


def _of_way(own: Sequence[Trained]) -> dict[str, Any]:
    """The mean accuracy over seeds, its spread, and the longest training."""
    tests = [one.test.value for one in own]
    shortly = [_shortly(one) for one in own]
    return {
        "test_accuracy": round(sum(tests) / len(tests), 4),
        "test_accuracy_low": round(min(one.test.low for one in own), 4),
        "test_accuracy_high": round(max(one.test.high for one in own), 4),
        "test_accuracy_by_seed": [round(value, 4) for value in tests],
        "train_accuracy": round(sum(one.train.value for one in own) / len(own), 4),
        "after_10_minutes": round(sum(shortly) / len(shortly), 4),
        "minutes": round(max(one.minutes for one in own), 2),
        "clock_minutes": round(max(one.clock_minutes for one in own), 2),
    }


def _shortly(one: Trained) -> float:
    """What was reached after ten minutes."""
    if one.minutes <= SHORTLY:
        return one.test.value
    ended = int(len(one.validation) * SHORTLY / one.minutes)
    return one.validation[ended - 1] if ended else 0.0


def _network(seed: int, surrogate: Surrogate) -> nn.Module:
    def cells() -> BinaryThreshold:
        return BinaryThreshold(v_threshold=0.0, surrogate=surrogate)

    draw = torch.Generator().manual_seed(seed)
    return dense_classifier(SIDE * SIDE, (HIDDEN,), CLASSES, steps=1.0, cells=cells, generator=draw)


def _trained(name: str, task: Digits, way: Way, seed: int, settings: Settings) -> Trained:
    protocol = way.protocol if settings.full else replace(way.protocol, epochs=QUICK[name])
    draw = torch.Generator().manual_seed(seed + 1)
    return train(
        task,
        _network(seed, way.surrogate),
        protocol,
        generator=draw,
        estimator=way.estimator(draw),
        criterion=_of_each,
        tell=lambda done, of: settings.tell(name, done, of),
    )


def _of_each(outputs: Tensor, digits: Tensor) -> Tensor:
    """The loss of each image [B]."""
    return functional.cross_entropy(outputs, digits, reduction="none")


def _controls(task: Digits, settings: Settings) -> dict[str, Any]:
    """The untrained network, chance, and the same network by backpropagation."""
    found = {
        name: round(_trained(name, task, way, settings.seed, settings).test.value, 4)
        for name, way in CONTROLS.items()
    }
    untrained = task.score(_network(settings.seed, Boxcar())).value
    return {"chance": task.chance, "untrained": round(untrained, 4), **found}
