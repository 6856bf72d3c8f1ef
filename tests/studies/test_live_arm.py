"""An arm driven by another process over loopback, which drops bins, stalls, changes and dies."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from amphid.models import DrivenArm, PlanarArm, TunedPopulation, seven_joint_arm
from amphid.studies.arm_reaches import TOP, prepared, targets_around
from amphid.studies.live_arm import live
from amphid.tasks import Inlet, Pace, on_this_machine, traffic

pytest.importorskip("pylsl")

SENDER = Path(__file__).parents[1] / "tasks" / "lsl_sender.py"
CELLS = 17
WAIT = 60_000.0  # ms, where the machine is busy


def arm_of(arm):
    draw = torch.Generator().manual_seed(0)
    population = TunedPopulation.drawn(CELLS, arm.dimensions, generator=draw, top=TOP)
    own = prepared(arm, population, draw)
    return DrivenArm(own.watched, own.servo), own.subject.population


def ridden(arm, population):
    return live(
        arm,
        baseline=population.baseline,
        slope=population.slope,
        targets=targets_around(PlanarArm()),
        speed=TOP,
        seconds=4.0,
        seed=0,
    )


class Rig:
    """A sender in another process, and an arm that is driven by what it sends."""

    def __init__(self):
        ask, pipe = [sys.executable, str(SENDER), on_this_machine()], subprocess.PIPE
        self.process = subprocess.Popen(ask, stdin=pipe, stdout=pipe, text=True)
        self.tell("open", "rig", CELLS)
        self.process.stdout.readline()
        self.inlet = Inlet("rig", CELLS, patience=WAIT)
        self.arm = arm_of(seven_joint_arm())[0]
        self.state = self.arm.init()
        self.places = [self.arm.servo.position(self.state.servo)]
        self.bins, self.troubles = [], []

    def tell(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def drive(self, until, ticks=3000):
        """Drive the arm at 50 Hz until a condition holds, which it must."""
        for _ in Pace().ticks(ticks):
            came = self.inlet.read()
            self.state, place = self.arm.step(self.state, [one.values for one in came], 20.0)
            self.places.append(place)
            self.bins += came
            self.troubles.append(self.inlet.trouble or "")
            if until():
                return
        pytest.fail(f"{len(self.bins)} bins; {self.troubles[-1]}")

    def step(self):
        """The longest step of the hand in a tick, mm."""
        places = torch.stack(self.places)
        return float((places[1:] - places[:-1]).norm(dim=-1).max())

    def resting(self):
        return float((self.places[-1] - self.places[-2]).norm()) < 0.05

    def end(self):
        self.inlet.close()
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def rig():
    own = Rig()
    yield own
    own.end()


def test_drops_a_stall_other_channels_and_death_bring_the_arm_to_rest_without_a_jump(rig):
    rig.tell("awaited")
    rig.tell("send", 20, 20)
    rig.tell("skip", 3)
    rig.tell("send", 5, 20)
    rig.drive(lambda: len(rig.bins) == 25)
    assert traffic(rig.bins).dropped == 3
    time.sleep(0.3)
    rig.drive(rig.resting)
    rig.drive(lambda: "has sent no bin for" in rig.troubles[-1])
    rig.tell("send", 5, 20)
    rig.drive(lambda: len(rig.bins) == 30)
    rig.tell("close")
    rig.tell("open", "rig", CELLS + 2)
    rig.drive(lambda: f"has {CELLS + 2} channels, where {CELLS} are read" in rig.troubles[-1])
    rig.drive(rig.resting)
    rig.tell("close")
    rig.tell("open", "rig", CELLS)
    rig.tell("send", 100, 20)
    rig.drive(lambda: len(rig.bins) >= 35)
    rig.process.kill()
    rig.drive(lambda: "has ended" in rig.troubles[-1])
    rig.drive(rig.resting)
    assert rig.step() <= rig.arm.servo.speed * 20.0 * (1 + 1e-4)


def test_whatever_a_sender_does_the_hand_keeps_its_speed(rig):
    """Verbs in an order drawn at random, nonsense among the values."""
    draw = random.Random(0)
    verbs = [
        lambda: ["send", draw.randint(1, 12), draw.choice([0, 1, 20])],
        lambda: ["skip", draw.randint(1, 100)],
        lambda: ["odd", draw.choice(["nan", "inf", "-inf", "1e300", "-1e30", "1e30", "1e6"])],
    ]
    for _ in range(40):
        rig.tell(*draw.choice(verbs)())
    rig.tell("close")
    rig.drive(lambda: "has ended" in rig.troubles[-1])
    assert rig.inlet.unreadable > 0
    assert rig.step() <= rig.arm.servo.speed * 20.0 * (1 + 1e-4)
    assert all(bool(place.isfinite().all()) for place in rig.places)


def test_a_subject_that_does_not_start_is_told_at_once(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    arm, population = arm_of(PlanarArm())
    with pytest.raises(RuntimeError, match="ended with code 1 before it sent anything"):
        ridden(arm, population)


def test_two_processes_reach_in_real_time_and_every_bin_that_was_left_out_is_missed():
    found = ridden(*arm_of(PlanarArm()))
    assert found["undisturbed"]["dropped"] == 0
    assert found["disturbed"]["dropped"] == found["disturbed"]["left_out"] > 0
    assert found["undisturbed"]["bins"] == 140
    assert found["largest_step_mm"] <= found["allowed_step_mm"] * (1 + 1e-4)
    assert found["work_ms"] > 0
    assert 0 <= found["missed_deadlines"] <= found["ticks"]
