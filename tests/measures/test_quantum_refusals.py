"""What questions to a quantum computer say to arguments that make no sense."""

import math

import pytest
import torch

from amphid.measures.quantum import (
    Circuit,
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

MARKED = torch.tensor([False, True, False, False, True])
DRAW = torch.Generator().manual_seed(1)


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda: deutsch_jozsa([True, False]), TypeError, r"marked must be a tensor, bool \[cells"),
        (lambda: search(None, generator=DRAW), TypeError, "marked must be a tensor"),
        (lambda: decide([True], [True], generator=DRAW), TypeError, "fires must be a tensor"),
        (lambda: grover(MARKED, 1.5), TypeError, "iterations must be a whole number, got 1.5"),
        (lambda: grover(MARKED, "1"), TypeError, "iterations must be a whole number"),
        (lambda: grover(MARKED, 10**9), ValueError, "iterations must be at most 1,048,576"),
        (lambda: counting(MARKED, 40), ValueError, "1 to 20 qubits, got 43"),
        (lambda: counting(MARKED, math.nan), TypeError, "precision must be a whole number"),
        (lambda: best_iterations(1.0, 8), TypeError, "marks must be a whole number"),
        (lambda: best_iterations(1, 8.0), TypeError, "size must be a whole number"),
        (lambda: paired_deutsch_jozsa(MARKED, [0.5]), TypeError, "subset must be a list of cells"),
        (lambda: paired_deutsch_jozsa(MARKED, 3), TypeError, "subset must be a list of cells"),
        (lambda: paired_deutsch_jozsa(MARKED, MARKED), TypeError, "subset must be a list of"),
        (lambda: Circuit(1.5, ()), TypeError, "qubits must be a whole number"),
        (lambda: Circuit(2, (1,)), TypeError, "gates must be a tuple of gates"),
        (lambda: Circuit(2, None), TypeError, "gates must be a tuple of gates"),
        (lambda: search(MARKED, generator=1), TypeError, r"torch.Generator\(\).manual_seed"),
        (lambda: search_by_counting(MARKED, generator=None), TypeError, "generator must be"),
        (lambda: count(MARKED, precision=2, generator=None), TypeError, "generator must be"),
        (lambda: decide(MARKED, MARKED, generator=None), TypeError, "generator must be"),
        (lambda: decide_by_sampling(MARKED, MARKED, generator=None), TypeError, "generator must"),
        (lambda: search(MARKED, failure="1", generator=DRAW), ValueError, "failure must be a pr"),
        (lambda: decide(MARKED, MARKED, failure=math.nan, generator=DRAW), ValueError, "failure"),
        (lambda: decide(MARKED, MARKED, tests=-1, generator=DRAW), ValueError, "tests must be at"),
        (lambda: decide(MARKED, MARKED, tests=0.5, generator=DRAW), TypeError, "tests must be a"),
        (lambda: decide(MARKED, MARKED, seek="x", generator=DRAW), TypeError, "seek must be a se"),
    ],
    ids=[f"case-{k}" for k in range(26)],
)  # fmt: skip
def test_nonsense_is_a_sentence(ask, error, sentence):
    with pytest.raises(error, match=sentence):
        ask()
