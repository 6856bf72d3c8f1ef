"""Models of what worms do, each learned from some worms and asked about another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from amphid.measures import balanced_accuracy
from amphid.models import (
    Animal,
    CellsReadout,
    CommandReadout,
    CommandRule,
    FrameNet,
    RecurrentNet,
)
from amphid.models.behavior import COMMAND
from amphid.models.behavior.nets import CellsNet
from amphid.models.evaluating import evaluating
from amphid.models.graphs import Alike, Contacts, Edges, Given, NoEdges, Shuffled, Wired
from amphid.wiring import Connectome

SHARES, POWERS = (0.3, 0.5, 0.7), (2.0, 4.0, 8.0)
RATE, DECAY = 1e-2, 1e-2
STRETCH, WARM = 80, 16  # frames
LOOK = 5  # steps between two looks at the worm that is watched

Reader = Callable[[Animal], Tensor]
Made = Callable[[Sequence[Animal]], Reader]


@dataclass(frozen=True)
class Setting:
    """How messages are passed: their share, and the power of correlations that weighs them."""

    share: float
    power: float


SETTINGS = tuple(Setting(share, power) for share, power in product(SHARES, POWERS))
ANATOMICAL = tuple(Setting(share, POWERS[0]) for share in SHARES)
"""The wiring knows no power."""


def score(reader: Reader, animal: Animal) -> float:
    """Balanced accuracy of a reader on the frames behind the calibration of an animal."""
    with torch.no_grad():
        chosen = reader(animal).argmax(-1)
    return balanced_accuracy(chosen[animal.first :], animal.classes[animal.first :])


class Messages:
    """Readouts behind messages; what was computed for some worms and a setting is kept.

    Worms are told apart by name: one object serves one set of labels.
    """

    def __init__(self, connectome: Connectome) -> None:
        self.contacts = Contacts(connectome)
        self.known: dict[tuple[str, object], Animal] = {}
        self.learned: dict[tuple[frozenset[str], object], CommandReadout] = {}

    def edges(self, kind: str, setting: Setting, seed: int) -> Edges:
        """The edges of that kind."""
        alike = Alike(power=setting.power)
        kinds: dict[str, Edges] = {
            "no messages": NoEdges(),
            "inferred edges": alike,
            "anatomical edges": Given(self.contacts, spans=()),
            "both": Wired(replace(alike, neighbors=None), self.contacts),
            "shuffled edges": Shuffled(alike, lambda _: torch.Generator().manual_seed(seed)),
        }
        return kinds[kind]

    def heard(self, animal: Animal, kind: str, setting: Setting, seed: int = 0) -> Animal:
        """An animal with one command cell that holds what came of messages."""
        key = (animal.name, (kind, setting, seed))
        if key not in self.known:
            model = CommandReadout(edges=self.edges(kind, setting, seed), share=setting.share)
            signal = model.hidden(animal)[:, None]
            self.known[key] = replace(animal, signals=signal, cells=COMMAND[:1])
        return self.known[key]

    def reader(self, kind: str, animals: Sequence[Animal], seed: int = 0) -> Reader:
        """The mean of the log odds of readouts behind messages of that kind, in all settings."""
        same = kind in ("no messages", "anatomical edges")
        settings = ANATOMICAL if same else SETTINGS
        readers = [self._one(kind, setting, animals, seed) for setting in settings]
        return lambda animal: torch.stack([told(animal) for told in readers]).mean(0)

    def _one(self, kind: str, setting: Setting, animals: Sequence[Animal], seed: int) -> Reader:
        key = (frozenset(one.name for one in animals), (kind, setting, seed))
        if key not in self.learned:
            heard = [self.heard(one, kind, setting, seed) for one in animals]
            self.learned[key] = CommandReadout(kinds_of(animals)).fit(heard)
        model = self.learned[key]
        return lambda animal: model(self.heard(animal, kind, setting, seed))


def kinds_of(animals: Sequence[Animal]) -> int:
    """Number of classes of animals."""
    return int(max(one.classes.max() for one in animals)) + 1


def rule(animals: Sequence[Animal]) -> Reader:
    """The rule of which nothing is learned."""
    return CommandRule()


def logistic(animals: Sequence[Animal]) -> Reader:
    """Logistic regression on the mean of AVA and AVE at five lags."""
    return CommandReadout(kinds_of(animals)).fit(animals)


def all_cells(cells: Sequence[str]) -> Made:
    """Logistic regression on all of the cells at five lags."""
    return lambda animals: CellsReadout(cells, kinds_of(animals)).fit(animals)


def shifted(animal: Animal, generator: torch.Generator) -> Animal:
    """The same animal, the classes behind its calibration turned by a random time."""
    own = animal.classes[animal.first :]
    by = int(torch.randint(len(own) // 5, 4 * len(own) // 5, (), generator=generator))
    return replace(animal, classes=torch.cat((animal.classes[: animal.first], own.roll(by))))


def net(kind: type[FrameNet] | type[RecurrentNet], cells: Sequence[str], steps: int, seed: int) -> (
    Made
):  # fmt: skip
    """A network on cells, stopped where the last of the animals says."""

    def made(animals: Sequence[Animal]) -> Reader:
        draw = torch.Generator().manual_seed(seed)
        return trained(kind(cells, kinds_of(animals), generator=draw), animals, steps, draw)

    return made


def trained(
    model: CellsNet, animals: Sequence[Animal], steps: int, generator: torch.Generator
) -> Reader:
    """Train on all animals but one, drawn, on which the number of steps is chosen."""
    place = int(torch.randint(len(animals), (), generator=generator))
    watched, others = animals[place], _without(animals, animals[place])
    signals, classes = stretches(others, model.cells)
    share = 1 / classes.flatten().bincount().clamp_min(1).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    best, kept = 0.0, copy.deepcopy(model.state_dict())
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(generator.initial_seed())  # of dropout
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            told = model.outputs(signals)[-len(classes) :].flatten(0, 1)
            functional.cross_entropy(told, classes.flatten(), weight=share).backward()
            optimizer.step()
            if step % LOOK == 0:
                with evaluating(model):
                    found = score(model, watched)
                if found > best:
                    best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval()


def stretches(animals: Sequence[Animal], cells: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Signals [S, B, cells] and classes [S - 16, B] of successive stretches of all animals.

    The first 16 frames of a stretch are there to fill the memory of a net, and are not learned.
    """
    signals, classes = [], []
    for one in animals:
        filled, warm = one.filled(cells).float(), one.first - WARM
        for start in range(max(warm, 0), len(filled) - STRETCH + 1, STRETCH - WARM):
            signals.append(filled[start : start + STRETCH])
            classes.append(one.classes[start + WARM : start + STRETCH])
    return torch.stack(signals, 1), torch.stack(classes, 1)


def left_out(
    animals: Mapping[str, Animal], made: Made, others: Mapping[str, Sequence[Animal]]
) -> dict[str, float]:
    """Balanced accuracy on each worm of what was made from the others."""
    return {name: score(made(others[name]), one) for name, one in animals.items()}


def _without(animals: Sequence[Animal], one: Animal) -> list[Animal]:
    return [other for other in animals if other is not one]
