"""An arm that a decoder drives: gaps, bursts and nonsense among the bins never make it jump."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amphid.models import (
    DrivenArm,
    KalmanDecoder,
    PlanarArm,
    Servo,
    TunedPopulation,
    seven_joint_arm,
)

DT = 20.0
CELLS = 23


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def driven(arm, **settings):
    """An arm whose decoder knows the population."""
    draw = seeded()
    axes = arm.dimensions
    population = TunedPopulation.drawn(CELLS, axes, generator=draw, top=0.25)
    velocity = 0.1 * torch.randn(400, axes, generator=draw)
    counts = population.fire(velocity, DT, generator=draw)
    decoder = KalmanDecoder(CELLS, axes).fit(counts, velocity)
    return DrivenArm(decoder, Servo(arm), **settings), population


ARMS = [driven(PlanarArm())[0], driven(seven_joint_arm())[0]]
each_arm = pytest.mark.parametrize("arm", ARMS, ids=lambda arm: type(arm.servo.arm).__name__)


@each_arm
def test_bins_in_one_burst_are_decoded_like_bins_one_by_one(arm):
    bins = list(torch.ones(5, CELLS).unbind())
    together = arm.step(arm.init(), bins, DT)[0]
    state = arm.init()
    for one in bins:
        state, _ = arm.step(state, [one], DT)
    torch.testing.assert_close(together.velocity, state.velocity)
    torch.testing.assert_close(together.memory.velocity, state.memory.velocity)


@each_arm
def test_without_bins_the_arm_fades_to_rest_by_its_time_constant(arm):
    state, _ = arm.step(arm.init(), [torch.full((CELLS,), 2.0)], DT)
    velocity, gone = state.velocity, []
    place = arm.servo.position(state.servo)
    for tick in range(1, 40):
        before = place
        state, place = arm.step(state, [], DT)
        torch.testing.assert_close(state.velocity, velocity * math.exp(-tick * DT / arm.fade))
        gone.append(float((place - before).norm()))
    assert gone[-1] < 1e-3


@each_arm
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    arrivals=st.lists(st.integers(0, 4), min_size=3, max_size=11),
    scale=st.sampled_from([1.0, 1e3, 1e30, math.inf, math.nan]),
)
def test_whatever_comes_the_hand_keeps_its_speed(arm, seed, arrivals, scale):
    draw = seeded(seed)
    state = arm.init()
    place = arm.servo.position(state.servo)
    for coming in arrivals:
        bins = [scale * torch.poisson(torch.ones(CELLS), generator=draw) for _ in range(coming)]
        before = place
        state, place = arm.step(state, bins, DT)
        assert bool(place.isfinite().all())
        assert float((place - before).norm()) <= arm.servo.speed * DT * (1 + 1e-4)
        assert bool(state.velocity.isfinite().all())


@each_arm
def test_it_decodes_on_after_nonsense(arm):
    """What is decoded ten bins later does not remember a bin that was not a number."""
    bins = [torch.full((CELLS,), math.nan)] + [torch.full((CELLS,), 1.0)] * 10
    state, sound = arm.init(), arm.init()
    for one in bins:
        state, _ = arm.step(state, [one], DT)
    for one in bins[1:]:
        sound, _ = arm.step(sound, [one], DT)
    torch.testing.assert_close(state.velocity, sound.velocity)


def test_nonsense_is_answered_in_a_sentence():
    plane, space = ARMS
    with pytest.raises(ValueError, match="along the 3 axes of the arm, got 2"):
        DrivenArm(plane.decoder, space.servo)
    with pytest.raises(ValueError, match="fade, in ms, must be positive"):
        DrivenArm(plane.decoder, plane.servo, fade=0.0)
