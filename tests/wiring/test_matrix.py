"""A connectome and its adjacency matrices tell the same."""

import numpy as np
import pytest
import scipy.sparse

from amphid.wiring import Connections
from amphid.wiring.matrix import from_matrix

CHEMICAL = np.array([[0, 2, 0], [0, 1, 0], [3.5, 0, 0]])
ELECTRICAL = np.array([[4, 0, 5], [0, 0, 0], [5, 0, 0]])


def test_a_matrix_becomes_connections_row_by_row_chemical_ones_first():
    made = from_matrix(["a", "b", "c"], CHEMICAL, ELECTRICAL, name="made")
    assert made.connections == Connections(
        [0, 1, 2, 0, 0], [1, 1, 0, 0, 2], kind=[0, 0, 0, 1, 1], synapses=[2, 1, 3.5, 4, 5]
    )
    assert (list(made.cells.name), made.name) == (["a", "b", "c"], "made")


def test_from_matrix_is_the_inverse_of_matrix():
    made = from_matrix(["a", "b", "c"], CHEMICAL, ELECTRICAL)
    np.testing.assert_array_equal(made.matrix("chemical"), CHEMICAL)
    np.testing.assert_array_equal(made.matrix("electrical"), ELECTRICAL)


def test_negative_entries_are_signs():
    made = from_matrix(["a", "b"], [[0, -2], [3, 0]])
    assert made.connections == Connections([0, 1], [1, 0], synapses=[2, 3], sign=[-1, 1])
    np.testing.assert_array_equal(made.matrix(signed=True), [[0, -2], [3, 0]])


@pytest.mark.parametrize("form", [scipy.sparse.csr_array, scipy.sparse.coo_matrix])
def test_a_sparse_matrix_is_the_same_as_a_dense_one(form):
    dense = from_matrix(["a", "b", "c"], CHEMICAL, ELECTRICAL)
    assert from_matrix(["a", "b", "c"], form(CHEMICAL), form(ELECTRICAL)) == dense


def test_repeated_entries_of_a_sparse_matrix_add_up_and_its_owner_keeps_them():
    repeated = scipy.sparse.coo_array(([1, 2, 0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert from_matrix(["a", "b"], repeated).connections == Connections([0], [1], synapses=3)
    assert repeated.nnz == 3


def test_a_matrix_of_nothing_is_a_connectome_of_nothing():
    assert len(from_matrix([], np.zeros((0, 0)))) == 0
    assert len(from_matrix(["a"], [[0]], [[0]]).connections) == 0


@pytest.mark.parametrize(
    ("chemical", "electrical", "sentence"),
    [
        ([[0, 1, 0]], None, r"chemical matrix must be 2 by 2.*got shape \(1, 3\)"),
        ([0, 1], None, r"got shape \(2,\)"),
        ([["a", "b"], ["c", "d"]], None, "must hold numbers"),
        ([[0, np.nan], [0, 0]], None, "not finite"),
        ([[0, 0], [0, 0]], [[0, 1], [0, 0]], "must be symmetric.*add the transpose"),
        ([[0, 0], [0, 0]], [[0, 1], [2, 0]], "must be symmetric"),
        ([[0, 0], [0, 0]], [[0, -1], [-1, 0]], "negative entries"),
        ([[0, 0], [0, 0]], [[0]], "electrical matrix must be 2 by 2"),
    ],
)
def test_a_matrix_that_cannot_be_is_told(chemical, electrical, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_matrix(["a", "b"], chemical, electrical)
