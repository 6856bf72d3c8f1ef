"""Questions about marked cells asked of a quantum computer, simulated amplitude by amplitude."""

from amphid.measures.quantum.circuits import (
    Circuit,
    best_iterations,
    counting,
    deutsch_jozsa,
    grover,
    paired_deutsch_jozsa,
)
from amphid.measures.quantum.deciding import Answer, Seek, decide, decide_by_sampling
from amphid.measures.quantum.gates import Diffusion, Gate, Hadamards, InverseFourier, Oracle
from amphid.measures.quantum.searching import Count, Search, count, search, search_by_counting

__all__ = [
    "Answer",
    "Circuit",
    "Count",
    "Diffusion",
    "Gate",
    "Hadamards",
    "InverseFourier",
    "Oracle",
    "Search",
    "Seek",
    "best_iterations",
    "count",
    "counting",
    "decide",
    "decide_by_sampling",
    "deutsch_jozsa",
    "grover",
    "paired_deutsch_jozsa",
    "search",
    "search_by_counting",
]
