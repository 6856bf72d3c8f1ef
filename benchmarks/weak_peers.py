"""A black-box optimizer of another package, which asks for losses through its pipes.

    PYTHON benchmarks/weak_peers.py NAME ENTRIES EVALUATIONS SEED

`weak_quality.py` starts it in an environment that has the package. It reads the start, 4 bytes for
each entry. For each generation it writes a line with the number of candidates, and the candidates,
and reads a loss of 8 bytes for each; at the end a line with 0, and the center of its search.
"""

import sys
from collections.abc import Callable

import numpy as np

Asked = Callable[[np.ndarray], np.ndarray]


def told(candidates: np.ndarray) -> np.ndarray:
    """The losses [S] of candidates [S, P]."""
    write(len(candidates), candidates)
    return np.frombuffer(sys.stdin.buffer.read(8 * len(candidates)), np.float64)


def write(count: int, rows: np.ndarray) -> None:
    """A line with a number, and rows behind it."""
    sys.stdout.buffer.write(f"{count}\n".encode())
    sys.stdout.buffer.write(np.ascontiguousarray(rows, np.float32).tobytes())
    sys.stdout.buffer.flush()


def cma_es(start: np.ndarray, evaluations: int, seed: int) -> np.ndarray:
    """Separable CMA-ES of pycma, 64 a generation."""
    import cma

    settings = {"CMA_diagonal": True, "popsize": 64, "verbose": -9, "seed": seed + 1}
    search = cma.CMAEvolutionStrategy(start.astype(float), 0.3, settings)
    for _ in range(evaluations // 64):
        candidates = np.array(search.ask())
        search.tell(list(candidates), list(told(candidates)))
    return search.mean


def evotorch(start: np.ndarray, evaluations: int, seed: int, name: str) -> np.ndarray:
    """PGPE with Adam and centered ranks, 128 a generation, or SNES, 64."""
    import logging

    import torch

    logging.disable(logging.WARNING)
    from evotorch import Problem
    from evotorch.algorithms import PGPE, SNES
    from evotorch.decorators import vectorized

    torch.manual_seed(seed)

    @vectorized
    def loss(candidates: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(told(candidates.numpy()).copy()).float()

    bounds = (-1.0, 1.0)
    problem = Problem("min", loss, solution_length=len(start), initial_bounds=bounds)
    settings = {"stdev_init": 0.3, "center_init": torch.from_numpy(start)}
    size = 128 if name == "pgpe" else 64
    if name == "pgpe":
        search = PGPE(
            problem, popsize=size, center_learning_rate=0.1, stdev_learning_rate=0.1,
            ranking_method="centered", optimizer="adam", **settings,
        )  # fmt: skip
    else:
        search = SNES(problem, popsize=size, **settings)
    for _ in range(evaluations // size):
        search.step()
    return search.status["center"].numpy()


def main() -> None:
    """Search from the start that was given, and tell the center."""
    name, entries, evaluations, seed = sys.argv[1], *map(int, sys.argv[2:])
    start = np.frombuffer(sys.stdin.buffer.read(4 * entries), np.float32).copy()
    if name == "cma":
        center = cma_es(start, evaluations, seed)
    else:
        center = evotorch(start, evaluations, seed, name)
    write(0, center)


if __name__ == "__main__":
    main()
