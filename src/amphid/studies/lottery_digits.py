"""A net on digits with a tenth of its weights, found by size, by flow, by emergence, by chance."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.learning import (
    AtRandom,
    ByEmergence,
    ByMagnitude,
    BySynapticFlow,
    Kaiming,
    initialize,
    prune_in_rounds,
    sparsity,
)
from amphid.studies.paired import difference, figure, interval
from amphid.studies.study import Findings, Settings, Study
from amphid.tasks import Digits, accuracy

KEEP = 0.1
NEAR = 0.005  # of accuracy: what counts as matched
SIZE, RATE = 100, 1.2e-3  # of a batch, and of Adam
ARMS = ("magnitude", "random", "synaptic_flow", "emergence")
QUICK_ARMS = ("magnitude", "random")


@dataclass(frozen=True)
class Amount:
    """How much is done: images to learn from, updates of each training, rounds, and seeds."""

    images: int
    updates: int
    rounds: int
    seeds: int
    arms: tuple[str, ...]


QUICK = Amount(20_000, 600, 3, 3, QUICK_ARMS)
FULL = Amount(55_000, 2000, 5, 5, ARMS)  # 140,000 updates at 5 ms: chosen to end in 12 CPU minutes

ASSUMPTIONS = (
    "784-300-100-10, rectified, Kaiming's start; Adam at 0.0012 in batches of 100, as published "
    "for this net; every training of an arm takes as many updates, so the pruned net is trained no "
    "longer than the dense one. Weights of all layers compete; biases stay.",
    f"Pruned in rounds by the same factor to {KEEP:.0%} of the weights, rewound to the start after "
    "each. All arms of a seed share images, order and start. random prunes without looking, in the "
    "same rounds; synaptic flow prunes in 20 rounds before training and never looks at data; "
    "emergence ranks a weight by its magnitude times the paths through it.",
    f"Matched: the mean test accuracy is at most {NEAR:.1%} below that of the dense net. The claim "
    "also asks that it is above that of random pruning, with the interval of the paired difference "
    "(95 %, Student's t) above zero; null where that interval holds zero.",
)


class LotteryDigits(Study):
    """A tenth of the weights is enough for the digits, if it is the right tenth."""

    name: ClassVar[str] = "lottery-digits"
    claim: ClassVar[str] = (
        "A 784-300-100-10 net on digits keeps its accuracy with 10 % of its weights, found by "
        "pruning the smallest in rounds with rewinding, and a random tenth does not reach it."
    )
    cells: ClassVar[int] = 410
    published: ClassVar[str] = "12 times fewer weights at the accuracy of the dense net (Han 2015)"

    def measure(self, settings: Settings) -> Findings:
        """3 seeds of 20,000 images, or 5 of 55,000 with more rankings."""
        computed = time.process_time()
        amount = FULL if settings.full else QUICK
        seeds = tuple(settings.seed + k for k in range(amount.seeds))
        runs = []
        for place, seed in enumerate(seeds):
            settings.tell(f"seed {seed}", place, len(seeds))
            runs.append(one(seed, amount))
        measured, control = summarized(runs, amount)
        measured["minutes"] = figure((time.process_time() - computed) / 60)
        return Findings(
            measured=measured,
            reference={
                "kept": 1 / 12,
                "test_error": {"dense": 0.0164, "pruned": 0.0159},
                "source": "Han et al. 2015, doi 10.48550/arXiv.1506.02626; rewinding: Frankle and "
                "Carbin 2019, doi 10.48550/arXiv.1803.03635",
            },
            control=control,
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured),
        )


def net_of(seed: int) -> nn.Sequential:
    """Images [B, 28, 28] to [B, 10]."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(),
        nn.Linear(100, 10),
    )  # fmt: skip
    initialize(net, Kaiming(torch.Generator().manual_seed(seed)))
    return net


@dataclass(frozen=True)
class Training:
    """The same training again and again: the same images in the same order."""

    images: Tensor
    labels: Tensor
    updates: int
    task: Digits
    seed: int

    def __call__(self, net: nn.Module) -> float:
        """Train, and the test accuracy after it."""
        optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
        order = torch.Generator().manual_seed(self.seed)
        for _ in range(self.updates):
            chosen = torch.randint(len(self.images), (SIZE,), generator=order)
            optimizer.zero_grad()
            functional.cross_entropy(net(self.images[chosen]), self.labels[chosen]).backward()
            optimizer.step()
        return accuracy(net, self.task.batches("test", size=1000)).value


def one(seed: int, amount: Amount) -> dict[str, Any]:
    """Accuracy of the dense net and of each arm, and what each arm kept."""
    task = Digits(amount.images, validation=0, generator=torch.Generator().manual_seed(seed))
    images, labels = task.images["train"].float() / 255, task.labels["train"]
    train = Training(images, labels, amount.updates, task, seed)
    found: dict[str, Any] = {"accuracy": {}, "kept": {}}
    for arm in amount.arms:
        net = net_of(seed)
        scores = _pruned(arm, net, train, images[:SIZE], seed, amount.rounds)
        found["accuracy"][arm] = scores[-1]
        found["kept"][arm] = sparsity(net).kept
        if len(scores) > 1:
            found["dense"] = scores[0]
    return found


def _pruned(
    arm: str, net: nn.Module, train: Training, batch: Tensor, seed: int, rounds: int
) -> list[float]:
    """Test accuracies after each training."""
    if arm == "synaptic_flow":
        prune_in_rounds(net, BySynapticFlow(), KEEP, rounds=20, inputs=batch)
        return [train(net)]
    if arm == "random":  # which weights go does not hang on training
        draw = AtRandom(torch.Generator().manual_seed(seed))
        prune_in_rounds(net, draw, KEEP, rounds=rounds)
        return [train(net)]
    ranking = ByMagnitude() if arm == "magnitude" else ByEmergence()
    found: list[float] = prune_in_rounds(
        net, ranking, KEEP, rounds=rounds, train=train, inputs=batch
    )
    return found


def summarized(
    runs: Sequence[Mapping[str, Any]], amount: Amount
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured, and the controls, from all seeds."""
    dense = [run["dense"] for run in runs]
    of = {arm: [run["accuracy"][arm] for run in runs] for arm in amount.arms}
    low, high = interval(of["magnitude"])
    measured = {
        "accuracy": figure(mean(of["magnitude"])),
        "interval": [figure(low), figure(high)],
        "kept": figure(mean(run["kept"]["magnitude"] for run in runs)),
        "less than dense": difference(dense, of["magnitude"]),
        "more than random": difference(of["magnitude"], of["random"]),
    }
    for arm in amount.arms[2:]:
        measured[f"accuracy of {arm}"] = figure(mean(of[arm]))
        measured[f"{arm} more than random"] = difference(of[arm], of["random"])
    return measured, {"dense": figure(mean(dense)), "random": figure(mean(of["random"]))}


def holds(measured: Mapping[str, Any]) -> bool | None:
    """Matched with at most a tenth, and surely above random."""
    gain = measured["more than random"]
    matched = measured["less than dense"]["mean"] <= NEAR and measured["kept"] <= KEEP + 0.001
    if not matched or gain["mean"] <= 0:
        return False
    return True if gain["interval"][0] > 0 else None
