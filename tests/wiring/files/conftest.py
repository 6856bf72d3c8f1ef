import numpy as np
import pytest
from hypothesis import strategies as st

from amphid.wiring import Cells, Connections, Connectome

PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
ODD = (
    *(" lead", "trail ", "a,b", "a;b", '"q"', '"', "'", "=1+1", "+x", "-y", "@z", "#c", "a\u2028b"),
    *("é", "🙂", "<&>", "]]>", "<![CDATA[x]]>", "nan", "null", "0", "../a/0/b", "x" * 3001),
    *("AVAL", "AVAR", "a b", "a_b", "a.b", "gap_junction", "name", "pre", "\ufeffa", "\u3000"),
)
TEXT = st.sampled_from(ODD) | st.text(PRINTABLE, max_size=5)
COORDINATE = st.floats(allow_infinity=False)
SIZE = st.integers(0, 99).map(float) | st.floats(0, allow_infinity=False, allow_nan=False, width=32)
DELAY = st.just(float("nan")) | SIZE


@st.composite
def _connectomes(draw, least: int = 0):
    names = draw(st.lists(TEXT.filter(bool), min_size=least, max_size=7, unique=True))
    size = len(names)
    column = st.lists(TEXT | st.just(""), min_size=size, max_size=size) | st.sampled_from(["", "x"])
    place = st.lists(COORDINATE, min_size=3 * size, max_size=3 * size)
    cells = Cells(
        names,
        kind=draw(column),
        cell_class=draw(column),
        transmitter=draw(column),
        position=np.array(draw(place)).reshape(size, 3),
    )
    cell = st.integers(0, size - 1)
    row = st.tuples(cell, cell, st.integers(0, 1), SIZE, st.integers(-1, 1), DELAY)
    rows = draw(st.lists(row, max_size=11)) if size else []
    names = ("pre", "post", "kind", "synapses", "sign", "delay")
    table = dict(zip(names, np.array(rows).reshape(-1, 6).T, strict=True))
    references = draw(st.lists(st.text(max_size=9), max_size=2))
    return Connectome(cells, Connections(**table), draw(TEXT), tuple(references))


@pytest.fixture(scope="session")
def connectomes():
    """Strategy: connectomes with odd names, parallel and self connections, nan and not."""
    return _connectomes


@pytest.fixture(scope="session")
def small():
    """Five cells, one of them isolated; both kinds, parallel, unsorted, a cell with itself."""
    cells = Cells(
        ["AVAL", "AVAR", "VA 2", "=1+1", "alone"],
        kind=["inter", "inter", "motor", "", ""],
        cell_class=["AVA", "AVA", "VA", "", ""],
        transmitter=["acetylcholine"] * 3 + ["GABA; ACh", ""],
        position=[[1, 2, 3], [4, 5.5, 6], [np.nan] * 3, [0.1, 0, -7], [np.nan, 1, 2]],
    )
    connections = Connections(
        [2, 0, 0, 1, 0, 3, 1],
        [0, 2, 2, 3, 1, 3, 0],
        kind=[0, 0, 0, 1, 1, 0, 0],
        synapses=[3, 1, 2.5, 7, 2, 1, 13],
        sign=[1, -1, 0, 0, 0, -1, 1],
        delay=[np.nan, 1.5, 0, np.nan, np.nan, 2, 0.1],
    )
    return Connectome(cells, connections, "small", ("A. Author 2020", "B. Author 2021\nnote"))
