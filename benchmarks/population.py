"""Evaluations of a population for each CPU second on one thread, beside other ways to have them.

    python benchmarks/population.py [--json] [--members 300] [--dt 1.0] [--pairs 5]
                                    [--evotorch PYTHON] [--evosax PYTHON]

The network is 10-30-30-10: leaky cells with synapses that decay and a hard reset, 1,500 weights,
200 ms, which has to give the spikes of another such network; the loss is the squared distance of
trains filtered by 10 ms. `ours` is `Objective.population`; `loop` is the plain torch loop, a member
at a time, of which a few are run; `kernel` is what ours spends in machine code. Peers run in
environments of their own, whose Python is given: EvoTorch's PGPE with an objective for all members
at once, and Open_ES of evosax, which jax compiles. All are asked in turn, A B B A, on the same
weights; the losses must agree. Beside it, the gradient through a surrogate of one member: the plain
torch loop over the compiled adjoint; and runs of 180 ms of Hodgkin-Huxley cells at 0.1 ms.
Ratios are of CPU seconds, medians with quartiles.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import amphid as am
from amphid import dynamics, learning, models
from amphid.kernels import Chain
from amphid.measures.spike_trains import filtered

SIZES, DURATION, RATE = (10, 30, 30, 10), 200.0, 40.0  # cells, ms, Hz
GAIN, MEAN = 1.2, 0.3  # spread and mean of the weights of ten inputs
FEW = 3  # members of the loop
CALLS = 20  # gradients by the adjoint at each turn, as training asks for one after another
PEERS = Path(__file__).with_name("population_peers.py")


class CellState(NamedTuple):
    """State of cells with synapses that decay."""

    current: Tensor
    v: Tensor
    wait: Tensor  # steps that the cell is held for


class Cell(dynamics.Neuron[CellState]):
    """Leaky cell of 10 ms, reset and held for 2 ms, with synapses of 5 ms; it fires at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.convention(dynamics.FastSigmoid(0.1), reset_gradient=False)

    def init(self, like: Tensor) -> CellState:
        """At rest."""
        return CellState(*(torch.zeros_like(like) for _ in range(3)))

    def step(self, state: CellState, current: Tensor, dt: float) -> tuple[CellState, Tensor]:
        """A jump of the current by what arrives, and the membrane."""
        current = state.current * math.exp(-dt / 5) + current
        kept = math.exp(-dt / 10)
        v, wait = state.v * kept + (1 - kept) * current, state.wait - 1
        free = (wait <= 0).to(v.dtype)
        spike = self.surrogate(v - 1.0) * free
        wait = torch.where(spike.detach() > 0, 2.0 / dt, wait)
        return CellState(current, v * (1 - spike.detach()) * (wait <= 0), wait), spike


