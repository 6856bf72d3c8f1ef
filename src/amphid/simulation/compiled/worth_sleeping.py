"""Whether it is worth leaving cells alone at all, before anything is looked at closely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amphid.simulation.compiled.edges import Array
from amphid.simulation.stimulus import compact

if TYPE_CHECKING:
    from amphid.simulation.compiled.program import Program
    from amphid.simulation.simulate import Task

FEW = 2048  # cells; below, stepping all of them costs less than another loop to compile
DRIVEN = 16  # cells to each that is driven from outside, at least
OFTEN = 16  # steps between two samples, at least: each brings all cells to the present


class CannotSleep(Exception):
    """Why the cells of a network are all stepped in every step."""


def may_sleep(task: Task) -> bool:
    """Whether it is worth a closer look: many cells, few of them driven."""
    size = len(task.network.connectome)
    if size < FEW or (task.cells is None and len(compact(task.stimulus)) > 1):
        return False
    return int(driven(task).sum()) * DRIVEN <= size


def driven(task: Task) -> Array:
    """Which cells [N] are driven from outside: of a current that stays, those where it is not 0."""
    reached = np.zeros(len(task.network.connectome), dtype=bool)
    if task.cells is None:
        reached[:] = compact(task.stimulus).detach().numpy().reshape(-1, len(reached)).any(0)
    for cells in (task.cells, *(source.cells for source in task.sources)):
        if cells is not None:
            reached[cells.numpy()] = True
    return reached


def check_worth(program: Program) -> None:
    """Raise CannotSleep where it is not."""
    task, size = program.task, program.size
    if not may_sleep(task):
        raise CannotSleep("the network is small, or many of its cells are driven")
    few = chosen_arrays(program) and DRIVEN * sum(map(len, task.kept.values())) < size
    if program.sampled and not few and task.every < OFTEN:
        raise CannotSleep("all cells are sampled often")


def chosen_arrays(program: Program) -> list[str]:
    """The arrays of cells whose variables are kept; none where those of all cells are."""
    own = program.readings or ()
    chosen = [f"KEPT_{reading.number}" for reading in own if reading.cells is not None]
    return chosen if len(chosen) == len(own) else []
