"""Arms: where the hand is, how it moves, and limits that no command can cross."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amphid.models import PlanarArm, SerialArm, Servo, seven_joint_arm

ARMS = [PlanarArm(), seven_joint_arm()]
DT = 20.0
PLANE = SerialArm(
    axes=((0.0, 0.0, 1.0), (0.0, 0.0, 1.0)),
    links=((300.0, 0.0, 0.0), (330.0, 0.0, 0.0)),
    low=(-0.6, 0.0),
    high=(2.6, 2.7),
    posture=(0.7, 1.6),
)
each_arm = pytest.mark.parametrize("arm", ARMS, ids=lambda arm: type(arm).__name__)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(arm, *batch, seed=0):
    """Angles within the limits."""
    share = torch.rand(*batch, len(arm.low), dtype=torch.float64, generator=seeded(seed))
    low, high = share.new_tensor(arm.low), share.new_tensor(arm.high)
    return low + share * (high - low)


@each_arm
def test_the_jacobian_is_the_derivative_of_where_the_hand_is(arm):
    for angles in drawn(arm, 5):
        exact = torch.autograd.functional.jacobian(arm.forward, angles)
        torch.testing.assert_close(arm.jacobian(angles), exact, rtol=1e-12, atol=1e-9)


@each_arm
def test_batches_are_single_arms_side_by_side(arm):
    angles = drawn(arm, 3, 5)
    single = torch.stack([torch.stack([arm.forward(one) for one in row]) for row in angles])
    torch.testing.assert_close(arm.forward(angles), single)
    assert arm.jacobian(angles).shape == (3, 5, arm.dimensions, len(arm.low))


def test_the_hand_of_the_planar_arm_is_where_angles_put_it():
    arm, angles = PlanarArm(), drawn(PlanarArm(), 101)
    found = arm.inverse(arm.forward(angles))
    torch.testing.assert_close(found, angles, rtol=1e-9, atol=1e-7)


def test_two_joints_in_space_are_the_planar_arm():
    angles = drawn(PlanarArm(), 11)
    space = PLANE.forward(angles)
    torch.testing.assert_close(space[:, :2], PlanarArm().forward(angles))
    assert float(space[:, 2].abs().max()) == 0.0


def test_seven_joints_put_the_hand_where_it_is_asked():
    arm = seven_joint_arm()
    rest = arm.forward(torch.tensor(arm.posture, dtype=torch.float64))
    way = torch.randn(31, 3, dtype=torch.float64, generator=seeded())
    asked = rest + 150.0 * way / way.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(arm.forward(arm.inverse(asked)), asked, rtol=0.0, atol=1e-5)


def test_lengths_of_links_bound_the_hand():
    arm = seven_joint_arm()
    assert float(arm.forward(drawn(arm, 997)).norm(dim=-1).max()) <= arm.reach + 1e-9
    hanging = arm.forward(torch.zeros(7, dtype=torch.float64))
    torch.testing.assert_close(hanging, torch.tensor([0.0, 0.0, -640.0], dtype=torch.float64))


@each_arm
def test_what_is_out_of_reach_is_answered_within_the_limits(arm):
    far = torch.tensor([0.0, 1e-12, 1e3, 1e9], dtype=torch.float64)
    found = arm.inverse(far[:, None] * torch.ones(arm.dimensions, dtype=torch.float64))
    assert bool((found >= found.new_tensor(arm.low)).all())
    assert bool((found <= found.new_tensor(arm.high)).all())


@each_arm
def test_a_hand_follows_its_velocity_to_first_order(arm):
    """Halving dt quarters what a step strays from the velocity."""
    servo, strayed = Servo(arm), []
    velocity = torch.full((arm.dimensions,), 0.1, dtype=torch.float64)
    for dt in (8.0, 4.0, 2.0):
        state = servo.init(velocity)
        after = servo.step(state, velocity, dt)[1]
        strayed.append(float((after - servo.position(state) - velocity * dt).norm()))
    assert strayed[0] / strayed[1] == pytest.approx(4.0, rel=0.1)
    assert strayed[1] / strayed[2] == pytest.approx(4.0, rel=0.1)


@each_arm
def test_no_command_moves_no_joint(arm):
    servo = Servo(arm)
    state = servo.init(torch.zeros(5, arm.dimensions, dtype=torch.float64))
    state = state._replace(angles=drawn(arm, 5))
    for value in (0.0, math.nan, math.inf):
        command = torch.full((5, arm.dimensions), value, dtype=torch.float64)
        assert torch.equal(servo.step(state, command, DT)[0].angles, state.angles)


@each_arm
def test_joints_return_to_their_posture_where_the_hand_leaves_them_free(arm):
    """After a long way out and back, the hand is where it was and so are the joints, about."""
    servo = Servo(arm)
    way = torch.zeros(arm.dimensions, dtype=torch.float64)
    way[0] = 0.2
    state = servo.init(way)
    start = state.angles
    for sign in [1.0, -1.0] * 40:
        state, _ = servo.step(state, sign * way, DT)
    assert float((state.angles - start).abs().max()) < 0.05


@each_arm
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-300, 1e-3, 0.3, 3.0, 1e6, 1e300, math.inf]),
    dt=st.sampled_from([1.0, 20.0, 500.0]),
)
def test_no_command_crosses_a_limit_or_the_speed(arm, seed, scale, dt):
    servo, draw = Servo(arm), seeded(seed)
    edge = torch.rand(7, len(arm.low), dtype=torch.float64, generator=draw).round()
    low, high = edge.new_tensor(arm.low), edge.new_tensor(arm.high)
    angles = torch.cat((low + edge * (high - low), drawn(arm, 6, seed=seed)))
    state = servo.init(torch.zeros(13, arm.dimensions, dtype=torch.float64))
    state = state._replace(angles=angles)
    for _ in range(3):
        before = servo.position(state)
        way = torch.randn(13, arm.dimensions, dtype=torch.float64, generator=draw)
        after, place = servo.step(state, scale * way, dt)
        assert bool(((after.angles >= low) & (after.angles <= high)).all())
        assert float((place - before).norm(dim=-1).max()) <= servo.speed * dt * (1 + 1e-9)
        turned = (after.angles - state.angles).abs().max()
        assert float(turned) <= servo.joint_speed * dt * (1 + 1e-9)
        state = after


@each_arm
def test_a_hand_out_of_its_reach_comes_back(arm):
    """Pushed outward until the arm is straight, then called back: singular, yet it returns."""
    servo = Servo(arm)
    way = servo.position(servo.init(torch.zeros(arm.dimensions, dtype=torch.float64)))
    way = 0.5 * way / way.norm()
    state = servo.init(way)
    for _ in range(100):
        state, place = servo.step(state, way, DT)
    out = float(place.norm())
    for _ in range(60):
        state, place = servo.step(state, -way, DT)
    assert bool(place.isfinite().all())
    assert float(place.norm()) < out - 100.0


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: PlanarArm(upper=-1.0), "upper, a length in mm, must be positive"),
        (lambda: PlanarArm(low=(0.8, 0.0)), "must rest between its limits"),
        (lambda: PlanarArm(low=(0.0, -1.0)), "the elbow within 0 to pi"),
        (lambda: seven_joint_arm(hand=math.nan), "hand, a length in mm, must be positive"),
        (lambda: SerialArm(((0.0, 0.0, 2.0),), ((1.0, 0.0, 0.0),), (-1,), (1,), (0,)), "length 1"),
        (lambda: SerialArm(((0.0, 1.0),), ((1.0, 0.0, 0.0),), (-1,), (1,), (0,)), "three numbers"),
        (lambda: SerialArm((), ((1.0, 0.0, 0.0),), (-1,), (1,), (0,)), "one vector for each"),
        (lambda: Servo(PlanarArm(), speed=0.0), "speed must be positive"),
        (lambda: Servo(PlanarArm()).init(torch.zeros(3)), "must end in 2 coordinates"),
        (lambda: PlanarArm().forward(torch.zeros(3)), "must end in 2 joints"),
        (lambda: stepped(torch.zeros(5)), "velocity must end in 2"),
        (lambda: stepped(torch.zeros(2), dt=math.nan), "dt, in ms, must be positive"),
    ],
)
def test_nonsense_is_answered_in_a_sentence(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def stepped(velocity, dt=DT):
    servo = Servo(PlanarArm())
    return servo.step(servo.init(torch.zeros(2)), velocity, dt)


def test_positions_that_are_no_floats_are_refused_in_a_sentence():
    for wrong in ([0.0, 1.0], torch.zeros(2, dtype=torch.long), None):
        with pytest.raises(TypeError, match="position must be a tensor of floats"):
            PlanarArm().inverse(wrong)
