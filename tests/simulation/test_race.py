"""Laws of races: refractoriness, cycles, scaling, order, and equality with a plain queue."""

import math

import numpy as np
import pytest
import torch

from amphid.dynamics import (
    ExponentialTrace,
    PowerTrace,
    RelativeRefractoriness,
    StepTrace,
    Summing,
    Winner,
)
from amphid.simulation import GeometricNetwork, Onsets, first_spikes, onsets, race
from amphid.wiring import (
    Cells,
    Connections,
    Connectome,
    conducted,
    convoluted_lengths,
    geometric,
)
from plain_race import latencies, plain_race

CELLS, DT, TICKS = 53, 0.25, 331
RELATIVE = RelativeRefractoriness(raised=1.5, tau=4.0)
RECEIVERS = {
    "winner": Winner(period=3.0),
    "winners that differ": Winner(period=torch.linspace(0.5, 7.0, CELLS)),
    "step": Summing(2.0, 3.0, StepTrace(1.3)),
    "endless step": Summing(2.0, 3.0, StepTrace(math.inf), RELATIVE),
    "exponential": Summing(1.5, 3.0, ExponentialTrace(4.0)),
    "exponential, relative": Summing(1.5, 3.0, ExponentialTrace(4.0), RELATIVE),
    "power law": Summing(1.5, 3.0, PowerTrace(0.5, 2.0)),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane(seed: int, *, cells=CELLS, neighbors=7, **shares) -> Connectome:
    drawn = seeded(seed)
    made = geometric(
        10 * torch.rand(cells, 2, generator=drawn), neighbors=neighbors, generator=drawn, **shares
    )
    return conducted(made, speed=1.0, lengths=convoluted_lengths(made, excess=0.3, generator=drawn))


def strikes(seed: int, cells=CELLS, count=11) -> Onsets:
    drawn = seeded(1000 + seed)
    return Onsets(
        torch.randperm(cells, generator=drawn)[:count],
        5 * torch.rand(count, generator=drawn, dtype=torch.float64),
    )


def wired(cells: int, edges: list[tuple[int, int, float]], receiver, **columns) -> GeometricNetwork:
    pre, post, delay = zip(*edges, strict=True)
    named = Cells([f"C{number}" for number in range(cells)])
    wires = Connections(pre, post, delay=delay, sign=1, **columns)
    return GeometricNetwork(Connectome(named, wires), receiver)


def ring(size: int, latency: float, period: float) -> GeometricNetwork:
    edges = [(cell, (cell + 1) % size, latency) for cell in range(size)]
    return wired(size, edges, Winner(period))


def struck(*cells: int) -> Onsets:
    return Onsets(torch.tensor(cells), torch.zeros(len(cells)))


def pairs(run) -> list[tuple[int, int]]:
    return list(zip(run.tick.tolist(), run.cell.tolist(), strict=True))


@pytest.mark.parametrize("name", RECEIVERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_race_is_that_of_a_plain_queue(name, seed):
    network = GeometricNetwork(plane(seed, inhibitory=0.2 * (seed % 2), far=0.1), RECEIVERS[name])
    given = strikes(seed)
    events = [
        (round(t / DT), c, math.inf)
        for c, t in zip(given.cell.tolist(), given.time.tolist(), strict=True)
    ]
    run = race(network, given, duration=TICKS * DT, dt=DT)
    assert len(run) > len(events)
    assert pairs(run) == plain_race(network, events, TICKS, DT)


def test_events_that_are_weak_add_up_with_signals():
    network = GeometricNetwork(plane(2), RECEIVERS["exponential"])
    drawn = seeded(2)
    cell = torch.randint(CELLS, (97,), generator=drawn)
    tick = torch.randint(40, (97,), generator=drawn)
    weight = torch.randn(97, generator=drawn) + 0.5
    run = race(network, Onsets(cell, tick * DT, weight), duration=TICKS * DT, dt=DT)
    events = list(zip(tick.tolist(), cell.tolist(), weight.double().tolist(), strict=True))
    assert len(run) > 0
    assert pairs(run) == plain_race(network, events, TICKS, DT)


@pytest.mark.parametrize("name", RECEIVERS)
def test_no_cell_fires_twice_within_its_refractory_period(name):
    network = GeometricNetwork(plane(3, far=0.1), RECEIVERS[name])
    run = race(network, strikes(3), duration=TICKS * DT, dt=DT)
    period = network.receiver.reception(CELLS, DT).period
    for cell in range(CELLS):
        intervals = run.tick[run.cell == cell].diff()
        assert (intervals >= int(period[cell])).all()


@pytest.mark.parametrize(("there", "back"), [(2.0, 3.0), (1.0, 7.0), (4.5, 4.25)])
@pytest.mark.parametrize("period", [4.75, 5.0, 5.25, 8.0, 8.75, 9.0])
def test_two_cells_keep_each_other_going_if_the_loop_takes_no_less_than_refractoriness(
    there, back, period
):
    network = wired(2, [(0, 1, there), (1, 0, back)], Winner(period))
    run = race(network, struck(0), duration=500.0, dt=DT)
    if there + back < period:
        assert pairs(run) == [(0, 0), (round(there / DT), 1)]
        assert run.state.quiet
    else:
        lap = there + back
        assert (run.cell == 0).sum() == math.ceil(500 / lap)
        assert (run.cell == 1).sum() == math.ceil((500 - there) / lap)
        assert not run.state.quiet


@pytest.mark.parametrize("size", [1, 3, 7, 13])
@pytest.mark.parametrize("short", [-1, 0, 1])
def test_a_ring_lasts_if_its_loop_takes_no_less_than_refractoriness(size, short):
    latency = 0.75
    network = ring(size, latency, size * latency + short * DT)
    run = race(network, struck(0), duration=100.0, dt=DT)
    assert bool(run.state.quiet) == (short > 0)


@pytest.mark.parametrize("name", RECEIVERS)
def test_all_times_scaled_scale_all_spikes(name):
    run, slow = (
        race(
            GeometricNetwork(
                plane(4).with_connections(delay=plane(4).connections.delay * scale),
                times(RECEIVERS[name], scale),
            ),
            Onsets(strikes(4).cell, strikes(4).time * scale),
            duration=TICKS * DT * scale,
            dt=DT * scale,
        )
        for scale in (1, 4)
    )
    assert pairs(slow) == pairs(run)
    torch.testing.assert_close(slow.time, 4 * run.time, rtol=0, atol=0)


def times(receiver, scale: float):
    """The same receiver with all its times that much longer."""
    if isinstance(receiver, Winner):
        return Winner(receiver.period * scale)
    trace, relative = receiver.trace, receiver.relative
    if isinstance(trace, StepTrace):
        trace = StepTrace(trace.duration * scale)
    elif isinstance(trace, ExponentialTrace):
        trace = ExponentialTrace(trace.tau * scale)
    else:
        trace = PowerTrace(trace.order, trace.scale * scale)
    if relative is not None:
        relative = RelativeRefractoriness(relative.raised, relative.tau * scale)
    return Summing(receiver.threshold, receiver.period * scale, trace, relative)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_both_forms_of_the_winner_rule_name_the_signal_that_fires_its_cell(seed):
    """Signals that set out at once, into cells that are refractory for random times."""
    drawn = seeded(seed)
    senders, receivers = 31, 5
    edges = [(pre, senders + post, float(torch.randint(1, 997, (), generator=drawn)))
             for post in range(receivers) for pre in range(senders)]  # fmt: skip
    network = wired(senders + receivers, edges, Winner(math.inf))
    blocked = torch.zeros(senders + receivers)
    blocked[senders:] = torch.randint(1, 997, (receivers,), generator=drawn)
    run = race(network, struck(*range(senders)), duration=1000.0, dt=1.0, refractory=blocked)
    first = run.first_spike()
    latency = torch.tensor([delay for *_, delay in edges]).reshape(receivers, senders)
    for cell, effective in enumerate(latency):
        left = blocked[senders + cell]
        ratio = left / effective
        in_time = effective >= left
        if not in_time.any():
            assert first[senders + cell] == math.inf
            continue
        earliest = torch.where(in_time, effective, math.inf).argmin()
        nearest = torch.where(ratio <= 1, ratio, -1.0).argmax()
        assert effective[earliest] == effective[nearest] == first[senders + cell]


def winner(latency: np.ndarray, refractory: int) -> int | None:
    """The signal that fires its cell, of those with these effective latencies, by both forms.

    To a cell that is ready all ratios are zero, and only the least latency names one.
    """
    ratio = refractory / np.maximum(latency, 1e-9)
    if not (latency >= refractory).any():
        return None
    earliest = np.where(latency >= refractory, latency, np.inf).argmin()
    nearest = np.where(ratio <= 1, ratio, -1.0).argmax()
    assert refractory == 0 or latency[nearest] == latency[earliest]
    return int(earliest)


def won(network: GeometricNetwork, struck: list[int], ticks: int) -> list[tuple[int, int]]:
    """Spikes by the winner rule alone: who wins each cell next, and of these who comes first."""
    wires, lag = network.connectome.connections, latencies(network, DT)
    period = network.receiver.reception(len(network), DT).period
    now, fired, ready, spikes = 0, struck, np.zeros(len(network), int), []
    flying = np.zeros((0, 2), int)  # tick of arrival, receiver
    while fired:
        spikes += [(now, cell) for cell in sorted(fired)]
        for cell in fired:
            ready[cell] = now + period[cell]
            own = np.flatnonzero(wires.pre == cell)
            flying = np.vstack((flying, np.stack((now + lag[own], wires.post[own]), 1)))
        flying = flying[flying[:, 0] > now]
        next_of = {}
        for cell in np.unique(flying[:, 1]):
            latency = flying[flying[:, 1] == cell, 0] - now
            first = winner(latency, max(0, ready[cell] - now))
            if first is not None:
                next_of[int(cell)] = now + int(latency[first])
        now = min(next_of.values(), default=ticks)
        fired = [cell for cell, tick in next_of.items() if tick == now < ticks]
    return spikes


@pytest.mark.parametrize("name", ["winner", "winners that differ"])
@pytest.mark.parametrize("seed", [13, 14])
def test_a_race_is_what_the_winner_rule_says_from_spike_to_spike(name, seed):
    network = GeometricNetwork(plane(seed, far=0.1), RECEIVERS[name])
    run = race(network, struck(3, 31), duration=100 * DT, dt=DT)
    assert len(run) > 200
    assert pairs(run) == won(network, [3, 31], 100)


@pytest.mark.parametrize("name", [name for name in RECEIVERS if "differ" not in name])
def test_the_order_of_cells_and_connections_is_of_no_account(name):
    wires, drawn = plane(8, inhibitory=0.2), seeded(8)
    weight = 1 + torch.randn(len(wires.connections), generator=drawn)  # sums of any numbers
    order = torch.randperm(CELLS, generator=drawn)
    moved, edges = order.argsort(), torch.randperm(len(weight), generator=drawn)
    place, columns = moved.numpy(), wires.connections.take(edges.numpy())
    other = Connectome(
        Cells(wires.cells.name[order.numpy()]),
        Connections(place[columns.pre], place[columns.post], delay=columns.delay),
    )
    given = strikes(8)
    run = race(GeometricNetwork(wires, RECEIVERS[name], weight), given, duration=TICKS * DT, dt=DT)
    same = race(
        GeometricNetwork(other, RECEIVERS[name], weight[edges]),
        Onsets(moved[given.cell], given.time),
        duration=TICKS * DT,
        dt=DT,
    )
    assert len(run) > 13
    assert sorted(pairs(run)) == sorted((t, int(order[c])) for t, c in pairs(same))


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_race_cut_in_two_is_the_same_race(name):
    wires = plane(9, inhibitory=0.1)
    weight = 1 + torch.randn(len(wires.connections), generator=seeded(9))
    network = GeometricNetwork(wires, RECEIVERS[name], weight)
    whole = race(network, strikes(9), duration=TICKS * DT, dt=DT)
    half = race(network, strikes(9), duration=101 * DT, dt=DT)
    rest = race(network, duration=(TICKS - 101) * DT, dt=DT, state=half.state)
    assert pairs(half) + [(t + 101, c) for t, c in pairs(rest)] == pairs(whole)
    assert rest.state == whole.state
    assert hash(rest.state) == hash(whole.state)
    assert half.state != whole.state or whole.state.quiet


def test_a_ring_comes_back_to_its_state_after_one_lap_and_not_before():
    network = ring(5, 2.0, 3.0)
    lap = [
        race(network, struck(0), duration=20 + ticks * DT, dt=DT).state.trials[0]
        for ticks in range(41)
    ]
    assert lap[40] == lap[0]
    assert len(set(lap)) == 40


def test_trials_run_side_by_side_are_those_run_alone():
    network = GeometricNetwork(plane(10, inhibitory=0.2), RECEIVERS["exponential"])
    times = torch.where(torch.rand(3, 2, CELLS, generator=seeded(1)) < 0.2, 1.5, math.inf)
    blocked = torch.where(torch.rand(2, CELLS, generator=seeded(2)) < 0.2, math.inf, 0.0)
    asked = {"duration": TICKS * DT, "dt": DT, "refractory": blocked}
    together = race(network, onsets(times), **asked, threads=2)
    assert together.batch == (3, 2)
    for one in range(6):
        alone = race(
            network, onsets(times[one // 2, one % 2]), **{**asked, "refractory": blocked[one % 2]}
        )
        of = together.trial == one
        assert pairs(alone) == list(
            zip(together.tick[of].tolist(), together.cell[of].tolist(), strict=True)
        )
        assert alone.state.trials[0] == together.state.trials[one]
    for threads in (1, 2):
        first = first_spikes(network, onsets(times), threads=threads, **asked)
        torch.testing.assert_close(first.double(), together.first_spike(), rtol=0, atol=0)
    assert together.counts().sum() == len(together)
    assert torch.isinf(first[:, blocked == math.inf]).all()


def test_inhibition_that_wins_silences_a_cell_for_its_refractory_period():
    def fires(delay: float) -> bool:
        network = wired(3, [(0, 2, 1.0), (1, 2, delay)], Winner(5.0))
        wires = network.connectome.with_connections(sign=[-1, 1])
        run = race(GeometricNetwork(wires, network.receiver), struck(0, 1), duration=20.0, dt=DT)
        return 2 in run.cell

    assert [fires(delay) for delay in (0.75, 1.0, 1.25, 5.75, 6.0)] == [
        True,
        False,
        False,
        False,
        True,
    ]


def test_what_is_forgotten_by_itself_fires_no_cell():
    """5 and -3 at a threshold of 4: when the -3 is forgotten, the 5 is enough but nothing came."""
    network = wired(4, [(0, 3, 2.0), (1, 3, 1.0), (2, 3, 4.5)], Summing(4.0, 1.0, StepTrace(3.0)))
    network = GeometricNetwork(network.connectome, network.receiver, torch.tensor([5.0, -3.0, 0.5]))
    run = race(network, struck(0, 1), duration=20.0, dt=DT)
    assert 3 not in run.cell
    run = race(network, struck(0, 1, 2), duration=20.0, dt=DT)
    assert run.time[run.cell == 3].tolist() == [4.5]


def test_signals_that_arrive_and_those_lost_are_counted():
    network = ring(3, 1.0, 4.0)
    run = race(network, struck(0), duration=10.0, dt=DT)
    assert (int(run.arrived), int(run.lost)) == (3, 1)


def test_a_recording_of_a_race_has_its_spikes():
    network = GeometricNetwork(plane(11), RECEIVERS["winner"])
    times = torch.where(torch.rand(2, 3, CELLS, generator=seeded(1)) < 0.2, 1.5, math.inf)
    run = race(network, onsets(times), duration=TICKS * DT, dt=DT)
    recording = run.recording()
    torch.testing.assert_close(recording.spike.sum(0).long(), run.counts())
    assert recording.steps == TICKS
    assert np.all(latencies(network, DT) >= 1)


def test_a_network_says_what_it_lacks():
    wires = plane(12)
    with pytest.raises(ValueError, match="every chemical connection needs a latency: 371 of 371"):
        GeometricNetwork(wires.with_connections(delay=math.nan), Winner(1.0))
    with pytest.raises(ValueError, match="weight must be one finite number for each of 371"):
        GeometricNetwork(wires, Winner(1.0), torch.ones(3))
    with pytest.raises(ValueError, match="period must be positive, got 0"):
        Winner(0.0)
    with pytest.raises(ValueError, match="one entry per cell: there are 53 cells"):
        race(GeometricNetwork(wires, Winner(torch.ones(7))), struck(0), duration=1.0, dt=DT)
    with pytest.raises(ValueError, match=r"there is room for 67,108,864: raise dt\."):
        race(GeometricNetwork(wires, Winner(1.0)), struck(0), duration=1.0, dt=1e-9)
    network = GeometricNetwork(wires, Winner(1.0))
    with pytest.raises(ValueError, match="cell must be the index of one of 53 cells"):
        race(network, struck(CELLS), duration=1.0, dt=DT)
    with pytest.raises(TypeError, match=r"cell must be a tensor of one axis \[K\], got \[1, 2\]"):
        Onsets([1, 2], torch.zeros(2))
    with pytest.raises(TypeError, match="cell must hold indices of cells, whole numbers"):
        Onsets(torch.ones(2), torch.zeros(2))
    with pytest.raises(ValueError, match="time must be finite and not negative"):
        Onsets(torch.arange(2), torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="time must have one entry for each of 2 events"):
        Onsets(torch.arange(2), torch.zeros(3))
    before = race(network, struck(0), duration=1.0, dt=DT).state
    with pytest.raises(ValueError, match=r"state has ticks of 0\.25 ms, but dt is 0\.5"):
        race(network, state=before, duration=1.0, dt=0.5)
