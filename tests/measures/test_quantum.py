"""Queries of a quantum computer obey their laws; Qiskit's simulator gives the same."""

from __future__ import annotations

import math

import pytest
import torch

from amphid.measures import quantum
from amphid.measures.activity import Activity, activity_of
from amphid.measures.quantum import (
    Circuit,
    Diffusion,
    Hadamards,
    InverseFourier,
    Oracle,
    best_iterations,
    count,
    counting,
    decide,
    decide_by_sampling,
    deutsch_jozsa,
    grover,
    paired_deutsch_jozsa,
    search,
    search_by_counting,
)
from amphid.measures.quantum.searching import certifying, missing, told, worst_chance

GATES = [
    Hadamards(range(1, 3)),
    Oracle(torch.tensor([True, False, False, True])),
    Oracle(torch.tensor([True, False, False, True]), control=3),
    Diffusion(3),
    Diffusion(2, control=4),
    InverseFourier(2),
]


def name(gate):
    return f"{type(gate).__name__}-{getattr(gate, 'control', None)}"


def marks(cells, marked, seed=1):
    order = torch.randperm(cells, generator=seeded(seed))
    return (torch.zeros(cells, dtype=torch.long).index_fill(0, order[:marked], 1)).bool()


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def drawn(qubits, seed=5):
    state = torch.randn(2**qubits, dtype=torch.complex128, generator=seeded(seed))
    return state / state.norm()


def test_the_list_of_gates_is_complete():
    named = {value for value in vars(quantum).values() if hasattr(value, "add_to")}
    assert {type(gate) for gate in GATES} == named - {quantum.Gate}


@pytest.mark.parametrize("gate", GATES, ids=name)
def test_every_gate_is_linear_and_keeps_lengths(gate):
    one, other = drawn(5), drawn(5, seed=7)
    torch.testing.assert_close(
        gate.apply(one - 2j * other), gate.apply(one) - 2j * gate.apply(other)
    )
    assert gate.apply(one).norm().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("gate", [gate for gate in GATES if hasattr(gate, "control")], ids=name)
def test_a_control_leaves_alone_what_it_does_not_mark(gate):
    state = drawn(5)
    if gate.control is not None:
        zero = torch.arange(32) >> gate.control & 1 == 0
        assert torch.equal(gate.apply(state)[zero], state[zero])
        free = type(gate)(**{**vars(gate), "control": None})
        torch.testing.assert_close(gate.apply(state)[~zero], free.apply(state)[~zero])


def test_inversion_about_the_mean_is_a_flip_of_all_but_zero_between_hadamards():
    layer, flip = Hadamards(range(5)), Oracle(torch.arange(32) > 0)
    expected = layer.apply(flip.apply(layer.apply(drawn(5))))
    torch.testing.assert_close(Diffusion(5).apply(drawn(5)), expected)


