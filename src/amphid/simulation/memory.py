"""What a run will take of memory, told before anything is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from amphid.kernels import common_shape
from amphid.simulation.replay import LONGEST, WINDOW
from amphid.simulation.simulate import Task
from amphid.simulation.torch_engine import BLOCK, ROOM
from amphid.simulation.wires import DENSE_CELLS, longest_delay

VARIABLES = 16  # numbers that a cell and its synapses keep, roughly
DRAWING = 48  # bytes to draw a number of spikes in torch
INDICES = 28  # bytes that a connection takes besides its weights: ends, delays, order
WEIGHTS = 3  # copies of the weights of a trial: with signs, by group, in order


def check_memory(task: Task) -> None:
    """Raise MemoryError, in a sentence, where a run would need more than there is.

    What a gradient keeps, and spikes, of which nobody knows how many there will be, are not
    counted.
    """
    free = available(task.network.weight.device)
    items = needs(task)
    total = sum(items.values())
    if free is None or total <= free:
        return
    largest = max(items, key=items.__getitem__)
    raise MemoryError(
        f"this run needs about {_told(total)}, and {_told(free)} are free. Most of it, "
        f"{_told(items[largest])}, is {largest}: {_way_out(task, largest)}."
    )


def needs(task: Task) -> dict[str, int]:
    """Bytes that a run takes, by what they hold."""
    return dict(_items(task))


def available(device: torch.device) -> int | None:
    """Bytes that are free for this process, or None where nobody tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [bytes_left for bytes_left in (_of_the_machine(), *_of_the_group()) if bytes_left]
    return min(found, default=None)


def _items(task: Task) -> Iterator[tuple[str, int]]:
    network, width = task.network, task.network.weight.element_size()
    trials = math.prod(common_shape(task.batch, network.batch))
    cells, edges = len(network.connectome), len(network.connectome.connections)
    samples = task.steps // task.every
    for name in task.record:
        if name != "spike":
            kept = len(task.kept.get(name, range(cells)))
            among = f", {trials:,} trials" if trials > 1 else ""
            told = f"{name} ({samples:,} samples, {kept:,} cells{among})"
            yield told, samples * trials * kept * width
    at_once = trials if not network.trials else 1  # portions keep the rest of it small
    yield "the state of all cells", at_once * VARIABLES * cells * width
    yield "what is under way", at_once * 2 * len(network.synapses) * _longest(task) * cells * width
    draws = math.prod(network.weight.shape[:-1])
    yield "the weights", WEIGHTS * draws * edges * width
    yield "the connections", INDICES * edges
    if cells <= DENSE_CELLS:
        yield "the matrices of the torch engine", 2 * len(network.synapses) * cells**2 * width
    chunk = min(min(task.steps, 64) * cells * trials, max(ROOM, cells * trials))
    if _replays(task):  # currents, spikes, and their copy
        most = min(task.steps, LONGEST) * cells * trials
        chunk = 3 * min(most, max(WINDOW, BLOCK * cells * trials))
    drawn = DRAWING * chunk if task.sources else 0
    yield "the stimulus", (task.stimulus.numel() + chunk) * width + drawn


def _replays(task: Task) -> bool:
    return task.network.weight.device.type == "cuda"


def _longest(task: Task) -> int:
    return 1 + round(longest_delay(task.network.connectome) / task.dt)


def _way_out(task: Task, largest: str) -> str:
    if largest.partition(" (")[0] in task.record:
        name = largest.partition(" (")[0]
        return (
            f"record it of fewer cells (record={{{name!r}: ['...']}}), take fewer samples (a "
            "larger every), or run fewer trials at once"
        )
    if largest in ("the weights", "the state of all cells", "what is under way"):
        return "run fewer trials at once, or the network in single precision"
    return "run a smaller network, or a shorter stimulus"


def _of_the_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _of_the_group() -> Iterator[int]:
    """What the control group of this process may still take, by either version."""
    root = Path("/sys/fs/cgroup")
    for limit, used in (
        (root / "memory.max", root / "memory.current"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.usage_in_bytes"),
    ):
        try:
            yield max(int(limit.read_text()) - int(used.read_text()), 1)
        except (OSError, ValueError):
            continue


def _told(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB" if count < 1000 else f"{count:,.0f} TB"
