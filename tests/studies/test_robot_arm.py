"""Arms that a population steers: what counts as a reach, from memory and in virtual time."""

import pytest
import torch

from amphid.models import DrivenArm, KalmanDecoder, PlanarArm, TunedPopulation, seven_joint_arm
from amphid.studies.arm_reaches import (
    GOAL,
    TOP,
    Scores,
    averaged,
    compared,
    gains,
    mixed_up,
    prepared,
    targets_around,
)
from amphid.studies.closed_loop import Goal
from amphid.studies.live_arm import driven
from amphid.studies.live_subject import LEFT_OUT, LiveSettings, Reaching
from amphid.studies.recorded_cells import recorded_population
from amphid.studies.robot_arm import judged
from amphid.tasks import Pace, Reach, Reaches, Remembered, VirtualClock

ARMS = [PlanarArm(), seven_joint_arm()]
each_arm = pytest.mark.parametrize("arm", ARMS, ids=lambda arm: type(arm).__name__)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def steered(arm, cells=61, seed=0):
    draw = seeded(seed)
    population = TunedPopulation.drawn(cells, arm.dimensions, generator=draw, top=TOP)
    return prepared(arm, population, draw)


@each_arm
def test_every_target_is_within_reach(arm):
    targets = targets_around(arm).double()
    torch.testing.assert_close(arm.forward(arm.inverse(targets)), targets, rtol=0.0, atol=1e-3)
    assert len(targets.unique(dim=0)) == len(targets) == (8 if arm.dimensions == 2 else 26)


@each_arm
def test_recalibration_straightens_reaches_and_mixed_up_cells_reach_nothing(arm):
    found, decoder = compared(steered(arm), 1)
    assert found["refit"].success >= 0.9
    assert found["refit"].efficiency > found["open_loop"].efficiency
    assert found["shuffled"].success <= 0.2
    assert found["other_target"].success <= 0.1
    assert decoder.cells == 61


def test_cells_in_another_order_fire_in_that_order():
    population = TunedPopulation.drawn(11, 3, generator=seeded())
    velocity, order = torch.tensor([0.1, -0.2, 0.05]), torch.randperm(11, generator=seeded())
    torch.testing.assert_close(mixed_up(population, order)(velocity), population(velocity)[order])


def test_a_reach_counts_live_when_it_counts_side_by_side():
    """A hand that wanders about its target: both judges see the same ticks."""
    goal, draw = Goal(radius=15.0, hold=100.0, limit=4000.0), seeded()
    path = 14.0 * torch.randn(200, 2, generator=draw)
    reaching = Reaching(torch.zeros(2, 2), goal, draw)
    for place in path:
        reaching.step(place)
        if reaching.ended:
            break
    held = goal.held(path[:, None], torch.zeros(1, 2))
    assert reaching.ended == [(True, int(held))]


def test_a_reach_that_is_never_held_ends_at_its_limit_and_another_target_follows():
    goal = Goal(limit=200.0)
    reaching = Reaching(torch.tensor([[0.0, 0.0], [9e3, 0.0], [0.0, 9e3]]), goal, seeded())
    for _ in range(31):
        before = reaching.target
        count = len(reaching.ended)
        reaching.step(torch.full((2,), 5e3))
        assert torch.equal(before, reaching.target) == (len(reaching.ended) == count)
    assert reaching.ended == [(False, 10)] * 3


def test_recorded_cells_are_tuned_as_their_counts_say():
    """Cells of a known tuning, that lead the hand by two bins of 50 ms."""
    draw = seeded()
    own = TunedPopulation.drawn(5, 2, generator=draw, baseline=0.02, depth=0.01, top=0.25)
    trials = []
    for _ in range(60):
        velocity = 0.15 * torch.randn(43, 2, generator=draw)
        ahead = torch.cat((velocity[2:], torch.zeros(2, 2)))
        spikes = own.fire(ahead, 50.0, generator=draw)
        trials.append(Reach(spikes, velocity * 100, torch.zeros(43, 2), 0.0, 0, 40))
    found = recorded_population(Reaches(tuple(trials), 50.0))
    torch.testing.assert_close(found.slope, own.slope, rtol=0.2, atol=0.004)


@each_arm
def test_an_arm_in_the_loop_rests_while_no_bins_come_and_moves_on_after(arm):
    own = steered(arm)
    counts = own.subject.population.fire(torch.full((40, arm.dimensions), 0.1), 20.0,
                                         generator=seeded())  # fmt: skip
    source = Remembered(counts, arrivals=(*[1] * 15, *[0] * 25, 25))
    ride = driven(DrivenArm(own.watched, own.servo), source, Pace(VirtualClock()), 50, None)
    steps = (ride.places[1:] - ride.places[:-1]).norm(dim=-1)
    assert len(ride.bins) == 40
    assert float(steps[38:40].max()) < 0.05
    assert float(steps[40]) > 0.5
    assert float(steps.max()) <= own.servo.speed * 20.0 * (1 + 1e-4)
    assert "all 40 bins were read" in ride.troubles[-1]


def test_the_claim_is_judged_by_success_and_time():
    quick = {"seconds_saved": {"interval": [0.1, 0.3]}}
    even = {"seconds_saved": {"interval": [-0.1, 0.3]}}
    assert judged(0.9, quick)
    assert not judged(0.89, quick)
    assert not judged(1.0, even)


def test_gains_are_differences_run_by_run():
    runs = [
        {"open_loop": Scores(0.5, 3.0, 0.5), "refit": Scores(0.75, 2.0, 0.75)},
        {"open_loop": Scores(0.25, 4.0, 0.25), "refit": Scores(1.0, 1.0, 1.0)},
    ]
    found = gains(runs)
    assert found["success"]["mean"] == 0.5
    assert found["seconds_saved"]["mean"] == 2.0
    assert averaged(runs, "refit")["least_success"] == 0.75


def test_bins_are_left_out_only_after_the_disturbance_began():
    told = LiveSettings("s", "c", "h", [], [], [], 0.25, 500, 200, 0)
    out = [number for number in range(500) if told.left_out(number)]
    assert min(out) >= 200
    assert set(range(300, 315)) <= set(out)
    assert len(out) == 15 + 300 // LEFT_OUT - sum(
        n % LEFT_OUT == LEFT_OUT - 1 for n in range(100, 115)
    )


def test_decoders_of_the_study_are_fitted_for_the_bins_of_its_loop():
    own = steered(PlanarArm(), cells=13)
    assert isinstance(own.watched, KalmanDecoder)
    assert GOAL.dt == Pace().interval
