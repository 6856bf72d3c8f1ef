"""Every argument of the connectome replaced by nonsense: a sentence must name it."""

import numpy as np
import pytest

from amphid.wiring import Cells, Connections, Connectome


def small() -> Connectome:
    return Connectome(Cells(["n1", "n2", "n3"]), Connections([0, 1], [1, 2]))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", [1]),
        ("name", [None]),
        ("name", [b"a"]),
        ("name", [["a"]]),
        ("name", [""]),
        ("name", ["a", "a"]),
        ("name", ["a\n"]),
        ("name", ["\ud800"]),
        ("name", 5),
        ("name", None),
        ("kind", ["x", "y"]),
        ("kind", [5]),
        ("kind", ["\x00"]),
        ("kind", 5),
        ("kind", None),
        ("kind", [[]]),
        ("cell_class", []),
        ("cell_class", [None]),
        ("cell_class", ["tab\t"]),
        ("transmitter", ["GABA"] * 3),
        ("transmitter", [1.5]),
        ("position", [1.0, 2.0, 3.0]),
        ("position", [[1.0, 2.0]]),
        ("position", "here"),
        ("position", {}),
        ("position", [[1.0, 2.0, 3.0], [1.0]]),
        ("position", [[1j, 0.0, 0.0]]),
        ("position", [[np.inf, 0.0, 0.0]]),
    ],
)
def test_nonsense_about_cells_is_refused_by_the_name_of_the_argument(column, value):
    with pytest.raises((ValueError, TypeError), match=rf"\b{column}.*\.$"):
        Cells(**{"name": ["a"], column: value})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("pre", 3),
        ("pre", None),
        ("pre", "abc"),
        ("pre", ["a", "b"]),
        ("pre", [0.5, 1.0]),
        ("pre", [np.nan, 1.0]),
        ("pre", [np.inf, 1.0]),
        ("pre", [2**40, 0]),
        ("pre", [2**70, 0]),
        ("pre", [[0], [1, 2]]),
        ("post", [1]),
        ("post", [[1, 2]]),
        ("post", "x"),
        ("post", [None, 1]),
        ("kind", "chem"),
        ("kind", 2),
        ("kind", -1),
        ("kind", 0.5),
        ("kind", None),
        ("kind", ["chemical"]),
        ("kind", ["chemical", 1]),
        ("synapses", -1.0),
        ("synapses", np.nan),
        ("synapses", np.inf),
        ("synapses", "many"),
        ("synapses", {}),
        ("synapses", [1.0, 2.0, 3.0]),
        ("synapses", 1e300),
        ("synapses", 1j),
        ("sign", 2),
        ("sign", 0.5),
        ("sign", 257),
        ("sign", "+"),
        ("sign", np.nan),
        ("sign", -128),
        ("delay", -0.1),
        ("delay", np.inf),
        ("delay", "soon"),
        ("delay", [[1.0, 1.0]]),
        ("delay", 1e300),
    ],
)
def test_nonsense_about_connections_is_refused_by_the_name_of_the_argument(column, value):
    with pytest.raises((ValueError, TypeError), match=rf"^{column} must be "):
        Connections(**{"pre": [0, 1], "post": [1, 2], column: value})


@pytest.mark.parametrize(("pre", "post", "named"), [(0, 3, "post"), (9, 0, "pre"), (-1, 0, "pre")])
def test_a_connection_to_a_cell_that_is_not_there_is_refused(pre, post, named):
    with pytest.raises(ValueError, match=f"{named} must be an index below 3 cells: connection 1"):
        Connectome(small().cells, Connections([0, pre], [0, post]))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda c: c.select(""), "No cell, class or pattern ''"),
        (lambda c: c.select(1.5), "1.5"),
        (lambda c: c.select(None), "None"),
        (lambda c: c.select(b"1"), "b'1'"),
        (lambda c: c.index(1), "1"),
        (lambda c: c.index(None), "None"),
        (lambda c: c.matrix("glial"), "kind must be one of chemical, electrical"),
        (lambda c: c.matrix(None), "kind must be one of chemical, electrical"),
        (lambda c: c.signed(lambda _: [1, -1, 1]), "sign must be"),
        (lambda c: c.signed(lambda _: None), "sign must be"),
        (lambda c: c.signed(None), "rule"),
        (lambda c: c.annotated("atlas"), "atlas must be"),
        (lambda c: c.with_connections(delay=[1.0]), "delay must be"),
        (lambda c: c.with_connections(weight=1.0), "weight.*delay"),
        (lambda c: c.with_connections(pre=[0]), "pre"),
        (lambda c: Connectome(["n1"], c.connections), "cells must be"),
        (lambda c: Connectome(c.cells, None), "connections must be"),
        (lambda c: Connectome(c.cells, c.connections, references="x"), "references must"),
        (lambda c: Connectome(c.cells, c.connections, name=5), "name must be"),
    ],
)
def test_nonsense_in_a_method_is_refused_in_a_sentence(call, named):
    with pytest.raises((ValueError, TypeError, KeyError), match=named) as refusal:
        call(small())
    assert str(refusal.value).strip("\"'").endswith((".", "?"))
