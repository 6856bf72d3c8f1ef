"""Spike counts sent by one process move the arm of another: 50 bins a second, some of them missing.

`live_arm.py send NAME SESSION` is the sender alone, an Outlet of Lab Streaming Layer. Without
arguments the script starts it in a second process and drives a 7-joint arm by what it sends, for
three seconds. Leave `on_this_machine` out, and the two may be on two machines.
"""

import subprocess
import sys

import torch

from amphid import models, tasks

CELLS, BINS = 60, 150
draw = torch.Generator().manual_seed(1)
cells = models.TunedPopulation.drawn(CELLS, 3, generator=draw, top=0.25)


def send(name: str, session: str) -> None:
    """Cells that want the hand up for a second, ahead for another, then nothing."""
    tasks.on_this_machine(session)
    with tasks.Outlet(name, CELLS) as outlet:
        outlet.awaited()
        for tick in tasks.Pace().ticks(BINS):
            way = torch.tensor([[0.0, 0.0, 0.1], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0]])[tick // 50]
            if tick % 20 == 19:
                outlet.next += 1  # a bin that is lost
            else:
                outlet.send(cells.fire(way, 20.0, generator=draw))


def drive(name: str) -> None:
    """A decoder fitted beforehand moves the arm until the stream ends."""
    velocity = 0.1 * torch.randn(100, 3, generator=draw).repeat_interleave(25, 0)
    counts = cells.fire(velocity, 20.0, generator=draw)
    decoder = models.KalmanDecoder(CELLS, 3).fit(counts, velocity)
    arm = models.DrivenArm(decoder, models.Servo(models.seven_joint_arm()))
    state, bins, pace = arm.init(), [], tasks.Pace()
    with tasks.Inlet(name, CELLS, patience=60_000.0) as inlet:
        for tick in pace.ticks(10 * BINS):
            came = inlet.read()
            state, hand = arm.step(state, [one.values for one in came], dt=20.0)
            bins += came
            if tick % 25 == 0:
                print(f"{tick / 50:4.1f} s  hand at", *(f"{x:7.1f}" for x in hand.tolist()), "mm")
            if inlet.ended:
                print(inlet.trouble)
                break
    found = tasks.traffic(bins)
    print(f"{found.bins} bins came, {found.dropped} were lost; jitter {found.jitter:.1f} ms,")
    print(f"99 % within {found.late:.1f} ms of the quickest; {pace.missed} deadlines missed")


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(*sys.argv[2:])
    else:
        session = tasks.on_this_machine()
        ask = [sys.executable, __file__, "send", "counts", session]
        with subprocess.Popen(ask):
            drive("counts")
