"""Searches on digits: which sampler finds good settings of a small net with few trials."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from amphid.learning import GP, L2, TPE, Grid, Integers, LogUniform, Random, Trial, fit, search
from amphid.learning.searching.samplers import Sampler
from amphid.learning.searching.space import Space
from amphid.studies.paired import difference, drawn, figure
from amphid.studies.study import Findings, Settings, Study
from amphid.tasks import Digits, accuracy

SPACE: Space = {
    "lr": LogUniform(1e-5, 1.0),
    "hidden": Integers(2, 64),
    "l2": LogUniform(1e-6, 1e-1),
}
TRIALS = 27  # the grid has three points on each axis
EPOCHS = 2
SAMPLERS = ("random", "grid", "TPE", "GP")
BAYESIAN = ("TPE", "GP")

ASSUMPTIONS = (
    "Objective: validation cross-entropy of a 784-hidden-10 rectified net after two epochs of Adam "
    "in batches of 32; learning rate 1e-5 to 1, hidden 2 to 64, L2 1e-6 to 0.1. The net of a seed "
    "starts alike and sees the same images in the same order in every trial, so that samplers "
    "differ in what they try alone. A loss that is not finite or above that of a guess counts as "
    "that of a guess, 2.303.",
    f"{TRIALS} trials each; the grid has three points on each axis. Samplers of a seed share its "
    "images and start. TPE and GP draw their first 10 trials at random.",
    "Regret: best validation loss of a search after all trials, less the best of any sampler of "
    "that seed. Curves: mean over seeds of the best so far. The claim asks that the mean final "
    "loss of the better of TPE and GP is below that of random and of grid, with intervals of the "
    "paired differences (95 %, Student's t) that leave zero out; null where a difference has the "
    "right sign and its interval holds zero. Choosing the better of two favors it a little.",
)


class SearchDigits(Study):
    """Bayesian search finds better settings than random and grid with as many trials."""

    name: ClassVar[str] = "search-digits"
    claim: ClassVar[str] = (
        "Among as many trials of the settings of a small net on digits, a Bayesian search finds a "
        "lower validation loss than random search and than a grid."
    )
    published: ClassVar[str] = "none: an order of samplers, judged by paired differences"
    cells: ClassVar[int] = 64

    def measure(self, settings: Settings) -> Findings:
        """3 seeds with 300 images to learn from, or 10 with 2,000."""
        computed = time.process_time()
        images, count = (2000, 10) if settings.full else (300, 3)
        seeds = tuple(settings.seed + k for k in range(count))
        runs = []
        for k, seed in enumerate(seeds):
            settings.tell(f"seed {seed}", k, len(seeds))
            runs.append(one(seed, images))
        measured, control = summarized(runs)
        measured["minutes"] = figure((time.process_time() - computed) / 60)
        return Findings(
            measured=measured,
            reference={},
            control=control,
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured),
        )


def small_net(hidden: int, generator: torch.Generator) -> nn.Sequential:
    """Images [B, 28, 28] to [B, 10]."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    drawn(net, generator)
    return net


class Objective:
    """Validation loss of the net that a trial describes; `nets` keeps what came of each."""

    def __init__(self, seed: int, images: int) -> None:
        self.seed = seed
        self.task = Digits(images, validation=500, generator=torch.Generator().manual_seed(seed))

    def __call__(self, trial: Trial) -> float:
        """Train the net; no worse than a guess."""
        guess = float(torch.tensor(10.0).log())
        try:
            net = self.trained(trial)
        except FloatingPointError:
            return guess
        with torch.no_grad():
            x, digits = next(iter(self.task.batches("validation", size=500)))
            loss = float(functional.cross_entropy(net(x), digits))
        return min(loss, guess) if loss == loss else guess

    def trained(self, settings: Mapping[str, Any]) -> nn.Sequential:
        """The net of those settings."""
        net = small_net(settings["hidden"], torch.Generator().manual_seed(self.seed))
        order = torch.Generator().manual_seed(self.seed)
        fit(
            net,
            self.task.batches("train", size=32, generator=order),
            functional.cross_entropy,
            optimizer=torch.optim.Adam(net.parameters(), lr=settings["lr"]),
            penalties=(L2(settings["l2"], on="*.weight"),),
            epochs=EPOCHS,
            progress=None,
        )
        return net


def one(seed: int, images: int) -> dict[str, Any]:
    """Best loss so far of every sampler, trial by trial, and the test accuracy of the best net."""
    objective = Objective(seed, images)
    samplers: dict[str, Sampler] = {
        "random": Random(seed=seed),
        "grid": Grid(points=3, seed=seed),
        "TPE": TPE(seed=seed),
        "GP": GP(seed=seed),
    }
    curves, accuracies = {}, {}
    for name, sampler in samplers.items():
        found = search(objective, SPACE, trials=TRIALS, sampler=sampler, progress=None)
        curves[name] = best_so_far(
            [own for tried in found.trials if (own := tried.value) is not None]
        )
        best = objective.trained(found.settings)
        accuracies[name] = accuracy(best, objective.task.batches("test", size=500)).value
    return {"curves": curves, "accuracies": accuracies, "chance": objective.task.chance}


def best_so_far(values: Sequence[float]) -> list[float]:
    """The lowest value up to each trial."""
    return list(itertools.accumulate(values, min))


def summarized(runs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured, and the control, from all seeds."""
    last = {name: [run["curves"][name][-1] for run in runs] for name in SAMPLERS}
    floor = [min(values) for values in zip(*last.values(), strict=True)]
    better = min(BAYESIAN, key=lambda name: mean(last[name]))
    told = {name: figure(mean(run["accuracies"][name] for run in runs)) for name in SAMPLERS}
    measured = {
        "test_accuracy": told[better],
        "better of TPE and GP": better,
        "loss": {name: figure(mean(values)) for name, values in last.items()},
        "regret": {name: difference(values, floor) for name, values in last.items()},
        "less than": {name: difference(last[name], last[better]) for name in ("random", "grid")},
        "TPE less than random": difference(last["random"], last["TPE"]),
        "GP less than random": difference(last["random"], last["GP"]),
        "curve": {
            name: [
                figure(mean(at)) for at in zip(*(run["curves"][name] for run in runs), strict=True)
            ]
            for name in SAMPLERS
        },
    }
    control = {
        "test accuracy": {name: told[name] for name in ("random", "grid")},
        "chance": figure(runs[0]["chance"]),
    }
    return measured, control


def holds(measured: Mapping[str, Any]) -> bool | None:
    """Both differences surely above zero; None where they are above but not surely."""
    gaps = list(measured["less than"].values())
    if any(gap["mean"] <= 0 for gap in gaps):
        return False
    return True if all(gap["interval"][0] > 0 for gap in gaps) else None
