"""The loop from aim to movement: when a reach counts, how straight it was, and its repair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from amphid.models import Decoder, KalmanDecoder, Servo, TunedPopulation, seven_joint_arm
from amphid.studies.closed_loop import (
    Attempts,
    Cursor,
    Goal,
    Subject,
    attempted,
    capped,
    directions,
    recalibrated,
    watched,
)

CELLS = 41


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def population(axes: int = 2) -> TunedPopulation:
    return TunedPopulation.drawn(CELLS, axes, generator=seeded(), top=0.25)


class Sees(Decoder):
    """Tells the velocity of a population without noise, in whose counts it is written."""

    def init(self, like: Tensor) -> tuple[()]:
        return ()

    def run(self, counts: Tensor, state: tuple[()] | None = None) -> tuple[Tensor, tuple[()]]:
        return counts[..., : self.axes], ()


class Clear(TunedPopulation):
    """Fires, without noise, the velocity itself."""

    def fire(self, velocity: Tensor, interval: float, *, generator: torch.Generator) -> Tensor:
        return torch.nn.functional.pad(velocity, (0, CELLS - velocity.shape[1]))


def clear_reaches(delay: float = 0.0) -> Attempts:
    cells = Clear(population().baseline, population().slope)
    subject = Subject(cells, delay=delay)
    target = directions(7, 100.0)
    return attempted(subject, Sees(CELLS, 2), Cursor(), target, goal=Goal(), generator=seeded())


def test_a_decoder_that_sees_what_is_meant_brings_every_reach_straight_home():
    reaches = clear_reaches()
    assert reaches.success.all()
    torch.testing.assert_close(reaches.efficiency(), torch.ones(7), rtol=1e-5, atol=0.0)


def test_time_to_target_is_that_of_the_closed_form():
    """Full speed down to speed * settling, then exponential down to the radius, then the hold."""
    subject, goal = Subject(population()), Goal()
    near = subject.speed * subject.settling
    ramp = (100.0 - near) / subject.speed
    slow = subject.settling * math.log(near / goal.radius)
    expected = (ramp + slow + goal.hold) / goal.dt
    assert (clear_reaches().ticks - expected).abs().max() < 3


def test_a_reach_counts_only_after_a_hold_on_end():
    goal, target = Goal(radius=1.0, hold=60.0, dt=20.0), torch.zeros(3, 2)
    path = torch.tensor([[5, 0, 0, 5, 0, 0, 0, 5], [5] * 8, [0] * 8]).float().T
    place = torch.stack((path, torch.zeros_like(path)), -1)
    assert goal.held(place, target).tolist() == [7, 9, 3]


def test_a_detour_costs_efficiency():
    square = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [90.0, 0.0]])[:, None]
    found = Attempts(square[2], square, torch.zeros(3, 1, CELLS), square[1:], torch.tensor([2]))
    assert found.efficiency().item() == pytest.approx(5 / 7)


def test_what_was_meant_points_to_the_target_as_fast_as_was_told_and_rests_within_it():
    reaches = clear_reaches(delay=100.0)
    reaches = reaches._replace(decoded=torch.randn(reaches.decoded.shape, generator=seeded()))
    counts, meant = recalibrated(reaches, 15.0)
    for row, ticks in enumerate(reaches.last.tolist()):
        assert len(counts[row]) == len(meant[row]) == ticks
        left = reaches.target[row] - reaches.place[:ticks, row]
        outside = left.norm(dim=1) > 15.0
        assert torch.equal(meant[row].norm(dim=1) > 0, outside)
        speed = reaches.decoded[:ticks, row].norm(dim=1)
        along = (meant[row] * left).sum(1) / left.norm(dim=1)
        torch.testing.assert_close(along[outside], speed[outside])
        torch.testing.assert_close(meant[row].norm(dim=1)[outside], speed[outside])


def test_a_movement_that_is_watched_goes_all_the_way():
    way = torch.tensor([[30.0, -40.0, 5.0], [0.0, 0.0, 100.0]])
    counts, velocity = watched(population(3), way, generator=seeded())
    torch.testing.assert_close(torch.stack(velocity).sum(1) * 20.0, way, rtol=1e-3, atol=0.0)
    assert counts[0].shape == (50, CELLS)
    assert velocity[0][:10].abs().max() == 0


def test_a_cursor_never_exceeds_its_speed():
    fast = capped(100 * torch.randn(11, 3, generator=seeded()), 0.6)
    torch.testing.assert_close(fast.norm(dim=1), torch.full((11,), 0.6))
    still = torch.zeros(3)
    assert torch.equal(capped(still, 0.6), still)


def test_an_arm_of_seven_joints_is_moved_by_the_same_loop():
    arm = Servo(seven_joint_arm())
    start = arm.position(arm.init(torch.zeros(3)))
    target = start + torch.tensor([[60.0, 0.0, 0.0], [0.0, -60.0, 0.0], [0.0, 0.0, 60.0]])
    cells = Clear(population(3).baseline, population(3).slope)
    reaches = attempted(
        Subject(cells), Sees(CELLS, 3), arm, target, goal=Goal(), generator=seeded()
    )
    assert reaches.success.all()


def test_the_same_generator_gives_the_same_reaches():
    cells, way = population(), directions(8, 100.0)
    decoder = KalmanDecoder(CELLS, 2).fit(*watched(cells, way.repeat(3, 1), generator=seeded()))
    one, other = (
        attempted(Subject(cells), decoder, Cursor(), way, goal=Goal(), generator=seeded(5))
        for _ in range(2)
    )
    assert torch.equal(one.place, other.place)
    assert one.success.float().mean() > 0.5
