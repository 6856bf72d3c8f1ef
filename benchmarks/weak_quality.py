"""How far weak gradients get with a number of evaluations of a loss, beside other black boxes.

    python benchmarks/weak_quality.py [--json] [--evaluations 30000] [--seeds 4] [--only NAME]
                                      [--evotorch PYTHON] [--cma PYTHON]

A network of leaky cells, 10-30-30-10, with exponential synapses and a hard reset, has 1,500 weights
and runs for 200 ms at 1 ms. `teacher` asks for the spikes of another such network, `auto` for those
that come in. The loss is the squared van Rossum distance at 10 ms, over that of silence.

`pairs` are antithetic samples with a loss for each output; `surrogate first` spends half of the
evaluations on the gradient through a surrogate, each counted as seven, then pairs; `surrogate`
spends all of them so; `published` is least squares by 900 samples, one layer at a time. Peers run
in environments of their own, whose Python is given: PGPE and SNES of EvoTorch, and separable CMA-ES
of pycma; the loss is that at the center of their search, as ours is that of the parameters. All
have the same problems, one for each seed, starts, losses and numbers of evaluations. The settings
of `pairs` were chosen on seeds 10 and 11, which are not among those that are reported. Mean over
the seeds, each of them, and CPU seconds a run without those of a peer's own process.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import amphid as am
from amphid import dynamics, learning

SIZES, STEPS, RATE = (10, 30, 30, 10), 200, 40.0  # cells, ms, Hz
GAIN, MEAN = 1.2, 0.3  # spread and mean of the weights of ten inputs
START = 0.7  # spread of the weights that training starts from, beside that of a teacher
PEERS = Path(__file__).with_name("weak_peers.py")
SAMPLES = 4  # of pairs at each step
POLISHING = 16  # the same behind a surrogate
SURROGATE_COST = 7  # evaluations that one gradient through a surrogate counts as


class CellState(NamedTuple):
    """State of cells with synapses that decay."""

    current: Tensor  # pA
    v: Tensor  # mV
    held: Tensor  # steps that the cell is still held for


class Cell(dynamics.Neuron[CellState]):
    """Leaky cell that is reset and held for 2 ms, with synapses that decay in 5 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.convention(dynamics.FastSigmoid(0.04), reset_gradient=False)

    def init(self, like: Tensor) -> CellState:
        """At rest."""
        return CellState(*(torch.zeros_like(like) for _ in range(3)))

    def step(self, state: CellState, current: Tensor, dt: float) -> tuple[CellState, Tensor]:
        """A jump of the current by what arrives, and a membrane of 10 ms."""
        current = state.current * math.exp(-dt / 5) + current
        kept = math.exp(-dt / 10)
        v = torch.where(state.held > 0, 0.0, state.v * kept + (1 - kept) * current)
        spike = self.surrogate(v - 1.0)
        held = torch.where(spike.detach() > 0, 2.0 / dt - 1, (state.held - 1).clamp(min=0))
        return CellState(current, v * (1 - spike.detach()), held), spike


