"""The state of an evolution, and the one loop over generations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amphid.learning.evolution.genome import Candidates
from amphid.learning.evolution.meters import Inbreeding
from amphid.learning.evolution.population import Population
from amphid.learning.fitting.checkpoints import Folder
from amphid.learning.fitting.draws import Draws
from amphid.learning.fitting.stopping import patient
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.population import losses_of
from amphid.learning.gradients.sharing import Sharing
from amphid.simulation.distributed.ranks import LostRank

Row = Mapping[str, float | None]
Callback = Callable[["Evolving"], object]
"""Told after each generation; stops by returning True or "stop"."""


@dataclass(frozen=True)
class Evolved:
    """What an evolution was.

    rows: for each generation "generation" (how many are done), "evaluations" (in all), "best" and
        "mean" (of the losses of the candidates), "answer" (the loss of what the scheme would settle
        for, evaluated by itself), the meters "parents", "ancestor", "distance", "curse" and "luck"
        (see `Inbreeding`), and "seconds". why: why it ended: "done", "callback" or "interrupted".
    """

    rows: tuple[Row, ...]
    population: Population
    why: str
    folder: Path | None = None

    @property
    def loss(self) -> float:
        """The loss of the answer, after the last generation."""
        return float(self["answer"][-1] or 0.0)

    def __getitem__(self, name: str) -> list[float | None]:
        """One thing measured, generation by generation. Raises KeyError naming what there is."""
        known = list(self.rows[0]) if self.rows else []
        if name not in known:
            raise KeyError(f"there is no {name!r}; there is {', '.join(known) or 'no generation'}.")
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        """How many generations were done."""
        return len(self.rows)

    def __repr__(self) -> str:
        last = f", loss {self.loss:.6g}" if self.rows else ""
        return f"Evolved({len(self)} generations{last}, {self.why})"


@dataclass(frozen=True, eq=False)
class Plan:
    """What an evolution was asked for."""

    losses: Sequence[Loss]
    params: Params
    population: Population
    generations: int
    behavior: Callable[[Candidates], Tensor] | None
    callbacks: Sequence[Callback]
    checkpoint_every: int
    draws: Draws
    folder: Folder | None
    sharing: Sharing | None = None


class Evolving:
    """An evolution under way, as callbacks see it after each generation."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.population = plan, plan.population
        self.rows: list[Row] = []
        self.why: str | None = None
        self.kept: int | None = None

    @property
    def row(self) -> Row:
        """What was measured of the last generation."""
        return self.rows[-1]

    @property
    def inbreeding(self) -> Inbreeding | None:
        """The meters of the last generation."""
        return self.population.inbreeding

    def doing(self) -> str:
        """What it does at present, with the meters."""
        done = f"evolving, generation {self.population.generation} of {self.plan.generations}"
        return f"{done}, loss {self.row['answer']:.4g}, {self.inbreeding}" if self.rows else done

    def go(self, told: Callable[[int, int], None] | None) -> Evolved:
        """Evolve to the end, or until something stops it."""
        with patient() as pressed:
            while self.why is None and self.population.generation < self.plan.generations:
                self._generation_of_all()
                if told:
                    told(self.population.generation, self.plan.generations)
                if any(callback(self) in (True, "stop") for callback in self.plan.callbacks):
                    self.why = "callback"
                if pressed():
                    self.why = "interrupted"
                if self.population.generation % self.plan.checkpoint_every == 0:
                    self._keep()
        return self._ended()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint. Raises ValueError for one of other parameters or scheme."""
        own = _shapes(self.plan.params)
        if state["parameters"] != own:
            raise ValueError(
                f"the checkpoint is of other parameters: {state['parameters']}, here {own}."
            )
        self.population.load_state_dict(state["population"])
        self.rows = list(state["rows"])
        self.plan.draws.used = state["drawn"]
        self.plan.draws.put(state["draws"])
        self._write()

    def _generation_of_all(self) -> None:
        """A generation; a checkpoint of where it began if another process is lost in it."""
        if self.plan.sharing is None:
            return self._generation()
        begun = deepcopy(self._state())
        try:
            self._generation()
        except LostRank as lost:
            if self.plan.folder is None:
                raise LostRank(f"{lost} An evolution that has a folder can be resumed.") from None
            turn = begun["at"]["generation"]
            self.plan.folder.keep(turn, turn, begun)
            raise LostRank(
                f"{lost} The evolution stands at generation {turn}, in a checkpoint in "
                f"{self.plan.folder.path}: start all processes again with resume=True."
            ) from None

    def _generation(self) -> None:
        clock, population = time.perf_counter(), self.population
        turn = population.generation
        members = population.ask()
        losses = self._losses(turn, members)
        behavior = None if self.plan.behavior is None else self.plan.behavior(members)
        population.tell(losses, behavior)
        self._write()
        again = self._losses(turn + 1, _pair(population.winner, population.answer))
        population.retell(again[0])
        seen = losses[losses.isfinite()]
        row: dict[str, float | None] = {"generation": population.generation}
        row |= {"evaluations": population.evaluations + 2 * population.generation}
        row |= {"best": float(seen.min()), "mean": float(seen.mean()), "answer": float(again[1])}
        found = population.inbreeding
        row |= {} if found is None else found.row()
        row["seconds"] = time.perf_counter() - clock
        self.rows.append(row)
        if self.plan.folder:
            self.plan.folder.tell(row)

    def _losses(self, turn: int, members: Candidates) -> Tensor:
        """Losses [S] of members, by the loss whose turn it is."""
        assert isinstance(members, dict)
        loss, sharing = self.plan.losses[turn % len(self.plan.losses)], self.plan.sharing
        values = losses_of(loss if sharing is None else sharing.shared(loss), members)
        return values.flatten(1).mean(1) if values.dim() > 1 else values

    def _write(self) -> None:
        """Write the answer into the parameters."""
        answer = self.population.answer
        assert isinstance(answer, dict)
        with torch.no_grad():
            for name, held in self.plan.params.items():
                held.copy_(answer[name])

    def _keep(self) -> None:
        folder, turn = self.plan.folder, self.population.generation
        if folder is None or not folder.writes or self.kept == turn:
            return
        folder.keep(turn, turn, self._state())
        self.kept = turn

    def _state(self) -> dict[str, Any]:
        return {
            "at": {"generation": self.population.generation},
            "population": self.population.state_dict(),
            "rows": [dict(row) for row in self.rows],
            "draws": self.plan.draws.now(),
            "drawn": self.plan.draws.drawn(),
            "parameters": _shapes(self.plan.params),
        }

    def _ended(self) -> Evolved:
        self._keep()
        folder = self.plan.folder
        if folder:
            folder.weights(self.plan.params)
        why = self.why or "done"
        return Evolved(tuple(self.rows), self.population, why, folder.path if folder else None)


def _pair(one: Candidates, other: Candidates) -> Candidates:
    """Two candidates as members [2, *shape]."""
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    return {name: torch.stack([held, other[name]]) for name, held in one.items()}


def _shapes(params: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(held.shape) for name, held in params.items()}
