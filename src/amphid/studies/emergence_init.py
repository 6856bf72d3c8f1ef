"""Does it help to start small in front and large behind, once each way has its own rate?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from amphid.learning import (
    LSUV,
    TPE,
    Emergence,
    GradInit,
    Kaiming,
    LogUniform,
    OrthogonalWeights,
    PermutedScales,
    Trial,
    Xavier,
    initialize,
    layer_rates,
    scales,
    search,
)
from amphid.learning.starting.order import depth_of, weight_layers
from amphid.studies.paired import figure
from amphid.studies.start_settings import FULL, QUICK, Pairs, Setting, draw_rest
from amphid.studies.study import Findings, Settings, Study

MEAN_OF = 20
TUNED_ON = 1000  # added to the seed: rates are chosen where nothing is measured
DECADES = 2.0
AT_RANDOM = 4  # trials of a search before it looks where it is best
RESAMPLED = 2000
ENOUGH = 4  # nets for a verdict
MOST = 5.0  # nats: a run that diverged counts as this

Start = Callable[[torch.Generator, Sequence[Pairs]], Any]
"""From what draws, and batches to learn from, to an initialization."""
Rows = Sequence[Sequence[float]]
"""One for each setting, one figure for each seed."""


@dataclass(frozen=True)
class Arm:
    """One way to start: which weights, and by which alpha each layer has its rate."""

    start: Start
    alpha: float = 1.0
    """Of rates of layers; 1 is one rate."""
    spread: float | None = 1.0
    """The alpha by which rates differ, of weights or of rates, for the middle of the search; the
    usual one of the depth when None."""


ARMS = {
    "base": Arm(lambda g, _: Kaiming(g)),
    "alpha 1.25": Arm(lambda g, _: Emergence(1.25, Kaiming(g)), spread=1.25),
    "permuted 1.25": Arm(lambda g, _: PermutedScales(1.25, Kaiming(g), g), spread=1.25),
    "reversed 1.25": Arm(lambda g, _: Emergence(0.8, Kaiming(g)), spread=1.25),
    "rates 1.25": Arm(lambda g, _: Kaiming(g), alpha=1.25, spread=1.25),
    "gradinit": Arm(
        lambda g, batches: GradInit(functional.cross_entropy, batches, steps=30, base=Kaiming(g))
    ),
}
MORE_ARMS = {
    "usual alpha": Arm(lambda g, _: Emergence(base=Kaiming(g)), spread=None),
    "alpha 1.1": Arm(lambda g, _: Emergence(1.1, Kaiming(g)), spread=1.1),
    "alpha 1.5": Arm(lambda g, _: Emergence(1.5, Kaiming(g)), spread=1.5),
    "rates 1.1": Arm(lambda g, _: Kaiming(g), alpha=1.1, spread=1.1),
    "rates 1.5": Arm(lambda g, _: Kaiming(g), alpha=1.5, spread=1.5),
    "xavier": Arm(lambda g, _: Xavier(g)),
    "orthogonal": Arm(lambda g, _: OrthogonalWeights(generator=g)),
    "lsuv": Arm(lambda g, _: LSUV(generator=g)),
}

ASSUMPTIONS = (
    "base is Kaiming's start with one learning rate; layer-wise rates at alpha = 1 are the same "
    "thing. alpha scales its weights (Emergence), permuted draws another order of the same factors "
    "for each seed, reversed is 1 / alpha, usual is 1.1 and less beyond 13 levels, rates leaves "
    "the weights and gives each layer its rate. "
    "gradinit learns one factor per layer in 30 steps from Kaiming's, which are not counted.",
    "Each arm has the learning rate at which the mean training loss over the first half of a run "
    "is least, on seeds that nothing is measured on: 8 trials of Optuna's TPE for every arm, over "
    "two decades whose middle is moved so that the mean rate over layers is that of the base.",
    "Steps until the mean of the last 20 batches' loss is at most the target; a run that never "
    "gets there counts its whole length, which is too little (see reached). Same seed: same images,"
    " order and first weights in all arms. Dense nets and convolutional ones with SGD, momentum "
    "0.9, batches of 100 and 50; the transformer with Adam, of 50. Accuracy is of 1,000 new "
    "examples, first where as many have been seen as there are.",
    "steps_ratio: median over settings and seeds of steps over those of the base. interval: 95 % "
    "of 2,000 bootstrap samples, of settings and of seeds within each. The claim holds if that of "
    "alpha 1.25 is below one, and fails if its median is not below one; with the one net of a "
    "quick run it is null, since the interval knows of seeds but not of the luck of the search for "
    "a rate.",
)


class EmergenceInit(Study):
    """The published rule, each arm at its own best learning rate."""

    name: ClassVar[str] = "emergence-init"
    claim: ClassVar[str] = (
        "Weights scaled down in front and up behind (alpha 1.25) reach a training loss in fewer "
        "steps than Kaiming's start, each at its own best learning rate."
    )
    cells: ClassVar[int] = 600
    published: ClassVar[str] = "higher accuracy after the first epoch at one common learning rate"

    def measure(self, settings: Settings) -> Findings:
        """One dense net and 6 seeds, or ten nets, more arms and 5 seeds."""
        computed = time.process_time()
        nets, arms = (FULL, ARMS | MORE_ARMS) if settings.full else (QUICK, ARMS)
        budget = Budget(trials=8, tuned=1 if settings.full else 2)
        seeds = tuple(settings.seed + k for k in range(5 if settings.full else 6))
        found: dict[str, dict[str, Tried]] = {}
        for place, setting in enumerate(nets):
            found[setting.name] = {}
            for number, (name, arm) in enumerate(arms.items()):
                settings.tell(
                    f"{setting.name}: {name}", place * len(arms) + number, len(nets) * len(arms)
                )
                found[setting.name][name] = tried(setting, arm, seeds, budget)
        measured = summarized(found)
        measured["minutes"] = figure((time.process_time() - computed) / 60)
        return Findings(
            measured=measured,
            reference={
                "steps_ratio": {"alpha 1.25": "below 1"},
                "source": "Li et al. 2024, doi 10.48550/arXiv.2407.19044",
            },
            control={
                name: measured["steps_ratio"][name] for name in ("permuted 1.25", "reversed 1.25")
            },
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured),
        )


@dataclass(frozen=True)
class Budget:
    """Of the search for a learning rate: trials, and seeds that each is the mean of."""

    trials: int
    tuned: int


@dataclass
class Ran:
    """One training: the loss of every step, and accuracies."""

    losses: list[float] = field(default_factory=list)
    early: float = 0.0
    late: float = 0.0

    def steps(self, target: float) -> tuple[int, bool]:
        """Steps to the target, or all of them, and whether it was reached."""
        for step in range(MEAN_OF, len(self.losses) + 1):
            if sum(self.losses[step - MEAN_OF : step]) / MEAN_OF <= target:
                return step, True
        return len(self.losses), False


@dataclass(frozen=True)
class Tried:
    """What came of one arm in one setting, by seed, at its learning rate."""

    rate: float
    steps: list[int]
    reached: list[bool]
    early: list[float]
    late: list[float]


def tried(setting: Setting, arm: Arm, seeds: Sequence[int], budget: Budget) -> Tried:
    """Find the arm's learning rate, and train from every seed with it."""
    tuned = [seeds[0] + TUNED_ON + k for k in range(budget.tuned)]
    highest = setting.highest * _middle(setting, arm)

    def objective(trial: Trial) -> float:
        half = setting.steps // 2
        runs = [trained(setting, arm, seed, trial["lr"], half) for seed in tuned]
        return sum(sum(run.losses) / len(run.losses) for run in runs) / len(runs)

    space = {"lr": LogUniform(highest / 10**DECADES, highest)}
    sampler = TPE(seed=seeds[0], startup=AT_RANDOM)
    rate = search(objective, space, trials=budget.trials, sampler=sampler).settings["lr"]
    runs = [trained(setting, arm, seed, rate, setting.steps) for seed in seeds]
    ends = [run.steps(setting.target) for run in runs]
    return Tried(
        rate,
        [steps for steps, _ in ends],
        [reached for _, reached in ends],
        [run.early for run in runs],
        [run.late for run in runs],
    )


