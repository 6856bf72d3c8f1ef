"""Quiescent, sustained or saturated, by asking about a few cells instead of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from amphid.measures.activity import Activity
from amphid.measures.quantum.circuits import check_whole, deutsch_jozsa
from amphid.measures.quantum.searching import Search, check_chances, check_drawn, measured, search


class Seek(Protocol):
    """A way to find a marked cell, such as `search` or `search_by_counting`."""

    def __call__(self, marked: Tensor, *, failure: float, generator: torch.Generator) -> Search:
        """A marked cell; none with that probability although there is one."""
        ...


@dataclass(frozen=True)
class Answer:
    """Which of the three it is, and how many queries that took."""

    activity: Activity
    queries: int


def decide(
    fires: Tensor,
    prompt: Tensor,
    *,
    failure: float = 1e-6,
    tests: int = 2,
    seek: Seek = search,
    generator: torch.Generator,
) -> Answer:
    """Deutsch-Jozsa, then Grover: which of the three it is, with few queries.

    One cell at random is asked. If it is silent, only a cell that fires keeps the answer from
    "quiescent"; if it is prompt, only one that is not keeps it from "saturated". Up to `tests`
    Deutsch-Jozsa queries look for such dissent, then Grover's search does, by `seek`. "Sustained"
    is certain; either other answer is wrong with probability below `failure`.
    fires, prompt: [N] bool, as of `activity_of`; a query tells both of one cell, and building what
    answers it takes the simulation of them all.
    Raises ValueError for marks of different shapes, or prompt cells that do not fire.
    """
    check_marks(fires, prompt)
    check_chances(failure, generator)
    check_whole("tests", tests, least=0)
    if not callable(seek):
        raise TypeError(f"seek must be a search, such as search_by_counting, got {seek!r}.")
    cell = int(torch.randint(len(fires), (), generator=generator))
    if fires[cell] and not prompt[cell]:
        return Answer(Activity.SUSTAINED, 1)
    same = Activity.SATURATED if prompt[cell] else Activity.QUIESCENT
    dissent = ~prompt if prompt[cell] else fires
    circuit = deutsch_jozsa(dissent)
    for test in range(tests):
        if measured(circuit, generator):
            return Answer(Activity.SUSTAINED, 1 + (test + 1) * circuit.queries)
    found = seek(dissent, failure=failure, generator=generator)
    queries = 1 + tests * circuit.queries + found.queries
    return Answer(same if found.cell is None else Activity.SUSTAINED, queries)


def decide_by_sampling(fires: Tensor, prompt: Tensor, *, generator: torch.Generator) -> Answer:
    """The classical way: cells in random order, none twice, until two disagree or all are asked.

    Never wrong; asks all N cells unless activity is sustained. Arguments and errors as of `decide`.
    """
    check_marks(fires, prompt)
    check_drawn(generator)
    order = torch.randperm(len(fires), generator=generator)
    level = fires.long()[order] + prompt.long()[order]  # 0 silent, 1 fires, 2 prompt
    telling = (level == 1) | (level != level[0])
    if telling.any():
        return Answer(Activity.SUSTAINED, int(telling.long().argmax()) + 1)
    return Answer(Activity.SATURATED if level[0] else Activity.QUIESCENT, len(fires))


def check_marks(fires: Tensor, prompt: Tensor) -> None:
    """Raise ValueError unless both are bool [N] and every prompt cell fires."""
    for name, marks in {"fires": fires, "prompt": prompt}.items():
        if not isinstance(marks, Tensor):
            raise TypeError(f"{name} must be a tensor, bool [N], got {marks!r:.60}.")
        if marks.dtype != torch.bool or marks.dim() != 1 or not len(marks):
            raise ValueError(f"{name} must be bool [N], got {marks.dtype} {list(marks.shape)}.")
    if len(fires) != len(prompt):
        raise ValueError(
            f"fires and prompt must tell of the same cells, got {len(fires)} and {len(prompt)}."
        )
    if (prompt & ~fires).any():
        raise ValueError(
            "prompt must mark only cells that fire, got cell "
            f"{int((prompt & ~fires).long().argmax())}, which does not."
        )
