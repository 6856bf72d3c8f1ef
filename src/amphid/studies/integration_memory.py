"""Integration and working memory in recurrent Morris-Lecar cells, by weak gradients and by BPTT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import mean, median
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from amphid.dynamics import MorrisLecar, SigmoidRelease
from amphid.learning import ActivityPerturbation, Backprop, Estimator, Mollified, Objective, fit
from amphid.models import Recurrent, Sequential
from amphid.studies.paired import difference, figure, interval
from amphid.studies.study import Findings, Settings, Study

CELLS = 16
SLOTS, SLOT, PULSE = 5, 20, 10  # pulses, and steps of 1 ms from one to the next and of each
DELAY, LOOK = 80, 20  # steps of silence after the last slot, of which the last are looked at
BATCH, HELD_OUT = 32, 1000
CHANCE = 0.5
QUICK_RATE = 0.03
RATES = (0.01, 0.03, 0.1)
WINDOWS = (40, 80, 120, 180, 300, 400)  # ms, the last two with more silence
ASSUMPTIONS = (
    "In each of five slots of 20 ms one of two inputs has a pulse of 10 ms, by a fair coin; 80 ms "
    "of silence follow, and in the last 20 of them the network says which had more of them.",
    "16 Morris-Lecar cells with all-to-all connections, a current of 70 pA and weights drawn with "
    "standard deviations 80 pA (input) and 150 / sqrt(16) pA (recurrent); a linear readout of the "
    "mean release. Step 1 ms. Input, recurrent and output weights are all trained.",
    "All arms of a seed have the same first weights, the same batches of 32, as many updates, and "
    "Adam with rates in units of the root mean square of each parameter tensor (at least 0.25): "
    "0.03, or in a full run the best of 0.01, 0.03 and 0.1 by the loss on other examples.",
    "activity: ActivityPerturbation with 4 runs with noise a batch, a loss for each example; its "
    "readout has the exact gradient. An update of it takes about 7 times the computing of one by "
    "backprop. weights (full run): Mollified, 8 samples, radius 0.2.",
    "backprop: plain. clipped: the norm of the gradient at most 0.1. truncated: no gradient across "
    "more than 40 steps. Sizes, rates and the network were chosen on other draws.",
)


@dataclass(frozen=True)
class Arm:
    """One way to a gradient."""

    estimator: Callable[[torch.Generator], Estimator]
    quick: bool = True


ARMS = {
    "activity": Arm(lambda draw: ActivityPerturbation(draw, samples=4)),
    "backprop": Arm(lambda draw: Backprop()),
    "clipped": Arm(lambda draw: Backprop(clip_norm=0.1)),
    "truncated": Arm(lambda draw: Backprop(truncate=40)),
    "weights": Arm(lambda draw: Mollified(draw, samples=8, radius=0.2), quick=False),
}
WEAK, BPTT = "activity", ("backprop", "clipped", "truncated")


class IntegrationMemory(Study):
    """Weak gradients train a recurrent network of biophysical cells; does BPTT?"""

    name: ClassVar[str] = "integration-memory"
    claim: ClassVar[str] = (
        "Recurrent Morris-Lecar cells learn to integrate pulses and to hold the sum by weak "
        "gradients, and better than by backpropagation through time, clipped or truncated or not."
    )
    cells: ClassVar[int] = CELLS
    published: ClassVar[str] = "learned by evolution where backpropagation diverges (no figure)"

    def measure(self, settings: Settings) -> Findings:
        """Every arm from every seed."""
        seeds = tuple(range(settings.seed, settings.seed + (8 if settings.full else 3)))
        arms = {name: arm for name, arm in ARMS.items() if settings.full or arm.quick}
        updates = 300 if settings.full else 100
        rates = RATES if settings.full else (QUICK_RATE,)
        scores: dict[str, list[float]] = {name: [] for name in arms}
        for place, seed in enumerate(seeds):
            for number, (name, arm) in enumerate(arms.items()):
                settings.tell(name, place * len(arms) + number, len(seeds) * len(arms))
                scores[name].append(trained(arm, seed, updates, rates))
        return Findings(
            measured={"score": {name: told(own) for name, own in scores.items()}}
            | {"activity_minus": {arm: difference(scores[WEAK], scores[arm]) for arm in BPTT}}
            | {"gradient_norm_of_backprop": norms(seeds)},
            reference={"source": "arXiv 2311.10869", "score": "not published"},
            control={
                "chance": CHANCE,
                "untrained": told([score(network(seed), seed) for seed in seeds]),
            },
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=judged(scores),
        )


def judged(scores: Mapping[str, Sequence[float]]) -> bool | None:
    """Whether weak gradients learn, and score above every arm of backpropagation.

    None where they do on average, but an interval over seeds leaves it open.
    """
    gaps = [[a - b for a, b in zip(scores[WEAK], scores[arm], strict=True)] for arm in BPTT]
    gaps.append([own - CHANCE for own in scores[WEAK]])
    if min(mean(gap) for gap in gaps) <= 0:
        return False
    return True if min(interval(gap)[0] for gap in gaps) > 0 else None


def network(seed: int) -> Sequential:
    """Input, recurrent cells and readout; all weights are drawn with the seed."""
    draw = torch.Generator().manual_seed(4_000_000 + seed)
    arriving, back = nn.Linear(2, CELLS), nn.Linear(CELLS, CELLS, bias=False)
    read = nn.Linear(CELLS, 2)
    with torch.no_grad():
        arriving.weight.copy_(80.0 * torch.randn(CELLS, 2, generator=draw))
        arriving.bias.fill_(70.0)
        back.weight.copy_(150.0 * torch.randn(CELLS, CELLS, generator=draw) / CELLS**0.5)
        read.weight.copy_(torch.randn(2, CELLS, generator=draw) / CELLS**0.5)
        read.bias.zero_()
    return Sequential(arriving, Recurrent(MorrisLecar(terminal=SigmoidRelease()), back), read)


def examples(count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pulses [T, B, 2] of two inputs, and which had more of them [B]."""
    sides = torch.randint(2, (SLOTS, count), generator=draw)
    inputs = torch.zeros(SLOTS * SLOT + DELAY, count, 2)
    for slot, side in enumerate(sides):
        inputs[slot * SLOT : slot * SLOT + PULSE] = nn.functional.one_hot(side, 2).float()
    return inputs, (2 * sides.sum(0) > SLOTS).long()


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of what is said at the end, for each example [B]."""
    return nn.functional.cross_entropy(outputs[-LOOK:].mean(0), targets, reduction="none")


def trained(arm: Arm, seed: int, updates: int, rates: Sequence[float]) -> float:
    """The score of one arm on examples it never saw, at the rate that was best on others."""
    found = [_course(arm, seed, updates, rate) for rate in rates]
    inputs, targets = examples(HELD_OUT, torch.Generator().manual_seed(3_000_000 + seed))
    with torch.no_grad():
        errors = [float(loss(net(inputs), targets).mean()) for net in found]
    errors = [error if error == error else float("inf") for error in errors]
    return score(found[errors.index(min(errors))], seed)


def score(net: nn.Module, seed: int) -> float:
    """The share of right answers to examples that are used for nothing else."""
    inputs, targets = examples(HELD_OUT, torch.Generator().manual_seed(2_000_000 + seed))
    with torch.no_grad():
        said = net(inputs)[-LOOK:].mean(0).argmax(-1)
    return float((said == targets).double().mean())


def norms(seeds: Sequence[int]) -> dict[str, float]:
    """Median norm of the gradient of the recurrent weights before training, by ms of the window."""
    found: dict[str, list[float]] = {str(window): [] for window in WINDOWS}
    for seed in seeds:
        net = network(seed)
        inputs, targets = examples(BATCH, torch.Generator().manual_seed(1_000_000 + seed))
        inputs = nn.functional.pad(inputs, (0, 0, 0, 0, 0, max(WINDOWS)))
        for window in WINDOWS:
            objective = Objective(net, inputs[:window], targets, loss)
            _, gradients = Backprop()(objective, dict(net.named_parameters()))
            found[str(window)].append(float(gradients["1.projection.weight"].norm()))
    return {window: float(f"{median(own):.3g}") for window, own in found.items()}


def told(values: Sequence[float]) -> dict[str, Any]:
    """Mean of scores with its 95 % interval, and all of them."""
    low, high = interval(values)
    return {
        "mean": figure(mean(values)),
        "interval": [figure(low), figure(high)],
        "seeds": [figure(value) for value in values],
    }


def _course(arm: Arm, seed: int, updates: int, rate: float) -> nn.Module:
    """A network after its updates; as it was where its gradient stopped being finite."""
    net, draw = network(seed), torch.Generator().manual_seed(1_000_000 + seed)
    batches = [examples(BATCH, draw) for _ in range(updates)]
    groups = [
        {"params": [held], "lr": rate * max(float(held.detach().square().mean().sqrt()), 0.25)}
        for held in net.parameters()
    ]
    estimator = arm.estimator(torch.Generator().manual_seed(seed))
    optimizer = torch.optim.Adam(groups)
    with suppress(FloatingPointError):
        fit(
            net, batches, loss, optimizer=optimizer, estimator=estimator, guard=None, progress=False
        )
    return net
