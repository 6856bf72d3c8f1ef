"""Bins that come while they are read, from memory and from another process over loopback."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from amphid.tasks import (
    Bin,
    Inlet,
    Outlet,
    Pace,
    Remembered,
    VirtualClock,
    on_this_machine,
    traffic,
)

SENDER = Path(__file__).parent / "lsl_sender.py"
WAIT = 30_000.0  # ms, where the machine is busy


class Sender:
    """The other process."""

    def __init__(self):
        self.session = on_this_machine()
        ask = [sys.executable, str(SENDER), self.session]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(ask, stdin=pipe, stdout=pipe, text=True)

    def tell(self, *words, wait=True):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        if wait:
            assert self.process.stdout.readline().split() == [words[0]]

    def done(self, *words):
        for word in words:
            assert self.process.stdout.readline().split() == [word]

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def sender():
    pytest.importorskip("pylsl")
    other = Sender()
    yield other
    other.end()


def collected(inlet, enough, seconds=8.0):
    """All bins until the condition holds."""
    bins, end = [], time.monotonic() + seconds
    while not enough(bins) and time.monotonic() < end:
        bins += inlet.read()
        time.sleep(0.005)
    assert enough(bins), f"{len(bins)} bins came; {inlet.trouble}"
    return bins


def test_what_one_process_sends_another_reads(sender):
    sender.tell("open", "whole", 5)
    with Inlet("whole", 5, patience=WAIT) as inlet:
        sender.tell("awaited")
        sender.tell("send", 17, 1)
        bins = collected(inlet, lambda bins: len(bins) >= 17)
        assert [one.number for one in bins] == list(range(17))
        assert all(torch.equal(one.values, torch.ones(5)) for one in bins)
        assert traffic(bins).dropped == 0
    sender.tell("close")


def test_bins_that_are_left_out_are_counted(sender):
    sender.tell("open", "gaps", 3)
    with Inlet("gaps", 3, patience=WAIT) as inlet:
        sender.tell("awaited")
        for _ in range(3):
            sender.tell("send", 5, 1)
            sender.tell("skip", 2)
        sender.tell("odd", "nan")
        sender.tell("send", 1, 1)
        bins = collected(inlet, lambda bins: len(bins) >= 16)
        assert traffic(bins).dropped == 7
        assert inlet.unreadable == 1
    sender.tell("close")


def test_a_silent_stream_says_for_how_long(sender):
    sender.tell("open", "stall", 3)
    with Inlet("stall", 3, patience=WAIT, silence=1000.0) as inlet:
        sender.tell("awaited")
        sender.tell("send", 1, 1)
        collected(inlet, lambda bins: len(bins) >= 1)
        assert inlet.trouble is None
        time.sleep(1.1)
        assert inlet.read() == []
        assert "has sent no bin for" in inlet.trouble
        sender.tell("send", 1, 1)
        collected(inlet, lambda bins: len(bins) >= 1)
        assert inlet.trouble is None
    sender.tell("close")


def test_a_stream_that_ends_and_changes_its_channels_is_left_alone_until_it_fits(sender):
    sender.tell("open", "changing", 3)
    with Inlet("changing", 3, patience=WAIT, silence=WAIT) as inlet:
        sender.tell("awaited")
        sender.tell("send", 2, 1)
        collected(inlet, lambda bins: len(bins) >= 2)
        sender.tell("close")
        collected(inlet, lambda bins: "has ended" in (inlet.trouble or ""))
        assert inlet.ended
        sender.tell("open", "changing", 7)
        sender.tell("send", 2, 1)
        collected(inlet, lambda bins: "has 7 channels, where 3 are read" in inlet.trouble)
        assert inlet.read() == []
        sender.tell("close")
        sender.tell("open", "changing", 3)
        sender.tell("send", 300, 5, wait=False)
        bins = collected(inlet, lambda bins: len(bins) >= 3)
        assert all(one.values.shape == (3,) for one in bins)
        assert inlet.trouble is None
        assert not inlet.ended
    sender.done("send")
    sender.tell("close")


def test_a_stream_of_others_is_read_by_its_stamps(sender):
    sender.tell("foreign", "eeg", 4, "float32")
    with Inlet("eeg", 4, patience=WAIT) as inlet:
        sender.tell("awaited")
        sender.tell("send", 5, 2)
        bins = collected(inlet, lambda bins: len(bins) >= 5)
        assert {one.number for one in bins} == {None}
    sender.tell("close")


def test_what_cannot_be_read_is_refused_in_a_sentence(sender):
    with pytest.raises(TimeoutError, match="there is no stream 'nobody'"):
        Inlet("nobody", 3, patience=50.0)
    sender.tell("foreign", "words", 2, "string")
    with pytest.raises(ValueError, match="sends words"):
        Inlet("words", 2, patience=WAIT)
    sender.tell("close")
    sender.tell("open", "wide", 11)
    with pytest.raises(ValueError, match="has 11 channels, where 2 are read"):
        Inlet("wide", 2, patience=WAIT)
    sender.tell("close")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Inlet("it's", 3), "without quotes"),
        (lambda: Inlet("a", 0), "channels must be a whole number, at least 1"),
        (lambda: Inlet("a", 2.5), "channels must be a whole number"),
        (lambda: Inlet("a", 3, patience=math.nan), "patience must be a positive time"),
        (lambda: Inlet("a", 3, silence=-1.0), "silence must be a positive time"),
        (lambda: Remembered(torch.zeros(3, 2), arrivals=(1, -1)), "arrivals must be counts"),
        (lambda: traffic([], interval=0.0), "interval must be a positive time"),
        (lambda: Outlet("", 3), "name must be printable"),
        (lambda: Outlet("a", 3, interval=math.nan), "interval must be a positive time"),
        (lambda: Outlet("a", -1), "channels must be a whole number"),
        (lambda: Remembered(torch.zeros(3)), "bins of cells"),
        (lambda: Pace(interval=0.0), "interval must be a positive time"),
    ],
)
def test_nonsense_is_answered_in_a_sentence(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_what_is_closed_says_so(sender):
    sender.tell("open", "closing", 3)
    inlet = Inlet("closing", 3, patience=WAIT)
    inlet.close()
    with pytest.raises(ValueError, match="is closed"):
        inlet.read()
    with Outlet("own", 3) as outlet:
        assert not outlet.awaited(1.0)
        with pytest.raises(ValueError, match="must hold 3 values"):
            outlet.send(torch.zeros(2))
    with pytest.raises(ValueError, match="is closed"):
        outlet.send(torch.zeros(3))
    sender.tell("close")


def test_a_missing_extra_names_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'amphid\[bci\]'"):
        Outlet("a", 3)


def test_memory_gives_its_bins_in_order_and_says_when_they_are_all_read():
    values = torch.arange(14.0).reshape(7, 2)
    source = Remembered(values, arrivals=(1, 0, 3), dropped=(2,))
    read = [source.read() for _ in range(7)]
    assert [[one.number for one in bins] for bins in read] == [[0], [], [1, 3], [4], [5], [6], []]
    assert "all 7 bins were read" in source.trouble
    assert source.ended
    assert traffic([one for bins in read for one in bins]).dropped == 1


def bins_at(stamps, numbers, delays):
    return [
        Bin(torch.zeros(1), number, stamp, stamp + 1e6 + delay)
        for stamp, number, delay in zip(stamps, numbers, delays, strict=True)
    ]


def test_jitter_and_delay_are_those_of_the_stamps_whatever_the_clocks():
    stamps = [0.0, 21.0, 39.0, 81.0, 100.0]
    found = traffic(bins_at(stamps, [0, 1, 2, 4, 5], [3.0, 5.0, 4.0, 3.0, 13.0]))
    assert (found.bins, found.dropped) == (5, 1)
    assert found.share_dropped == pytest.approx(1 / 6)
    assert found.jitter == pytest.approx(torch.tensor([21.0, 18.0, 19.0]).std().item())
    assert found.delay == pytest.approx(1.0)
    assert found.gap == pytest.approx(41.0)
    assert traffic(bins_at(stamps, [None] * 5, [0.0] * 5)).dropped == 1
    assert traffic([]).bins == traffic([]).dropped == 0


def test_a_sender_that_starts_anew_has_dropped_nothing():
    assert traffic(bins_at([0.0, 20.0, 500.0, 520.0], [7, 8, 0, 1], [0.0] * 4)).dropped == 0


def test_ticks_come_at_even_times_and_those_overrun_are_missed():
    clock = VirtualClock()
    pace, ran = Pace(clock), []
    for tick in pace.ticks(11):
        ran.append((tick, clock.now()))
        clock.spend({2: 20.0, 4: 21.0, 7: 65.0}.get(tick, 1.0))
    assert [tick for tick, _ in ran] == [0, 1, 2, 3, 4, 6, 7]
    assert all(now == 20.0 * tick for tick, now in ran)
    assert pace.missed == 1 + 3
    assert set(pace.lateness) == {0.0}


def test_a_killed_sender_is_a_stream_that_ended():
    """The sender knows pylsl only, and starts in no time."""
    pytest.importorskip("pylsl")
    ask = [sys.executable, str(SENDER.with_name("lsl_killed.py")), on_this_machine()]
    with (
        subprocess.Popen(ask, stdin=subprocess.PIPE) as other,
        Inlet("killed", 3, patience=WAIT, silence=WAIT) as inlet,
    ):
        assert inlet.trouble is None
        other.kill()
        collected(inlet, lambda bins: "has ended" in (inlet.trouble or ""))
