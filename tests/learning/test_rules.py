"""Laws of the rules of plasticity: windows, fixed points, bounds, what a rule must keep to."""

import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import amphid as am
from amphid import dynamics, learning
from amphid.wiring import Cells, Connections, Connectome

DT = 0.5

RULES: dict[str, Callable[[], learning.Rule]] = {
    "STDP": learning.STDP,
    "STDP nearest": lambda: learning.STDP(nearest=True),
    "STDP multiplicative": lambda: learning.STDP(exponent=1.0),
    "STDP power law": lambda: learning.STDP(exponent=0.4, tau_plus=13.0),
    "TripletSTDP": learning.TripletSTDP,
    "TripletSTDP nearest": lambda: learning.TripletSTDP(nearest=True),
    "InhibitorySTDP": lambda: learning.InhibitorySTDP(connections=None),
    "PostTriggered": learning.PostTriggered,
    "Modulated": lambda: learning.Modulated(learning.STDP(), signal=torch.ones(200) / 50),
}


def concrete(kind: type) -> set[type]:
    below = {leaf for child in kind.__subclasses__() for leaf in concrete(child) | {child}}
    own = {leaf for leaf in below if leaf.__module__.startswith("amphid.")}
    return {leaf for leaf in own if not inspect.isabstract(leaf)}


def fired(*trains: list[int], steps: int = 200) -> Tensor:
    """[T, N] one where a cell fires, by the steps of each cell."""
    spikes = torch.zeros(steps, len(trains), dtype=torch.float64)
    for cell, train in enumerate(trains):
        spikes[train, cell] = 1.0
    return spikes


def moved(
    rule: learning.Rule, spikes: Tensor, weight: float = 0.5, engine: object = None, **given
) -> am.Recording:
    """A run of cells that fire as they are told; all fire onto the last."""
    cells = spikes.shape[-1]
    pre = np.arange(cells - 1)
    wired = Connectome(
        Cells([f"c{k}" for k in range(cells)]), Connections(pre, np.full(cells - 1, cells - 1))
    ).signed(am.wiring.all_positive)
    net = am.Network(
        wired,
        neuron=dynamics.BinaryThreshold(v_threshold=0.5, resistance=1.0),
        synapse=dynamics.Delta(charge=0.0),
        weight=torch.full((cells - 1,), weight, dtype=torch.float64),
    ).double()
    run = am.simulate(net, spikes, dt=DT, plasticity=(rule,), engine=engine, **given)
    assert torch.equal(run.spike.double(), spikes)
    return run


def change(rule: learning.Rule, *trains: list[int], weight: float = 0.5, **given) -> float:
    """How far the weight of the first connection moves."""
    run = moved(rule, fired(*trains), weight, **given)
    return float(run.state.weight[0]) - weight


def test_the_list_holds_every_rule():
    assert {type(make()) for make in RULES.values()} == concrete(learning.Rule)


@pytest.mark.parametrize("make", RULES.values(), ids=RULES.keys())
def test_every_rule_leaves_alone_what_does_not_fire(make):
    draw = torch.Generator().manual_seed(1)
    rule, weight = make(), torch.rand(7, generator=draw)
    like = torch.rand(7, generator=draw)
    pre, post = (type(rule.init(like))(*(torch.rand(7, generator=draw) for _ in rule.init(like)))
                 for _ in range(2))  # fmt: skip
    rest = torch.zeros(7)
    assert torch.equal(rule.change(weight, pre, post, rest, rest), weight)
    assert not torch.equal(rule.change(weight, pre, post, rest, rest + 1), weight)


@pytest.mark.parametrize("make", RULES.values(), ids=RULES.keys())
def test_every_rule_shows_its_values_and_keeps_within_its_bounds(make):
    rule = make()
    assert "(" in repr(rule)
    assert "tau" in repr(rule)
    trains = [list(range(1, 200, 7)), list(range(0, 200, 3)), list(range(3, 200, 2))]
    low, high = (moved(rule, fired(*trains), w, record=("weight", "spike")) for w in (0.0, 1.0))
    for run in (low, high):
        assert float(run.weight.min()) >= 0.0
        assert float(run.weight.max()) <= 1.0
    assert float(low.weight.std() + high.weight.std()) > 0


