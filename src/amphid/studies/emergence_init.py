"""Does it help to start small in front and large behind, once each way has its own rate?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.learning import (
    LSUV,
    TPE,
    Emergence,
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
from amphid.studies.study import Report, Settings, Study

BATCH, MEAN_OF = 100, 20
TUNED_ON = 1000  # added to the seed: rates are chosen where nothing is measured
DECADES = 2.5
RESAMPLED = 2000
ENOUGH = 4  # nets for a verdict
MOST = 5.0  # nats: a run that diverged counts as this

Start = Callable[[torch.Generator], Any]


@dataclass(frozen=True)
class Arm:
    """One way to start: which weights, and by which alpha each layer has its rate."""

    start: Start
    alpha: float = 1.0
    """Of rates of layers; 1 is one rate."""
    spread: float = 1.0
    """The alpha by which rates differ, of weights or of rates, for the middle of the search."""


ARMS = {
    "base": Arm(Kaiming),
    "alpha 1.25": Arm(lambda g: Emergence(1.25, Kaiming(g)), spread=1.25),
    "permuted 1.25": Arm(lambda g: PermutedScales(1.25, Kaiming(g), g), spread=1.25),
    "reversed 1.25": Arm(lambda g: Emergence(0.8, Kaiming(g)), spread=1.25),
    "rates 1.25": Arm(Kaiming, alpha=1.25, spread=1.25),
}
MORE_ARMS = {
    "alpha 1.1": Arm(lambda g: Emergence(1.1, Kaiming(g)), spread=1.1),
    "alpha 1.5": Arm(lambda g: Emergence(1.5, Kaiming(g)), spread=1.5),
    "rates 1.1": Arm(Kaiming, alpha=1.1, spread=1.1),
    "rates 1.5": Arm(Kaiming, alpha=1.5, spread=1.5),
    "xavier": Arm(Xavier),
    "orthogonal": Arm(lambda g: OrthogonalWeights(generator=g)),
    "lsuv": Arm(lambda g: LSUV(generator=g)),
}

ASSUMPTIONS = (
    "base is Kaiming's start with one learning rate; layer-wise rates at alpha = 1 are the same "
    "thing. alpha scales its weights (Emergence), permuted draws another order of the same factors "
    "for each seed, reversed is 1 / alpha, rates leaves the weights and gives each layer its rate.",
    "Each arm has the learning rate at which the mean training loss over a whole run is least, the "
    "mean of two seeds that nothing is measured on: as many trials of Optuna's TPE for every arm, "
    "over two decades and a half whose middle is moved so that the mean rate over layers is that "
    "of the base.",
    "Steps until the mean of the last 20 batches' loss is at most the target; a run that never "
    "gets there counts its whole length, which is too little (see reached). Same seed: same images,"
    " order and first weights in all arms. SGD with momentum 0.9 in batches of 100; the "
    "transformer with Adam. Accuracy is of 1,000 new examples.",
    "steps_ratio: median over settings and seeds of steps over those of the base. interval: 95 % "
    "of 2,000 bootstrap samples, seeds drawn within each setting. The claim holds if that of alpha "
    "1.25 is below one, and fails if its median is not below one; with the one net of a quick run "
    "it is null, since the interval knows of seeds but not of the luck of the search for a rate.",
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

    def run(self, settings: Settings) -> Report:
        """One dense net and 6 seeds, or ten nets, more arms and 8 seeds."""
        start, computed = time.perf_counter(), time.process_time()
        nets, arms = (FULL, ARMS | MORE_ARMS) if settings.full else (QUICK, ARMS)
        budget = Budget(trials=12, tuned=2) if settings.full else Budget(trials=8, tuned=2)
        seeds = tuple(settings.seed + k for k in range(8 if settings.full else 6))
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
        return Report(
            study=self.name,
            claim=self.claim,
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
            seconds=time.perf_counter() - start,
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
        runs = [trained(setting, arm, seed, trial["lr"]) for seed in tuned]
        return sum(sum(run.losses) / len(run.losses) for run in runs) / len(runs)

    space = {"lr": LogUniform(highest / 10**DECADES, highest)}
    sampler = TPE(seed=seeds[0])
    rate = search(objective, space, trials=budget.trials, sampler=sampler).settings["lr"]
    runs = [trained(setting, arm, seed, rate) for seed in seeds]
    ends = [run.steps(setting.target) for run in runs]
    return Tried(
        rate,
        [steps for steps, _ in ends],
        [reached for _, reached in ends],
        [run.early for run in runs],
        [run.late for run in runs],
    )


def trained(setting: Setting, arm: Arm, seed: int, rate: float) -> Ran:
    """One training from a seed."""
    draw = torch.Generator().manual_seed(seed)
    (x, y), tested = setting.pairs(seed)
    net = setting.net()
    draw_rest(net, draw)
    initialize(net, arm.start(draw), x[:BATCH])
    groups = layer_rates(net, rate, alpha=arm.alpha, optimizer=setting.optimizer, inputs=x[:BATCH])
    more: dict[str, Any] = {"momentum": 0.9} if setting.optimizer is torch.optim.SGD else {}
    optimizer = setting.optimizer(groups, **more)
    ran, order = Ran(), torch.Generator().manual_seed(seed)
    for step in range(setting.steps):
        chosen = torch.randint(len(x), (BATCH,), generator=order)
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(x[chosen]), y[chosen])
        loss.backward()
        optimizer.step()
        value = float(loss.detach())
        ran.losses.append(min(value, MOST) if value == value else MOST)
        if step + 1 == setting.epoch:
            ran.early = _accuracy(net, tested)
    ran.late = _accuracy(net, tested)
    return ran


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
        "by setting": {
            name: {arm: figure(median(ratios[arm][place])) for arm in others}
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
    x = setting.pairs(0)[0][0][:BATCH]
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


def _pooled(ratios: Sequence[Sequence[float]]) -> float:
    return median(ratio for row in ratios for ratio in row)


def _interval(ratios: Sequence[Sequence[float]]) -> list[float]:
    """95 % of the medians of bootstrap samples of seeds."""
    draw = torch.Generator().manual_seed(0)
    table = torch.tensor(ratios, dtype=torch.float64)
    picks = torch.randint(table.shape[1], (RESAMPLED, *table.shape), generator=draw)
    drawn: Tensor = table.expand(RESAMPLED, *table.shape).gather(2, picks)
    medians = drawn.flatten(1).quantile(0.5, dim=1)
    low, high = medians.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return [figure(low), figure(high)]
