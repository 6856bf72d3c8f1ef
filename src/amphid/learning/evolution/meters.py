"""How inbred a population is, and when somebody should be told."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

WINDOW = 20  # generations over which luck is averaged
COMPARED = 256  # candidates between which distances are measured


class InbreedingWarning(UserWarning):
    """A population has become inbred, or takes luck for merit."""


@dataclass(frozen=True)
class Inbreeding:
    """How closely the candidates of one generation are related, and how lucky the best of it was.

    generation: from 0. parents: effective number, :math:`1 / \\sum p_i^2` of the shares of those
        whose genes the candidates have. ancestor: generations back to the last common ancestor, of
        the two candidates most apart; the mean over genes. distance: mean between two candidates,
        in units of a gene.
    curse: the winner's curse, by how much the loss of the best is larger when it is evaluated
        again, the mean over those of the last 20 generations that were; None if none was. luck: the
        same as a share of its lead, by which it was better than the mean of its generation: 1 where
        all of the lead was luck, as in pure noise, 0 where none of it was.
    """

    generation: int
    parents: float
    ancestor: float
    distance: float
    curse: float | None = None
    luck: float | None = None

    def __str__(self) -> str:
        told = (
            f"parents {self.parents:.1f}, common ancestor {self.ancestor:.1f} generations back, "
            f"distance {self.distance:.3g}"
        )
        return told if self.luck is None else f"{told}, {self.luck:.0%} of the best is luck"

    def row(self) -> dict[str, float | None]:
        """The meters by name."""
        return {name: value for name, value in asdict(self).items() if name != "generation"}


@dataclass(frozen=True)
class InbreedingWatch:
    """When a population warns of inbreeding, once for each kind.

    parents: fewer effective parents than this, generation after generation. luck: a larger share of
    the lead of the best that vanished when it was evaluated again. generations: for how long.
    """

    parents: float = 1.5
    luck: float = 0.5
    generations: int = 10

    def kinship(self, found: Inbreeding) -> bool:
        """Whether a generation is inbred."""
        return found.parents < self.parents and found.ancestor < 2 * self.parents


def distance(genes: Tensor) -> float:
    """Mean Euclidean distance between two candidates [S, P]; of a sample of 256 where more are."""
    if len(genes) < 2:
        return 0.0
    chosen = genes[:: -(-len(genes) // COMPARED)]
    return float(torch.pdist(chosen - chosen.mean(0)).mean())


@dataclass
class Meters:
    """What meters remember from generation to generation; nothing of it grows."""

    watch: InbreedingWatch | None
    curses: list[tuple[float, float]] = field(default_factory=list)  # curse and lead of the best
    inbred: int = 0  # generations in a row
    warned: list[str] = field(default_factory=list)

    def lucky(self, told: Tensor, again: float) -> None:
        """The best of losses [S] was evaluated again."""
        seen = told[told.isfinite()].double()
        curse, lead = again - float(seen.min()), float(seen.mean() - seen.min())
        self.curses = [*self.curses, (curse, lead)][-WINDOW:]

    def luck(self) -> tuple[float | None, float | None]:
        """The winner's curse, and its share of the lead, over the window."""
        if not self.curses:
            return None, None
        curse, lead = (sum(column) / len(self.curses) for column in zip(*self.curses, strict=True))
        return curse, curse / lead if lead > 0 else 0.0

    def look(self, found: Inbreeding) -> None:
        """Warn where it is time to."""
        if self.watch is None:
            return
        self.inbred = self.inbred + 1 if self.watch.kinship(found) else 0
        if self.inbred >= self.watch.generations:
            self._warn(
                "kinship",
                f"inbreeding: for {self.inbred} generations candidates have had an effective "
                f"number of {found.parents:.1f} parents, and their last common ancestor is "
                f"{found.ancestor:.1f} generations back: let more of them be parents, as Aging() "
                "or Recombination() do.",
            )
        long = len(self.curses) >= self.watch.generations
        if long and found.luck is not None and found.luck > self.watch.luck:
            self._warn(
                "luck",
                f"winner's curse: over {len(self.curses)} generations {found.luck:.0%} of what the "
                "best of a generation was ahead of its mean vanished when it was evaluated again: "
                "make the loss less noisy, or take a scheme that averages parents and forgets "
                "lucky ones, such as Aging().",
            )

    def _warn(self, kind: str, told: str) -> None:
        if kind not in self.warned:
            self.warned.append(kind)
            warnings.warn(told, InbreedingWarning, stacklevel=4)

    def state_dict(self) -> dict[str, Any]:
        """What is remembered."""
        return {
            "curses": [list(pair) for pair in self.curses],
            "inbred": self.inbred,
            "warned": list(self.warned),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember that."""
        self.curses = [(curse, lead) for curse, lead in state["curses"]]
        self.inbred, self.warned = int(state["inbred"]), list(state["warned"])