@pytest.mark.parametrize("nearest", [False, True])
def test_the_pair_rule_has_the_exponential_window(nearest):
    """One pair: A+ exp(-t / tau+) where the postsynaptic spike is later, else -A- exp(t / tau-)."""
    rule = learning.STDP(
        potentiation=0.02, depression=0.03, tau_plus=11.0, tau_minus=23.0, nearest=nearest
    )
    lag = torch.arange(-60, 61, dtype=torch.float64)
    trains = [[100 - int(steps)] for steps in lag]
    found = moved(rule, fired(*trains, [100])).state.weight - 0.5
    later, earlier = 0.02 * torch.exp(-lag * DT / 11), -0.03 * torch.exp(lag * DT / 23)
    window = torch.where(lag > 0, later, earlier) * (lag != 0)
    torch.testing.assert_close(found, window, rtol=0.0, atol=1e-15)


def test_pairs_of_all_spikes_add_up_and_nearest_ones_do_not():
    trains = [10, 30], [41, 50]

    def window(lag):
        return math.exp(-lag * DT / 20)

    every = learning.STDP(potentiation=0.01, depression=0.0)
    lags = [31, 11, 40, 20]
    assert change(every, *trains) == pytest.approx(0.01 * sum(map(window, lags)), abs=1e-14)
    last = learning.STDP(potentiation=0.01, depression=0.0, nearest=True)
    assert change(last, *trains) == pytest.approx(0.01 * (window(11) + window(20)), abs=1e-14)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weight", [0.0, 0.2, 0.9, 1.0])
def test_the_exponent_makes_bounds_soft(exponent, weight):
    rule = learning.STDP(potentiation=0.01, depression=0.02, greatest=2.0, exponent=exponent)
    up = 0.01 * (1 - weight / 2) ** exponent * math.exp(-10 * DT / 20)
    assert change(rule, [50], [60], weight=weight) == pytest.approx(up, abs=1e-14)
    down = 0.02 * (weight / 2) ** exponent * math.exp(-10 * DT / 20)
    found = change(rule, [60], [50], weight=weight)
    assert found == pytest.approx(-min(down, weight), abs=1e-14)


def test_triplets_without_their_terms_are_pairs():
    trains = list(range(3, 190, 11)), list(range(0, 190, 7))
    for nearest in (False, True):
        triplet = learning.TripletSTDP(
            pair_potentiation=0.01, pair_depression=0.008,
            triplet_potentiation=0.0, triplet_depression=0.0, nearest=nearest,
        )  # fmt: skip
        pair = learning.STDP(
            potentiation=0.01, depression=0.008, tau_plus=16.8, tau_minus=33.7, nearest=nearest
        )
        assert change(triplet, *trains) == pytest.approx(change(pair, *trains), abs=1e-14)
        assert change(pair, *trains) != 0


def test_a_triplet_counts_the_postsynaptic_spike_before():
    rule = learning.TripletSTDP(pair_depression=0.0, triplet_depression=0.0)
    pair = change(rule, [50], [60])
    assert pair == pytest.approx(5e-10 * math.exp(-10 * DT / 16.8), rel=1e-6)
    triplet = change(rule, [50], [44, 60])
    expected = 6.2e-3 * math.exp(-10 * DT / 16.8) * math.exp(-16 * DT / 125)
    assert triplet - pair == pytest.approx(expected, rel=1e-9)


