"""How often does the direction guard stop a fit in good order, and what does it cost?

    python benchmarks/direction_guard.py [--fits 200] [--json]

Ordinary fits of a small spiking net with labels drawn at random, each from other weights and
batches: by SGD with momentum, by Adam, with penalties, with random feedback, and by a noisy weak
gradient of two samples. The same with a flipped sign of the estimator. The cost is the share of the
processor time of a fit of 1,000 updates that its checks take.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import (
    L2,
    Backprop,
    EProp,
    Mollified,
    RandomFeedback,
    TotalSpikes,
    fit,
)
from amphid.learning.fitting.guard import Watch
from amphid.models import Sequential

UPDATES = 60


def network(draw: torch.Generator) -> Sequential:
    """7-5-3 cells with normal weights."""
    net = Sequential(nn.Linear(7, 5), LIF(resistance=10.0), nn.Linear(5, 3), LeakyIntegrator())
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return net


def batches(count: int, draw: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Inputs [13, 11, 7] and classes that mean nothing."""
    return [
        (5 * torch.rand(13, 11, 7, generator=draw), torch.randint(0, 3, (11,), generator=draw))
        for _ in range(count)
    ]


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Of the mean over time."""
    return nn.functional.cross_entropy(outputs.mean(0), labels)


class Flipped:
    """An estimator with the other sign."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __call__(self, loss: Any, params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The value, and gradients of the wrong sign."""
        value, found = self.estimator(loss, params)
        return value, {name: -own for name, own in found.items()}


def sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


def adam(params: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=0.01)


KINDS: dict[str, Callable[[torch.Generator], dict[str, Any]]] = {
    "momentum": lambda draw: {"make": sgd},
    "Adam": lambda draw: {"make": adam},
    "penalties": lambda draw: {"make": adam, "penalties": (L2(1e-3), TotalSpikes(1e-3))},
    "random feedback": lambda draw: {"make": adam, "estimator": EProp(RandomFeedback(draw))},
    "two samples": lambda draw: {"make": adam, "estimator": Mollified(draw, samples=2)},
}


def stopped(kind: str, seed: int, *, flipped: bool) -> int | None:
    """After how many updates a fit was stopped, None where it was not."""
    draw, seen = torch.Generator().manual_seed(seed), [0]
    asked = KINDS[kind](draw)
    if flipped:
        asked["estimator"] = Flipped(asked.get("estimator", Backprop()))
    net = network(draw)
    optimizer = asked.pop("make")(net.parameters())
    try:
        fit(
            net, batches(UPDATES, draw), cross_entropy, optimizer=optimizer, progress=None,
            callbacks=[lambda now: seen.append(now.update)], **asked,
        )  # fmt: skip
    except ValueError:
        return max(seen) + 1
    return None


def cost() -> float:
    """Share of the processor time of 1,000 updates that is spent in the guard, median of seven."""
    return statistics.median(share() for _ in range(7))


def share() -> float:
    """Of one fit: what its guard took, over the whole."""
    spent = [0.0]

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            start = time.process_time()
            try:
                return method(*given)
            finally:
                spent[0] += time.process_time() - start

        return run

    draw = torch.Generator().manual_seed(0)
    net, data = network(draw), batches(100, draw)
    begun = time.process_time()
    with mock.patch.object(Watch, "check", timed(Watch.check)):
        fit(
            net, data, cross_entropy, optimizer=adam(net.parameters()), epochs=10,
            penalties=(L2(1e-3),), progress=None,
        )  # fmt: skip
    return spent[0] / (time.process_time() - begun)


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    for kind in KINDS:
        false = [stopped(kind, seed, flipped=False) for seed in range(args.fits)]
        true = [stopped(kind, seed, flipped=True) for seed in range(args.fits)]
        caught = sorted(after for after in true if after is not None)
        found[kind] = {
            "stopped in good order": sum(after is not None for after in false),
            "flipped, stopped": len(caught),
            "median updates": statistics.median(caught) if caught else None,
            "fits": args.fits,
        }
    found["cost of 1,000 updates"] = round(cost(), 4)
    print(json.dumps(found) if args.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
