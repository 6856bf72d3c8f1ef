"""What does counting paths cost, beside looking at every connection once, or running the net once?

    python benchmarks/emergence.py [--connections 10000000] [--pixels 224] [--repeat 3] [--json]

A random connectome with 1 % as many cells as connections, of which half are active: paths of up to
4 and up to 20 connections, and all paths where cells stand in 20 layers. Beside it, one product of
the sparse matrix of connections, a tenth of a connectome (a cost that is linear is a tenth), and
for modules a net of the size of ResNet-18 on two images, beside its forward pass on these. Figures
are CPU seconds on one thread; a ratio is taken within a pair of runs, A B B A, and given with
quartiles.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from amphid import measures, wiring

LAYERS = 20
WIDTHS = (64, 128, 256, 512)


class Block(nn.Module):
    """Two convolutions with norms beside a skip connection."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        short = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
        self.skip = nn.Sequential(*(short if stride > 1 else []))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, before, H, W] to [B, after, H, W], or half as wide and high."""
        return (self.way(x) + self.skip(x)).relu()


def residual() -> nn.Module:
    """11.7 million weights in 18 layers, as ResNet-18 has them."""
    parts: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    parts.append(nn.MaxPool2d(3, 2, 1))
    for place, width in enumerate(WIDTHS):
        parts.append(Block(WIDTHS[max(place - 1, 0)], width, 2 if place else 1))
        parts.append(Block(width, width, 1))
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 1000)]
    return nn.Sequential(*parts).eval()


def random(connections: int) -> wiring.Connectome:
    """Connections between any two of a hundredth as many cells."""
    draw, cells = np.random.default_rng(1), connections // 100
    return wired(cells, *draw.integers(cells, size=(2, connections)))


def layered(connections: int) -> wiring.Connectome:
    """The same in 20 layers, from each to the next."""
    draw, width = np.random.default_rng(1), connections // 100 // LAYERS
    pre = draw.integers(width * (LAYERS - 1), size=connections)
    post = (pre // width + 1) * width + draw.integers(width, size=connections)
    return wired(width * LAYERS, pre, post)


def wired(cells: int, pre: Any, post: Any) -> wiring.Connectome:
    named = wiring.Cells([str(cell) for cell in range(cells)])
    return wiring.Connectome(named, wiring.Connections(pre, post))


def product(net: wiring.Connectome) -> Callable[[], Any]:
    """Every connection looked at once."""
    wires, size = net.connections, (len(net), len(net))
    ones = np.ones(len(wires))
    matrix = scipy.sparse.csr_array((ones, (wires.pre, wires.post)), shape=size)
    return lambda: matrix @ np.ones(len(net))


def cpu(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def beside(one: Callable[[], Any], other: Callable[[], Any], repeat: int) -> dict[str, Any]:
    """CPU seconds of one, and how many times those of the other, with quartiles."""
    took, ratios = [], []
    for _ in range(repeat):
        first, second, third, last = cpu(one), cpu(other), cpu(other), cpu(one)
        took += [first, last]
        ratios.append((first + last) / (second + third))
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"seconds": statistics.median(took), "ratio": middle, "quartiles": [low, high]}


def counting(net: wiring.Connectome, longest: int | None) -> Callable[[], Any]:
    active = np.random.default_rng(2).random(len(net)) < 0.5
    return lambda: measures.emergence(net, active, longest=longest)


def figures(connections: int, pixels: int, repeat: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, made, longest in (
        ("paths of up to 4", random, 4),
        ("paths of up to 20", random, 20),
        ("all paths of 20 layers", layered, None),
    ):
        net, tenth = made(connections), made(connections // 10)
        one, small = counting(net, longest), counting(tenth, longest)
        found[name] = beside(one, product(net), repeat)
        found[f"{name}, beside a tenth of it"] = beside(one, small, repeat)
    model, x = residual(), torch.randn(2, 3, pixels, pixels)
    found["residual net"] = beside(
        lambda: measures.emergence(model, x), lambda: model(x).sum(), repeat
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000_000)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = figures(asked.connections, asked.pixels, asked.repeat)
    if asked.json:
        print(json.dumps(found))
        return
    for name, told in found.items():
        low, high = told["quartiles"]
        print(
            f"{name:45} {told['seconds']:8.3f} s {told['ratio']:8.1f} x ({low:.1f} to {high:.1f})"
        )


if __name__ == "__main__":
    main()