@pytest.mark.parametrize(
    ("qubits", "shares"), [(1, 2), (4, 16), (11, 8), (20, 2)], ids=lambda value: f"{value}"
)
def test_deutsch_jozsa_measures_zero_with_the_square_of_one_minus_twice_the_share(qubits, shares):
    size = 2**qubits
    for marked in (1, *range(0, size + 1, size // shares)):
        found = float(deutsch_jozsa(marks(size, marked)).probabilities(torch.float64)[0])
        assert abs(found - (1 - 2 * marked / size) ** 2) < 1e-12


@pytest.mark.parametrize(("qubits", "marked"), [(3, 1), (7, 5), (7, 127), (12, 1), (12, 3000)])
def test_grover_measures_a_marked_cell_with_the_sine_square_of_its_angle(qubits, marked):
    which, angle = marks(2**qubits, marked), math.asin(math.sqrt(marked / 2**qubits))
    for iterations in (0, 1, 2, best_iterations(marked, 2**qubits)):
        circuit = grover(which, iterations)
        assert circuit.queries == iterations
        found = circuit.probabilities(torch.float64)[which].sum().item()
        assert abs(found - math.sin((2 * iterations + 1) * angle) ** 2) < 1e-12


def test_the_one_of_4096_that_deutsch_jozsa_misses_is_found_in_fifty_iterations():
    lone = marks(4096, 1)
    assert float(deutsch_jozsa(lone).probabilities()[0]) == pytest.approx(0.99902, abs=5e-6)
    assert best_iterations(1, 4096) == 50
    assert float(grover(lone, 50).probabilities()[lone]) == pytest.approx(0.99994, abs=1e-5)


@pytest.mark.parametrize("precision", [1, 4, 6])
@pytest.mark.parametrize("marked", [0, 1, 5, 13, 16])
def test_counting_is_measured_as_its_two_phases_say(precision, marked):
    """Half of a Fejer kernel around each of the phases of Grover's iteration."""
    circuit, values = counting(marks(16, marked), precision), 2**precision
    assert circuit.queries == values - 1
    phase = math.asin(math.sqrt(marked / 16)) / math.pi
    place = torch.arange(values, dtype=torch.float64) / values
    expected = sum(fejer(place + sign * phase, values) for sign in (1, -1)) / 2
    found = circuit.probabilities().view(values, 16).sum(1)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0.0)


def fejer(x, values):
    turns = torch.exp(2j * math.pi * x[:, None] * torch.arange(values))
    return (turns.sum(1).abs() / values) ** 2


@pytest.mark.parametrize("cells", [11, 16])
def test_a_pair_of_complements_hides_all_but_the_subset(cells):
    which, subset = marks(cells, 5), [1, 3, 8]
    circuit = paired_deutsch_jozsa(which, subset)
    heard = sum(-1 if which[cell] else 1 for cell in subset)
    assert float(circuit.probabilities()[0]) == pytest.approx((heard / 16) ** 2, abs=1e-12)
    assert circuit.queries == 1


def test_two_cells_that_differ_are_surely_told_from_two_that_agree():
    which = torch.tensor([True, False, True, False, False, True, True])
    for one in range(7):
        for other in range(one):
            zero = float(paired_deutsch_jozsa(which, [one, other]).probabilities()[0])
            alike = 1 / 16 if which[one] == which[other] else 0.0
            assert zero == pytest.approx(alike, abs=1e-12)


def test_what_fills_a_register_up_is_never_found():
    lone = marks(19, 1)
    assert float(deutsch_jozsa(lone).probabilities()[0]) == pytest.approx((1 - 2 / 32) ** 2)
    found = {search(lone, generator=seeded(seed)).cell for seed in range(13)}
    assert found == {int(lone.nonzero())}
    assert search(~lone & False, generator=seeded()).cell is None


@pytest.mark.parametrize("seek", [search, search_by_counting])
@pytest.mark.parametrize("marked", [1, 7, 61])
def test_every_search_names_a_marked_cell_or_none(seek, marked):
    which = marks(61, marked)
    assert all(which[seek(which, generator=seeded(seed)).cell] for seed in range(7))
    assert seek(~which & which, failure=0.1, generator=seeded()).cell is None


@pytest.mark.parametrize("precision", [1, 3, 5])
def test_a_count_of_zero_misses_the_worst_number_of_marks_as_often_as_it_says(precision):
    zeros = [
        counting(marks(16, k), precision).probabilities()[:16].sum().item() for k in range(1, 17)
    ]
    assert missing(16, precision) == pytest.approx(max(zeros), abs=1e-12)


@pytest.mark.parametrize("marked", [1, 2, 7, 40, 60, 61])
def test_search_takes_the_queries_that_were_proven(marked):
    which = marks(61, marked)
    runs = [search(which, generator=seeded(seed)) for seed in range(31)]
    assert sum(run.queries for run in runs) / 31 < 4.5 * math.sqrt(64 / marked) + 1


def test_none_is_said_only_after_the_attempts_that_bound_the_failure():
    bound, attempts = certifying(64, 1e-3)
    worst = worst_chance(64, bound)
    assert (1 - worst) ** attempts <= 1e-3 < (1 - worst) ** (attempts - 1)
    runs = [search(torch.zeros(61, dtype=torch.bool), failure=1e-3, generator=seeded(s))
            for s in range(11)]  # fmt: skip
    assert min(run.queries for run in runs) >= attempts
    assert max(run.queries for run in runs) <= (attempts + 20) * bound


def test_the_worst_chance_of_an_attempt_is_that_of_its_circuits():
    chances = []
    for marked in range(1, 17):
        which = marks(16, marked)
        found = [grover(which, r).probabilities()[which].sum().item() for r in range(3)]
        chances.append(sum(found) / 3)
    assert worst_chance(16, 3) == pytest.approx(min(chances), abs=1e-12)


@pytest.mark.parametrize("marked", [0, 3, 23, 61])
def test_the_interval_of_a_count_holds_the_truth_at_least_eight_times_in_pi_square(marked):
    which = marks(61, marked)
    chances = counting(which, 5).probabilities().view(32, 64).sum(1)
    intervals = [told(outcome, 5, 64)[1:] for outcome in range(32)]
    holds = torch.tensor([low - 1e-9 <= marked <= high + 1e-9 for low, high in intervals])
    assert chances[holds].sum() >= 8 / math.pi**2
    found = count(which, precision=5, generator=seeded())
    assert found.interval[0] <= found.marks <= found.interval[1]
    assert found.queries == 31


WAYS = [
    *[(19, fires, prompt) for fires, prompt in [(0, 0), (1, 0), (1, 1), (18, 18), (19, 0)]],
    *[(19, fires, prompt) for fires, prompt in [(19, 18), (19, 19), (9, 4)]],
    (1, 0, 0), (1, 1, 0), (1, 1, 1), (32, 0, 0), (32, 32, 32), (32, 31, 31), (32, 32, 31),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "firing", "prompt"), WAYS)
