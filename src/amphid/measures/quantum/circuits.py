"""Circuits that ask about marked cells, and what they must give in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from amphid.measures.quantum.gates import Diffusion, Gate, Hadamards, InverseFourier, Oracle
from amphid.measures.quantum.qiskit_found import qiskit

MOST_QUBITS = 20
MOST_ITERATIONS = 1 << 20


@dataclass(frozen=True, eq=False)
class Circuit:
    """Gates on qubits that start at zero: a value. Raises ValueError beyond 20 qubits."""

    qubits: int
    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
        _check_qubits(self.qubits)
        if not isinstance(self.gates, tuple) or not all(
            hasattr(one, "apply") for one in self.gates
        ):
            raise TypeError(
                "gates must be a tuple of gates such as Hadamards(range(3)), got "
                f"{self.gates!r:.60}."
            )

    def __repr__(self) -> str:
        return f"Circuit({self.qubits} qubits, {len(self.gates)} gates, {self.queries} queries)"

    @property
    def queries(self) -> int:
        """How many times it asks the oracle."""
        return sum(isinstance(gate, Oracle) for gate in self.gates)

    def amplitudes(self, dtype: torch.dtype = torch.complex128) -> Tensor:
        """The amplitudes [2^qubits] at its end; a circuit that counts needs a complex dtype."""
        state = torch.zeros(2**self.qubits, dtype=dtype)
        state[0] = 1.0
        for gate in self.gates:
            state = gate.apply(state)
        return state

    def probabilities(self, dtype: torch.dtype = torch.complex128) -> Tensor:
        """How likely each basis state [2^qubits] is measured at its end."""
        return self.amplitudes(dtype).abs().square()

    def to_qiskit(self) -> Any:
        """The same circuit as a `qiskit.QuantumCircuit`, without measurements.

        Raises ModuleNotFoundError when Qiskit is not installed.
        """
        circuit = qiskit().QuantumCircuit(self.qubits)
        for gate in self.gates:
            gate.add_to(circuit)
        return circuit


def deutsch_jozsa(marked: Tensor) -> Circuit:
    """One query that ends in state 0 with probability (1 - 2k/N)^2, k of N = 2^n marked.

    marked: [cells] bool; filled up to N with entries that are not marked. Surely 0 for k = 0 or N,
    surely not for k = N/2: that promise makes one query decide. Without it, "0" proves nothing.
    Reference: Deutsch & Jozsa 1992, doi 10.1098/rspa.1992.0167.
    """
    marks = padded(marked)
    layer = Hadamards(range(_qubits(marks)))
    return Circuit(_qubits(marks), (layer, Oracle(marks), layer))


def paired_deutsch_jozsa(marked: Tensor, subset: Sequence[int]) -> Circuit:
    """One query that ends in state 0 with probability ((S - 2k)/N)^2, k of a subset of S marked.

    An ancilla pairs each entry with its complement, whose amplitudes cancel, but for the subset,
    where it is a copy. So only the subset is heard, and half of it marked is surely not 0; which
    subset is chosen before the query. N = 2^n entries, as of `deutsch_jozsa`. Our own definition.
    Raises ValueError for a subset that is empty, repeats itself or is not there.
    """
    marks, chosen = padded(marked), torch.zeros(len(padded(marked)), dtype=torch.bool)
    if not isinstance(subset, Sequence) or not all(isinstance(one, Integral) for one in subset):
        raise TypeError(
            f"subset must be a list of cells by their numbers, such as [0, 3], got {subset!r:.60}."
        )
    own = sorted(set(subset))
    if not own or len(own) != len(subset) or own[0] < 0 or own[-1] >= len(marked):
        raise ValueError(
            f"subset must name different cells below {len(marked)}, at least one, got "
            f"{list(subset)}."
        )
    chosen[own] = True
    pairs = torch.cat((marks, marks ^ ~chosen))
    layer = Hadamards(range(_qubits(pairs)))
    return Circuit(_qubits(pairs), (layer, Oracle(pairs), layer))


def grover(marked: Tensor, iterations: int) -> Circuit:
    r"""Queries, one in each iteration, after which a marked cell is measured with probability

    .. math:: \sin^2 ((2 r + 1) \theta), \qquad \sin^2 \theta = k / N

    for r iterations and k marked of N = 2^n entries.
    marked: [cells] bool, filled up as in `deutsch_jozsa`.
    Raises ValueError for negative iterations, and for more than 2^20.
    Reference: Grover 1996, doi 10.1145/237814.237866.
    """
    check_whole("iterations", iterations, least=0)
    if iterations > MOST_ITERATIONS:
        raise ValueError(f"iterations must be at most {MOST_ITERATIONS:,}, got {iterations:,}.")
    marks = padded(marked)
    qubits = _qubits(marks)
    iterate = (Oracle(marks), Diffusion(qubits))
    return Circuit(qubits, (Hadamards(range(qubits)), *iterate * iterations))


def counting(marked: Tensor, precision: int) -> Circuit:
    r"""Phase estimation of Grover's iteration: P = 2^precision values, P - 1 queries.

    The qubits above the register are measured as y, which tells of
    :math:`k = N \sin^2 (\pi y / P)` marked cells, with probability at least 8/pi^2 within
    :math:`2 \pi \sqrt{k (N - k)} / P + \pi^2 N / P^2` of the truth.
    Raises ValueError for a precision below one qubit.
    Reference: Brassard, Høyer & Tapp 1998, doi 10.1007/BFb0055105.
    """
    check_whole("precision", precision, least=1)
    marks = padded(marked)
    qubits = _qubits(marks)
    _check_qubits(qubits + precision)
    gates: list[Gate] = [Hadamards(range(qubits + precision))]
    for power in range(precision):
        control = qubits + power
        gates += [Oracle(marks, control), Diffusion(qubits, control)] * 2**power
    return Circuit(qubits + precision, (*gates, InverseFourier(qubits)))


def best_iterations(marks: int, size: int) -> int:
    r"""How many iterations find one of so many marks among `size` entries best.

    :math:`\lfloor \pi / (4 \theta) \rfloor` with :math:`\sin^2 \theta` their share.
    Raises ValueError unless at least one and at most all of them are marked.
    """
    check_whole("size", size, least=1)
    check_whole("marks", marks, least=0)
    if not 1 <= marks <= size:
        raise ValueError(f"marks must be from 1 to {size}, got {marks}.")
    return math.floor(math.pi / 4 / math.asin(math.sqrt(marks / size)))


def padded(marked: Tensor) -> Tensor:
    """Marks [2^n] of the cells and, behind them, of entries that are not marked.

    marked: [cells] bool. Raises ValueError unless it has one axis, an entry, and nothing but marks.
    """
    if not isinstance(marked, Tensor):
        raise TypeError(
            "marked must be a tensor, bool [cells], such as torch.tensor([True, False]), got "
            f"{marked!r:.60}."
        )
    if marked.dim() != 1 or not len(marked) or marked.dtype != torch.bool:
        raise ValueError(
            "marked must be bool [cells], with at least one cell, got "
            f"{marked.dtype} {list(marked.shape)}."
        )
    size = 2 ** max(1, (len(marked) - 1).bit_length())
    return torch.cat((marked, marked.new_zeros(size - len(marked))))


def check_whole(name: str, value: object, *, least: int) -> None:
    """Raise TypeError for what is no whole number, ValueError for one below the least."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r:.60}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")


def _check_qubits(qubits: int) -> None:
    """Raise ValueError for more than can be simulated."""
    check_whole("qubits", qubits, least=0)
    if not 1 <= qubits <= MOST_QUBITS:
        raise ValueError(
            f"a circuit is simulated with 1 to {MOST_QUBITS} qubits, got {qubits}: its state holds "
            "2^qubits amplitudes. Mark fewer cells, or count with less precision."
        )


def _qubits(marks: Tensor) -> int:
    return len(marks).bit_length() - 1