def network(generator: np.random.Generator, spread: float = 1.0) -> nn.Module:
    """Cells with weights that keep all layers firing, of a spread about their mean."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(SIZES):
        linear = nn.Linear(inputs, outputs, bias=False)
        with torch.no_grad():
            drawn = torch.from_numpy(generator.standard_normal((inputs, outputs))).T
            own = GAIN * spread * math.sqrt(10 / inputs)
            linear.weight.copy_(drawn * own + MEAN * 10 / inputs)
        layers += [linear, Cell()]
    return am.models.Sequential(*layers)


@dataclass(frozen=True, eq=False)
class Problem:
    """Spikes that come in [T, 1, 10], and those that are asked for."""

    inputs: Tensor
    targets: Tensor

    @staticmethod
    def named(name: str, seed: int) -> Problem:
        """`teacher` or `auto`, of a seed."""
        draw = np.random.default_rng(100 + seed)
        inputs = torch.from_numpy(draw.random((STEPS, 1, SIZES[0])) < RATE / 1000).float()
        with torch.no_grad():
            targets = network(draw)(inputs) if name == "teacher" else inputs.clone()
        return Problem(inputs, targets)

    def objective(self, model: nn.Module) -> learning.Objective:
        """The distance of the spikes of a network, one for each output."""
        loss = learning.Credited(learning.VanRossum(tau=10.0), outputs=True)
        return learning.Objective(model, self.inputs, self.targets, loss)

    def loss(self, distance: Tensor) -> float:
        """Distances of outputs over that of silence."""
        silence = learning.VanRossum(tau=10.0)(torch.zeros_like(self.targets), self.targets)
        return float(distance.mean() / silence)


class Phase(NamedTuple):
    """A stretch of training: an estimator, what each of its calls costs, and learning rates."""

    estimator: Callable[[torch.Generator, int], Any]  # of generator and number of calls
    cost: int
    share: float
    rate: float
    last: float  # rate at the end
    memory: float = 0.999  # of Adam for squares
    bend: float = 1.0  # above one, the rate falls late


def pairs(samples: int, start: float, end: float) -> Callable[[torch.Generator, int], Any]:
    """Antithetic pairs whose radius shrinks."""
    return lambda generator, calls: learning.Mollified(
        generator, samples, learning.Annealed(start, end, calls), absolute=True
    )


def surrogate(*_: Any) -> learning.Backprop:
    """The gradient through a surrogate."""
    return learning.Backprop()


def published(generator: torch.Generator, _: int) -> learning.Regression:
    """Least squares through the origin, by as many samples as the largest layer has weights."""
    return learning.Regression.published(generator, 900)


WAYS: dict[str, tuple[Phase, ...]] = {
    "pairs": (Phase(pairs(SAMPLES, 0.4, 0.04), SAMPLES, 1.0, 0.04, 0.0005, memory=0.97, bend=1.5),),
    "surrogate first": (
        Phase(surrogate, SURROGATE_COST, 0.5, 0.1, 0.03),
        Phase(pairs(POLISHING, 0.1, 0.02), POLISHING, 0.5, 0.03, 0.001),
    ),
    "surrogate": (Phase(surrogate, SURROGATE_COST, 1.0, 0.1, 0.01),),
    "published": (Phase(published, 900, 1.0, 0.1, 0.01),),
}


def trained(problem: Problem, phases: tuple[Phase, ...], evaluations: int, seed: int) -> float:
    """The loss after so many evaluations, from the start of a seed."""
    model = network(np.random.default_rng(1000 + seed), START)
    objective, params = problem.objective(model), dict(model.named_parameters())
    generator = torch.Generator().manual_seed(seed)
    for phase in phases:
        calls = max(int(phase.share * evaluations) // phase.cost, 1)
        estimator = phase.estimator(generator, calls)
        optimizer = torch.optim.Adam(params.values(), phase.rate, betas=(0.9, phase.memory))
        for call in range(calls):
            fallen = (call / calls) ** phase.bend
            optimizer.param_groups[0]["lr"] = phase.rate * (phase.last / phase.rate) ** fallen
            _, gradients = estimator(objective, params)
            for name, held in params.items():
                held.grad = gradients[name]
            optimizer.step()
    with torch.no_grad():
        return problem.loss(objective(params))


def searched(problem: Problem, peer: str, python: str, evaluations: int, seed: int) -> float:
    """The loss at the center that a peer came to, which asks for the losses of its candidates."""
    model = network(np.random.default_rng(1000 + seed), START)
    objective, params = problem.objective(model), dict(model.named_parameters())
    sizes = [held.numel() for held in params.values()]

    def members(rows: Tensor) -> dict[str, Tensor]:
        parts = zip(params.items(), rows.split(sizes, dim=1), strict=True)
        return {name: part.reshape(-1, *held.shape) for (name, held), part in parts}

    words = [python, "-W", "ignore", str(PEERS), peer, *map(str, (sum(sizes), evaluations, seed))]
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, env=own, **pipes) as process:
        start = torch.cat([held.detach().flatten() for held in params.values()])
        _told(process.stdin, start)
        while line := process.stdout.readline():
            count = int(line)
            read = process.stdout.read(4 * max(count, 1) * sum(sizes))
            rows = torch.frombuffer(bytearray(read), dtype=torch.float32).view(-1, sum(sizes))
            losses = learning.losses_of(objective, members(rows)).mean(1)
            if not count:
                return problem.loss(losses)
            _told(process.stdin, losses.double())
    sys.exit(f"{' '.join(words)} gave no answer.")


def _told(pipe: IO[bytes], values: Tensor) -> None:
    pipe.write(values.numpy().tobytes())
    pipe.flush()


def arms(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[Problem, int], float]]]:
    """Every way of training, ours and those of peers that there is a Python for."""
    for name, phases in WAYS.items():
        yield (
            name,
            lambda problem, seed, phases=phases: trained(
                problem, phases, options.evaluations, seed
            ),
        )
    peers = {"pgpe": options.evotorch, "snes": options.evotorch, "cma": options.cma}
    for peer, python in peers.items():
        if python:
            yield (
                peer,
                lambda problem, seed, peer=peer, python=python: searched(
                    problem, peer, python, options.evaluations, seed
                ),
            )


def measured(name: str, way: str, train: Callable[[Problem, int], float], seeds: int) -> Any:
    """What one way comes to on one problem."""
    start = time.process_time()
    losses = [train(Problem.named(name, seed), seed) for seed in range(seeds)]
    spread = statistics.stdev(losses) if seeds > 1 else None
    return {
        "problem": name,
        "way": way,
        "loss": round(statistics.fmean(losses), 4),
        "spread": spread and round(spread, 4),
        "each": [round(loss, 4) for loss in losses],
        "cpu_s": round((time.process_time() - start) / seeds, 1),
    }


def main() -> None:
    """Measure what can be measured here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line of JSON for each result")
    parser.add_argument("--evaluations", type=int, default=30_000, help="of the loss, each run")
    parser.add_argument("--seeds", type=int, default=4, help="problems, starts and draws")
    parser.add_argument("--only", help="one way alone, by its name")
    parser.add_argument("--evotorch", metavar="PYTHON", help="of an environment that has it")
    parser.add_argument("--cma", metavar="PYTHON", help="of an environment that has it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for way, train in arms(options):
        for name in ("teacher", "auto"):
            if options.only in (None, way):
                found = measured(name, way, train, options.seeds)
                words = (
                    f"{name:8} {way:16} {found['loss']:.3f}  {found['each']}  {found['cpu_s']} s"
                )
                print(json.dumps(found) if options.json else words, flush=True)


if __name__ == "__main__":
    main()
