"""The torch engine on an accelerator: time of a step beside the bytes that it must move.

    python benchmarks/accelerator.py [--device cuda] [--json] [--only NAME] [--share 0.01]

Two networks in single precision: the worm with 10,000 stimuli side by side (`worm`), and a network
of the size of the adult fly's brain, 138,639 cells with 15 million connections of one delay
(`brain`). A step is timed by the wall clock, as the difference of a long run and a short one;
replayed as graphs, and launched one operation at a time.

A step must at least read every connection (4 bytes of weight, 4 of a cell; none where a matrix
serves all trials) and read and write every number of the state, read the current, and write what is
recorded: `least_mb`. Each operation by itself moves more, since it reads its inputs and writes its
result: `moved_mb`, counted as the operations of one step run. `bandwidth` is what copying a large
tensor reaches on the same device, and `bound_ms` and `moved_ms` are the bytes over it: the time
that no program can beat, and the time that this one would take if memory were all it waited for.
--share makes both networks smaller, and is what a processor can run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import amphid as am
from amphid import dynamics, wiring
from amphid.simulation.simulate import Task
from amphid.simulation.stepping import choose

STEPS, SHORT = 512, 64  # of a long run and of a short one
BRAIN_CELLS, BRAIN_INDEGREE, WORM_STIMULI = 138_639, 108, 10_000


def worm(share: float) -> tuple[am.Network, am.Stimulus, tuple[str, ...]]:
    """Graded cells, each stimulus a current of its own into one touch cell; one voltage is kept."""
    wired = wiring.celegans().signed(wiring.by_transmitter)
    net = am.Network(wired, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses())
    trials = max(1, round(WORM_STIMULI * share))
    current = torch.linspace(1.0, 20.0, trials)[None, :, None].expand(STEPS, -1, -1)
    cells = torch.tensor([wired.index("PLML")])
    return net, am.simulation.Stimulus(current, cells, len(wired), 0.5), ("v",)


def brain(share: float) -> tuple[am.Network, am.Stimulus, tuple[str, ...]]:
    """Leaky cells that fire at random drive; spikes are kept."""
    draw = torch.Generator().manual_seed(0)
    cells = max(2000, round(BRAIN_CELLS * share))
    wired = wiring.fixed_indegree(cells, indegree=BRAIN_INDEGREE, generator=draw)
    groups = {
        "excitatory": dynamics.Exponential(tau=5.0, amplitude=0.5),
        "inhibitory": dynamics.Exponential(tau=5.0, amplitude=-2.0),
    }
    neuron = dynamics.Refractory(dynamics.LIF(), period=2.0)
    net = am.Network(wired, neuron=neuron, synapse=groups)
    push = torch.full((1, 1), 160.0).expand(STEPS, cells)
    return net, am.simulation.Stimulus(push, torch.arange(cells), cells, 0.1), ("spike",)


WORKLOADS = {"worm": worm, "brain": brain}


class Moved(TorchDispatchMode):
    """Counts the bytes that operations read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.bytes += sum(map(held, tensors((args, kwargs, result))))
        return result


def tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor))


def held(tensor: Tensor) -> int:
    """Bytes of a tensor, each number once however often it is shown."""
    if tensor.layout is torch.sparse_csr:
        return sum(map(held, (tensor.crow_indices(), tensor.col_indices(), tensor.values())))
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


@torch.no_grad()
def bytes_of_a_step(net: am.Network, drive: am.Stimulus, record: tuple[str, ...]) -> dict[str, int]:
    """What a step must move at the least, and what its operations move."""
    drive = drive.to(net.weight)
    task = Task(net, drive.current, drive.cells, drive.dt, record, 1, None, None)
    external = task.currents(0, 1)[0]
    wires = net.wires(drive.dt, rows=net.weight.device.type != "cpu")
    stepper = choose(net, wires, drive.dt)
    state = stepper(net.init(external, wires), external)
    with Moved() as moved:
        after = stepper(state, external)
    numbers = sum(map(held, tensors(after._replace(past={}))))
    travelling = 2 * len(net.synapses) * external.numel() * 4  # one comes in, one goes out
    dense = [
        wire for wire in wires.values() for _, carry in wire._by_lag if carry.matrix is not None
    ]
    edges = 0 if dense else 8 * len(net.connectome.connections)
    least = 2 * numbers + travelling + edges + external.numel() * 4 * (1 + len(record))
    return {"least": least, "moved": moved.bytes}


def bandwidth(device: torch.device, megabytes: int = 256) -> float:
    """Bytes per second of a copy, read and written, the best of some."""
    source = torch.ones(megabytes << 18, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = []
    for _ in range(7):
        settle(device)
        began = time.perf_counter()
        target.copy_(source)
        settle(device)
        seconds.append(time.perf_counter() - began)
    return 2 * held(source) / min(seconds)


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def seconds_of_a_step(
    net: am.Network, drive: am.Stimulus, record: Any, replay: int | None
) -> float:
    """Seconds of a step, as the difference of a long run and a short one."""
    engine, seconds = am.Torch(replay=replay), []
    for steps in (SHORT, SHORT, STEPS):
        settle(net.weight.device)
        began = time.perf_counter()
        am.simulate(net, drive[:steps], record=record, engine=engine, every=SHORT)
        settle(net.weight.device)
        seconds.append(time.perf_counter() - began)
    return (seconds[2] - seconds[1]) / (STEPS - SHORT)


def measure(name: str, device: torch.device, share: float, repeat: int) -> dict[str, Any]:
    net, drive, record = WORKLOADS[name](share)
    net, drive = net.to(device), drive.to(net.to(device).weight)
    speed, told = bandwidth(device), bytes_of_a_step(net, drive, record)
    blocks = None if device.type == "cuda" else 16
    pairs = [
        (seconds_of_a_step(net, drive, record, blocks), seconds_of_a_step(net, drive, record, 0))
        for _ in range(repeat)
    ]
    replayed, launched = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "workload": name,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cells": len(net.connectome),
        "connections": len(net.connectome.connections),
        "trials": drive.current.shape[1] if drive.current.dim() > 2 else 1,
        "bandwidth_gb_s": round(speed / 1e9, 1),
        "least_mb": round(told["least"] / 1e6, 3),
        "moved_mb": round(told["moved"] / 1e6, 3),
        "bound_ms": round(1e3 * told["least"] / speed, 5),
        "moved_ms": round(1e3 * told["moved"] / speed, 5),
        "replayed_ms": round(1e3 * replayed, 5),
        "launched_ms": round(1e3 * launched, 5),
        "over_bound": round(replayed * speed / told["least"], 2),
    }


def in_words(found: dict[str, Any]) -> str:
    return (
        f"{found['workload']} on {found['device']}: {found['cells']:,} cells, "
        f"{found['connections']:,} connections, {found['trials']:,} trials\n"
        f"  a step takes {found['replayed_ms']} ms in blocks, {found['launched_ms']} ms one "
        f"operation at a time\n"
        f"  it must move {found['least_mb']} MB ({found['bound_ms']} ms at "
        f"{found['bandwidth_gb_s']} GB/s), its operations move {found['moved_mb']} MB "
        f"({found['moved_ms']} ms): {found['over_bound']} times the bound"
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="one JSON line per workload")
    parser.add_argument("--only", choices=WORKLOADS)
    parser.add_argument("--share", type=float, default=1.0, help="of the size of the networks")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(argv)
    for name in WORKLOADS:
        if options.only in (None, name):
            found = measure(name, torch.device(options.device), options.share, options.repeat)
            print(json.dumps(found) if options.json else in_words(found), flush=True)


if __name__ == "__main__":
    main()
