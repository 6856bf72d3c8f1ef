"""A training step of a layer on an accelerator, beside other ways to take it.

    python benchmarks/accelerator_layers.py [--device cuda] [--cells 512 16000] [--steps 500]
                                            [--batch 16] [--repeat 9] [--tf32] [--json]

One layer of leaky cells behind a linear map of as many inputs, in single precision: forward and
backward, by the wall clock, the ways alternating. `amphid` runs the sequence as one kernel each
way, `loop` the same cells one operation of torch at a time, `products` nothing but the two matrix
products that no way can do without; `snntorch` (the loop of its documentation) and `spikingjelly`
(multi-step; it picks its backend by the device) stand beside them where they are installed. Loss
and norm of the gradient are printed: `loop` and `spikingjelly` must give those of `amphid`.
--device cpu with a few cells is what a processor can run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from amphid import dynamics

BETA = 0.9
Model = Callable[[Tensor], Tensor]


def cell() -> dynamics.LIF:
    """v <- 0.9 v + I; a spike above 1 takes 1 off, and the reset is differentiated."""
    return dynamics.LIF(
        tau=-1 / math.log(BETA), resistance=1 / (1 - BETA), v_rest=0.0, v_threshold=1.0,
        v_reset=None, surrogate=dynamics.Arctan(width=1 / math.pi), reset_gradient=True,
    )  # fmt: skip


def amphid(linear: nn.Linear) -> Model:
    cells = cell()
    return lambda x: cells(linear(x))


def loop(linear: nn.Linear) -> Model:
    cells = cell()

    def model(x: Tensor) -> Tensor:
        with dynamics.step_by_step():
            return cells(linear(x))

    return model


def products(linear: nn.Linear) -> Model:
    return linear


def snntorch(linear: nn.Linear) -> Model:
    import snntorch as snn

    cells = snn.Leaky(beta=BETA)

    def model(x: Tensor) -> Tensor:
        v, given = cells.init_leaky(), []
        for now in x:
            spikes, v = cells(linear(now), v)
            given.append(spikes)
        return torch.stack(given)

    return model


def spikingjelly(linear: nn.Linear) -> Model:
    from spikingjelly.activation_based import functional, neuron, surrogate

    cells = neuron.LIFNode(
        1 / (1 - BETA), decay_input=False, v_reset=None, surrogate_function=surrogate.ATan(),
        step_mode="m",
    )  # fmt: skip

    def model(x: Tensor) -> Tensor:
        functional.reset_net(cells)
        return cells(linear(x))

    return model


WAYS = (amphid, loop, products, snntorch, spikingjelly)


def there(way: Callable[[nn.Linear], Model]) -> bool:
    """Whether what a way needs is installed."""
    name = way.__name__
    return name in ("amphid", "loop", "products") or importlib.util.find_spec(name) is not None


def measure(cells: int, options: argparse.Namespace) -> dict[str, Any]:
    device, draw = torch.device(options.device), torch.Generator().manual_seed(0)
    x = torch.randn(options.steps, options.batch, cells, generator=draw).to(device)
    linear = nn.Linear(cells, cells, bias=False)
    linear.weight.data = torch.randn(cells, cells, generator=draw) * 0.5 / cells**0.5
    linear.to(device)
    ways = {way.__name__: way(linear) for way in WAYS if there(way)}
    told = {name: taken(model, linear, x) for name, model in ways.items()}  # compiled and warm
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.repeat):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            seconds[name].append(taken(ways[name], linear, x)["seconds"])
    rows = {
        name: {
            "ms": round(1e3 * statistics.median(own), 3),
            "over_amphid": quartiles([a / b for a, b in zip(own, seconds["amphid"], strict=True)]),
            "loss": told[name]["loss"],
            "gradient": told[name]["gradient"],
        }
        for name, own in seconds.items()
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"cells": cells, "device": name, "tf32": options.tf32, "ways": rows}


def quartiles(ratios: list[float]) -> list[float]:
    return [round(value, 2) for value in statistics.quantiles(ratios, n=4)]


def taken(model: Model, linear: nn.Linear, x: Tensor) -> dict[str, float]:
    """One step, with the device at rest before and after it."""
    linear.weight.grad = None
    settle(x)
    began = time.perf_counter()
    loss = model(x).sum()
    loss.backward()
    settle(x)
    seconds = time.perf_counter() - began
    assert linear.weight.grad is not None
    norm = float(linear.weight.grad.norm())
    return {"seconds": seconds, "loss": float(loss.detach()), "gradient": norm}


def settle(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def in_words(found: dict[str, Any]) -> str:
    lines = [f"{found['cells']:,} cells on {found['device']}{', TF32' if found['tf32'] else ''}"]
    for name, row in found["ways"].items():
        low, middle, high = row["over_amphid"]
        lines.append(
            f"  {name:13} {row['ms']:9.3f} ms, {middle} times amphid ({low}-{high}); loss "
            f"{row['loss']:.6g}, gradient {row['gradient']:.6g}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cells", type=int, nargs="+", default=[512, 16_000])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--tf32", action="store_true", help="matrix products in TF32")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each size")
    options = parser.parse_args(argv)
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    for cells in options.cells:
        found = measure(cells, options)
        print(json.dumps(found) if options.json else in_words(found), flush=True)


if __name__ == "__main__":
    main()
