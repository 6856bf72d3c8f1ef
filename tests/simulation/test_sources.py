"""Spikes drawn in the loop: their laws, their independence of how a run is cut, both engines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

import amphid as am
from amphid.dynamics import LIF, Delta
from amphid.simulation import Compiled, GivenSpikes, PoissonTrains
from amphid.simulation.count_table import CountTable
from amphid.wiring import Cells, Connections, Connectome

CELLS, STEPS, DT = 53, 211, 0.1
NAMES = Connectome(Cells([f"n{i}" for i in range(CELLS)]), Connections())
LONG = {"duration": STEPS * DT, "dt": DT}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trains(*rate: float, cells: int = 101, seed: int = 0, dt: float = 1.0) -> PoissonTrains:
    """Trains of those rates, each given to as many cells."""
    size = len(rate) * cells
    key = torch.randint(-(2**63), 2**63 - 1, (size,), generator=seeded(seed))
    each = torch.tensor(rate, dtype=torch.float64).repeat_interleave(cells)
    return PoissonTrains(torch.arange(size), each, torch.ones(1), key, dt)


def wired() -> Connectome:
    rng = np.random.default_rng(3)
    edges = 307
    ends = rng.integers(0, CELLS, edges), rng.integers(0, CELLS, edges)
    return Connectome(NAMES.cells, Connections(*ends, sign=rng.choice([-1, 1], edges), delay=0.5))


def network() -> am.Network:
    return am.Network(wired(), neuron=LIF(), synapse=Delta(charge=300.0)).double()


def background(seed: int = 0, **given: object) -> am.Stimulus:
    """Sources of every kind: one rate, a rate each, high rates, a time window, given spikes."""
    rate = torch.linspace(0.0, 7.0, 11, dtype=torch.float64)
    generator = seeded(seed)
    makers = (
        am.poisson(NAMES, "*", rate=20.0, amplitude=250.0, generator=generator, **LONG, **given),
        am.poisson(NAMES, "n1*", rate=rate, amplitude=rate, start=3.0, stop=15.05,
                   generator=generator, **LONG),
        am.poisson(NAMES, "n2*", rate=9e4, amplitude=0.01, generator=generator, **LONG),
        am.spike_trains(NAMES, {"n3*": [5.0, 5.0, 6.7], "n4": [0.0]}, amplitude=700.0, **LONG),
    )  # fmt: skip
    return sum(makers[1:], makers[0])


def run(stimulus: am.Stimulus, engine: object, **given: object) -> am.Recording:
    with torch.no_grad():
        return am.simulate(network(), stimulus, record=["v", "spike"], engine=engine, **given)


def same(ours: am.Recording, theirs: am.Recording) -> None:
    assert len(theirs.spikes) > 50
    assert torch.equal(ours.spikes.index, theirs.spikes.index)
    torch.testing.assert_close(ours.v, theirs.v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mean", [0.003, 0.3, 2.0, 17.0, 400.0, 30_000.0])
def test_numbers_of_spikes_follow_the_poisson_law(mean: float) -> None:
    counts = trains(mean, cells=499).counts(0, 401).reshape(-1).numpy()
    size = len(counts)
    assert counts.mean() == pytest.approx(mean, abs=4 * math.sqrt(mean / size))
    spread = math.sqrt((mean + 2 * mean**2) / size)  # of the variance of a sample
    assert counts.var() == pytest.approx(mean, abs=4 * spread)
    edges = stats.poisson(mean).ppf(np.linspace(0.02, 0.98, 25))
    edges = np.unique([*edges, 0])
    chance = np.diff(stats.poisson(mean).cdf([*edges, np.inf]), prepend=0)
    seen = np.diff(np.searchsorted(np.sort(counts), [*edges, np.inf], side="right"), prepend=0)
    kept = chance * size > 5
    assert (
        stats.chisquare(seen[kept], chance[kept] / chance[kept].sum() * seen[kept].sum()).pvalue
        > 1e-4
    )


def test_each_train_has_its_own_rate() -> None:
    rates = (0.0, 0.02, 0.5, 3.0, 50.0, 7000.0)
    counts = trains(*rates, cells=53).counts(0, 307).double().reshape(307, len(rates), 53)
    for mean, found in zip(rates, counts.mean((0, 2)).tolist(), strict=True):
        assert found == pytest.approx(mean, abs=4 * math.sqrt(mean / 307 / 53))


def test_thresholds_are_the_law_rounded_to_32_bits() -> None:
    for mean in (0.1, 2.0, 31.0, 990.0):
        table = CountTable.of(torch.tensor([mean], dtype=torch.float64))
        count = np.arange(int(table.least[0]), int(table.least[0]) + table.threshold.shape[1])
        exact = np.rint(stats.poisson(mean).cdf(count) * 2.0**32)
        ours = table.threshold[0].double().numpy() + 1 + 2.0**31
        assert np.abs(ours - exact).max() <= 1


def test_a_train_of_no_rate_is_silent_and_one_that_is_too_rare_to_count_too() -> None:
    assert trains(0.0, 1e-11).counts(0, 997).sum() == 0


def test_trains_are_independent_of_each_other_and_of_their_past() -> None:
    counts = trains(1.0, cells=97).counts(0, 2003).double()
    bound = 5 / math.sqrt(2003)
    assert torch.corrcoef(counts.T).fill_diagonal_(0).abs().max() < bound
    away = counts - 1
    for lag in (1, 2, 3, 64):
        memory = (away[lag:] * away[:-lag]).mean(0)
        assert memory.abs().max() < bound
        assert abs(memory.mean()) < bound / math.sqrt(97)


def test_the_population_has_the_variance_of_independent_trains() -> None:
    total = trains(0.5, cells=211).counts(0, 1999).sum(1).double()
    assert total.var() / (0.5 * 211) == pytest.approx(1.0, abs=4 * math.sqrt(2 / 1999))


def test_a_number_depends_on_key_and_step_alone() -> None:
    whole = trains(2.0, 3.0, 400.0, cells=7)
    order = torch.randperm(21, generator=seeded(1))
    shuffled = PoissonTrains(
        whole.cells[order], whole.rate[order], whole.amplitude, whole.key[order], whole.dt
    )
    assert torch.equal(shuffled.counts(0, 31), whole.counts(0, 31)[:, order])
    pieces = [whole.counts(first, first + 1) for first in range(31)]
    assert torch.equal(torch.cat(pieces), whole.counts(0, 31))
    assert torch.equal(whole.later(5).counts(0, 26), whole.counts(5, 31))
    assert not torch.equal(trains(2.0, seed=1).counts(0, 31), trains(2.0).counts(0, 31))


def test_trains_come_from_start_to_stop_as_pulses_do() -> None:
    for start, stop in ((0.3, 1.2), (0.0, math.inf), (0.26, 0.54), (1.0, 9.0)):
        given = {"start": start, "stop": stop, "duration": 2.3, "dt": 0.1}
        on = am.pulse(NAMES, "n1", amplitude=1.0, **given).dense()[:, 1] != 0
        many = am.poisson(NAMES, "n1", rate=900.0, amplitude=1.0, generator=seeded(), **given)
        assert torch.equal(many.dense()[:, 1] != 0, on)
        assert torch.equal(many[5:].dense()[:, 1] != 0, on[5:])


def test_a_stimulus_tells_which_cells_it_drives_and_when() -> None:
    given = {"duration": 0.7, "dt": 0.1, "amplitude": 1.0}
    late = am.poisson(NAMES, "n2", rate=9.0, start=0.2, stop=0.5, generator=seeded(), **given)
    assert late.active().tolist() == [False, False, True, True, True, False, False]
    two = am.batch(late, am.spike_trains(NAMES, {"n3": [0.0, 0.65]}, **given))
    assert two.active()[:, 1].tolist() == [True, *[False] * 5, True]
    both = am.pulse(NAMES, "n5", start=0.6, **given) + two
    assert both.driven.tolist() == [2, 3, 5]
    assert both.active()[:, 0].tolist() == [False, False, True, True, True, False, True]


def test_the_same_seed_gives_the_same_spikes_and_another_one_others() -> None:
    assert torch.equal(background(1).dense(), background(1).dense())
    assert not torch.equal(background(1).dense(), background(2).dense())


def test_sources_are_what_their_dense_current_says() -> None:
    noise = background(trials=3)
    assert noise.dense().shape == (STEPS, 3, CELLS)
    dense = am.simulate(network(), noise.to(torch.zeros(1).double()).dense(), dt=DT, record=["v"])
    torch.testing.assert_close(run(noise, am.Torch()).v, dense.v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("given", [{}, {"trials": 3}])
def test_both_engines_draw_the_same_spikes(given: dict[str, int]) -> None:
    pulse = am.pulse(NAMES, "n7", amplitude=90.0, **LONG)
    for stimulus in (background(**given), pulse + background(**given)):
        theirs = run(stimulus, am.Torch())
        same(run(stimulus, Compiled()), theirs)
        same(run(stimulus, Compiled(threads=2)), theirs)


@pytest.mark.parametrize("engine", [am.Torch(), Compiled()])
@pytest.mark.parametrize("cut", [1, 64, 97])
def test_a_run_cut_in_two_is_the_whole_run(engine: object, cut: int) -> None:
    stimulus = background()
    whole, first = run(stimulus, engine), run(stimulus[:cut], engine)
    second = run(stimulus[cut:], engine, state=first.state)
    assert torch.equal(torch.cat((first.v, second.v)), whole.v)


def test_engines_agree_where_resting_cells_are_skipped() -> None:
    few = am.poisson(NAMES, "n2*", rate=3.0, amplitude=900.0, generator=seeded(), **LONG)
    few = few + am.spike_trains(NAMES, {"n3*": [5.0, 5.0, 6.7]}, amplitude=9000.0, **LONG)
    skipped = run(few, Compiled(skip_resting=True))
    assert "resting cells skipped" in skipped.notes[0]
    theirs = run(few, am.Torch())
    assert torch.equal(skipped.spikes.index, theirs.spikes.index)
    torch.testing.assert_close(skipped.v, theirs.v, rtol=1e-9, atol=1e-9)


def test_the_order_of_cells_does_not_matter() -> None:
    order = torch.randperm(CELLS, generator=seeded(5))
    here = background(trials=2)
    moved = [torch.argsort(order)[source.cells] for source in here.sources[:3]]
    there = am.Stimulus(here.current, here.cells, CELLS, DT, tuple(
        PoissonTrains(cells, s.rate, s.amplitude, s.key, s.dt, s.start, s.stop)
        for cells, s in zip(moved, here.sources[:3], strict=True)
    ))  # fmt: skip
    expected = am.Stimulus(here.current, here.cells, CELLS, DT, here.sources[:3]).dense()
    assert torch.equal(there.dense(), expected[..., order])
    alone = am.Network(NAMES, neuron=LIF()).double()
    with torch.no_grad():
        v = am.simulate(alone, there, record=["v"], engine=Compiled()).v
        first = am.simulate(alone, here, record=["v"], engine=Compiled()).v
    driven = torch.isin(order, here.sources[3].cells)
    assert torch.equal(v[..., ~driven], first[..., order][..., ~driven])


def test_stimuli_batched_are_trials_with_trains_of_their_own() -> None:
    def pulse(cell: str) -> am.Stimulus:
        return am.pulse(NAMES, cell, amplitude=5.0, **LONG)

    spikes = am.spike_trains(NAMES, {"n5": [1.0, 7.0]}, amplitude=800.0, **LONG)
    others = am.poisson(NAMES, "n1*", rate=9.0, amplitude=9.0, generator=seeded(9), **LONG)
    kinds = [background(1), background(2) + pulse("n3"), others, pulse("n1"), spikes]
    together = am.batch(*kinds)
    assert together.batch == (5,)
    for trial, alone in enumerate(kinds):
        assert torch.equal(together.dense()[:, trial], alone.dense())
    theirs = run(together, am.Torch())
    same(run(together, Compiled()), theirs)
    twice = am.batch(am.batch(*kinds), am.batch(*kinds[::-1]))
    assert torch.equal(twice.dense()[:, 1, 4], kinds[0].dense())


def test_a_portion_of_the_trials_is_those_trials() -> None:
    spikes = [am.spike_trains(NAMES, {"n5": [time, 7.0]}, amplitude=8.0, **LONG)
              for time in range(5)]  # fmt: skip
    one = am.batch(*(background(k) + train for k, train in enumerate(spikes)))
    both = am.batch(one, one)
    for whole in (one, both):
        for source in whole.sources:
            part = source.portion(1, 4, 5).current(0, STEPS)
            assert torch.equal(part, source.current(0, STEPS)[..., 1:4, :])
    assert spikes[0].sources[0].portion(1, 4, 5) is spikes[0].sources[0]


def test_batches_of_alike_stimuli_keep_one_source() -> None:
    made = [am.poisson(NAMES, "*", rate=1.0, amplitude=1.0, generator=seeded(k), **LONG)
            for k in range(7)]  # fmt: skip
    (source,) = am.batch(*made).sources
    assert source.key.shape == (7, CELLS)


def test_no_dense_current_is_ever_made() -> None:
    many = am.poisson(
        NAMES, "*", rate=1.0, amplitude=0.0, duration=1e11, dt=DT, generator=seeded()
    )[:1009]
    assert many.current.numel() == 0
    run(many, am.Torch())


def test_an_amplitude_is_learned_through_the_torch_engine() -> None:
    amplitude = torch.full((1,), 40.0, requires_grad=True)
    stimulus = am.poisson(NAMES, "*", rate=20.0, amplitude=amplitude, generator=seeded(), **LONG)
    alone = am.Network(NAMES, neuron=LIF())
    for engine in (am.Torch(), am.Torch(checkpoint=16)):
        total = am.simulate(alone, stimulus, record=["v"], engine=engine).v.sum()
        (slope,) = torch.autograd.grad(total, amplitude)
        more = am.poisson(NAMES, "*", rate=20.0, amplitude=41.0, generator=seeded(), **LONG)
        with torch.no_grad():
            step = float(am.simulate(alone, more, record=["v"]).v.sum() - total)
        assert float(slope) == pytest.approx(step, rel=1e-2)


SOUND = {"rate": 1.0, "amplitude": 1.0, "duration": 3.0, "dt": 1.0}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"rate": -1.0}, "rate must be spikes per ms"),
        ({"rate": 2e6}, "rate must be spikes per ms"),
        ({"rate": math.nan}, "rate must be a finite number"),
        ({"rate": torch.ones(3)}, "rate must be .* one entry for each of 2 trains"),
        ({"rate": torch.tensor([1.0, math.inf])}, "rate must hold finite numbers"),
        ({"amplitude": math.inf}, "amplitude must be"),
        ({"amplitude": torch.ones(5, 3)}, "amplitude must be .* for each of 2 trains"),
        ({"start": 2.0, "stop": 1.0}, "stop must lie after start"),
        ({"start": math.nan}, "start must be"),
        ({"trials": 0}, "trials must be a number of trials"),
        ({"generator": None}, "generator must be a torch.Generator"),
    ],
)
def test_trains_that_make_no_sense_are_refused(given: dict[str, object], named: str) -> None:
    with pytest.raises((ValueError, TypeError), match=named):
        am.poisson(NAMES, "n1", "n2", **{**SOUND, "generator": seeded(), **given})


def test_sources_that_do_not_fit_are_refused() -> None:
    none, dt = torch.zeros(0, dtype=torch.int64), 1.0
    step, cell, one = torch.tensor([0, 2]), torch.tensor([1, 9]), torch.ones(2)
    with pytest.raises(ValueError, match=r"must drive cells of the network, 0 to 4: .* 1 to 9"):
        am.Stimulus(torch.zeros(3, 0), none, 5, dt, (GivenSpikes(step, cell, one, dt),))
    with pytest.raises(ValueError, match="must have the dt of its stimulus"):
        am.Stimulus(torch.zeros(3, 0), none, 11, dt, (GivenSpikes(step, cell, one, 0.5),))
    with pytest.raises(ValueError, match="sorted"):
        GivenSpikes(step.flip(0), cell, one, dt)
    with pytest.raises(ValueError, match="one entry for each spike"):
        GivenSpikes(step, cell, torch.ones(3), dt)
    with pytest.raises(ValueError, match="trial must be given"):
        GivenSpikes(step, cell, one, dt, torch.Size((2,)))
    with pytest.raises(ValueError, match="numbers of 64 bits"):
        PoissonTrains(cell, one, one, torch.ones(2), dt)
