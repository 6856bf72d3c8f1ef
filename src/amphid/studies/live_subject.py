"""A simulated subject in a process of its own: sees the hand by one stream, fires into another.

`main` is told what to do by one JSON document on stdin, and answers with one on stdout.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from amphid.models import TunedPopulation
from amphid.studies.closed_loop import Goal, Subject
from amphid.tasks import Inlet, Outlet, Pace, on_this_machine

PATIENCE = 300_000.0  # ms for the other process to start on a busy machine


@dataclass(frozen=True)
class LiveSettings:
    """What the subject is told.

    session, counts, hand: of Lab Streaming Layer, and the names of both streams. baseline [N] and
    slope [N, D]: of the population. targets: [K, D], mm. bins: how many it makes, of 20 ms.
    disturbed: from this bin on every 25th is left out, and once all for 300 ms.
    """

    session: str
    counts: str
    hand: str
    baseline: list[float]
    slope: list[list[float]]
    targets: list[list[float]]
    speed: float
    bins: int
    disturbed: int
    seed: int

    def left_out(self, number: int) -> bool:
        """Whether a bin is made and not sent."""
        since = number - self.disturbed
        return since >= 0 and (since % LEFT_OUT == LEFT_OUT - 1 or SILENT <= since < SILENT + 15)


LEFT_OUT = 25  # every so many bins
SILENT = 100  # bins after the disturbance began: 15 of silence, 300 ms


class Reaching:
    """Targets one after the other, each until it was held or its time is over."""

    def __init__(self, targets: Tensor, goal: Goal, generator: torch.Generator) -> None:
        self.targets, self.goal, self.generator = targets, goal, generator
        self.ended: list[tuple[bool, int]] = []
        """Whether each reach counted, and the ticks that it took."""
        self._which = 0
        self._ticks = self._inside = 0

    @property
    def target(self) -> Tensor:
        """Where the hand should go [D], mm."""
        return self.targets[self._which]

    def step(self, hand: Tensor) -> None:
        """One tick later the hand is there [D], mm."""
        self._ticks += 1
        near = float((hand - self.target).norm()) <= self.goal.radius
        self._inside = self._inside + 1 if near else 0
        held = self._inside * self.goal.dt >= self.goal.hold
        if held or self._ticks * self.goal.dt >= self.goal.limit:
            self.ended.append((held, self._ticks))
            self._ticks = self._inside = 0
            ahead = torch.randint(1, len(self.targets), (), generator=self.generator)
            self._which = (self._which + int(ahead)) % len(self.targets)


def reached(told: LiveSettings) -> dict[str, Any]:
    """Steer by the streams for as many bins as told; what came of it."""
    goal, draw = Goal(), torch.Generator().manual_seed(told.seed)
    population = TunedPopulation(torch.tensor(told.baseline), torch.tensor(told.slope))
    subject = Subject(population, speed=told.speed)
    reaching = Reaching(torch.tensor(told.targets), goal, draw)
    pace = Pace(interval=goal.dt)
    on_this_machine(told.session)
    with (
        Outlet(told.counts, len(told.baseline), interval=goal.dt) as outlet,
        Inlet(told.hand, len(told.slope[0]), patience=PATIENCE) as inlet,
    ):
        outlet.awaited(PATIENCE)
        seen: deque[Tensor] = deque(maxlen=round(subject.delay / goal.dt) + 1)
        for _ in pace.ticks(sys.maxsize):
            if outlet.next >= told.bins:
                break
            hand = [one.values for one in inlet.read()][-1:] or list(seen)[-1:]
            if hand:
                seen.append(hand[0])
                reaching.step(hand[0])
            place = seen[0] if seen else reaching.target
            wanted = subject.wanted(place, reaching.target)
            counts = population.fire(wanted, goal.dt, generator=draw)
            if told.left_out(outlet.next):
                outlet.next += 1
            else:
                outlet.send(counts)
    return {"reaches": reaching.ended, "missed": pace.missed}


def main() -> None:
    """Answer one document on stdin by one on stdout."""
    told = LiveSettings(**json.load(sys.stdin))
    print(json.dumps(reached(told)))


def words(settings: LiveSettings) -> str:
    """The settings as the process reads them."""
    return json.dumps(asdict(settings))
