"""A subject who aims, cells that fire, a decoder, and what it moves: the loop, and its repair.

Many reaches run side by side, one in each row of a batch. Lengths are in mm, velocities in mm/ms,
which is m/s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from amphid.models import Decoder, TunedPopulation

Trials = tuple[list[Tensor], list[Tensor]]
"""Counts [T, N] of each trial, and velocities [T, D]."""
Fitting = Callable[[list[Tensor], list[Tensor]], Decoder]
"""From counts and velocities of trials to a decoder."""


class Effector(Protocol):
    """What a velocity moves: a `Cursor`, or an arm with its `models.Servo`."""

    def init(self, like: Tensor) -> Any:
        """The state at the start, for commands like [*B, D]."""

    def position(self, state: Any) -> Tensor:
        """Where it is [*B, D], mm."""

    def step(self, state: Any, velocity: Tensor, dt: float) -> tuple[Any, Tensor]:
        """State and place [*B, D] after it was told a velocity [*B, D] for dt ms."""


@dataclass(frozen=True)
class Cursor:
    """A point that follows any velocity up to `speed` mm/ms; its state is its place [*B, D]."""

    speed: float = 0.6

    def init(self, like: Tensor) -> Tensor:
        """In the center."""
        return torch.zeros_like(like)

    def position(self, state: Tensor) -> Tensor:
        """Where it is [*B, D], mm."""
        return state

    def step(self, state: Tensor, velocity: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        """Its place [*B, D] after dt ms, twice."""
        place = state + capped(velocity, self.speed) * dt
        return place, place


@dataclass(frozen=True, eq=False)
class Subject:
    """Someone who sees a target and, late, the effector, and wants it to move there.

    population: fires for the velocity that is wanted. speed: the highest that is wanted, mm/ms.
    settling: ms; near the target the velocity wanted is the way left over this. delay: ms, of
    sight.
    """

    population: TunedPopulation
    speed: float = 0.25
    settling: float = 300.0
    delay: float = 100.0

    def wanted(self, seen: Tensor, target: Tensor) -> Tensor:
        """The velocity [*B, D] wanted where the effector seems to be [*B, D]."""
        return capped((target - seen) / self.settling, self.speed)


@dataclass(frozen=True)
class Goal:
    """When a reach counts: within `radius` mm of the target for `hold` ms on end, before `limit`.

    dt: ms of a tick of the loop; 20 is 50 Hz.
    """

    radius: float = 15.0
    hold: float = 500.0
    limit: float = 4000.0
    dt: float = 20.0

    def held(self, place: Tensor, target: Tensor) -> Tensor:
        """Ticks [B] after which a reach [T, B, D] counted; T + 1 where it never did."""
        inside = ((place - target).norm(dim=-1) <= self.radius).float()
        ticks = math.ceil(self.hold / self.dt)
        since = inside.cumsum(0)
        since[ticks:] = since[ticks:] - since[:-ticks]
        done = (since >= ticks).float()
        first = done.argmax(0) + 1
        return torch.where(done.any(0), first, len(place) + 1)


class Attempts(NamedTuple):
    """Reaches [B] side by side; ticks after the end of a reach are kept, and count for nothing."""

    target: Tensor  # [B, D]
    place: Tensor  # before each tick, and after the last [T + 1, B, D]
    counts: Tensor  # [T, B, N]
    decoded: Tensor  # velocities that the decoder gave [T, B, D]
    ticks: Tensor  # after which each reach counted; T + 1 where it never did [B]

    @property
    def success(self) -> Tensor:
        """Whether each reach counted [B]."""
        return self.ticks <= len(self.counts)

    @property
    def last(self) -> Tensor:
        """Ticks [B] that each reach lasted."""
        return self.ticks.clamp(max=len(self.counts))

    def efficiency(self) -> Tensor:
        """The straight way over the way that was gone [B], from the start to the end of a reach."""
        steps = (self.place[1:] - self.place[:-1]).norm(dim=-1)
        under_way = torch.arange(len(steps))[:, None] < self.last
        end = self.place.gather(0, self.last[None, :, None].expand(1, *self.target.shape))[0]
        way = (steps * under_way).sum(0)
        return (end - self.place[0]).norm(dim=-1) / way.clamp(min=1e-9)


def attempted(
    subject: Subject,
    decoder: Decoder,
    effector: Effector,
    target: Tensor,
    *,
    goal: Goal,
    generator: torch.Generator,
) -> Attempts:
    """Reaches for targets [B, D], each from where the effector starts."""
    state = effector.init(target)
    places = [effector.position(state)]
    memory = decoder.init(target.new_zeros(len(target), decoder.cells))
    late, fired, told = round(subject.delay / goal.dt), [], []
    with torch.no_grad():
        for tick in range(round(goal.limit / goal.dt)):
            wanted = subject.wanted(places[max(tick - late, 0)], target)
            counts = subject.population.fire(wanted, goal.dt, generator=generator)
            memory, velocity = decoder.step(memory, counts)
            state, place = effector.step(state, velocity, goal.dt)
            places.append(place)
            fired.append(counts)
            told.append(velocity)
    place = torch.stack(places)
    ticks = goal.held(place[1:], target)
    return Attempts(target, place, torch.stack(fired), torch.stack(told), ticks)


def watched(
    population: TunedPopulation,
    way: Tensor,
    *,
    duration: float = 600.0,
    pause: float = 200.0,
    dt: float = 20.0,
    generator: torch.Generator,
) -> Trials:
    """Movements by the way [B, D] that are made or watched, not steered: counts and velocities.

    Each has the minimum-jerk profile of a reach (Flash and Hogan 1985, doi
    10.1523/JNEUROSCI.05-07-01688.1985), with a pause before and after.
    """
    time = (torch.arange(round((duration + 2 * pause) / dt)) + 0.5) * dt - pause
    share = (time / duration).clamp(0.0, 1.0)
    profile = 30 * share.square() * (1 - share).square() / duration
    velocity = profile[:, None, None] * way
    counts = population.fire(velocity, dt, generator=generator)
    return list(counts.unbind(1)), list(velocity.unbind(1))


def recalibrated(attempts: Attempts, radius: float) -> Trials:
    """Counts, and the velocities that were meant, of reaches that a decoder steered (ReFIT).

    As fast as the decoder said, but straight towards the target, and still once within it.
    Reference: Gilja et al. 2012, doi 10.1038/nn.3265.
    """
    left = attempts.target - attempts.place[:-1]
    away = left.norm(dim=-1, keepdim=True)
    speed = attempts.decoded.norm(dim=-1, keepdim=True)
    meant = torch.where(away > radius, speed * left / away.clamp(min=1e-9), 0.0)
    lasting = attempts.last.tolist()
    return (
        [attempts.counts[:ticks, row] for row, ticks in enumerate(lasting)],
        [meant[:ticks, row] for row, ticks in enumerate(lasting)],
    )


def directions(count: int, distance: float) -> Tensor:
    """So many targets [count, 2] evenly around the center, the first to the right."""
    angle = 2 * math.pi * torch.arange(count) / count
    return distance * torch.stack((angle.cos(), angle.sin()), -1)


def capped(velocity: Tensor, speed: float) -> Tensor:
    """The velocity [*B, D], in its direction, at most as fast as speed."""
    size = velocity.norm(dim=-1, keepdim=True)
    return velocity * (speed / size.clamp(min=speed))
