"""Evaluations of a population by a peer, done when told to: a worker of population.py.

    python benchmarks/population_peers.py evotorch|evosax PROBLEM.npz

PROBLEM.npz holds sizes of the layers, what is left of currents, voltages and traces after a step,
steps that a cell is held, input spikes [T, N], the target trace [T, N], the loss of silence and
weights [S, P] of the members. Prints a line of JSON with the losses of these members when it is
ready, and one with the CPU seconds of one more generation of as many after every line that it
reads. Only what the peer needs is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import numpy as np

Ask = Callable[[], None]


def parts(sizes: list[int]) -> list[tuple[int, int, int]]:
    """First weight, inputs and cells of each layer."""
    found, first = [], 0
    for before, after in pairwise(sizes):
        found.append((first, before, after))
        first += before * after
    return found


def evotorch(problem: Any) -> tuple[Any, Ask]:
    """PGPE with an objective that takes all members at once, as its manual advises."""
    import torch
    from evotorch import Problem
    from evotorch.algorithms import PGPE
    from evotorch.decorators import vectorized

    torch.set_num_threads(1)
    torch.manual_seed(0)
    kept_current, kept_v, kept_trace, held, silence = (float(own) for own in problem["numbers"])
    spikes, target = torch.from_numpy(problem["x"]), torch.from_numpy(problem["target"])
    layers = parts(problem["sizes"].tolist())

    def cells(drive: Any) -> Any:
        current = torch.zeros_like(drive[..., 0, :])
        v, wait, out = torch.zeros_like(current), torch.zeros_like(current), []
        for present in drive.unbind(-2):
            current = current * kept_current + present
            v = v * kept_v + (1 - kept_v) * current
            wait = wait - 1
            spike = ((v >= 1) & (wait <= 0)).to(drive.dtype)
            wait = torch.where(spike > 0, held, wait)
            v = v * (1 - spike) * (wait <= 0)
            out.append(spike)
        return torch.stack(out, -2)

    @vectorized
    def losses(members: Any) -> Any:
        given = spikes
        for first, before, after in layers:
            weight = members[:, first : first + before * after].view(-1, before, after)
            given = cells(given @ weight)
        trace, square = torch.zeros_like(given[:, 0]), 0.0
        for spike, wanted in zip(given.unbind(1), target.unbind(0), strict=True):
            trace = trace * kept_trace + spike
            square = square + (trace - wanted).square().sum(-1)
        return square / silence

    members = torch.from_numpy(problem["members"])
    search = PGPE(
        Problem(
            "min",
            losses,
            solution_length=members.shape[1],
            initial_bounds=(-1, 1),
            dtype=torch.float32,
        ),
        popsize=len(members),
        center_learning_rate=0.1,
        stdev_learning_rate=0.1,
        stdev_init=0.3,
        ranking_method="centered",
        center_init=members[0],
    )
    return losses(members).tolist(), search.step


def evosax(problem: Any) -> tuple[Any, Ask]:
    """Open_ES over a loss that jax maps, scans and compiles."""
    import jax
    import jax.numpy as jnp
    import optax
    from evosax.algorithms import Open_ES

    kept_current, kept_v, kept_trace, held, silence = (float(own) for own in problem["numbers"])
    spikes, target = jnp.array(problem["x"]), jnp.array(problem["target"])
    layers = parts(problem["sizes"].tolist())

    def cell(state: Any, present: Any) -> Any:
        current, v, wait = state
        current = current * kept_current + present
        v = v * kept_v + (1 - kept_v) * current
        wait = wait - 1
        spike = ((v >= 1) & (wait <= 0)).astype(jnp.float32)
        wait = jnp.where(spike > 0, held, wait)
        return (current, v * (1 - spike) * (wait <= 0), wait), spike

    def filtered(trace: Any, spike: Any) -> Any:
        trace = trace * kept_trace + spike
        return trace, trace

    def loss(weights: Any) -> Any:
        given = spikes
        for first, before, after in layers:
            drive = given @ weights[first : first + before * after].reshape(before, after)
            _, given = jax.lax.scan(cell, (jnp.zeros(after),) * 3, drive)
        _, trace = jax.lax.scan(filtered, jnp.zeros(given.shape[1]), given)
        return ((trace - target) ** 2).sum() / silence

    members = jnp.array(problem["members"])
    losses = jax.jit(jax.vmap(loss))
    search = Open_ES(
        population_size=len(members),
        solution=members[0],
        optimizer=optax.adam(0.1),
        std_schedule=optax.constant_schedule(0.3),
    )
    ask, tell, settings = jax.jit(search.ask), jax.jit(search.tell), search.default_params
    held_state = [search.init(jax.random.PRNGKey(0), members[0], settings), jax.random.PRNGKey(1)]

    def generation() -> None:
        state, key = held_state
        key, one, other = jax.random.split(key, 3)
        asked, state = ask(one, state, settings)
        state, _ = tell(other, asked, losses(asked), state, settings)
        held_state[:] = jax.block_until_ready(state), key

    return losses(members).tolist(), generation


def main() -> None:
    """Get ready, then go one generation for each line."""
    problem = np.load(sys.argv[2])
    losses, generation = {"evotorch": evotorch, "evosax": evosax}[sys.argv[1]](problem)
    generation()
    print(json.dumps({"losses": losses}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        generation()
        print(json.dumps({"seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main()
