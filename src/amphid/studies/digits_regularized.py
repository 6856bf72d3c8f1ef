"""What keeps a spiking network from learning few digits by heart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from amphid.learning import L1, L2
from amphid.learning.gradients.objective import Penalty
from amphid.models import dense_classifier
from amphid.studies.digits_training import Protocol, Trained, train
from amphid.studies.study import Findings, Settings, Study
from amphid.tasks import Digits

SAMPLES = 5000
HIDDEN = 300
STEPS = 8.0  # ms
SIDE, CLASSES = 28, 10


@dataclass(frozen=True)
class Way:
    """One way of regularization: penalties, or what stands in the network."""

    penalties: Sequence[Penalty] = ()
    network: Mapping[str, Any] = field(default_factory=dict)


WAYS = {
    "none": Way(),
    "l1": Way((L1(5e-5, on="*.weight"),)),
    "l2": Way((L2(2e-3, on="*.weight"),)),
    "dropout": Way(network={"dropout": 0.5}),
    "batch_norm": Way(network={"batch_norm": True}),
}
QUICK = ("none", "dropout")
"""What the claim is about, and all that a quick run trains."""
ASSUMPTIONS = (
    "784-300-10: the image as a constant current for 8 ms, LIF cells with subtracted reset, a "
    "linear readout averaged over time; Adam, one cycle of learning rates up to 0.004.",
    "5,000 images, drawn anew for each seed; all ways of a seed have the same images, the same "
    "first weights of layers of the same size and as many updates, so differences are paired.",
    "L1 5e-5 and L2 2e-3 on weights, dropout of half the cells for a whole image; chosen on 2,000 "
    "validation images of a seed that is not among those reported.",
    "Intervals are of Student's t over seeds, 95 %. Gap: accuracy on the images trained on less "
    "that on the test images.",
)


class DigitsRegularized(Study):
    """Dropout narrows the gap between what was trained on and what is new."""

    name: ClassVar[str] = "digits-regularized"
    claim: ClassVar[str] = (
        "With 5,000 digits to learn from, dropout lowers the test error of a spiking network and "
        "the gap between training and test, against the same network without."
    )
    cells: ClassVar[int] = HIDDEN + CLASSES
    published: ClassVar[str] = "dropout lowers the error on all of MNIST from 1.60 to 1.35 %"

    def measure(self, settings: Settings) -> Findings:
        """Train every way from every seed; a quick run, with dropout and without."""
        seeds = tuple(range(settings.seed, settings.seed + (8 if settings.full else 3)))
        protocol = Protocol(30 if settings.full else 20, size=100)
        ways = WAYS if settings.full else {name: WAYS[name] for name in QUICK}
        rows: dict[str, list[Trained]] = {way: [] for way in ways}
        for place, seed in enumerate(seeds):
            task = Digits(SAMPLES, validation=0, generator=torch.Generator().manual_seed(seed))
            for number, (name, way) in enumerate(ways.items()):
                settings.tell(name, place * len(ways) + number, len(seeds) * len(ways))
                rows[name].append(trained(task, way, protocol, seed))
        measured = {name: compared(own, rows["none"]) for name, own in rows.items()}
        return Findings(
            measured=measured,
            reference={
                "dropout": {"test_error_change": "below 0", "gap_change": "below 0"},
                "source": "Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html",
            },
            control={"none": measured["none"], "chance_error": 1 - Digits(1).chance},
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=judged(measured["dropout"]),
        )


def trained(task: Digits, way: Way, protocol: Protocol, seed: int) -> Trained:
    """One network, trained one way."""
    draw = torch.Generator().manual_seed(seed)
    model = dense_classifier(
        SIDE * SIDE, (HIDDEN,), CLASSES, steps=STEPS, generator=draw, **way.network
    )
    told = Protocol(protocol.epochs, protocol.learning_rate, protocol.size, penalties=way.penalties)
    order = torch.Generator().manual_seed(seed + 1)
    return train(task, model, told, generator=order)


def compared(own: Sequence[Trained], plain: Sequence[Trained]) -> dict[str, Any]:
    """Error and gap of one way over seeds, and by how much they differ from those without."""
    error = [1 - one.test.value for one in own]
    gap = [one.train.value - one.test.value for one in own]
    found = {"test_error": interval(error), "gap": interval(gap)}
    if own is plain:
        return found
    return found | {
        "test_error_change": interval(_less(own, plain, lambda one: 1 - one.test.value)),
        "gap_change": interval(_less(own, plain, lambda one: one.train.value - one.test.value)),
    }


def judged(dropout: Mapping[str, Sequence[float | None]]) -> bool | None:
    """Whether error and gap fell, with intervals that leave zero out.

    None where there are too few seeds for an interval, or where the error fell on average but its
    interval holds zero.
    """
    falls = [dropout[name] for name in ("test_error_change", "gap_change")]
    highest = [high for _, _, high in falls]
    if any(mean is not None and mean >= 0 for mean, _, _ in falls):
        return False
    return True if all(high is not None and high < 0 for high in highest) else None


def interval(values: Sequence[float]) -> list[float | None]:
    """[mean, low, high] of Student's 95 % interval; low and high are None for a single value."""
    from scipy.stats import t

    mean = sum(values) / len(values)
    if len(values) < 2:
        return [round(mean, 5), None, None]
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    reach = float(t.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
    return [round(mean, 5), round(mean - reach, 5), round(mean + reach, 5)]


def _less(
    own: Sequence[Trained], plain: Sequence[Trained], of: Callable[[Trained], float]
) -> list[float]:
    return [of(one) - of(other) for one, other in zip(own, plain, strict=True)]