def trained(setting: Setting, arm: Arm, seed: int, rate: float, steps: int) -> Ran:
    """One training of so many steps from a seed."""
    (x, y), tested = setting.pairs(seed)
    net, optimizer = started(setting, arm, seed, rate)
    ran, order = Ran(), torch.Generator().manual_seed(seed)
    for step in range(steps):
        chosen = torch.randint(len(x), (setting.batch,), generator=order)
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(x[chosen]), y[chosen])
        loss.backward()
        optimizer.step()
        value = float(loss.detach())
        ran.losses.append(min(value, MOST) if value == value else MOST)
        if (step + 1) * setting.batch == len(x):
            ran.early = _accuracy(net, tested)
    ran.late = _accuracy(net, tested)
    return ran


def started(
    setting: Setting, arm: Arm, seed: int, rate: float
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A net where an arm starts it, and its optimizer."""
    draw = torch.Generator().manual_seed(seed)
    (x, y), _ = setting.pairs(seed)
    batches = list(zip(x.split(setting.batch), y.split(setting.batch), strict=True))
    net, (look, _) = setting.net(), batches[0]
    draw_rest(net, draw)
    initialize(net, arm.start(draw, batches), look)
    groups = layer_rates(net, rate, alpha=arm.alpha, optimizer=setting.optimizer, inputs=look)
    more: dict[str, Any] = {"fused": True}  # all layers in one call
    more |= {"momentum": 0.9} if setting.optimizer is torch.optim.SGD else {}
    return net, setting.optimizer(groups, **more)


def summarized(found: Mapping[str, Mapping[str, Tried]]) -> dict[str, Any]:
    """Ratios over all settings and seeds, and what lies behind them."""
    arms = list(next(iter(found.values())))
    others = [arm for arm in arms if arm != "base"]
    ratios = {
        arm: [
            [own / base for own, base in zip(of[arm].steps, of["base"].steps, strict=True)]
            for of in found.values()
        ]
        for arm in others
    }
    return {
        "steps_ratio": {arm: figure(_pooled(ratios[arm])) for arm in others},
        "interval": {arm: _interval(ratios[arm]) for arm in others},
        "by norms": _by_norms(list(found), ratios),
        "by setting": {
            name: {arm: figure(median(ratios[arm][place])) for arm in others}
            for place, name in enumerate(found)
        },
        "interval by setting": {
            name: {arm: _interval([ratios[arm][place]]) for arm in others}
            for place, name in enumerate(found)
        },
        "steps": {name: {arm: median(of[arm].steps) for arm in arms} for name, of in found.items()},
        "reached": {
            name: {arm: f"{sum(of[arm].reached)}/{len(of[arm].reached)}" for arm in arms}
            for name, of in found.items()
        },
        "accuracy after an epoch": _accuracies(found, lambda one: one.early),
        "accuracy at the end": _accuracies(found, lambda one: one.late),
        "learning rate": {
            name: {arm: figure(of[arm].rate) for arm in arms} for name, of in found.items()
        },
    }


def holds(measured: Mapping[str, Any]) -> bool | None:
    """Surely fewer steps; None where the median is below one and its interval holds one.

    None for few nets too: each has one search for a rate, whose luck the interval does not know.
    """
    if len(measured["by setting"]) < ENOUGH:
        return None
    if measured["steps_ratio"]["alpha 1.25"] >= 1:
        return False
    return True if measured["interval"]["alpha 1.25"][1] < 1 else None


def _middle(setting: Setting, arm: Arm) -> float:
    """The rate at which layers move as much on average as at one rate of 1."""
    if arm.spread == 1:
        return 1.0
    x = setting.pairs(0)[0][0][: setting.batch]
    factors = scales(arm.spread, depth_of(weight_layers(setting.net(), x)))
    power = 2 if setting.optimizer is torch.optim.SGD else 1
    return len(factors) / sum(s**-power for s in factors)


def _accuracy(net: nn.Module, tested: Pairs) -> float:
    net.eval()
    with torch.no_grad():
        right = (net(tested[0]).argmax(1) == tested[1]).double().mean()
    net.train()
    return float(right)


def _accuracies(
    found: Mapping[str, Mapping[str, Tried]], of: Callable[[Tried], list[float]]
) -> dict[str, Any]:
    return {
        name: {arm: figure(median(of(one))) for arm, one in arms.items()}
        for name, arms in found.items()
    }


def _pooled(ratios: Rows) -> float:
    return median(ratio for row in ratios for ratio in row)


def _by_norms(names: Sequence[str], ratios: Mapping[str, Rows]) -> dict[str, Any]:
    """Ratio and interval of each arm over the nets without norms, and over those with them."""
    found: dict[str, Any] = {}
    for kind, normed in (("without", False), ("with", True)):
        places = [place for place, name in enumerate(names) if ("norm" in name) == normed]
        for arm, rows in ratios.items() if places else ():
            own = [rows[place] for place in places]
            told = {"steps_ratio": figure(_pooled(own)), "interval": _interval(own)}
            found.setdefault(kind, {})[arm] = told
    return found


def _interval(ratios: Rows) -> list[float]:
    """95 % of the medians of bootstrap samples of settings, and of seeds in each."""
    draw = torch.Generator().manual_seed(0)
    table = torch.tensor(ratios, dtype=torch.float64)
    settings, seeds = table.shape
    rows = torch.randint(settings, (RESAMPLED, settings, 1), generator=draw)
    columns = torch.randint(seeds, (RESAMPLED, settings, seeds), generator=draw)
    medians = table[rows, columns].flatten(1).quantile(0.5, dim=1)
    low, high = medians.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return [figure(low), figure(high)]
