"""Weights that move: both engines move them alike, however runs are cut, and say what cannot be."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import amphid as am
from amphid import learning
from amphid.dynamics import (
    LIF,
    BinaryThreshold,
    Conductance,
    Delta,
    Exponential,
    GapJunction,
    Graded,
    HodgkinHuxley,
    Mixed,
    Neuron,
    ShortTerm,
)
from amphid.simulation import Compiled
from amphid.wiring import Cells, Connections, Connectome
from engine_cases import Cases

CELLS, EDGES, STEPS, DT = 41, 307, 211, 0.5
TORCH = am.Torch(implicit=False)

CASES = Cases(CELLS, EDGES, STEPS, DT, junctions=0.0)
drawn = CASES.drawn

# how much more current than elsewhere makes neurons fire often enough to learn
MORE = {
    "LIF": 1.7, "ThresholdIntegrator": 1.3, "ALIF": 1.4, "Izhikevich": 2.0, "AdEx": 1.7,
    "HodgkinHuxley": 2.8, "MorrisLecar": 3.1, "FitzHughNagumo": 3.0, "BinaryThreshold": 2.5,
    "EscapeRate": 1.5, "Refractory": 1.7, "Mixed": 1.7,
}  # fmt: skip
NEURONS = {
    name: (make, MORE[name] * mean)
    for name, (make, mean) in CASES.neurons().items()
    if name in MORE
}


def signal(*batch: int, steps: int = STEPS) -> Tensor:
    draw = torch.Generator().manual_seed(9)
    return 0.02 * torch.randn(steps, *batch, generator=draw, dtype=torch.float64)


# each over the groups "excitatory" and "inhibitory"
RULES: dict[str, Any] = {
    "STDP": lambda: (learning.STDP(),),
    "STDP nearest, some": lambda: (
        learning.STDP(nearest=True, exponent=0.3, connections=np.arange(0, EDGES, 3)),
    ),
    "TripletSTDP": lambda: (learning.TripletSTDP(connections="excitatory"),),
    "PostTriggered": lambda: (learning.PostTriggered(),),
    "two": lambda: (learning.STDP(connections="excitatory"), learning.InhibitorySTDP()),
    "two of one connection": lambda: (
        learning.STDP(potentiation=each_connection()), learning.TripletSTDP(tau_x=each_cell())
    ),
    "Modulated": lambda: (
        learning.Modulated(learning.STDP(potentiation=0.1), signal=signal(), tau=30.0),
    ),
    "Modulated beside another": lambda: (
        learning.InhibitorySTDP(),
        learning.Modulated(
            learning.STDP(potentiation=0.1, connections="excitatory"), signal=signal(), tau=30.0
        ),
    ),
}  # fmt: skip


def each_cell() -> Tensor:
    return 100 * torch.linspace(0.5, 1.5, CELLS, dtype=torch.float64)


def each_connection() -> Tensor:
    return 0.01 * torch.linspace(0.5, 1.5, EDGES, dtype=torch.float64)


def network(neuron: Neuron[Any] | None = None, synapse: Any = None, **given: Any) -> am.Network:
    """Cells with excitatory and inhibitory connections of weights between 0 and 1."""
    if synapse is None:
        reach = Conductance(tau=5.0, conductance=3.0, reversal=0.0)
        synapse = {
            "excitatory": reach,
            "inhibitory": Exponential(tau=5.0, amplitude=-20.0),
        }
    draw = torch.Generator().manual_seed(2)
    weight = torch.rand(EDGES, generator=draw, dtype=torch.float64)
    wired = given.pop("wired", None) or drawn()
    given = {"weight": weight} | given
    return am.Network(wired, neuron=neuron or LIF(), synapse=synapse, **given).double()


def drive(mean: float = 250.0, *batch: int) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    noise = torch.randn(STEPS, *batch, CELLS, generator=draw, dtype=torch.float64)
    return mean * (1 + 0.5 * noise)


def both(net: am.Network, rules: Any, current: Tensor, **given: Any) -> list[am.Recording]:
    """The recordings of the torch engine and of the compiled one, found to be the same."""
    pytest.importorskip("numba", reason="numba is not installed")
    given = {"record": ("spike", "weight"), "every": 50} | given
    if not given.get("state"):
        given["state"] = net.rest(DT)  # where cells draw, both must start alike
    with torch.no_grad():
        theirs, ours = (
            am.simulate(net, current, dt=DT, plasticity=rules, engine=engine, **given)
            for engine in (TORCH, Compiled())
        )
    assert "compiled" in ours.notes[0]
    assert torch.equal(ours.spikes.index, theirs.spikes.index)
    assert len(ours.spikes) > 50
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(ours.state, theirs.state, rtol=1e-10, atol=1e-12)
    assert ours.state.weight.shape == (*current.shape[1:-1], EDGES)
    assert np.array_equal(ours.edges, theirs.edges)
    assert not torch.allclose(ours.weight[-1], ours.weight[0], rtol=0.0, atol=1e-3)
    return [theirs, ours]


@pytest.mark.parametrize(("make", "mean"), NEURONS.values(), ids=NEURONS.keys())
def test_every_neuron_that_spikes_moves_weights_alike_in_both_engines(make, mean):
    rules = learning.STDP(connections="excitatory"), learning.InhibitorySTDP()
    both(network(make()), rules, drive(mean))


@pytest.mark.parametrize("make", RULES.values(), ids=RULES.keys())
def test_every_rule_moves_weights_alike_in_both_engines(make):
    both(network(), make(), drive())


def test_without_delays_too():
    both(network(wired=drawn(delays=False)), RULES["two"](), drive())


def test_the_lists_hold_every_rule():
    held = {type(rule) for make in RULES.values() for rule in make()}
    held |= {learning.InhibitorySTDP}
    assert held == {kind for kind in learning.Rule.__subclasses__()
                    if kind.__module__.startswith("amphid.")}  # fmt: skip


@pytest.mark.parametrize("name", ["two", "Modulated"])
def test_trials_side_by_side_learn_each_for_itself(name):
    weight = torch.rand(2, 1, EDGES, generator=torch.Generator().manual_seed(4))
    for net, current in (
        (network(), drive(250.0, 3)),
        (network(weight=weight.double()), drive(250.0, 2, 3)),
    ):
        _, run = both(net, RULES[name](), current)
        alone = net.weighted(net.weight.reshape(-1, EDGES)[-1])
        last = current.flatten(1, -2)[:, -1]
        single = both(alone, RULES[name](), last)[1]
        found = run.state.weight.reshape(-1, EDGES)[-1]
        torch.testing.assert_close(found, single.state.weight, rtol=0.0, atol=1e-12)


def test_a_signal_may_differ_between_trials():
    rule = learning.Modulated(learning.STDP(potentiation=0.1), signal=signal(3), tau=30.0)
    net = network(synapse={
        "excitatory": Delta(charge=0.0), "inhibitory": Delta(charge=0.0)})  # fmt: skip
    with torch.no_grad():
        runs = [
            am.simulate(net, drive(), dt=DT, plasticity=(rule,), engine=engine)
            for engine in (TORCH, Compiled())
        ]
    for run in runs:
        assert run.state.weight.shape == (3, EDGES)
        assert float(run.state.weight.std(0).max()) > 1e-3
    torch.testing.assert_close(runs[0].state, runs[1].state, rtol=1e-10, atol=1e-12)


def test_lesions_side_by_side_learn_each_for_itself():
    net = network().lesioned("n1", "n2*")
    _, run = both(net, RULES["two"](), drive()[:, None].expand(-1, 3, -1))
    assert run.trials == ("intact", "n1", "n2*")
    assert run.trial("n2*").weight.shape == (STEPS // 50, EDGES)
    alone = both(network(), RULES["two"](), drive())[1]
    assert torch.equal(run.trial("intact").spike, alone.spike)
    torch.testing.assert_close(run.state.weight[0], alone.state.weight, rtol=0.0, atol=1e-12)


def test_weights_with_a_sign_of_their_own_move_as_magnitudes():
    one = Exponential(tau=5.0, amplitude=30.0)
    for rules in (RULES["STDP"](), RULES["STDP nearest, some"](), RULES["Modulated"]()):
        run = both(network(synapse=one), rules, drive())[1]
        assert float(run.state.weight.min()) >= 0.0


class Signed(learning.Rule[Any]):
    """A rule of a user for weights of either sign."""

    def __init__(self) -> None:
        super().__init__()
        self.govern(None, -np.inf, np.inf)

    def init(self, like: Tensor) -> Any:
        return Trace(torch.zeros_like(like))

    def step(self, state: Any, spike: Tensor, dt: float) -> Any:
        return Trace(0.9 * state.trace + spike)

    def change(
        self, weight: Tensor, pre: Any, post: Any, pre_spike: Tensor, post_spike: Tensor
    ) -> Tensor:
        closer = torch.where(pre_spike > 0, 0.05 * (post.trace - 0.5), 0.0)
        return weight + closer - 0.01 * weight * torch.tanh(pre.trace) * post_spike


class Trace(NamedTuple):
    trace: Tensor


def test_a_rule_of_a_user_moves_weights_of_either_sign():
    weight = torch.randn(EDGES, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    one = Exponential(tau=5.0, amplitude=20.0)
    run = both(network(synapse=one, weight=weight, dale=False), (Signed(),), drive())[1]
    assert float(run.state.weight.min()) < -0.1


def test_released_spikes_and_gap_junctions_stand_beside_plastic_connections():
    wired, rng = drawn(), np.random.default_rng(5)
    wires = wired.connections
    kind = (rng.random(EDGES) < 0.2).astype(int)
    mixed = Connections(
        wires.pre, wires.post, kind=kind, sign=np.where(kind, 0, wires.sign),
        delay=np.where(kind, np.nan, wires.delay),
    )  # fmt: skip
    use = ShortTerm(Exponential(tau=5.0, amplitude=60.0), use=0.4, recovery=120.0)
    synapse = {
        "excitatory": use,
        "inhibitory": Exponential(tau=5.0, amplitude=-20.0),
        "electrical": GapJunction(conductance=0.02),
    }
    net = network(wired=Connectome(wired.cells, mixed), synapse=synapse)
    both(net, (learning.STDP(),), drive())
    both(net, RULES["two"](), drive())


@pytest.mark.parametrize("engines", [(TORCH, TORCH), (TORCH, Compiled()), (Compiled(), TORCH)])
@pytest.mark.parametrize("name", ["two", "TripletSTDP"])
def test_a_run_in_parts_equals_one_run(engines, name):
    net, rules, current = network(), RULES[name](), drive()
    with torch.no_grad():
        whole = am.simulate(net, current, dt=DT, plasticity=rules, record=("spike", "v"))
        state, spikes = None, []
        for number, piece in enumerate(current.split([3, 107, 101])):
            run = am.simulate(
                net, piece, dt=DT, plasticity=rules, state=state, engine=engines[number % 2]
            )
            state, spikes = run.state, [*spikes, run.spike]
    assert torch.equal(torch.cat(spikes), whole.spike)
    torch.testing.assert_close(state, whole.state, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("engine", [TORCH, Compiled()])
def test_a_modulated_run_in_parts_equals_one_run(engine):
    net, current = network(), drive()
    net = net.weighted(0.3 + 0.4 * net.weight)  # no bound is met
    rule = learning.Modulated(learning.STDP(potentiation=0.02), signal=signal(), tau=30.0)
    with torch.no_grad():
        whole = am.simulate(net, current, dt=DT, plasticity=(rule,), engine=engine)
        state = None
        for piece, factor in zip(current.split(53), rule.signal.split(53), strict=True):
            parts = {"plasticity": (rule.with_signal(factor),), "state": state}
            state = am.simulate(net, piece, dt=DT, engine=engine, **parts).state
    assert float((whole.state.weight - net.weight).abs().max()) > 1e-3
    torch.testing.assert_close(state.traces, whole.state.traces, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(state.weight, whole.state.weight, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("engine", [TORCH, Compiled()])
def test_what_was_learned_stays_when_the_rules_are_left_out(engine):
    net, current, rules = network(), drive(), RULES["two"]()
    with torch.no_grad():
        learned = am.simulate(net, current, dt=DT, plasticity=rules, engine=TORCH).state
        frozen = am.simulate(net, current, dt=DT, state=learned, engine=engine)
        assert torch.equal(frozen.state.weight, learned.weight)
        start = net.rest(DT)._replace(weight=learned.weight)
        fresh = am.simulate(net, current, dt=DT, state=start, engine=engine)
        built = am.simulate(net.weighted(learned.weight), current, dt=DT, engine=engine)
    assert torch.equal(fresh.spikes.index, built.spikes.index)
    torch.testing.assert_close(
        frozen.state.past["excitatory"].rows[-1], torch.zeros(CELLS).double()
    )


def test_a_frozen_run_goes_on_alike_in_both_engines():
    net, current, rules = network(), drive(), RULES["two"]()
    with torch.no_grad():
        learned = am.simulate(net, current, dt=DT, plasticity=rules).state
        runs = [
            am.simulate(net, current, dt=DT, state=learned, engine=engine)
            for engine in (TORCH, Compiled())
        ]
    assert torch.equal(runs[0].spikes.index, runs[1].spikes.index)
    torch.testing.assert_close(runs[0].state, runs[1].state, rtol=1e-10, atol=1e-12)


def test_a_spike_travels_with_the_weight_that_it_left_with():
    """Pre fires at 10 and 20, post at 12: over 15 steps, the spike of 10 keeps its old weight."""
    lag = 15
    wired = Connectome(
        Cells(["pre", "post", "read"]),
        Connections([0, 0], [1, 2], sign=[1, 1], delay=[0.0, (lag - 1) * DT]),
    )
    net = am.Network(
        wired, neuron=BinaryThreshold(resistance=1.0),
        synapse={"excitatory": Delta(charge=0.01), "inhibitory": Delta(charge=0.0)},
        weight=torch.tensor([0.5, 0.5], dtype=torch.float64),
    ).double()  # fmt: skip
    current = torch.zeros(50, 3, dtype=torch.float64)
    current[[10, 20], 0] = current[[12], 2] = 1.0
    for engine in (TORCH, Compiled()):
        with torch.no_grad():
            run = am.simulate(
                net, current, dt=DT, engine=engine, plasticity=(learning.STDP(depression=0.0),),
                record=("v", "weight", "spike"),
            )  # fmt: skip
        assert float(run.weight[11, 1]) == 0.5
        assert float(run.weight[12, 1]) > 0.5
        assert float(run.v[10 + lag, 2]) == pytest.approx(0.01 * 0.5 / DT)
        assert float(run.v[20 + lag, 2]) == pytest.approx(0.01 * float(run.weight[-1, 1]) / DT)


def test_voltages_solved_together_learn_too():
    net = network(HodgkinHuxley())
    with torch.no_grad():
        run = am.simulate(
            net, drive(2500.0), dt=DT, plasticity=RULES["two"](), engine=am.Torch(implicit=True)
        )
    assert "linear solve; plastic" in run.notes[0]
    assert not torch.allclose(run.state.weight, net.weight)


def test_gradients_flow_through_weights_that_move_and_spikes_that_they_cause():
    net = network(weight=nn.Parameter(0.1 + 0.8 * network().weight))
    run = am.simulate(
        net, drive(600.0)[:41], dt=DT, plasticity=RULES["two of one connection"](),
        record=("v", "weight"),
    )  # fmt: skip
    for value in (run.v[-1].sum(), run.weight[-1].sum()):
        slopes = torch.autograd.grad(value, net.weight, retain_graph=True)[0]
        assert bool(slopes.isfinite().all())
        assert int((slopes != 0).sum()) > EDGES // 2


def test_gradcheck_of_a_network_that_learns_in_steps_without_a_spike_of_its_own():
    """Spikes are given by a current that no weight reaches: all that moves is smooth."""
    wired = Connectome(
        Cells(["a", "b", "c"]), Connections([0, 1], [2, 2], sign=[1, 1], delay=[0.5, 1.0])
    )
    cells = Mixed({"c": LIF(v_threshold=100.0), "*": BinaryThreshold()})
    net = am.Network(
        wired, neuron=cells, synapse={
            "excitatory": Exponential(tau=3.0, amplitude=5.0),
            "inhibitory": Exponential(tau=3.0, amplitude=-5.0)},
    ).double()  # fmt: skip
    current = torch.zeros(13, 3, dtype=torch.float64)
    current[::3, 0] = current[::4, 1] = 1.0

    def voltage(weight: Tensor, rate: Tensor) -> Tensor:
        rule = learning.InhibitorySTDP(rate=rate, connections="excitatory", greatest=9.0)
        run = am.simulate(net.weighted(weight), current, dt=0.5, plasticity=(rule,), record=("v",))
        return run.v[:, 2]

    weight = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(voltage, (weight, rate))
    assert float(torch.autograd.grad(voltage(weight, rate)[-1], rate)[0].abs()) > 1e-3


def test_checkpoints_in_time_leave_the_gradient_as_it_is():
    net, rules = network(weight=nn.Parameter(network().weight.clone())), RULES["Modulated"]()
    slopes = []
    for checkpoint in (0, 29):
        run = am.simulate(
            net, drive(), dt=DT, plasticity=rules, engine=am.Torch(checkpoint=checkpoint)
        )
        slopes.append(torch.autograd.grad(run.state.weight.sum(), net.weight)[0])
    assert torch.equal(*slopes)
    assert float(slopes[0].abs().sum()) > 0


def test_the_work_grows_with_spikes_not_with_connections():
    """What neither fires nor is reached by what fires is never looked at: nan stays there."""
    pytest.importorskip("numba", reason="numba is not installed")
    wired = Connectome(
        Cells(["a", "b", "c", "d"]), Connections([0, 2, 2], [1, 3, 3], sign=[1, 1, 1])
    )
    silent = {"excitatory": Delta(charge=0.0), "inhibitory": Delta(charge=0.0)}
    net = am.Network(wired, neuron=BinaryThreshold(), synapse=silent).double()
    current = torch.zeros(31, 4, dtype=torch.float64)
    current[3, 0] = current[5, 1] = 1.0
    traces = learning.STDP(greatest=9.0).init(torch.zeros(4, dtype=torch.float64))
    traces.before[2:] = np.nan
    state = net.rest(DT)._replace(traces=(traces,))
    given = {"dt": DT, "plasticity": (learning.STDP(greatest=9.0),), "state": state}
    with torch.no_grad():
        run = am.simulate(net, current, engine=Compiled(), **given)
    assert float(run.state.weight[0]) > 1.0
    assert run.state.weight[1:].tolist() == [1.0, 1.0]


def test_samples_of_weights_are_kept_in_files(tmp_path):
    net, rules = network(), RULES["STDP nearest, some"]()
    with torch.no_grad():
        run = am.simulate(
            net, drive(), dt=DT, plasticity=rules, record=("weight", "spike"), every=20
        )
    assert run.weight.shape == (STEPS // 20, len(range(0, EDGES, 3)))
    again = am.Recording.load(run.save(tmp_path / "run.h5"))
    assert torch.equal(again.weight, run.weight)
    assert np.array_equal(again.edges, run.edges)
    assert "weight [10, 103]" in repr(run)
    assert run["n1"].weight is None
    only = am.simulate(net, drive(), dt=DT, plasticity=rules, record=("weight",), every=20)
    assert only.steps == 200
    assert len(only.time) == 10


class Leaky(Signed):
    """A rule that moves weights of connections whose ends are silent."""

    def change(self, weight: Tensor, *ends: Any) -> Tensor:
        return 0.99 * weight


class Half(Signed):
    """A rule that gives something else than weights."""

    def change(self, weight: Tensor, *ends: Any) -> Tensor:
        return weight[..., :1]


def refused(told: str, rules: Any = (), error: type = ValueError, **given: Any) -> None:
    net = given.pop("net", None) or network()
    for engine in (TORCH, Compiled()):
        with pytest.raises(error, match=told):
            am.simulate(net, drive(), dt=DT, plasticity=rules, engine=engine, **given)


def test_what_does_not_fit_is_refused_in_a_sentence():
    refused("plasticity must be a tuple of rules", learning.STDP(), TypeError)
    refused("a rule has init, step and change", (learning.STDP,), TypeError)
    refused("a rule has init, step and change", (LIF(),), TypeError)
    refused("must leave a weight as it is while neither end fires", (Leaky(),))
    refused("must leave a weight as it is while neither end fires", (Half(),))
    refused(r"keeps weights between 0 and 0.5, but \d+ of the 307", (learning.STDP(greatest=0.5),))
    refused("is no group of this network; its groups are: excitatory, inhibitory",
            (learning.STDP(connections="chemical"),))  # fmt: skip
    for chosen in ([1, EDGES], [-1], [0.5], np.ones(EDGES + 1, dtype=bool)):
        refused("connections must be a mask of 307 connections",
                (learning.STDP(connections=chosen),))  # fmt: skip
    refused("governs no connection", (learning.STDP(connections=[]),))
    refused("no weight moves: give plasticity", (), KeyError, record=("weight",))
    short = learning.Modulated(learning.STDP(), signal=torch.ones(5))
    refused("one entry for each of the 211 steps", (short,))
    two = (*RULES["Modulated"](), learning.TripletSTDP())
    refused("no other rule may govern its connections; TripletSTDP does", two)


def test_cells_without_spikes_and_gap_junctions_are_refused():
    wired = Connectome(
        Cells([f"n{i}" for i in range(CELLS)]), Connections([0, 1], [1, 2], kind=[1, 1])
    )
    gaps = {"electrical": GapJunction(conductance=0.02)}
    net = am.Network(wired, neuron=LIF(), synapse=gaps).double()
    refused("holds gap junctions", (learning.STDP(connections=[0]),), net=net)
    refused("governs no connection", (learning.STDP(),), net=net)
    graded = am.Network(wired, neuron=Graded(), synapse=gaps).double()
    refused("is driven by spikes, but these cells give out 'release'", (learning.STDP(),),
            net=graded)  # fmt: skip


def test_a_state_of_other_rules_or_delays_is_refused():
    net = network()
    with torch.no_grad():
        state = am.simulate(net, drive(), dt=DT, plasticity=RULES["two"]()).state
    refused("state holds the traces of 2 other plasticity rules", (learning.STDP(),), state=state)
    refused("PairState, SymmetricState", RULES["two"]()[::-1], state=state)
    with torch.no_grad(), pytest.raises(ValueError, match="delays take up to 11 here"):
        am.simulate(net, drive(), dt=DT / 2, plasticity=RULES["two"](), state=state)


def test_single_precision_learns_about_the_same():
    exact = both(network(), RULES["two"](), drive())[1]
    net = network().float()
    with torch.no_grad():
        single = am.simulate(
            net, drive().float(), dt=DT, plasticity=RULES["two"](), engine=Compiled()
        )
    assert single.state.weight.dtype == torch.float32
    apart = (single.state.weight - exact.state.weight).abs().mean()
    assert float(apart) < 0.1 * float((exact.state.weight - network().weight).abs().mean())


def test_the_start_is_left_alone():
    net, state = network(), network().rest(DT)
    state = state._replace(weight=net.weight.clone())
    with torch.no_grad():
        run = am.simulate(net, drive(), dt=DT, plasticity=RULES["two"](), state=state,
                          engine=Compiled())  # fmt: skip
        more = am.simulate(net, drive(), dt=DT, plasticity=RULES["two"](), state=run.state,
                           engine=Compiled())  # fmt: skip
    assert torch.equal(state.weight, net.weight)
    assert not torch.equal(run.state.weight, more.state.weight)