def test_triplets_make_pairs_potentiate_at_high_rates_only():
    """Pre 10 ms before post, 60 pairs: the fit to visual cortex depresses at 0.1 Hz (Pfister &
    Gerstner 2006, figure 3), and potentiates at 50 Hz."""
    rule = learning.TripletSTDP()

    def pairing(every):
        """Traces are exact in dt, so one step may lead from spike to spike."""
        yes, no = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        weight, pre, post = 0.5 * yes, rule.init(no), rule.init(no)
        for _ in range(60):
            for before, after, gap in ((yes, no, 10.0), (no, yes, every - 10.0)):
                weight = rule.change(weight, pre, post, before, after)
                pre, post = rule.step(pre, before, gap), rule.step(post, after, gap)
        return float(weight) - 0.5

    slow, fast = pairing(10_000.0), pairing(20.0)
    assert -0.01 < slow < 0.01
    assert fast > 0.2


def test_inhibition_stands_still_at_its_target_rate():
    """A pair k steps apart gives eta exp(-k dt / tau); a lone presynaptic spike -2 eta rho tau."""
    rule = learning.InhibitorySTDP(rate=0.01, target=0.004, tau=20.0, connections=None)
    alone = -0.01 * 2 * 0.004 * 20
    assert change(rule, [50], []) == pytest.approx(alone, abs=1e-15)
    for lag in (-30, -1, 1, 30):
        near = 0.01 * math.exp(-abs(lag) * DT / 20)
        assert change(rule, [100], [100 + lag]) == pytest.approx(alone + near, abs=1e-15)


