"""The 7-joint arm in real time: counts come from another process, the hand goes back to it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from amphid.models import DrivenArm
from amphid.studies.live_subject import PATIENCE, LiveSettings, words
from amphid.studies.paired import figure
from amphid.tasks import Bin, Inlet, Outlet, Pace, Source, on_this_machine, traffic

DT = 20.0
LOOK = 2000.0  # ms between looks at the process
LONGEST = 20  # times as many ticks as bins: where the arm waits no longer for the stream to end


@dataclass(frozen=True, eq=False)
class Ride:
    """What an arm did while it was driven."""

    places: Tensor  # of the hand, before the first tick and after each [T + 1, D], mm
    bins: list[Bin]
    pace: Pace
    troubles: list[str]  # what was said at each tick with trouble
    work: float  # ms of the processor that a tick took, on average


def driven(arm: DrivenArm, source: Source, pace: Pace, ticks: int, hand: Outlet | None) -> Ride:
    """Drive an arm from a source, bin by bin, until its stream has ended or for so many ticks."""
    state, bins, troubles, began = arm.init(), [], [], time.process_time()
    places = [arm.servo.position(state.servo)]
    for _ in pace.ticks(ticks):
        came = source.read()
        state, place = arm.step(state, [one.values for one in came], pace.interval)
        if hand is not None:
            hand.send(place)
        places.append(place)
        bins += came
        troubles += [said] if (said := source.trouble) else []
        if source.ended:
            break
    work = (time.process_time() - began) * 1000 / (len(places) - 1)
    return Ride(torch.stack(places), bins, pace, troubles, work)


def live(
    arm: DrivenArm, *, baseline: Tensor, slope: Tensor, targets: Tensor, speed: float,
    seconds: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Reaches in real time over two streams between two processes, and how the streams fared.

    For the last 30 % of the time the subject's process leaves out bins, and falls silent once.
    """
    name, bins = uuid.uuid4().hex[:8], round(seconds * 1000 / DT)
    told = LiveSettings(
        session=on_this_machine(),
        counts=f"counts {name}",
        hand=f"hand {name}",
        baseline=baseline.tolist(),
        slope=slope.tolist(),
        targets=targets.tolist(),
        speed=speed,
        bins=bins,
        disturbed=round(0.7 * bins),
        seed=seed,
    )
    with Outlet(told.hand, targets.shape[-1], interval=DT) as hand, _process(told) as subject:
        try:
            with _inlet(told, subject) as inlet:
                ride = driven(arm, inlet, Pace(interval=DT), LONGEST * bins, hand)
            answer, _ = subject.communicate(timeout=PATIENCE / 1000)
        except BaseException:
            subject.kill()
            raise
    return _figures(ride, json.loads(answer), told, arm.servo.speed * DT)


def _process(told: LiveSettings) -> subprocess.Popen[str]:
    """The subject's process, told what to do."""
    run = "from amphid.studies.live_subject import main; main()"
    pipe = subprocess.PIPE
    subject = subprocess.Popen([sys.executable, "-c", run], stdin=pipe, stdout=pipe, text=True)
    assert subject.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already, which is told later
        subject.stdin.write(words(told))
        subject.stdin.close()
    subject.stdin = None
    return subject


def _inlet(told: LiveSettings, subject: subprocess.Popen[str]) -> Inlet:
    """The subject's stream, once it is there; its process has to start first."""
    for _ in range(round(PATIENCE / LOOK)):
        try:
            return Inlet(told.counts, len(told.baseline), patience=LOOK)
        except TimeoutError:
            if subject.poll() is not None:
                raise RuntimeError(
                    f"the subject's process ended with code {subject.returncode} before it sent "
                    "anything; its stderr says why."
                ) from None
    raise TimeoutError(f"the subject's process did not start within {PATIENCE / 1000:.0f} s.")


def _figures(
    ride: Ride, answer: dict[str, Any], told: LiveSettings, allowed: float
) -> dict[str, Any]:
    """What is reported of a ride and of the subject's side of it."""
    undisturbed = [one for one in ride.bins if (one.number or 0) < told.disturbed]
    disturbed = ride.bins[len(undisturbed) :]
    counted = [held for held, _ in answer["reaches"]]
    steps = (ride.places[1:] - ride.places[:-1]).norm(dim=-1)
    last = max((one.number or 0 for one in ride.bins), default=0)
    injected = sum(told.left_out(number) for number in range(last))
    return {
        "success": figure(sum(counted) / max(len(counted), 1)),
        "reaches": len(counted),
        "ticks": len(ride.pace.lateness) + ride.pace.missed,
        "missed_deadlines": ride.pace.missed,
        "missed_by_subject": answer["missed"],
        "work_ms": figure(ride.work),
        "lateness_ms": {
            "median": figure(median(ride.pace.lateness)),
            "largest": figure(max(ride.pace.lateness)),
        },
        "undisturbed": _stream(undisturbed),
        "disturbed": _stream(disturbed) | {"left_out": injected},
        "ticks_in_trouble": len(ride.troubles),
        "largest_step_mm": figure(float(steps.max())),
        "allowed_step_mm": figure(allowed),
    }


def _stream(bins: list[Bin]) -> dict[str, Any]:
    """How bins came, as a report prints it."""
    found = traffic(bins, interval=DT)
    return {
        "bins": found.bins,
        "dropped": found.dropped,
        "jitter_ms": figure(found.jitter),
        "delay_ms": figure(found.delay),
        "late_ms": figure(found.late),
        "longest_gap_ms": figure(found.gap),
    }
