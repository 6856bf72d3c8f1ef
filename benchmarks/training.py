"""A training step of this package beside other libraries that train spiking networks.

    python benchmarks/training.py [--json] [--repeat 8] [--snntorch PYTHON] [--spikingjelly PYTHON]
                                  [--spyx PYTHON]

CPU seconds of one forward and backward pass, each program on one core, two workers alternating in
the order A B B A; ratios with quartiles. Peers run in environments of their own, whose Python is
given. Workloads: `dense`, one layer 512 -> 512, batch 16, 500 steps; `sparse`, 700-256-256-20,
batch 64, 100 steps, 5 % of the inputs are spikes; `recurrent-1` and `recurrent-8`, 302 cells with
6,400 connections, 1,000 steps, that batch; `user`, the sparse net of a cell written by a user,
beside the same cell in a loop by hand. `products` is the least that the dense layer can cost: its
two matrix products. Loss, firing rate and norm of the gradient stand beside each other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engines import paired

STEPS = Path(__file__).with_name("training_steps.py")
PAIRS = {
    "dense": ("products", "loop", "snntorch", "spikingjelly", "spyx"),
    "sparse": ("loop", "snntorch", "spikingjelly", "spyx"),
    "recurrent-1": ("loop",),
    "recurrent-8": ("loop",),
}


class Worker:
    """A process that takes one step at a time."""

    def __init__(self, library: str, workload: str, python: str, cache: str | None = None) -> None:
        words = [python, "-W", "ignore", str(STEPS), library, workload]
        own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        own |= {} if cache is None else {"AMPHID_CACHE": cache}
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | own,
        )
        self.first = self._heard()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()

    def step(self) -> float:
        """CPU seconds of a step."""
        return float(self._asked("step")["seconds"])

    def memory(self) -> float:
        """MB that a step needs above what is held between steps."""
        return float(self._asked("memory")["mb"])

    def _asked(self, what: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(map(str, self.process.args))} gave no answer.")
        found: dict[str, Any] = json.loads(line)
        return found


def compared(workload: str, peer: str, python: str, repeat: int, ours: str = "amphid") -> Any:
    """One workload of ours and of a peer."""
    with Worker(ours, workload, sys.executable) as own, Worker(peer, workload, python) as other:
        found = {"workload": workload, "beside": peer} | paired(own.step, other.step, repeat)
        same = {
            name: [round(worker.first[name], 4) for worker in (own, other)]
            for name in ("loss", "rate", "gradient")
        }
        return found | same | {"mb": [own.memory(), other.memory()]}


def first_calls() -> dict[str, Any]:
    """CPU seconds of the first step in a process, machine code compiled and then read."""
    with tempfile.TemporaryDirectory() as cache:
        times = []
        for _ in range(2):
            with Worker("amphid", "sparse", sys.executable, cache) as worker:
                times.append(worker.first["first_s"])
                step = worker.step()
    cold, cached = (round(seconds - step, 2) for seconds in times)
    return {"workload": "first call", "cold_s": cold, "cached_s": cached}


def main() -> None:
    """Measure what can be measured here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line of JSON for each comparison")
    parser.add_argument("--repeat", type=int, default=8, help="pairs of steps")
    for peer in ("snntorch", "spikingjelly", "spyx"):
        parser.add_argument(f"--{peer}", metavar="PYTHON", help="of an environment that has it")
    options = parser.parse_args()
    pythons = {"loop": sys.executable, "products": sys.executable}
    pythons |= {peer: own for peer, own in vars(options).items() if isinstance(own, str)}
    for workload, peers in PAIRS.items():
        for peer in (peer for peer in peers if peer in pythons):
            show(compared(workload, peer, pythons[peer], options.repeat), options)
    found = compared("sparse", "loop-user", sys.executable, options.repeat, ours="user")
    show(found | {"workload": "user"}, options)
    show(first_calls(), options)


def show(found: dict[str, Any], options: argparse.Namespace) -> None:
    """One line, or one line of JSON."""
    if options.json:
        print(json.dumps(found), flush=True)
    elif "ratio" in found:
        low, high = found["quartiles"]
        ours, other = found["mb"]
        print(
            f"{found['workload']:12} {found['beside']:13} {found['ratio']:6.2f}x  "
            f"({low:.2f}-{high:.2f})  {1000 * found['ours']:7.1f} ms, {ours:5.0f} MB; "
            f"peer {1000 * found['peer']:7.1f} ms, {other:5.0f} MB",
            flush=True,
        )
    else:
        print(f"first call   {found['cold_s']} s of CPU time, {found['cached_s']} s once cached")


if __name__ == "__main__":
    main()