def test_inhibitory_plasticity_brings_cells_to_the_target_rate():
    draw = torch.Generator().manual_seed(1)
    inputs, cells, steps, target = 20, 3, 40_000, 0.02
    wired = Connectome(
        Cells([f"i{k}" for k in range(inputs)] + [f"e{k}" for k in range(cells)]),
        Connections(
            np.repeat(np.arange(inputs), cells), np.tile(inputs + np.arange(cells), inputs),
            sign=-np.ones(inputs * cells),
        ),
    )  # fmt: skip
    net = am.Network(
        wired,
        neuron=dynamics.Refractory(dynamics.LIF(tau=20.0, resistance=0.1), period=2.0),
        synapse={"inhibitory": dynamics.Exponential(tau=5.0, amplitude=-20.0)},
        weight=torch.full((inputs * cells,), 0.1),
    )
    spikes = torch.rand(steps, inputs, generator=draw) < 0.02 * DT
    drive = torch.tensor([250.0, 280.0, 310.0]) * (1 + torch.randn(steps, 3, generator=draw))
    current = torch.cat((spikes * 10000.0, drive), 1)
    rule = learning.InhibitorySTDP(rate=0.1, target=target, greatest=50.0)
    pytest.importorskip("numba", reason="numba is not installed")
    with torch.no_grad():
        run = am.simulate(net, current, dt=DT, plasticity=(rule,), engine=am.Compiled())
    counts = run.spike[steps // 2 :, inputs:].sum(0) / (steps // 2 * DT)
    free = run.spike[:500, inputs:].sum(0) / (500 * DT)
    assert float(free.min()) > 1.3 * target
    torch.testing.assert_close(counts, torch.full((cells,), target), rtol=0.1, atol=0.0)


def test_a_presynaptic_spike_alone_leaves_a_post_triggered_weight():
    rule = learning.PostTriggered(rate=0.1, target=0.4, exponent=0.5, greatest=2.0)
    assert change(rule, [20, 60], []) == 0.0
    room = math.sqrt(1.5)
    trace = math.exp(-10 * DT / 20)
    assert change(rule, [50], [60]) == pytest.approx(0.1 * (trace - 0.4) * room, abs=1e-15)
    assert change(rule, [], [60]) == pytest.approx(-0.1 * 0.4 * room, abs=1e-15)


def test_an_eligibility_turns_into_change_while_the_signal_lasts():
    """Delta e^(-s / tau) integrated over the window of the signal, exactly, for both signs."""
    pair = 0.01 * math.exp(-10 * DT / 20)
    for strength in (0.03, -0.05):
        signal = torch.zeros(200, dtype=torch.float64)
        signal[90:130] = strength
        rule = learning.Modulated(learning.STDP(potentiation=0.01), signal=signal, tau=40.0)
        began, ended = (90 - 61) * DT, (130 - 61) * DT  # since the end of the step of the spike
        area = 40.0 * (math.exp(-began / 40) - math.exp(-ended / 40))
        expected = strength * pair * area
        assert change(rule, [50], [60]) == pytest.approx(expected, abs=1e-14)
        assert change(rule.with_signal(0 * signal), [50], [60]) == 0.0


def test_reward_that_comes_earlier_than_the_spikes_changes_nothing():
    signal = torch.zeros(200)
    signal[:50] = 1.0
    rule = learning.Modulated(learning.STDP(), signal=signal, tau=40.0)
    assert change(rule, [50], [60]) == 0.0


def test_connections_are_chosen_by_group_mask_index_and_name():
    spikes = fired([50], [51], [52], [60])
    for chosen in (
        "chemical", None, np.array([True, True, True]), [0, 1, 2], torch.tensor([2, 1, 0]),
        lambda wired: wired.connections.pre >= 0, learning.between("c*", "c3"),
    ):  # fmt: skip
        run = moved(learning.STDP(connections=chosen), spikes)
        assert bool((run.state.weight > 0.5).all())
    for chosen in ([1], np.array([False, True, False]), learning.between("c1", "*")):
        run = moved(learning.STDP(connections=chosen), spikes, record=("weight", "spike"))
        assert (run.state.weight != 0.5).tolist() == [False, True, False]
        assert run.edges.tolist() == [1]
        assert run.weight.shape == (200, 1)


def test_values_may_be_tensors_per_connection_and_learned():
    spikes = fired([50], [50], [60])
    sizes = torch.tensor([0.01, 0.03], dtype=torch.float64)
    grown = moved(learning.STDP(potentiation=sizes), spikes).state.weight - 0.5
    torch.testing.assert_close(grown, sizes * math.exp(-10 * DT / 20))
    size = nn.Parameter(torch.tensor(0.01, dtype=torch.float64))
    tau = nn.Parameter(torch.tensor(20.0, dtype=torch.float64))
    rule = learning.STDP(potentiation=size, tau_plus=tau)
    weight = moved(rule, spikes).state.weight
    slopes = torch.autograd.grad(weight[0], (size, tau))
    window = math.exp(-10 * DT / 20)
    assert float(slopes[0]) == pytest.approx(window)
    assert float(slopes[1]) == pytest.approx(0.01 * window * 10 * DT / 20**2)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: learning.STDP(tau_plus=0.0), "tau_plus must be positive"),
        (lambda: learning.STDP(exponent=-1.0), "exponent must not be negative"),
        (lambda: learning.STDP(greatest=0.0), "greatest weight must be above 0, got 0"),
        (lambda: learning.PostTriggered(greatest=-1.0), "must be above 0, got -1"),
        (lambda: learning.InhibitorySTDP(tau=torch.ones(3)), "tau is the same for both ends"),
        (lambda: learning.Modulated(learning.STDP(), signal=torch.ones(3), tau=-1.0), "positive"),
        (
            lambda: learning.Modulated(learning.STDP(), signal=torch.ones(3), tau=torch.ones(2)),
            "tau must be one value",
        ),
    ],
)
def test_values_that_make_no_sense_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_what_is_no_rule_or_no_signal_is_refused():
    with pytest.raises(TypeError, match="rule must be a rule such as STDP"):
        learning.Modulated(dynamics.LIF(), signal=torch.ones(3))
    with pytest.raises(TypeError, match=r"signal must be a tensor \[T, \*B\]"):
        learning.Modulated(learning.STDP(), signal=0.3)
    with pytest.raises(TypeError, match="a bound must be a number"):
        learning.STDP(greatest="1")
