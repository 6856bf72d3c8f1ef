"""The linear solve of all voltages, and the semi-implicit step made of it."""

import itertools
import math

import numpy as np
import pytest
import torch

import amphid as am
from amphid import dynamics
from amphid.simulation.joint import JointSolver, direct
from amphid.simulation.wires import Wires
from amphid.wiring import Cells, Connections, Connectome

CELLS, EDGES = 17, 41


def wires(*draws: int, seed: int = 0) -> Wires:
    generator = torch.Generator().manual_seed(seed)
    pre, post = torch.randint(CELLS, (2, EDGES), generator=generator)
    weight = torch.rand(*draws, EDGES, generator=generator, dtype=torch.float64)
    return Wires(pre, post, weight, np.ones(EDGES, dtype=int), CELLS)


def system(*batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    d = 0.01 + torch.rand(*batch, CELLS, generator=generator, dtype=torch.float64)
    return d, torch.randn(*batch, CELLS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("own", [False, True])
def test_the_solver_agrees_with_a_factorization(batch, own):
    made = wires(*(batch[-1:] if own else ()))
    solver, (d, b) = JointSolver(made, 0.7), system(*batch)
    for factor in (1.0, 1.1, 5.0, 0.01):
        v = solver.solve(factor * d, b, torch.zeros_like(b))
        wanted = direct(factor * d, 0.7 * made.laplacian(), b)
        torch.testing.assert_close(v, wanted, rtol=1e-7, atol=1e-7)


def test_the_solver_without_a_matrix_agrees(monkeypatch):
    monkeypatch.setattr("amphid.simulation.joint.LARGEST_MATRIX", 0)
    made, (d, b) = wires(3), system(2, 3)
    v = JointSolver(made, 2.0).solve(d, b, torch.zeros_like(b))
    torch.testing.assert_close(v, direct(d, 2.0 * made.laplacian(), b), rtol=1e-7, atol=1e-7)


def test_its_gradients_are_those_of_the_solution():
    made, (d, b) = wires(), system()
    weight = made.weight.clone().requires_grad_()
    inputs = (d.requires_grad_(), weight, b.requires_grad_())

    def solution(d, weight, b):
        own = Wires(made.pre, made.post, weight, made.lag, CELLS)
        return JointSolver(own, 0.7).solve(d, b, torch.zeros_like(b))

    assert torch.autograd.gradcheck(solution, inputs, eps=1e-5, atol=1e-5)
    assert torch.autograd.gradgradcheck(solution, inputs, eps=1e-5, atol=1e-4)


def test_under_vmap_it_equals_the_loop():
    made, (d, b) = wires(), system(5)

    def solution(d, b):
        return JointSolver(made, 0.7).solve(d, b, torch.zeros_like(b))

    torch.testing.assert_close(torch.vmap(solution)(d, b), solution(d, b), rtol=1e-7, atol=1e-7)


def graded(cells: int = CELLS) -> am.Network:
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 2, EDGES)
    connectome = Connectome(
        Cells([f"n{i}" for i in range(cells)]),
        Connections(
            rng.integers(0, cells, EDGES),
            rng.integers(0, cells, EDGES),
            kind=kind,
            sign=np.where(kind == 0, rng.choice([-1, 1], EDGES), 0),
        ),
    )
    return am.Network(
        connectome, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses()
    ).double()


def last_voltage(network: am.Network, dt: float, *, implicit: bool) -> torch.Tensor:
    current = torch.zeros(round(64.0 / dt), CELLS, dtype=torch.float64)
    current[:, :3] = 1.0
    engine = am.Torch(implicit=implicit)
    with torch.no_grad():
        return am.simulate(network, current, dt=dt, record=("v",), engine=engine).v[-1]


@pytest.mark.parametrize("implicit", [False, True])
def test_steps_converge_with_first_order(implicit):
    """Halving dt halves what halving it changes; both ways of stepping go to one limit."""
    network = graded()
    v = [last_voltage(network, dt, implicit=implicit) for dt in (1.0, 0.5, 0.25, 0.125)]
    changes = [float((fine - coarse).abs().max()) for coarse, fine in itertools.pairwise(v)]
    orders = -np.diff(np.log2(changes))
    assert orders == pytest.approx(np.ones(2), abs=0.1)
    coarse, fine = (last_voltage(network, dt, implicit=not implicit) for dt in (0.25, 0.125))
    limits = 2 * v[-1] - v[-2], 2 * fine - coarse
    assert float((limits[0] - limits[1]).abs().max()) < 0.1 * changes[-1]


def test_large_steps_reach_the_same_steady_state():
    network = graded()
    steady = []
    for dt, time in ((20.0, 20_000.0), (100.0, 20_000.0)):
        current = torch.zeros(round(time / dt), CELLS, dtype=torch.float64)
        current[:, :3] = 1.0
        with torch.no_grad():
            steady.append(am.simulate(network, current, dt=dt, record=("v",)).v[-1])
    torch.testing.assert_close(*steady, rtol=0, atol=1e-5)


def test_the_network_decides_by_its_own_conductances():
    network = graded()
    for dt, word in ((0.02, "explicit"), (5.0, "semi-implicit")):
        current = torch.zeros(2, CELLS, dtype=torch.float64)
        assert word in am.simulate(network, current, dt=dt, record=("v",)).notes[0]


def test_a_run_of_steps_is_differentiable_in_weights_parameters_and_stimulus():
    network = graded()
    network.neuron = dynamics.Graded(g_leak=torch.nn.Parameter(torch.ones(CELLS)))
    scale = torch.ones(CELLS, dtype=torch.float64)
    current = torch.zeros(3, CELLS, dtype=torch.float64)
    current[:, :3] = 1.0

    def released(weight, scale, current):
        values = {"weight": weight, "neuron.g_leak": 0.01 * scale}
        forward = torch.func.functional_call(network, values, (current, 5.0))
        return forward.pow(2).sum()

    inputs = (network.weight.detach(), scale, current)
    inputs = tuple(value.clone().requires_grad_() for value in inputs)
    assert torch.autograd.gradcheck(released, inputs, eps=1e-3, atol=1e-7, rtol=1e-3)


def test_two_cells_relax_with_the_rate_of_their_junction():
    """v1 - v2 falls by 1 + 2 g dt / C in each implicit step."""
    pair = Connectome(Cells(["a", "b"]), Connections([0], [1], kind="electrical"))
    synapse = {"electrical": dynamics.GapJunction(conductance=0.3)}
    cells = dynamics.Graded(g_leak=1e-9, v_threshold=0.0, capacitance=2.0)
    network = am.Network(pair, neuron=cells, synapse=synapse).double()
    state = network.rest()
    start = torch.tensor([-60.0, -20.0], dtype=torch.float64)
    state = state._replace(neuron=network.neuron.at(state.neuron, start))
    silence = torch.zeros(5, 2, dtype=torch.float64)
    engine = am.Torch(implicit=True)
    run = am.simulate(network, silence, dt=0.5, record=("v",), state=state, engine=engine)
    left = (run.v[:, 1] - run.v[:, 0]).tolist()
    wanted = [40.0 / (1 + 2 * 0.3 * 0.5 / 2.0) ** step for step in range(1, 6)]
    assert left == pytest.approx(wanted, rel=1e-6)
    assert math.isclose(left[0], 40 / 1.15, rel_tol=1e-6)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_what_is_not_finite_has_no_solution(bad):
    made, (d, b) = wires(), system(3)
    b[1, 2] = bad
    assert JointSolver(made, 0.7).solve(d, b, torch.zeros_like(b)).isnan().all()