class Distance(NamedTuple):
    """Squared distance of filtered trains over that of silence."""

    dt: float
    silence: float

    def __call__(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The loss of trains [T, N] for the trace [T, N] that they should leave."""
        return (filtered(outputs, 10.0, self.dt) - target).square().sum() / self.silence


def network() -> nn.Module:
    """The layers, in float32."""
    pairs = pairwise(SIZES)
    return am.Sequential(*(m for a, b in pairs for m in (nn.Linear(a, b, bias=False), Cell())))


def drawn(members: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights [S, K, I] of networks with activity in all layers."""
    return {
        f"{2 * layer}.weight": GAIN
        * math.sqrt(10 / a)
        * torch.randn(members, b, a, generator=generator)
        + MEAN * 10 / a
        for layer, (a, b) in enumerate(pairwise(SIZES))
    }


def task(dt: float, generator: torch.Generator) -> learning.Objective:
    """The spikes of a hidden network for spikes that come by chance."""
    net, steps = network(), round(DURATION / dt)
    x = (torch.rand(steps, SIZES[0], generator=generator) < RATE * dt / 1000).float()
    teacher = {name: own[0] for name, own in drawn(1, generator).items()}
    with torch.no_grad():
        spikes = torch.func.functional_call(net, teacher, (x,), {"dt": dt})
        target = filtered(spikes, 10.0, dt)
    loss = Distance(dt, float(target.square().sum()))
    return learning.Objective(net, x, target, loss, dt=dt)


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


class InCode:
    """CPU seconds that chains spend in machine code while it is entered."""

    def __enter__(self) -> InCode:
        self.seconds, self.before = 0.0, Chain.run

        def timed(chain: Chain, *given: Any) -> Tensor:
            start = time.process_time()
            found = self.before(chain, *given)
            self.seconds += time.process_time() - start
            return found

        Chain.run = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        Chain.run = self.before  # type: ignore[method-assign]


class Peer:
    """A worker that goes one generation when told to."""

    def __init__(self, name: str, python: str, problem: Path) -> None:
        self.process = subprocess.Popen(
            [python, str(PEERS), name, str(problem)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.losses: list[float] = self._line()["losses"]

    def seconds(self) -> float:
        """CPU seconds of a generation."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line()["seconds"])

    def _line(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit("a peer ended before it answered")


def alternated(ways: dict[str, Callable[[], float]], pairs: int) -> dict[str, list[float]]:
    """Seconds of each, asked in turn there and back."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(pairs):
        for name in (*ways, *reversed(ways)):
            found[name].append(ways[name]())
    return found


def ratio(slow: list[float], fast: list[float]) -> list[float]:
    """Quartiles of the seconds of one over those of another, pair by pair."""
    halves = [(sum(slow[k : k + 2]) / sum(fast[k : k + 2])) for k in range(0, len(fast), 2)]
    return [round(value, 1) for value in statistics.quantiles(halves, n=4)]


def population(dt: float, members: int, pairs: int, peers: dict[str, str]) -> dict[str, Any]:
    """Evaluations for each CPU second of all ways, and how many times ours they are."""
    generator = torch.Generator().manual_seed(0)
    objective, weights = task(dt, generator), drawn(members, generator)
    ours, few = objective.population(weights), {k: own[:FEW] for k, own in weights.items()}

    def loop() -> None:
        with torch.no_grad(), dynamics.step_by_step():
            plain = [objective({k: own[s] for k, own in few.items()}) for s in range(FEW)]
        apart["loop"] = float((torch.stack(plain) - ours[:FEW]).abs().max())

    inside: list[float] = []

    def own() -> float:
        with InCode() as code:
            seconds = cpu(lambda: objective.population(weights))
        inside.append(code.seconds)
        return seconds

    apart: dict[str, float] = {}
    ways = {"ours": own, "loop": lambda: cpu(loop) * members / FEW}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        save(path, dt, objective, weights)
        for name, python in peers.items():
            peer = Peer(name, python, path)
            ways[name] = peer.seconds
            apart[name] = float((torch.tensor(peer.losses) - ours).abs().max())
        seconds = alternated(ways, pairs)
    seconds["kernel"] = inside
    others = [name for name in ways if name != "ours"]
    return {
        "each_cpu_second": {k: round(members / statistics.median(v)) for k, v in seconds.items()},
        "times": {name: ratio(seconds[name], seconds["ours"]) for name in others},
        "largest_difference_of_losses": apart,
    }


def save(path: Path, dt: float, objective: learning.Objective, weights: dict[str, Tensor]) -> None:
    """The problem as peers read it, with weights [S, P] of inputs by cells, layer by layer."""
    flat = torch.cat([own.mT.flatten(1) for own in weights.values()], 1)
    kept = [math.exp(-dt / tau) for tau in (5, 10, 10)]
    np.savez(
        path,
        sizes=np.array(SIZES),
        numbers=np.array([*kept, 2.0 / dt, objective.loss.silence]),  # type: ignore[attr-defined]
        x=objective.inputs.numpy(),
        target=objective.targets.numpy(),
        members=flat.numpy(),
    )


def gradient(pairs: int) -> dict[str, Any]:
    """The gradient through a surrogate of one member, by the plain loop and by the adjoint."""
    generator = torch.Generator().manual_seed(0)
    objective = task(1.0, generator)
    params = {name: own[0].requires_grad_() for name, own in drawn(1, generator).items()}
    estimator, found = learning.Backprop(), {}

    def fast() -> None:
        found["fast"] = estimator(objective, params)[1]

    def plain() -> None:
        with dynamics.step_by_step():
            found["plain"] = estimator(objective, params)[1]

    def often() -> float:
        return cpu(lambda: [fast() for _ in range(CALLS)]) / CALLS

    fast()
    seconds = alternated({"fast": often, "plain": lambda: cpu(plain)}, pairs)
    apart = [
        float((a - b).norm() / b.norm())
        for a, b in zip(found["fast"].values(), found["plain"].values(), strict=True)
    ]
    return {
        "ms": {name: round(1e3 * statistics.median(own), 2) for name, own in seconds.items()},
        "times": ratio(seconds["plain"], seconds["fast"]),
        "relative_difference": max(apart),
    }


def biophysical(members: int, pairs: int) -> dict[str, Any]:
    """Runs of 180 ms for each CPU second, and ns for a step of a cell in machine code."""
    generator, steps = torch.Generator().manual_seed(0), 1800
    cells = (dynamics.HodgkinHuxley.cortical(terminal=dynamics.SigmoidRelease()) for _ in SIZES)
    layers = [
        part
        for (a, b), cell in zip(pairwise(SIZES), cells, strict=False)
        for part in (nn.Linear(a, b, bias=False), models.Gain(80.0), cell)
    ]
    x = (torch.rand(steps, SIZES[0], generator=generator) < 0.002).float()
    net = am.Sequential(*layers)
    objective = learning.Objective(net, x, torch.zeros(()), nn.MSELoss(), dt=0.1)
    weights = {
        name: torch.randn(members, *own.shape, generator=generator)
        for name, own in net.named_parameters()
    }
    objective = learning.Objective(net, x, torch.zeros(steps, SIZES[-1]), nn.MSELoss(), dt=0.1)
    objective.population(weights)
    seconds, inside = [], []
    for _ in range(2 * pairs):
        with InCode() as code:
            seconds.append(cpu(lambda: objective.population(weights)))
        inside.append(code.seconds)
    each = statistics.median(inside) / members / steps / sum(SIZES[1:])
    return {
        "runs_each_cpu_second": round(members / statistics.median(seconds)),
        "ns_a_cell_and_step": round(1e9 * each, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--members", type=int, default=300)
    parser.add_argument("--dt", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--evotorch", metavar="PYTHON")
    parser.add_argument("--evosax", metavar="PYTHON")
    told = parser.parse_args()
    torch.set_num_threads(1)
    peers = {name: getattr(told, name) for name in ("evotorch", "evosax") if getattr(told, name)}
    found = {
        "population": population(told.dt, told.members, told.pairs, peers),
        "gradient": gradient(told.pairs),
        "hodgkin_huxley": biophysical(16, told.pairs),
    }
    if told.json:
        print(json.dumps(found))
        return
    for what, own in found.items():
        print(what, *(f"  {name}: {value}" for name, value in own.items()), sep="\n")


if __name__ == "__main__":
    main()
