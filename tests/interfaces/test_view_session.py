"""A session is its network, its seed and its log: the three repeat it to the bit."""

import math

import numpy as np
import pytest
import torch

from amphid.dynamics import LIF, Conductance, EscapeRate, GapJunction, Graded, graded_synapses
from amphid.interfaces.command_line.viewed import life_of
from amphid.interfaces.view import (
    ClassicCrawler,
    Crawl,
    Event,
    Feed,
    Lesion,
    LivingClassic,
    LivingNetwork,
    LivingPortions,
    Poke,
    Restore,
    Session,
    Stimulate,
)
from amphid.interfaces.view.script import python_of
from amphid.models import Worm
from amphid.models.classic_worm import STIMULI
from amphid.simulation import Network, Torch, pulse, simulate
from amphid.wiring import Cells, Connections, Connectome, by_transmitter, celegans

DT = 2.0


def graded():
    worm = celegans(signs=by_transmitter)
    return Network(worm, neuron=Graded(), synapse=graded_synapses())


def spiking(neuron=None):
    cells = Cells([f"c{i}" for i in range(7)])
    wires = Connections(
        [0, 1, 2, 3, 4, 5, 6, 0],
        [1, 2, 3, 4, 5, 6, 0, 3],
        synapses=5.0,
        sign=[1, 1, 1, 1, 1, 1, 1, 0],
        kind=["chemical"] * 7 + ["electrical"],
    )
    synapse = {
        "excitatory": Conductance(tau=5.0, conductance=30.0, reversal=0.0),
        "electrical": GapJunction(conductance=0.1),
    }
    return Network(Connectome(cells, wires), neuron=neuron or LIF(), synapse=synapse)


def played(session):
    """Some of everything, in portions."""
    session.advance(3)
    session.act(Stimulate("PLML", 20.0, 100.0))
    for _ in range(11):
        session.advance(2)
    session.act(Lesion("AVAL"))
    session.act(Poke(0.2, 60.0))
    session.advance(13)
    session.act(Feed(-400.0, 30.0))
    session.act(Restore("AVAL"))
    session.act(Crawl(True))
    session.advance(19)
    return session


def test_a_log_repeats_a_session_to_the_bit_however_it_was_portioned():
    first = played(Session(graded(), dt=DT, seed=3, noise=0.5, worm=Worm(celegans())))
    again = Session(graded(), dt=DT, seed=3, noise=0.5, worm=Worm(celegans()))
    again.replay(first.log, until=first.time)
    assert again.time == first.time == 57 * DT
    assert torch.equal(again.life.level, first.life.level)
    assert (again.worm.body.q == first.worm.body.q).all()
    assert again.log == first.log
    other = Session(graded(), dt=DT, seed=4, noise=0.5, worm=Worm(celegans()))
    other.replay(first.log, until=first.time)
    assert not torch.equal(other.life.level, first.life.level)


def test_a_session_that_was_used_before_repeats_as_a_new_one_does():
    session = played(Session(graded(), dt=DT, worm=Worm(celegans())))
    log, level, time = list(session.log), session.life.level.clone(), session.time
    session.replay(log, until=time)
    assert torch.equal(session.life.level, level)


@pytest.mark.parametrize("network", [graded, spiking])
def test_an_untouched_session_does_what_simulate_does(network):
    net = network()
    cell = str(net.connectome.cells.name[2])
    session = Session(net, dt=0.5)
    session.record()
    session.run(5.0)
    session.act(Stimulate(cell, 30.0, 10.0))
    session.run(23.0)
    touch = pulse(net.connectome, cell, start=5.0, stop=15.0, amplitude=30.0, duration=23.0, dt=0.5)
    with torch.no_grad():
        run = simulate(net, touch, record=("v",), engine=Torch())
    torch.testing.assert_close(session.recording().v, run.v, rtol=1e-4, atol=1e-3)


def test_spikes_are_recorded_as_they_fall():
    session = Session(spiking(), dt=0.5)
    session.record(every=3)
    session.act(Stimulate("c0", 600.0, 200.0))
    fired = torch.zeros(7)
    session.advance(400, lambda: fired.add_(session.life.fired))
    run = session.recording()
    assert run.v.shape == (133, 7)
    assert fired.sum() > 5
    assert torch.equal(run.spike.sum(0), fired)


def test_cells_that_fire_by_chance_repeat_with_their_seed():
    generator = torch.Generator()
    made = [
        Session(spiking(EscapeRate(generator=generator)), dt=0.5, seed=seed, generator=generator)
        for seed in (5, 5, 6)
    ]
    spikes = []
    for session in made:
        session.reset()
        session.record()
        session.act(Stimulate("c0", 150.0))
        session.advance(100)
        spikes.append(session.recording().spike)
    assert torch.equal(spikes[0], spikes[1])
    assert not torch.equal(spikes[0], spikes[2])


