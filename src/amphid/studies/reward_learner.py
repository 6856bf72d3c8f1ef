"""Subjects who learn to steer from one number at the end of each trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from amphid.studies.closed_loop import directions
from amphid.studies.manifold import BIN, TARGETS, Readout

DISTANCE, RADIUS = 100.0, 20.0  # mm, of targets
LIMIT = 3000.0  # ms
LATE = 2  # bins after which the cursor is seen
NOISE = 0.2  # spread of commands from trial to trial that nobody wants
RECENT = 0.1  # weight of the last trial in what is expected of the next


class Subjects(NamedTuple):
    """Subjects [S] side by side, each with its cells and its decoder."""

    baseline: Tensor  # rates at rest, spikes per ms [S, N]
    slope: Tensor  # rates by command [S, N, K]
    aim: Tensor  # what is added to rates for each axis of the direction meant [S, N, 2]
    ways: Tensor  # along which that can be explored and changed [S, N, W]
    readout: Readout  # with a leading axis [S]


class Trial(NamedTuple):
    """How a trial went for each subject."""

    speed: Tensor  # mm/ms of progress towards the target until it was reached or time was up [S]
    time: Tensor  # ms [S]
    success: Tensor  # [S]


@dataclass(frozen=True)
class Learning:
    """How subjects learn from reward alone.

    In each trial the modulation of rates is a little other than usual, by chance, along the ways
    that are open. Was the reward above what is expected at that target, it is moved that way, else
    the other way (Williams 1992, doi 10.1007/BF00992696). Modulations stay as strong as they were
    to begin with.

    trials: how many. exploration: of how much they differ, as a share of their strength. rate: of
    learning.
    """

    trials: int = 800
    exploration: float = 0.5
    rate: float = 0.05


def learned(
    subjects: Subjects, learning: Learning, worth: Tensor, generator: torch.Generator
) -> tuple[Subjects, list[Trial]]:
    """Subjects after the trials, and how each trial went.

    worth: mm/ms of progress that is a reward of one [S].
    """
    aim, strength = subjects.aim, subjects.aim.norm(dim=(1, 2), keepdim=True)
    expected: dict[int, Tensor] = {}
    went = []
    for target in order(learning.trials, generator):
        tried = explored(subjects.ways, generator) * learning.exploration * strength
        trial = attempt(subjects._replace(aim=aim + tried), target, generator)
        reward = trial.speed / worth
        surprise = reward - expected.get(target, reward)
        expected[target] = expected.get(target, reward) + RECENT * surprise
        step = learning.rate / learning.exploration**2 * surprise
        aim = bounded(aim + step[:, None, None] * tried, strength)
        went.append(trial)
    return subjects._replace(aim=aim), went


def practiced(subjects: Subjects, trials: int, generator: torch.Generator) -> list[Trial]:
    """So many trials in which nothing is explored or learned."""
    return [attempt(subjects, target, generator) for target in order(trials, generator)]


def order(trials: int, generator: torch.Generator) -> list[int]:
    """Targets in turns, each turn in an order of its own."""
    turns = -(-trials // TARGETS)
    drawn = [torch.randperm(TARGETS, generator=generator) for _ in range(turns)]
    found: list[int] = torch.cat(drawn)[:trials].tolist()
    return found


def explored(ways: Tensor, generator: torch.Generator) -> Tensor:
    """Changes of modulations [S, N, 2] along the ways, of length one."""
    drawn = torch.randn(*ways.shape[::2], 2, generator=generator)
    changed = ways @ drawn
    return changed / changed.norm(dim=(1, 2), keepdim=True)


def bounded(aim: Tensor, strength: Tensor) -> Tensor:
    """Modulations [S, N, 2] at most as strong as that [S, 1, 1]."""
    return aim * (strength / aim.norm(dim=(1, 2), keepdim=True)).clamp(max=1.0)


def attempt(subjects: Subjects, target: int, generator: torch.Generator) -> Trial:
    """A trial: each subject always aims from where it saw the cursor to the target."""
    goal = directions(TARGETS, DISTANCE)[target]
    many, commands = len(subjects.baseline), subjects.slope.shape[2]
    unwanted = NOISE * torch.randn(many, commands, 1, generator=generator)
    resting = subjects.baseline + (subjects.slope @ unwanted)[..., 0]
    velocity, places = torch.zeros(many, 2), [torch.zeros(many, 2)]
    for k in range(round(LIMIT / BIN)):
        left = goal - places[max(k - LATE, 0)]
        way = left / left.norm(dim=1, keepdim=True).clamp(min=1e-6)
        rates = (resting + (subjects.aim @ way[..., None])[..., 0]).clamp(min=0)
        counts = torch.poisson(rates * BIN, generator=generator)
        velocity = steered(subjects.readout, velocity, counts)
        places.append(places[-1] + velocity * BIN)
    return _judged(torch.stack(places), goal)


def steered(readout: Readout, velocity: Tensor, counts: Tensor) -> Tensor:
    """The velocity [S, 2] after one more bin with counts [S, N]."""
    standard = ((counts - readout.mean) / readout.spread)[..., None]
    moved = readout.keep @ velocity[..., None] + readout.gain @ standard
    return moved[..., 0]


def _judged(place: Tensor, goal: Tensor) -> Trial:
    """Of places [T + 1, S, 2] from the center on."""
    away = (place - goal).norm(dim=-1)
    inside = away[1:] <= RADIUS
    success = inside.any(0)
    bins = torch.where(success, inside.float().argmax(0) + 1, len(inside))
    time = bins * BIN
    end = away.gather(0, bins[None])[0]
    return Trial((away[0] - end) / time, time, success)
