"""A population: asked for candidates, told their losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from amphid.learning.evolution.genome import Candidates, Start, genome
from amphid.learning.evolution.lineage import Lineage, effective_parents, founded
from amphid.learning.evolution.meters import Inbreeding, InbreedingWatch, Meters, distance
from amphid.learning.evolution.scheme import Brood, Scheme, Told


class Population:
    """Candidates that evolve by a scheme; a loss is to become small.

    scheme: how, such as `Aging()`. start: a vector [P], parameters by name, or a module, of which
        those are taken that ask for a gradient. generator: what all of it draws from. founders: the
        first candidates, stacked as `ask` gives them; mutants of the start when None. absolute:
        spreads are in the units of the parameters, rather than of the root mean square of each
        tensor; those of a vector always are. watch: when to warn of inbreeding, never if None.

    What it remembers does not grow, and `state_dict` is all of it: a population that takes it goes
    on bit for bit. One that was asked and not told yet is asked again, and gives the same.
    """

    def __init__(
        self,
        scheme: Scheme,
        start: Start,
        *,
        generator: torch.Generator,
        founders: Candidates | None = None,
        absolute: bool = False,
        watch: InbreedingWatch | None = InbreedingWatch(),  # noqa: B008  frozen
    ) -> None:
        if not isinstance(scheme, Scheme):
            raise TypeError(f"scheme must be one such as Aging() or CMAES(), got {scheme!r}.")
        self.scheme, self.generator = scheme, generator
        self.genome = genome(start, absolute=absolute)
        self.founders = None if founders is None else self.genome.of(founders)
        self.state = scheme.begin(self.genome.genes)
        self.lineage: Lineage | None = None
        self.meters = Meters(watch)
        self.generation = self.evaluations = 0
        self.inbreeding: Inbreeding | None = None
        self._brood: Brood | None = None
        self._drawn: Tensor | None = None
        self._told: Tensor | None = None
        self._best: tuple[float, Tensor] | None = None
        self._winner: Tensor | None = None

    @property
    def samples(self) -> int:
        """Candidates of a generation."""
        return self.scheme.samples

    def ask(self) -> Candidates:
        """The candidates of this generation, [S, P] or [S, *shape] by name, until they are told."""
        if self._brood is None:
            self._drawn = self.generator.get_state()
            if self.founders is not None and not self.generation:
                self._brood = self.scheme.founded(self.state, self.founders)
            else:
                self._brood = self.scheme.ask(self.state, self.generator)
        return self.genome.members(self._brood.genes)

    def tell(self, losses: Tensor, behavior: Tensor | None = None) -> None:
        """The losses [S] of the candidates, and what they do [S, D] where a scheme looks at it.

        A candidate whose loss is not finite has failed and counts as the worst. Raises ValueError
        before candidates were asked for, for another number of losses, or where all failed.
        """
        if self._brood is None:
            raise ValueError("losses are told of candidates: call ask() first.")
        brood, told = self._brood, self._checked(losses, behavior)
        if self.lineage is None:
            self.lineage = founded(brood.descent.shape[1])
        self.inbreeding = self._measured(brood)
        self.state, kept = self.scheme.tell(self.state, brood, told)
        self.lineage.passed(brood.descent, kept)
        place = int(told.losses.argmin())
        least = float(told.losses[place])
        self._told, self._winner = told.losses, brood.genes[place].clone()
        if self._best is None or least < self._best[0]:
            self._best = (least, self._winner)
        self.generation += 1
        self.evaluations += len(told.losses)
        self._brood = self._drawn = None
        self.meters.look(self.inbreeding)

    def retell(self, loss: float | Tensor) -> None:
        """The loss of the `winner`, evaluated once more: meters of luck need it."""
        if self._told is None or self.inbreeding is None:
            raise ValueError("there is no winner to be evaluated again: call tell(losses) first.")
        self.meters.lucky(self._told, float(loss))
        curse, luck = self.meters.luck()
        self.inbreeding = replace(self.inbreeding, curse=curse, luck=luck)

    @property
    def answer(self) -> Candidates:
        """The parameters that the scheme would settle for: by the scheme one of them, or a mean."""
        return self.genome.one(self.scheme.answer(self.state))

    @property
    def winner(self) -> Candidates:
        """The candidate with the smallest loss of the last generation."""
        return self.genome.one(self._last(self._winner))

    @property
    def best(self) -> Candidates:
        """The candidate with the smallest loss ever told; where losses are noisy, a lucky one."""
        return self.genome.one(self._last(self._best)[1])

    @property
    def best_loss(self) -> float:
        """The smallest loss ever told."""
        return float(self._last(self._best)[0])

    def state_dict(self) -> dict[str, Any]:
        """All that it remembers, as a tree of tensors and plain values."""
        drawn = self.generator.get_state() if self._drawn is None else self._drawn
        return {
            "scheme": type(self.scheme).__name__,
            "generator": drawn,
            "state": self.scheme.saved(self.state),
            "lineage": None if self.lineage is None else self.lineage.apart,
            "meters": self.meters.state_dict(),
            "counts": [self.generation, self.evaluations],
            "best": None if self._best is None else list(self._best),
            "winner": self._winner,
            "told": self._told,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. Raises ValueError for a population of another scheme."""
        own = type(self.scheme).__name__
        if state["scheme"] != own:
            raise ValueError(
                f"the state is of a population by {state['scheme']}, this is by {own}."
            )
        self.generator.set_state(state["generator"])
        self.state = self.scheme.restored(state["state"])
        self.lineage = None if state["lineage"] is None else Lineage(state["lineage"])
        self.meters.load_state_dict(state["meters"])
        self.generation, self.evaluations = state["counts"]
        self._best = None if state["best"] is None else (state["best"][0], state["best"][1])
        self._winner, self._told = state["winner"], state["told"]
        self._brood = self._drawn = self.inbreeding = None

    def __repr__(self) -> str:
        return f"Population({self.scheme}, generation {self.generation})"

    def _measured(self, brood: Brood) -> Inbreeding:
        assert self.lineage is not None
        descent = brood.descent.cpu()
        curse, luck = self.meters.luck()
        return Inbreeding(
            self.generation,
            parents=effective_parents(descent),
            ancestor=self.lineage.ancestor(descent),
            distance=distance(brood.genes),
            curse=curse,
            luck=luck,
        )

    def _checked(self, losses: Tensor, behavior: Tensor | None) -> Told:
        genes = self._last(self._brood).genes
        held = torch.as_tensor(losses).detach().to(genes)
        if held.shape != (self.samples,):
            raise ValueError(
                f"losses must be one for each of {self.samples} candidates, got shape "
                f"{list(held.shape)}."
            )
        if not held.isfinite().any():
            raise FloatingPointError(
                f"no candidate of generation {self.generation} has a finite loss: make spread "
                "smaller, or the loss give a number where it fails."
            )
        if behavior is not None:
            behavior = torch.as_tensor(behavior).detach().to(genes)
            if behavior.dim() != 2 or len(behavior) != self.samples:
                raise ValueError(
                    f"behavior must be [S, D] for {self.samples} candidates, got shape "
                    f"{list(behavior.shape)}."
                )
        return Told(held.masked_fill(~held.isfinite(), float("inf")), behavior)

    def _last(self, held: Any) -> Any:
        if held is None:
            raise ValueError("nothing was told yet: call ask(), then tell(losses).")
        return held