def test_a_dead_cell_stands_still_and_the_others_do_as_without_it():
    session = Session(spiking(), dt=0.5)
    session.act(Lesion("c1"))
    session.act(Stimulate("c0", 600.0, 200.0))
    before = session.life.level.clone()
    fired = torch.zeros(7)
    session.advance(300, lambda: fired.add_(session.life.fired))
    assert session.life.level[1] == before[1]
    assert fired[0] > 0
    assert fired[1] == fired[2] == 0
    session.act(Restore("c1"))
    session.act(Stimulate("c0", 600.0, 200.0))
    session.advance(300, lambda: fired.add_(session.life.fired))
    assert fired[1] > 0


def test_a_pulse_ends_by_itself_or_when_told():
    session = Session(spiking(), dt=0.5)
    session.act(Stimulate("c3", 7.0, 5.0))
    assert session.current_into(3) == 7.0
    session.advance(9)
    assert session.current_into(3) == 7.0
    session.advance(1)
    assert session.current_into(3) == 0.0
    session.act(Stimulate("c3", 7.0, 50.0))
    session.act(Stimulate("c3", 0.0))
    assert session.current_into(3) == 0.0


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda s: s.act(Lesion("c9")), "No cell 'c9'"),
        (lambda s: s.act(Stimulate("c1", float("nan"))), "finite number in pA"),
        (lambda s: s.act(Poke(1.5)), "from 0 to 1"),
        (lambda s: s.act(Poke(0.5)), "needs a body"),
        (lambda s: s.reset(-1), "whole number"),
        (lambda s: s.recording(), "nothing was recorded"),
        (lambda s: s.record(every=0), "at least 1"),
        (lambda s: (s.advance(2), s.run(0.0)), "must not lie before"),
        (lambda s: Session(s.life.network), "dt must be given"),
        (lambda s: Session(s.life.network, dt=1.0, noise=-1.0), "0 or more"),
        (lambda s: Session(3, dt=1.0), "Network"),
        (
            lambda s: Session(Network(Connectome(Cells([]), Connections()), neuron=LIF()), dt=1.0),
            "needs cells",
        ),
        (lambda s: Session(s.life.network.lesioned("c1"), dt=1.0), "one copy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_in_a_sentence_and_not_logged(act, sentence):
    session = Session(spiking(), dt=0.5)
    with pytest.raises((KeyError, ValueError, TypeError), match=sentence):
        act(session)
    assert session.log == []


def test_portions_do_what_steps_do_and_repeat():
    """In double precision, a spike more or less would show; lesions cut a cell out of both."""
    made = []
    for life in (
        LivingNetwork(spiking().double(), 0.5),
        LivingPortions(spiking().double(), 0.5, 4),
    ):
        session = Session(life)
        fired = torch.zeros(7, dtype=torch.bool)
        session.act(Lesion("c2"))
        for cell in ("c0", "c4"):
            session.act(Stimulate(cell, 600.0, 40.0))
            for _ in range(round(20.0 / life.dt)):
                session.advance(1)
                fired |= life.fired
        made.append((session, fired))
    (one, fired), (other, again) = made
    alive = [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(other.life.level[alive], one.life.level[alive], rtol=0, atol=1e-9)
    assert torch.equal(fired, again)
    assert fired.any()
    level, log = other.life.level.clone(), list(other.log)
    other.replay(log, until=other.time)
    assert torch.equal(other.life.level, level)
    assert "LivingPortions(net, step=0.5, portion=4)" in python_of(other)


def test_small_networks_live_in_compiled_code_where_torch_would_not_keep_up():
    class Deciding(LIF):
        def step(self, state, current, dt):
            return (state, current) if bool(state.v.any()) else super().step(state, current, dt)

    assert isinstance(life_of(spiking(), 2.0), LivingNetwork)
    life = life_of(spiking(), 0.1)
    assert isinstance(life, LivingPortions)
    assert life.portion == 1
    assert life.dt == 0.1
    assert isinstance(life_of(spiking(Deciding()), 0.1), LivingNetwork)


def test_a_cell_that_dies_with_spikes_under_way_dies_alike_in_portions_and_in_steps():
    """What it gave out before still arrives; restored, it goes on from where it died."""
    cells = Cells([f"c{i}" for i in range(5)])
    wires = Connections([0, 0, 1, 2, 3], [1, 2, 3, 4, 4], sign=1, delay=[1.0, 3.5, 0.5, 2.0, 7.0])
    synapse = {"excitatory": Conductance(tau=5.0, conductance=80.0, reversal=0.0)}
    net = Network(Connectome(cells, wires), neuron=LIF(), synapse=synapse).double()
    arrived = []
    for kill_at in range(4, 40, 2):
        levels = []
        for life in (LivingNetwork(net, 0.5), LivingPortions(net, 0.5, 4)):
            session = Session(life)
            session.act(Stimulate("c0", 900.0, 1000.0))
            session.run(float(kill_at))
            session.act(Lesion("c0"))
            session.run(kill_at + 10.0)
            after = life.level.clone()
            session.act(Restore("c0"))
            session.run(kill_at + 30.0)
            levels.append(torch.stack((after, life.level)))
        torch.testing.assert_close(levels[1], levels[0], rtol=0, atol=1e-9)
        arrived.append(levels[0][0])
    assert (
        len({tuple(level.tolist()) for level in arrived}) > 5
    )  # it died with much and with little


GOLDEN = {
    (): [(2, 0), (2, 0), (2, 0), (3, 0), (37, 33), (2, 0), (7, 5), (101, 94), (75, 73), (32, 31)],
    ("nose",): [(0, 0), (34, 32), (104, 101), (60, 60), (28, 20), (57, 65), (51, 48), (33, 29),
                (67, 70), (37, 39)],
    ("food",): [(0, 0), (0, 0), (36, 33), (5, 5), (78, 79), (93, 91), (58, 56), (-60, -59),
                (11, 20), (32, 27)],
}  # fmt: skip
"""Left and right muscles in the first ten updates of the original program, hungry."""


@pytest.fixture
def classic():
    try:
        return LivingClassic()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("felt", GOLDEN, ids=lambda felt: " ".join(felt) or "hunger")
def test_the_classic_worm_lives_as_its_program_does(classic, felt):
    session = Session(classic)
    for name in felt:
        for cell in STIMULI[name]:
            session.act(Stimulate(cell, 1.0, 1e5))
    pushes = []
    for _ in range(10):
        session.advance(20)
        pushes.append(classic.push)
    assert pushes == GOLDEN[felt]


def test_cells_of_the_classic_worm_die_and_are_touched_between_updates(classic):
    session = Session(classic)
    aval, fired = session.place_of("AVAL"), torch.zeros(len(session))
    assert classic.connectome.cells.kind[aval] == "inter"
    session.act(Lesion("AVAL"))
    session.run(1000.0)
    untouched = classic.level.clone()
    session.replay([Event(0.0, Lesion("AVAL")), Event(600.0, Stimulate("PLML", 1.0, 25.0))], 1000.0)
    assert not torch.equal(classic.level, untouched)  # the touch was over before the update
    session.advance(184, lambda: fired.add_(classic.fired))
    assert fired[aval] == 0
    assert fired.sum() > 0


def test_the_classic_body_goes_where_the_sums_of_its_muscles_say(classic):
    body = ClassicCrawler(classic)
    session = Session(classic, worm=body)
    session.run(3975.0)  # all of the time between the seventh update and the eighth
    turns = sum(left - right for left, right in GOLDEN[()][:7])
    assert body.heading == pytest.approx(math.pi + turns / 20 * math.pi)
    assert body.speed == pytest.approx((7 + 5) / 100)
    ends = body.ends().mean(0)
    gaps = np.hypot(*np.diff(ends, axis=0).T)
    np.testing.assert_allclose(gaps, 1000 / 48, rtol=1e-9)


def test_the_classic_body_feels_the_wall_and_food_and_is_repeated_by_its_script(classic):
    body = ClassicCrawler(classic, dish=520.0)
    session = Session(classic, worm=body)
    session.act(Feed(-560.0, 0.0))
    assert body.felt().nonzero()[:, 0].tolist() == sorted(classic.worm.indices(STIMULI["food"]))
    session.act(Poke(0.02, 60.0))
    assert set(classic.worm.indices(STIMULI["nose"])) <= set(body.felt().nonzero()[:, 0].tolist())
    session.run(9000.0)
    assert np.abs(body.ends()[0, 0]).max() <= 560
    with pytest.raises(ValueError, match="no other circuit"):
        session.act(Crawl(True))
    session = Session(LivingClassic(), worm=ClassicCrawler(life := LivingClassic()))
    session = Session(life, worm=ClassicCrawler(life))
    session.record()
    session.act(Poke(0.02))
    session.run(5000.0)
    made = {}
    exec(python_of(session), made)
    assert torch.equal(made["run"].v, session.recording().v)
    assert (made["session"].worm.ends() == session.worm.ends()).all()


def test_the_log_tells_when():
    session = Session(spiking(), dt=0.5)
    session.run(12.5)
    assert session.act(Lesion("c1")) == Event(12.5, Lesion("c1"))
    assert session.log == [Event(12.5, Lesion("c1"))]
    assert session.dead == (1,)