def test_both_ways_to_decide_give_what_all_cells_say(cells, firing, prompt):
    order = torch.randperm(cells, generator=seeded(11))
    fires, again = (torch.zeros(cells, dtype=torch.bool) for _ in range(2))
    fires[order[:firing]], again[order[:prompt]] = True, True
    truth = activity_of(fires, again)
    for seed in range(5):
        assert decide(fires, again, generator=seeded(seed)).activity is truth
        counted = decide(fires, again, seek=search_by_counting, generator=seeded(seed))
        assert counted.activity is truth
        sampled = decide_by_sampling(fires, again, generator=seeded(seed))
        assert sampled.activity is truth
        assert sampled.queries == cells or truth is Activity.SUSTAINED


def test_a_single_query_decides_where_half_dissent():
    fires = marks(32, 16)
    runs = [decide(fires, fires, generator=seeded(seed)) for seed in range(7)]
    assert {run.queries for run in runs} == {2}


CIRCUITS = {
    "deutsch-jozsa": lambda: deutsch_jozsa(marks(13, 3)),
    "paired": lambda: paired_deutsch_jozsa(marks(13, 3), [2, 5, 7]),
    "grover": lambda: grover(marks(29, 2), 3),
    "counting": lambda: counting(marks(7, 2), 4),
}


@pytest.mark.parametrize("build", CIRCUITS.values(), ids=CIRCUITS)
def test_qiskit_aer_ends_with_the_same_amplitudes(build):
    aer = pytest.importorskip("qiskit_aer", reason="qiskit-aer is not installed")
    qiskit = pytest.importorskip("qiskit")
    circuit = build()
    simulator = aer.AerSimulator(method="statevector", max_parallel_threads=1)
    exported = circuit.to_qiskit()
    exported.save_statevector()
    done = simulator.run(qiskit.transpile(exported, simulator, optimization_level=0)).result()
    theirs = torch.tensor(done.get_statevector().data)
    torch.testing.assert_close(circuit.amplitudes(), theirs, atol=1e-12, rtol=0.0)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: deutsch_jozsa(torch.zeros(3)), r"marked must be bool \[cells\].*float32 \[3\]"),
        (lambda: deutsch_jozsa(marks(0, 0)), r"at least one cell, got torch.bool \[0\]"),
        (lambda: grover(marks(5, 1), -1), "iterations must be at least 0, got -1"),
        (lambda: counting(marks(5, 1), 0), "precision must be at least 1, got 0"),
        (lambda: counting(marks(5, 1), 18), "1 to 20 qubits, got 21"),
        (lambda: Circuit(0, ()), "1 to 20 qubits, got 0"),
        (lambda: paired_deutsch_jozsa(marks(5, 1), [1, 1]), r"different cells below 5.*\[1, 1\]"),
        (lambda: paired_deutsch_jozsa(marks(5, 1), [5]), r"different cells below 5.*\[5\]"),
        (lambda: paired_deutsch_jozsa(marks(5, 1), []), "at least one"),
        (lambda: best_iterations(0, 8), "marks must be from 1 to 8, got 0"),
        (lambda: search(marks(5, 1), failure=1.0, generator=seeded()), "failure must be a prob"),
        (lambda: decide(marks(5, 1), marks(4, 1), generator=seeded()), "same cells, got 5 and 4"),
        (lambda: decide(marks(5, 0), marks(5, 1), generator=seeded()), "only cells that fire"),
        (lambda: decide(torch.ones(2), torch.ones(2), generator=seeded()), r"fires must be bool"),
    ],
    ids=[f"case-{k}" for k in range(14)],
)  # fmt: skip
def test_nonsense_is_a_sentence(ask, says):
    with pytest.raises(ValueError, match=says):
        ask()
