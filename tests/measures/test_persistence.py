"""What lasts: cycles of runs against brute force, laws of rings, and the fast look."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from amphid.dynamics import (
    LIF,
    Delta,
    ExponentialTrace,
    Graded,
    StepTrace,
    Summing,
    Winner,
    graded_synapses,
)
from amphid.measures import Activity, glimpse, persistence
from amphid.measures.activity import activity_of
from amphid.measures.courses import Clocked, Raced
from amphid.measures.cycles import Stretch, cycle, least_period, spike_codes
from amphid.simulation import GeometricNetwork, Network, Onsets, Stimulus
from amphid.wiring import Cells, Connections, Connectome, conducted, geometric

CELLS = 17


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Jumps:
    """A run through states 0, 1, ... where state i goes to `to[i]`; cell 0 fires in marked ones."""

    to: tuple[int, ...]
    marked: tuple[int, ...] = ()
    final: int = -1

    def run(self, state, ticks):
        spikes = []
        for tick in range(ticks):
            spikes += [tick] if state in self.marked else []
            state = self.to[state]
        tick, cell = np.array(spikes, np.int64), np.zeros(len(spikes), np.int64)
        return Stretch(tick, cell, state, spike_codes(tick, cell, ticks))

    def key(self, state):
        return str(state).encode()

    def ended(self, state):
        return state == self.final


def hashed(course, state, longest):
    """Start and period of the cycle, by keeping every state until one comes again."""
    seen = {}
    for tick in range(longest):
        if course.ended(state):
            return tick, 0
        key = course.key(state)
        if key in seen:
            return seen[key], tick - seen[key]
        seen[key] = tick
        state = course.run(state, 1).state
    return None


@pytest.mark.parametrize("seed", range(5))
def test_a_cycle_of_random_jumps_is_that_of_all_states_kept(seed):
    to = tuple(torch.randint(503, (503,), generator=seeded(seed)).tolist())
    for marked in (range(0, 503, 3), (), range(503), (to[to[0]],)):
        jumps = Jumps(to, tuple(marked))
        found = cycle(jumps, 0, 10_000)
        assert (found.start, found.period) == hashed(jumps, 0, 10_000)
        fired = jumps.run(found.state, found.period).tick
        assert found.tick.tolist() == fired.tolist()


def test_a_run_that_ends_has_a_cycle_of_no_period():
    found = cycle(Jumps((*range(1, 301), 300), marked=(3,), final=300), 0, 10_000)
    assert (found.start, found.period, len(found.tick)) == (300, 0, 0)


def test_spikes_that_repeat_do_not_prove_a_cycle():
    """A counter that fires every 7 ticks for long, and then stops."""
    steps = 2003
    counter = Jumps((*range(1, steps), 0), marked=tuple(range(0, 1500, 7)))
    found = cycle(counter, 0, 20_000)
    assert (found.start, found.period) == (0, steps)
    assert cycle(counter, 0, steps) is None


@pytest.mark.parametrize(
    ("sequence", "period"),
    [([5] * 8, 1), ([1, 2, 3] * 4, 3), ([1, 2, 3, 1, 2], 0), ([1, 1, 2, 1, 1, 2, 1], 3), ([4], 0)],
    ids=str,
)
def test_the_least_period_is_seen_twice(sequence, period):
    assert least_period(np.array(sequence, np.uint64)) == period


def test_a_code_tells_which_cells_fire_together():
    codes = spike_codes(np.array([0, 0, 1, 3, 3]), np.array([2, 5, 7, 5, 2]), 5)
    assert codes[0] == codes[3] != codes[1]
    assert codes[2] == codes[4] == 0


def ring(size, latency, receiver):
    cells = Cells([f"C{k}" for k in range(size)])
    around = [(k + 1) % size for k in range(size)]
    return GeometricNetwork(
        Connectome(cells, Connections(range(size), around, delay=latency)), receiver
    )


def struck(*cells, at=0.0):
    return Onsets(torch.tensor(cells), torch.full((len(cells),), at, dtype=torch.float64))


@pytest.mark.parametrize("latency", [1.0, 1.5, 2.25])
@pytest.mark.parametrize("period", [4.0, 4.5, 4.75, 6.75, 7.0])
def test_a_ring_lasts_if_its_loop_is_no_shorter_than_refractoriness(latency, period):
    loop = 3 * latency
    found = persistence(ring(3, latency, Winner(period)), struck(1), dt=0.25)
    if loop < period:
        assert found.activity is Activity.QUIESCENT
        assert found.period == 0.0
        assert found.transient == pytest.approx(loop)
        assert not found.fires.any()
    else:
        expected = Activity.SATURATED if loop == period else Activity.SUSTAINED
        assert found.activity is expected
        assert found.period == pytest.approx(loop)
        assert found.rate.tolist() == [pytest.approx(1000 / loop)] * 3
        assert found.prompt.tolist() == [loop == period] * 3


def test_what_was_found_is_told_in_a_line():
    found = persistence(ring(3, 2.0, Winner(period=6.0)), struck(1), dt=0.25)
    told = "Persistence(saturated, period 6 ms after 3.75 ms, 3 of 3 cells fire)"
    assert str(found) == told
    short = persistence(ring(3, 2.0, Winner(period=6.0)), struck(1), dt=0.25, longest=3.0)
    assert str(short) == "Persistence(no cycle within the time allowed)"


def test_a_tolerance_forgives_cells_that_are_late():
    late = ring(3, 2.0, Winner(period=5.0))
    found = [persistence(late, struck(0), dt=0.5, tolerance=t).activity for t in (0.5, 1.0)]
    assert found == [Activity.SUSTAINED, Activity.SATURATED]


def test_a_cell_that_never_fires_again_hides_no_cycle():
    """Its refractoriness never ends, so it does not count down either."""
    net = ring(3, 2.0, Winner(period=5.0)).connectome
    beside = Connectome(
        Cells([*net.cells.name, "once"]), Connections([0, 1, 2, 0], [1, 2, 0, 3], delay=2.0)
    )
    forever = torch.tensor([5.0, 5.0, 5.0, math.inf])
    found = persistence(GeometricNetwork(beside, Winner(forever)), struck(0), dt=1.0)
    assert found.period == 6.0
    assert found.fires.tolist() == [True, True, True, False]
    seen = glimpse(GeometricNetwork(beside, Winner(forever)), struck(0), dt=1.0, after=20.0)
    assert (seen.activity, seen.fires) == (Activity.SUSTAINED, 0.75)


def test_a_silent_cell_with_a_rhythm_of_its_own_counts():
    """Struck by inhibition every 6 ms it is refractory for 7: it takes every other signal."""
    around = Connections([0, 1, 2, 0], [1, 2, 0, 3], sign=[1, 1, 1, -1], delay=2.0)
    made = Connectome(Cells([f"C{k}" for k in range(4)]), around)
    net = GeometricNetwork(made, Winner(torch.tensor([5.0, 5.0, 5.0, 7.0])))
    found = persistence(net, struck(0), dt=1.0)
    assert found.period == 12.0
    assert found.rate.tolist() == [pytest.approx(1000 / 6)] * 3 + [0.0]


RECEIVERS = {
    "winner": Winner(period=7.0),
    "step": Summing(2.0, 5.0, StepTrace(3.0)),
    "exponential": Summing(1.5, 3.0, ExponentialTrace(4.0)),
}


def drawn(receiver, seed, cells=CELLS, **shares):
    draw = seeded(seed)
    place = 10 * torch.rand(cells, 2, generator=draw)
    made = geometric(place, neighbors=5, far=0.1, generator=draw, **shares)
    net = GeometricNetwork(conducted(made, speed=1.0), receiver)
    count = int(torch.randint(1, cells, (), generator=draw))
    order = torch.randperm(cells, generator=draw)[:count]
    return net, Onsets(order, 5 * torch.rand(count, generator=draw, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("receiver", RECEIVERS.values(), ids=RECEIVERS)
def test_the_cycle_of_a_network_is_that_of_all_its_states_kept(receiver, seed):
    net, stimulus = drawn(receiver, seed, inhibitory=0.1)
    course = Raced(net, 1.0)
    truth = hashed(course, course.started(stimulus), 400)
    found = persistence(net, stimulus, dt=1.0, longest=8000.0)
    assert truth is None or (found.transient, found.period) == truth


@pytest.mark.parametrize("receiver", RECEIVERS.values(), ids=RECEIVERS)
def test_scaling_all_times_scales_transient_and_period_and_changes_no_class(receiver):
    net, stimulus = drawn(receiver, 3)
    once = persistence(net, stimulus, dt=0.5)
    wires = net.connectome.connections
    lag = np.maximum(np.rint(wires.delay / 0.5), 1) * 0.5
    slow = net.connectome.with_connections(delay=3 * lag)
    later = Onsets(stimulus.cell, 3 * (stimulus.time / 0.5).round() * 0.5)
    scaled = {
        "winner": Winner(period=21.0), "step": Summing(2.0, 15.0, StepTrace(9.0)),
        "exponential": Summing(1.5, 9.0, ExponentialTrace(12.0)),
    }[next(name for name, own in RECEIVERS.items() if own is receiver)]  # fmt: skip
    thrice = persistence(GeometricNetwork(slow, scaled), later, dt=1.5)
    assert thrice.activity is once.activity
    assert thrice.transient == pytest.approx(3 * once.transient)
    assert thrice.period == pytest.approx(3 * once.period)
    assert torch.equal(thrice.fires, once.fires)


def test_the_order_of_the_cells_is_of_no_account():
    net, stimulus = drawn(RECEIVERS["winner"], 1)
    order = torch.randperm(CELLS, generator=seeded(5))
    place = torch.empty_like(order).scatter_(0, order, torch.arange(CELLS))
    own, wires = net.connectome, net.connectome.connections
    turned = Connectome(
        Cells([own.cells.name[k] for k in order.tolist()]),
        Connections(place[wires.pre.tolist()], place[wires.post.tolist()], delay=wires.delay),
    )
    there = persistence(net, stimulus, dt=0.5)
    here = persistence(
        GeometricNetwork(turned, net.receiver), Onsets(place[stimulus.cell], stimulus.time), dt=0.5
    )
    assert (here.activity, here.transient, here.period) == (
        there.activity, there.transient, there.period
    )  # fmt: skip
    assert torch.equal(here.fires, there.fires[order])
    assert torch.equal(here.prompt, there.prompt[order])


@pytest.mark.parametrize("receiver", RECEIVERS.values(), ids=RECEIVERS)
def test_a_look_at_all_cells_after_the_transient_says_what_the_cycle_says(receiver):
    for seed in range(3):
        net, stimulus = drawn(receiver, seed)
        exact = persistence(net, stimulus, dt=1.0, longest=2000.0)
        seen = glimpse(net, stimulus, dt=1.0, after=exact.transient + 1.0)
        if exact.period <= 2 * Raced(net, 1.0).window:
            assert seen.activity is exact.activity
            assert seen.unseen == 0.0


def test_a_look_at_some_cells_says_what_may_be_unseen():
    net, stimulus = drawn(RECEIVERS["winner"], 0)
    seen = glimpse(net, stimulus, dt=1.0, after=500.0, cells=5, generator=seeded(1))
    assert seen.cells == 5
    assert (1 - seen.unseen) ** 5 == pytest.approx(0.05)


def chain(charge, delay=3.0):
    """A ring of three cells by the clock, in which each spike moves the next cell."""
    made = Connectome(
        Cells(["a", "b", "c"]), Connections([0, 1, 2], [1, 2, 0], sign=1, delay=delay)
    )
    weight = torch.full((3,), charge, dtype=torch.float64)
    synapse = Delta(charge=1.0)
    return Network(made, neuron=LIF(tau=5.0), synapse=synapse, weight=weight).double()


def kick(cells=(0,), steps=4, strength=2000.0):
    current = torch.full((steps, len(cells)), strength, dtype=torch.float64)
    return Stimulus(current, torch.tensor(cells), 3, 0.5)


def test_a_network_by_the_clock_dies_or_goes_round_for_ever():
    faint = persistence(chain(1.0), kick(), dt=0.5, longest=2000.0)
    assert faint.activity is Activity.QUIESCENT
    assert not faint.fires.any()
    strong = persistence(chain(1000.0), kick(), dt=0.5, longest=2000.0)
    assert strong.activity is Activity.SUSTAINED
    assert strong.fires.all()
    course = Clocked(chain(1000.0), 0.5, 0.5)
    assert hashed(course, course.started(kick()), 400) == (
        round(strong.transient / 0.5), round(strong.period / 0.5)
    )  # fmt: skip
    patient = persistence(chain(1000.0), kick(), dt=0.5, refractory=strong.period, longest=2e3)
    assert patient.activity is Activity.SATURATED


def test_no_cycle_within_the_time_is_no_answer():
    net, stimulus = drawn(RECEIVERS["winner"], 0)
    found = persistence(net, stimulus, dt=1.0, longest=3.0)
    assert found.activity is None
    assert math.isnan(found.transient)
    assert found.rate.isnan().all()


@pytest.mark.parametrize(
    ("firing", "prompt", "activity"),
    [(0, 0, "quiescent"), (1, 0, "sustained"), (5, 4, "sustained"), (5, 5, "saturated")],
)
def test_the_three_classes(firing, prompt, activity):
    cells = torch.arange(5)
    assert activity_of(cells < firing, cells < prompt) == activity


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"refractory": 3.0}, "refractory is known of a GeometricNetwork"),
        ({"batch": True}, r"one trial, got a stimulus with trials \[2\]"),
    ],
    ids=["refractory", "batch"],
)
def test_nonsense_is_a_sentence(settings, says):
    net, stimulus = drawn(RECEIVERS["winner"], 0)
    if settings.pop("batch", False):
        trial = torch.zeros_like(stimulus.cell)
        stimulus = Onsets(stimulus.cell, stimulus.time, batch=torch.Size((2,)), trial=trial)
    with pytest.raises(ValueError, match=says):
        persistence(net, stimulus, dt=1.0, **settings)


def test_cells_must_spike():
    made = Connectome(Cells(["a", "b", "c"]), Connections([0, 1], [1, 2], sign=1))
    graded = Network(made, neuron=Graded(), synapse=graded_synapses())
    with pytest.raises(ValueError, match="cells that spike: those of this network give out 'rel"):
        persistence(graded, kick(), dt=0.5)


def test_cells_to_look_at_are_drawn_by_a_generator():
    net, stimulus = drawn(RECEIVERS["winner"], 0)
    for cells, generator in ((0, seeded(1)), (18, seeded(1)), (3, None)):
        with pytest.raises(ValueError, match="cells must be from 1 to 17, drawn by a generator"):
            glimpse(net, stimulus, dt=1.0, after=5.0, cells=cells, generator=generator)
