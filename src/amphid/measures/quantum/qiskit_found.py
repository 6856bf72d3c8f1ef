"""Qiskit, which is not always installed; imported by nothing that is loaded early."""

from __future__ import annotations

from typing import Any


def qiskit() -> Any:
    """The package with its library of circuits."""
    try:
        import qiskit.circuit.library
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "circuits in Qiskit need qiskit: pip install 'amphid[quantum]'"
        ) from None
    return qiskit


def diagonal(entries: list[float]) -> Any:
    """The gate with those entries on its diagonal."""
    return qiskit().circuit.library.DiagonalGate(entries)


def fourier(qubits: int) -> Any:
    """The quantum Fourier transform."""
    return qiskit().circuit.library.QFTGate(qubits)
