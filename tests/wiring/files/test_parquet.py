"""Parquet files are plain edge lists to others, and theirs are edge lists to us."""

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from amphid.wiring import Cells, Connections
from amphid.wiring.files import read, write


def table(tmp_path, **columns):
    path = tmp_path / "c.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_other_readers_see_a_plain_edge_list(small, tmp_path):
    found = parquet.read_table(write(small, tmp_path / "c.parquet"))
    types = {field.name: str(field.type) for field in found.schema}
    texts = dict.fromkeys(("pre", "post", "kind"), "string")
    assert types == texts | {"synapses": "float", "sign": "int8", "delay": "float"}
    assert found["pre"].to_pylist()[:3] == ["VA 2", "AVAL", "AVAL"]
    assert found["kind"].to_pylist()[3] == "electrical"
    assert found["delay"].to_pylist()[:3] == [None, 1.5, 0.0]


def test_pandas_reads_names_and_numbers(small, tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.read_parquet(write(small, tmp_path / "c.parquet"))
    assert list(frame["post"]) == ["AVAL", "VA 2", "VA 2", "=1+1", "AVAR", "=1+1", "AVAL"]
    np.testing.assert_array_equal(frame["delay"], small.connections.delay)


def test_a_table_without_our_metadata_is_an_edge_list(tmp_path):
    """The columns of the fly brain of Shiu et al. 2024: numbers for names, signed apart."""
    path = table(
        tmp_path,
        Presynaptic_ID=[720575940660219265, 720575940660219266, 720575940660219265],
        Postsynaptic_ID=[720575940660219267, 720575940660219265, 720575940660219266],
        Presynaptic_Index=[9, 9, 9],
        Connectivity=[3, 5, 7],
        Excitatory=[1, -1, 1],
    )
    read_ = read(path)
    assert list(read_.cells.name) == [f"72057594066021926{digit}" for digit in (5, 7, 6)]
    assert read_.connections == Connections(
        [0, 2, 0], [1, 0, 2], synapses=[3, 5, 7], sign=[1, -1, 1]
    )
    assert read_.name == "c"


def test_words_and_gaps_of_a_table_are_understood(tmp_path):
    text = pyarrow.array(["a", "b", "b", "c"])
    path = table(
        tmp_path,
        source=text.dictionary_encode(),
        target=pyarrow.array(["b", "a", "c", "b"], pyarrow.large_string()),
        type=["gap junction", "EJ", None, "S"],
        weight=pyarrow.array([2, 2, 1, 1], pyarrow.float64()),
        sign=["", None, "-", "excitatory"],
        delay=[None, None, 1.5, None],
    )
    assert read(path).connections == Connections(
        [0, 1, 2],
        [1, 2, 1],
        kind=[1, 0, 0],
        synapses=[2, 1, 1],
        sign=[0, -1, 1],
        delay=[np.nan, 1.5, np.nan],
    )


def test_tables_in_several_pieces_are_one(tmp_path):
    path = tmp_path / "c.parquet"
    parts = [pyarrow.table({"pre": [a], "post": [b]}) for a, b in (("x", "y"), ("y", "z"))]
    with parquet.ParquetWriter(path, parts[0].schema) as file:
        for part in parts:
            file.write_table(part)
    read_ = read(path)
    assert read_.cells == Cells(["x", "y", "z"])
    assert read_.connections == Connections([0, 1], [1, 2])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [1], "b": [2]}, "among 'a', 'b'"),
        ({"pre": ["a", None], "post": ["b", "b"]}, "1 connections lack the name of a cell"),
        ({"pre": [0.5], "post": ["b"]}, "text or whole numbers, it holds double"),
        ({"pre": [["a"]], "post": ["b"]}, "."),
        ({"pre": [""], "post": ["b"]}, "empty"),
        ({"pre": ["a"], "post": ["b"], "n": ["x"]}, "synapses must hold numbers, it holds string"),
        ({"pre": ["a"], "post": ["b"], "n": [None]}, "synapses must hold numbers, it holds null"),
        ({"pre": ["a"], "post": ["b"], "n": [np.nan]}, "synapses must be finite"),
        ({"pre": ["a"], "post": ["b"], "n": [1e39]}, "synapses"),
        ({"pre": ["a"], "post": ["b"], "kind": ["x"]}, "kind must be chemical or electrical"),
        ({"pre": ["a"], "post": ["b"], "sign": [5]}, "sign must be"),
        ({"pre": ["a"], "post": ["b"], "sign": [0.5]}, "sign must be"),
        ({"pre": ["a"], "post": ["b"], "delay": [-1.0]}, "delay must be"),
    ],
)
def test_what_is_wrong_in_a_table_is_told(columns, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        read(table(tmp_path, **columns))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"cells"', '"others"', "table of cells is damaged"),
        ('"alone"', '"AVAL"', "two cells"),
        ('"alone"', "3", "must be text|damaged"),
        ("[1.0, 2.0, 3.0]", "[1.0, 2.0]", "."),
        ('"AVAR", ', "", "."),
        ('["AVAL"', '["other"', "'AVAL' is not listed in the metadata"),
        ('"references": [', '"references": [1, ', "list of texts"),
        ('"name": "small"', '"name": 1', "name must be text"),
    ],
)
def test_our_own_metadata_changed_so_that_they_cannot_be_are_refused(
    old, new, sentence, small, tmp_path
):
    path = write(small, tmp_path / "c.parquet")
    about = parquet.read_metadata(path).metadata[b"amphid"].decode()
    assert old in about
    changed = parquet.read_table(path).replace_schema_metadata({"amphid": about.replace(old, new)})
    parquet.write_table(changed, path)
    with pytest.raises(ValueError, match=sentence):
        read(path)
