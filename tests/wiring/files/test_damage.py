"""Damaged, foreign and hostile files are one ValueError that names the file."""

import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amphid.wiring.files import SUFFIXES, read, write

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3


def refusal(path) -> str:
    """The sentence with which a file is refused: one line that begins with its name."""
    with pytest.raises(ValueError, match=r".") as caught:
        read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("suffix", [".h5", ".graphml", ".nml", ".parquet"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_file_cut_short_anywhere_is_refused(suffix, small, tmp_path_factory, data):
    path = write(small, tmp_path_factory.mktemp("files") / f"c{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole.rstrip()) - 1))])
    refusal(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_text_table_cut_short_is_refused_or_has_whole_rows_missing(
    suffix, small, tmp_path_factory, data
):
    """A table of text does not say how long it is, so only a cut within a row can be seen."""
    path = write(small, tmp_path_factory.mktemp("files") / f"c{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    if path.read_bytes().endswith(b"\n"):
        copy = read(path)
        assert copy.cells == small.cells
        assert copy.connections == small.connections.take(np.arange(len(copy.connections)))
    else:
        refusal(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=15, deadline=None)
@given(
    junk=st.binary(max_size=99) | st.just(PNG) | st.just(b"") | st.text(max_size=50).map(str.encode)
)
def test_a_file_of_another_kind_is_refused(suffix, tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("files") / f"c{suffix}"
    path.write_bytes(junk)
    refusal(path)


# Not HDF5: the library itself can be led astray by a damaged heap.
@pytest.mark.parametrize("suffix", [".csv", ".graphml", ".nml", ".parquet"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_file_with_bytes_changed_is_read_or_refused(suffix, small, tmp_path_factory, data):
    path = write(small, tmp_path_factory.mktemp("files") / f"c{suffix}")
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        read(path)
    except ValueError:
        refusal(path)


@pytest.mark.parametrize("suffix", [".h5", ".graphml", ".nml", ".parquet"])
def test_a_file_of_a_newer_format_says_which_and_asks_to_upgrade(suffix, small, tmp_path):
    path = write(small, tmp_path / f"c{suffix}")
    set_format(path, "7")
    sentence = refusal(path)
    assert "of connectome format 7" in sentence
    assert "Upgrade amphid" in sentence


@pytest.mark.parametrize("suffix", [".h5", ".graphml", ".nml", ".parquet"])
def test_a_format_that_is_no_number_is_refused(suffix, small, tmp_path):
    path = write(small, tmp_path / f"c{suffix}")
    set_format(path, '"x"')
    assert "amphid_format must be a whole number" in refusal(path)


def set_format(path, value):
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["amphid_format"] = json.loads(value)
    elif path.suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(path)
        about = parquet.read_metadata(path).metadata[b"amphid"].decode()
        about = about.replace('"amphid_format": 1', f'"amphid_format": {value}')
        parquet.write_table(table.replace_schema_metadata({"amphid": about}), path)
    else:
        plain = value.strip('"')
        text = path.read_text(encoding="utf-8")
        text = text.replace('"graph_amphid_format">1', f'"graph_amphid_format">{plain}')
        text = text.replace('"amphid_format" value="1"', f'"amphid_format" value="{plain}"')
        path.write_text(text, encoding="utf-8")


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("declaration", [LAUGHS, OUTSIDE, '<!DOCTYPE x SYSTEM "http://x/y.dtd">'])
@pytest.mark.parametrize("suffix", [".graphml", ".nml"])
def test_xml_that_declares_entities_is_refused(suffix, declaration, small, tmp_path):
    path = write(small, tmp_path / f"c{suffix}")
    text = path.read_text(encoding="utf-8")
    start = text.index("<graphml" if suffix == ".graphml" else "<neuroml")
    path.write_text(f"{text[:start]}{declaration}{text[start:]}", encoding="utf-8")
    assert "document type declaration" in refusal(path)


@pytest.mark.parametrize("suffix", [".graphml", ".nml"])
def test_xml_nested_without_end_is_refused(suffix, tmp_path):
    path = tmp_path / f"c{suffix}"
    path.write_bytes(b"<graphml>" + b"<a>" * 99_991)
    refusal(path)


@pytest.mark.parametrize("suffix", [".graphml", ".nml"])
def test_xml_of_another_kind_says_so(suffix, tmp_path):
    path = tmp_path / f"c{suffix}"
    path.write_text("<html><body/></html>")
    assert "XML" in refusal(path)


def test_what_is_whole_is_not_refused(small, tmp_path):
    for suffix in SUFFIXES:
        assert read(write(small, tmp_path / f"c{suffix}")) == small
