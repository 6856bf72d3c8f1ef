"""Gates on a vector of amplitudes [2^n], and the same gates in Qiskit.

Basis state i has qubit q at bit q of i, as in Qiskit. What is searched lies in the lowest qubits,
the register; a control is a qubit above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from amphid.measures.quantum.qiskit_found import diagonal, fourier


class Gate(Protocol):
    """One unitary step of a circuit."""

    def apply(self, state: Tensor) -> Tensor:
        """The amplitudes [2^n] after it."""
        ...

    def add_to(self, circuit: Any) -> None:
        """Append it to a circuit of Qiskit."""
        ...


@dataclass(frozen=True)
class Hadamards(Gate):
    """A Hadamard gate on each of those qubits."""

    qubits: range

    def apply(self, state: Tensor) -> Tensor:
        """The amplitudes after it: a butterfly for each qubit."""
        for qubit in self.qubits:
            zero, one = state.view(-1, 2, 2**qubit).unbind(1)
            state = torch.stack((zero + one, zero - one), 1) * math.sqrt(0.5)
        return state.flatten()

    def add_to(self, circuit: Any) -> None:
        """Append it to a circuit of Qiskit."""
        circuit.h(self.qubits)


@dataclass(frozen=True, eq=False)
class Oracle(Gate):
    """One query of the marks [2^m]: the sign of marked states turns, where `control` is one."""

    marks: Tensor
    control: int | None = None

    def apply(self, state: Tensor) -> Tensor:
        """The amplitudes after it."""
        return _turned(state, self.marks, self.control)

    def add_to(self, circuit: Any) -> None:
        """Append it to a circuit of Qiskit."""
        _add_signs(circuit, self.marks, self.control)


@dataclass(frozen=True)
class Diffusion(Gate):
    """Inversion about the mean of a register, where `control` is one: H (2 |0><0| - 1) H."""

    qubits: int
    control: int | None = None

    def apply(self, state: Tensor) -> Tensor:
        """The amplitudes after it: twice the mean, less what they were."""
        part = _part(state, self.control, 2**self.qubits)
        return _with_part(state, self.control, 2 * part.mean(-1, keepdim=True) - part)

    def add_to(self, circuit: Any) -> None:
        """Append it to a circuit of Qiskit."""
        circuit.h(range(self.qubits))
        _add_signs(circuit, torch.arange(2**self.qubits) > 0, self.control)
        circuit.h(range(self.qubits))


@dataclass(frozen=True)
class InverseFourier(Gate):
    """The inverse quantum Fourier transform of all qubits from `first` on."""

    first: int

    def apply(self, state: Tensor) -> Tensor:
        """The amplitudes after it, which must be complex."""
        return torch.fft.fft(state.view(-1, 2**self.first), dim=0, norm="ortho").flatten()

    def add_to(self, circuit: Any) -> None:
        """Append it to a circuit of Qiskit."""
        above = range(self.first, circuit.num_qubits)
        circuit.append(fourier(len(above)).inverse(), above)


def _part(state: Tensor, control: int | None, size: int) -> Tensor:
    """The amplitudes [..., size] in which the control is one, or all of them."""
    if control is not None:
        state = state.view(-1, 2, 2**control)[:, 1]
    return state.reshape(-1, size)


def _with_part(state: Tensor, control: int | None, part: Tensor) -> Tensor:
    """The state with the amplitudes in which the control is one replaced."""
    if control is None:
        return part.flatten()
    halves = state.view(-1, 2, 2**control)
    return torch.stack((halves[:, 0], part.view(-1, 2**control)), 1).flatten()


def _turned(state: Tensor, marks: Tensor, control: int | None) -> Tensor:
    part = _part(state, control, len(marks))
    return _with_part(state, control, torch.where(marks, -part, part))


def _add_signs(circuit: Any, marks: Tensor, control: int | None) -> None:
    signs = torch.where(marks, -1.0, 1.0)
    on = list(range(len(marks).bit_length() - 1))
    if control is not None:
        signs, on = torch.cat((torch.ones_like(signs), signs)), [*on, control]
    circuit.append(diagonal(signs.tolist()), on)
