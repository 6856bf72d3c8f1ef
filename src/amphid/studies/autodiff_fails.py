"""Where exact and surrogate gradients fail, and whether weak ones do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any, ClassVar

import torch
from torch import Tensor

from amphid.dynamics import FastSigmoid
from amphid.learning import (
    ActivityPerturbation,
    Annealed,
    Backprop,
    CellPerturbation,
    Corrected,
    EachUpdate,
    Estimator,
    Frozen,
    Grouped,
    LowRank,
    Mollified,
    Objective,
    fit,
    trend_angle,
)
from amphid.studies.gradient_cases import CASES, Posed
from amphid.studies.paired import difference, figure
from amphid.studies.study import Findings, Settings, Study

RADIUS, LAST = 0.3, 0.06  # of perturbations, at the first and at the last update
CLIP = 1.0
PAIRS = 256  # of samples, for the trend at the start


Arm = Callable[[Posed, torch.Generator, int], Estimator | None]
"""An estimator for a problem, of a generator and the number of updates; None trains nothing."""


@dataclass(frozen=True)
class Course:
    """How a case is trained.

    updates, rate: of Adam; the rate falls to a tenth. weak: the weak estimator. beside: arms that
    stand beside it. more: those that only the full protocol asks.
    """

    updates: int
    rate: float
    weak: Arm
    beside: Mapping[str, Arm] = field(default_factory=dict)
    more: Mapping[str, Arm] = field(default_factory=dict)


def untrained(posed: Posed, draw: torch.Generator, calls: int) -> None:
    """Nothing."""


def backprop(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """What autograd says."""
    return Backprop()


def clipped(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """What autograd says, no longer than that."""
    return Backprop(clip_norm=CLIP)


def mollified(samples: int) -> Arm:
    """A weak gradient over all weights."""
    return lambda posed, draw, calls: Mollified(
        draw, samples=samples, radius=Annealed(RADIUS, LAST, calls)
    )


def activity(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """A weak gradient over what arrives at cells, exact beyond the last of them."""
    return ActivityPerturbation(draw, samples=4)


def straight_through(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """An invented derivative for the cells of the second layer."""
    posed.model[1].surrogate = FastSigmoid()  # type: ignore[index]
    return Backprop()


def corrected(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """A clipped surrogate gradient, corrected by a weak one."""
    return Corrected(clipped(posed, draw, calls), mollified(32)(posed, draw, calls))


def low_rank(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """Perturbations of the weights of rank one."""
    return Mollified(draw, samples=32, radius=Annealed(RADIUS, LAST, calls), design=LowRank(1))


def in_time(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """Noise on what arrives at cells, a number for each 10 ms, blamed for what follows."""
    return ActivityPerturbation(draw, samples=32, steps=10)


def by_cell(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """Noise on what arrives at each cell in each step, blamed for what that cell gives out."""
    return CellPerturbation(draw, samples=256, radius=0.2, steps=1, window=20)


def readout_only(posed: Posed, draw: torch.Generator, calls: int) -> Estimator:
    """The exact gradient of the readout, all else as it was."""
    return Grouped({"[01].*": Frozen(), "2.*": Backprop()})


COURSES: Mapping[str, Course] = {
    "window": Course(80, 0.02, mollified(8)),
    "recurrence": Course(
        60, 0.1, mollified(32), {"readout only": readout_only},
        {"corrected": corrected, "low rank": low_rank, "activity": in_time, "by cell": by_cell},
    ),
    "noise": Course(200, 0.03, mollified(8)),
    "binary units": Course(400, 0.03, activity, {"straight through": straight_through}),
    "discrete delays": Course(100, 1.0, mollified(8)),
    "step loss": Course(200, 0.03, mollified(32)),
}  # fmt: skip
ASSUMPTIONS = (
    "Score: 1 is perfect. Window, recurrence, noise and delays: share of the variance of what is "
    "imitated that is explained, per output, on inputs that were not trained on (recurrence: on "
    "the only input there is); 0 is a constant, below 0 worse than that. Binary units and step "
    "loss: accuracy on 2,000 new inputs of five classes.",
    "Every arm of a case starts from the same weights, sees the same batches, and takes as many "
    "updates of Adam at the same rate, falling to a tenth. A weak update costs 8 to 32 forward "
    "runs, one by backpropagation about 3.",
    f"Clipped: the norm of the gradient at {CLIP:g}. An arm whose loss carries no gradient, or "
    "whose gradient is not finite, stays where it was.",
    "Backpropagation is exact where nothing jumps (window), takes the surrogate of the cells "
    "elsewhere (recurrence, noise), and what torch says of a step: zero (binary units, delays), or "
    "nothing (step loss). A straight-through surrogate for the binary units stands beside it.",
    f"Cosine and steepness at the start: to the slope of the loss within {RADIUS:g} of the root "
    f"mean square of each parameter, by {PAIRS} pairs; null where noise hides it, or no gradient "
    "is there.",
    "Rates, updates and radii were chosen on seeds 100 and 101, which are not reported.",
    "Hodgkin-Huxley cells take steps of 0.1 ms over 100 ms, as published; in so long steps the "
    "release of a spike hangs on where its samples fall, which is part of what the exact gradient "
    "follows.",
    "Autodiff fails on a case where the weak arm scores above the better of both arms of "
    "backpropagation, and the weak one does not fail where it scores above the untrained net, each "
    "by Student's 95 % interval over seeds; null where the mean is above and the interval leaves "
    "it open.",
)


class AutodiffFails(Study):
    """A map of where gradients fail and losses do not."""

    name: ClassVar[str] = "autodiff-fails"
    claim: ClassVar[str] = (
        "Exact and surrogate gradients, clipped or not, fail on long windows, recurrence, noise in "
        "every step, binary units, discrete delays and losses that are steps, where weak gradients "
        "do not."
    )
    cells: ClassVar[int] = 55
    published: ClassVar[str] = (
        "windows of 100 ms and recurrence defeat autodiff, regression still learns: "
        "Hazelden, meeree.github.io"
    )

    def measure(self, settings: Settings) -> Findings:
        """Every case from three seeds, or ten, with further arms for recurrence."""
        seeds = tuple(range(settings.seed, settings.seed + (10 if settings.full else 3)))
        measured: dict[str, Any] = {}
        for place, case in enumerate(CASES):
            settings.tell(case, place, len(CASES))
            measured[case] = mapped(case, seeds, full=settings.full)
        verdicts = {case: told["verdict"] for case, told in measured.items()}
        return Findings(
            measured=measured | {"holds_by_case": verdicts},
            reference={"source": "Hazelden, meeree.github.io: weak_grad.html"},
            control={case: told["scores"]["untrained"] for case, told in measured.items()},
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=both(*verdicts.values()),
        )


def mapped(case: str, seeds: Sequence[int], *, full: bool) -> dict[str, Any]:
    """What gradients are at the start of a case, what each arm reached, and the verdict."""
    arms = arms_of(case, full=full)
    scores = {name: [reached(case, arm, seed) for seed in seeds] for name, arm in arms.items()}
    facts = [at_start(case, seed) for seed in seeds]
    best = [max(pair) for pair in zip(scores["backprop"], scores["clipped"], strict=True)]
    over_autodiff = difference(scores["weak"], best)
    over_untrained = difference(scores["weak"], scores["untrained"])
    fails, learns = above(over_autodiff), above(over_untrained)
    return {
        "scores": {arm: [figure(mean(own)), figure(stdev(own))] for arm, own in scores.items()},
        "weak_over_autodiff": over_autodiff,
        "weak_over_untrained": over_untrained,
        "gradient": {key: _mean([fact[key] for fact in facts]) for key in facts[0]},
        "autodiff_fails": fails,
        "weak_learns": learns,
        "verdict": both(fails, learns),
    }


def above(gap: Mapping[str, Any]) -> bool | None:
    """Whether a difference is above zero; None where its interval leaves that open."""
    if gap["mean"] <= 0:
        return False
    return True if gap["interval"][0] > 0 else None


def both(*parts: bool | None) -> bool | None:
    """Whether all of them hold; None where none fails and one is open."""
    if False in parts:
        return False
    return None if None in parts else True


def arms_of(case: str, *, full: bool) -> dict[str, Arm]:
    """The estimators of a case by name."""
    course = COURSES[case]
    arms: dict[str, Arm] = {"untrained": untrained, "backprop": backprop, "clipped": clipped}
    return arms | {"weak": course.weak, **course.beside, **(course.more if full else {})}


def reached(case: str, arm: Arm, seed: int) -> float:
    """The score on the test batch after training."""
    posed, course = CASES[case](torch.Generator().manual_seed(seed)), COURSES[case]
    estimator = arm(posed, torch.Generator().manual_seed(seed + 1000), course.updates)
    if estimator is not None:
        _train(posed, course, estimator)
    return scored(posed)


def scored(posed: Posed) -> float:
    """The score on the test batch."""
    inputs, targets = posed.test
    timing = {} if posed.dt is None else {"dt": posed.dt}
    with torch.no_grad():
        return float(posed.score(posed.model(inputs, **timing), targets))


def at_start(case: str, seed: int) -> dict[str, float]:
    """Norm, cosine with the trend and steepness beside it of the gradient before training."""
    posed = CASES[case](torch.Generator().manual_seed(seed))
    loss = Objective(posed.model, *posed.batches[0], posed.loss, dt=posed.dt)
    params: dict[str, Tensor] = dict(posed.model.named_parameters())
    slope = gradient(loss, params)
    norm = math.sqrt(sum(float(own.double().square().sum()) for own in slope.values()))
    if norm == 0 or not math.isfinite(norm):
        return {"norm": norm, "cosine": math.nan, "error": math.nan, "steepness": math.nan}
    draw = torch.Generator().manual_seed(seed + 2000)
    cosine, error, steepness = trend_angle(
        loss, params, slope, radius=RADIUS, samples=2 * PAIRS, generator=draw
    )
    return {"norm": norm, "cosine": cosine, "error": error, "steepness": steepness}


def gradient(loss: Objective, params: dict[str, Tensor]) -> dict[str, Tensor]:
    """What backpropagation says; zeros where the loss carries no gradient."""
    try:
        return Backprop()(loss, params)[1]
    except ValueError:
        return {name: torch.zeros_like(held) for name, held in params.items()}


def _train(posed: Posed, course: Course, estimator: Estimator) -> None:
    optimizer = torch.optim.Adam(posed.model.parameters(), lr=course.rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, course.updates)
    try:
        fit(
            posed.model, posed.batches, posed.loss, optimizer=optimizer, estimator=estimator,
            epochs=max(1, course.updates // len(posed.batches)), dt=posed.dt,
            schedule=EachUpdate(falling), guard=None, progress=None,
        )  # fmt: skip
    except (ValueError, FloatingPointError):
        return  # there is no gradient, or none that is finite: it stays where it was


def _mean(values: Sequence[float]) -> float | None:
    """The mean of those that are known, None where none is."""
    known = [value for value in values if math.isfinite(value)]
    return float(f"{mean(known):.3g}") if known else None
