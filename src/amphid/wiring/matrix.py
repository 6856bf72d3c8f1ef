"""Connectomes given as adjacency matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amphid.wiring.connectome import Cells, Connections, Connectome

_Entries = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # row, column, value


def from_matrix(
    names: Sequence[str],
    chemical: ArrayLike,
    electrical: ArrayLike | None = None,
    *,
    name: str = "",
) -> Connectome:
    """The connectome of matrices of synapse counts [N, N], row pre, column post.

    names: [N] of the cells.
    chemical: a matrix, or a sparse one of SciPy. Each entry that is not zero is a connection. When
        any entry is negative the signs are kept: -1 where negative, +1 where positive.
    electrical: the same for gap junctions, which a symmetric matrix lists on both sides of the
        diagonal: each is taken once.

    The connections come in the order of rows, the chemical ones first. The inverse of
    `Connectome.matrix`. Raises ValueError for a matrix of another shape, for entries that are not
    finite and for an electrical matrix that is not symmetric or has negative entries.
    """
    size = len(names)
    pre, post, value = _entries("chemical", chemical, size)
    sign = np.sign(value) if (value < 0).any() else np.zeros(len(value))
    kind = np.zeros(len(pre), dtype=np.uint8)
    if electrical is not None:
        one, other, count = _junctions(electrical, size)
        pre, post = np.append(pre, one), np.append(post, other)
        value, sign = np.append(value, count), np.append(sign, np.zeros(len(one)))
        kind = np.append(kind, np.ones(len(one), dtype=np.uint8))
    wires = Connections(pre, post, kind=kind, synapses=np.abs(value), sign=sign)
    return Connectome(Cells(names), wires, name=name)


def _entries(which: str, given: Any, size: int) -> _Entries:
    """The entries that are not zero, by row and within it by column."""
    sparse = hasattr(given, "tocsr")
    matrix = given if sparse else np.asarray(given)
    if matrix.shape != (size, size):
        raise ValueError(
            f"the {which} matrix must be {size} by {size}, one row and column per name: "
            f"got shape {matrix.shape}."
        )
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"the {which} matrix must hold numbers, got {matrix.dtype}.")
    row, column, value = _sparse(matrix) if sparse else _dense(matrix)
    if not np.isfinite(value).all():
        raise ValueError(f"the {which} matrix has entries that are not finite.")
    return row, column, value.astype(np.float64)


def _dense(matrix: NDArray[Any]) -> _Entries:
    row, column = np.nonzero(matrix)
    return row, column, matrix[row, column]


def _sparse(matrix: Any) -> _Entries:
    canonical = matrix.tocsr(copy=True)
    canonical.sum_duplicates()
    canonical.eliminate_zeros()
    entries = canonical.tocoo()
    return entries.row, entries.col, entries.data


def _junctions(electrical: ArrayLike, size: int) -> _Entries:
    row, column, value = _entries("electrical", electrical, size)
    back = np.lexsort((row, column))
    there = np.array_equal(row, column[back]) and np.array_equal(column, row[back])
    if not (there and np.array_equal(value, value[back])):
        raise ValueError(
            "the electrical matrix must be symmetric, for a gap junction has no direction. If each "
            "junction is listed once, on one side of the diagonal, add the transpose."
        )
    if (value < 0).any():
        raise ValueError("the electrical matrix has negative entries: a count cannot be negative.")
    once = row <= column
    return row[once], column[once], value[once]
