"""Networks: groups of connections, signs, delays, and independence of the order of things."""

import numpy as np
import pytest
import torch

import amphid as am
from amphid import dynamics, wiring
from amphid.wiring import Cells, Connections, Connectome

CELLS, EDGES, STEPS = 13, 71, 101


def drawn(seed: int = 0, *, delays: bool = False) -> Connectome:
    """A random connectome with both kinds of connections and signs."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, EDGES)
    delay = np.where(kind == 0, rng.integers(0, 5, EDGES) * 0.5, np.nan) if delays else np.nan
    return Connectome(
        Cells([f"n{i}" for i in range(CELLS)], cell_class=[f"c{i % 3}" for i in range(CELLS)]),
        Connections(
            rng.integers(0, CELLS, EDGES),
            rng.integers(0, CELLS, EDGES),
            kind=kind,
            synapses=rng.integers(1, 7, EDGES),
            sign=np.where(kind == 0, rng.choice([-1, 1], EDGES), 0),
            delay=delay,
        ),
    )


def spiking(connectome: Connectome, **given) -> am.Network:
    synapse = {
        "chemical": dynamics.Exponential(tau=5.0, amplitude=30.0),
        "electrical": dynamics.GapJunction(conductance=0.05),
    }
    return am.Network(connectome, neuron=dynamics.LIF(), synapse=synapse, **given).double()


def drive(cells: int = CELLS, *batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(STEPS, *batch, cells, generator=generator, dtype=torch.float64)
    return 260 + 80 * noise


def run(network: am.Network, current: torch.Tensor, **given) -> am.Recording:
    with torch.no_grad():
        return am.simulate(network, current, dt=0.5, record=("v", "spike"), **given)


@pytest.mark.parametrize("implicit", [False, True])
def test_the_order_of_cells_changes_nothing(implicit):
    wired, current = drawn(delays=True), drive()
    order = np.random.default_rng(3).permutation(CELLS)
    engine = am.Torch(implicit=implicit)
    plain = run(spiking(wired), current, engine=engine)
    turned = run(spiking(wired.subset(*order)), current[:, order], engine=engine)
    assert len(plain.spikes) > 20
    torch.testing.assert_close(turned.v, plain.v[:, order], rtol=0, atol=1e-8)
    assert torch.equal(turned.spike, plain.spike[:, order])


def test_the_order_of_connections_changes_nothing():
    wired, current = drawn(delays=True), drive()
    order = np.random.default_rng(5).permutation(EDGES)
    turned = Connectome(wired.cells, wired.connections.take(order))
    torch.testing.assert_close(
        run(spiking(turned), current).v, run(spiking(wired), current).v, rtol=0, atol=1e-9
    )


def test_a_batch_of_stimuli_equals_its_trials_one_by_one():
    network, current = spiking(drawn(delays=True)), drive(CELLS, 3)
    together = run(network, current)
    for trial in range(3):
        alone = run(network, current[:, trial])
        torch.testing.assert_close(together.v[:, trial], alone.v, rtol=0, atol=1e-8)
        assert torch.equal(together.spike[:, trial], alone.spike)


def test_a_batch_of_weights_equals_its_draws_one_by_one():
    wired, current = drawn(), drive()
    weight = torch.rand(5, EDGES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    together = run(spiking(wired, weight=weight), current[:, None])
    for draw in range(5):
        alone = run(spiking(wired, weight=weight[draw]), current)
        torch.testing.assert_close(together.v[:, draw], alone.v, rtol=0, atol=1e-8)


def test_gathering_edge_by_edge_equals_the_matrix(monkeypatch):
    wired, current = drawn(), drive()
    dense = run(spiking(wired), current).v
    monkeypatch.setattr("amphid.simulation.wires.DENSE_CELLS", 0)
    torch.testing.assert_close(run(spiking(wired), current).v, dense, rtol=0, atol=1e-9)


@pytest.mark.parametrize("delay", [0.0, 0.5, 3.0])
def test_a_signal_arrives_after_its_delay(delay):
    """A spike at the end of step k acts in the step that starts a delay later."""
    pair = Connectome(Cells(["a", "b"]), Connections([0], [1], sign=1, delay=delay))
    synapse = dynamics.Delta(charge=1000.0)
    network = am.Network(pair, neuron=dynamics.LIF(), synapse=synapse).double()
    current = torch.zeros(STEPS, 2, dtype=torch.float64)
    current[10, 0] = 10_000.0
    run_ = run(network, current)
    assert run_.spikes.index[0].tolist()[0] == 10
    moved = (run_.v[:, 1] > run_.v[0, 1] + 1e-9).nonzero()
    assert moved.min().item() == 11 + round(delay / 0.5)


def test_gap_junctions_conserve_charge_and_pull_voltages_together():
    pair = Connectome(Cells(["a", "b"]), Connections([0], [1], kind="electrical", synapses=3))
    cells = dynamics.Graded(g_leak=1e-6, v_threshold=0.0)
    synapse = {"electrical": dynamics.GapJunction(conductance=0.1)}
    network = am.Network(pair, neuron=cells, synapse=synapse).double()
    state = network.rest()
    start = torch.tensor([-60.0, -20.0], dtype=torch.float64)
    state = state._replace(neuron=network.neuron.at(state.neuron, start))
    silence = torch.zeros(STEPS, 2, dtype=torch.float64)
    for implicit in (True, False):
        v = run_v(network, silence, state, implicit)
        torch.testing.assert_close(
            v.mean(-1), torch.full((STEPS,), -40.0).double(), atol=1e-3, rtol=0
        )
        assert abs(v[-1, 0] - v[-1, 1]) < 1e-3


def run_v(network, current, state, implicit):
    engine = am.Torch(implicit=implicit)
    with torch.no_grad():
        return am.simulate(network, current, dt=0.5, record=("v",), state=state, engine=engine).v


def test_dale_keeps_the_sign_whatever_the_weight_becomes():
    wired = drawn()
    network = spiking(wired)
    with torch.no_grad():
        network.weight.normal_(generator=torch.Generator().manual_seed(0))
    chemical = wired.connections.chemical
    sign = torch.from_numpy(wired.connections.sign[chemical].astype(float))
    assert ((network.weights_of("chemical") * sign) >= 0).all()
    free = spiking(wired, weight=network.weight, dale=False)
    assert torch.equal(free.weights_of("chemical"), network.weight[torch.from_numpy(chemical)])


def test_split_groups_carry_magnitudes_and_one_group_the_sign():
    wired = drawn()
    one = am.Network(
        wired,
        neuron=dynamics.LIF(),
        synapse={
            "chemical": dynamics.Exponential(tau=5.0, amplitude=30.0),
            "electrical": dynamics.GapJunction(conductance=0.05),
        },
    ).double()
    two = am.Network(
        wired,
        neuron=dynamics.LIF(),
        synapse={
            "excitatory": dynamics.Exponential(tau=5.0, amplitude=30.0),
            "inhibitory": dynamics.Exponential(tau=5.0, amplitude=-30.0),
            "electrical": dynamics.GapJunction(conductance=0.05),
        },
    ).double()
    torch.testing.assert_close(run(one, drive()).v, run(two, drive()).v, rtol=0, atol=1e-9)


def test_a_graded_network_starts_at_rest_and_stays_there():
    network = am.Network(
        drawn(), neuron=dynamics.Graded(), synapse=dynamics.graded_synapses()
    ).double()
    with torch.no_grad():
        run_ = am.simulate(
            network, torch.zeros(STEPS, CELLS, dtype=torch.float64), dt=1.0, record=("v",)
        )
    rest = network.rest().v
    torch.testing.assert_close(run_.v, rest.expand(STEPS, -1), rtol=0, atol=1e-7)
    assert rest.std() > 0.1


def test_a_lesion_equals_silencing_all_connections():
    wired, current = drawn(), drive()
    gone = wired.select("n4")[0]
    touching = (wired.connections.pre == gone) | (wired.connections.post == gone)
    weight = torch.from_numpy(wired.connections.synapses.astype(float) * ~touching)
    kept = [i for i in range(CELLS) if i != gone]
    silenced = run(spiking(wired, weight=weight), current).v[:, kept]
    lesioned = run(spiking(wired.without("n4")), current[:, kept]).v
    torch.testing.assert_close(lesioned, silenced, rtol=0, atol=1e-9)


UNSIGNED = Connectome(Cells(["a", "b"]), Connections([0], [1]))
SIGNED = UNSIGNED.signed(wiring.all_positive)
GAP = Connectome(Cells(["a", "b"]), Connections([0], [1], kind="electrical"))
LATE_GAP = GAP.with_connections(delay=1.0)
CURRENT = dynamics.Exponential(tau=5.0, amplitude=1.0)
JUNCTION = dynamics.GapJunction(conductance=1.0)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((SIGNED, {"neuron": "LIF"}), "neuron must be a Neuron"),
        ((SIGNED, {"synapse": {"glial": CURRENT}}), "no group 'glial'"),
        ((SIGNED, {"synapse": {"chemical": "x"}}), "must be a Synapse"),
        ((SIGNED, {"synapse": {"chemical": CURRENT, "excitatory": CURRENT}}), "one group"),
        ((SIGNED, {"synapse": {"electrical": JUNCTION}}), "1 chemical connections have no synapse"),
        ((SIGNED, {"synapse": {"inhibitory": CURRENT}}), "1 excitatory connections"),
        ((UNSIGNED, {"synapse": CURRENT}), "wiring.by_transmitter"),
        ((GAP, {}), "1 electrical connections have no synapse"),
        ((LATE_GAP, {"synapse": {"electrical": JUNCTION}}), "has no delay"),
        ((SIGNED, {"synapse": CURRENT, "weight": torch.ones(2)}), "weight must be a tensor"),
        ((SIGNED, {"synapse": CURRENT, "weight": 3.0}), "weight must be a tensor"),
        ((SIGNED, {"synapse": CURRENT, "weight": -torch.ones(1)}), "must not be negative"),
        ((SIGNED, {"synapse": dynamics.Exponential}), "must be a Synapse"),
        ((SIGNED, {"neuron": dynamics.LIF(tau=torch.ones(3)), "synapse": CURRENT}), "LIF: tau"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_a_sentence(given, named):
    connectome, arguments = given
    with pytest.raises((ValueError, TypeError), match=named):
        am.Network(connectome, **{"neuron": dynamics.LIF(), **arguments})


def test_the_repr_names_every_part():
    text = repr(spiking(drawn()))
    for part in ("13 cells", "LIF(tau=20", "chemical=Exponential(", "electrical=GapJunction("):
        assert part in text
