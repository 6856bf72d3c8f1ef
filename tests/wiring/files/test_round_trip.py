"""What is written is read back, whatever it is called and however often."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amphid.wiring import Cells, Connections, Connectome
from amphid.wiring.files import SUFFIXES, read, write

KEEP_THE_NAME = [suffix for suffix in SUFFIXES if suffix not in (".csv", ".tsv")]


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".hdf5"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_format_keeps_every_cell_and_connection_in_order(
    suffix, connectomes, tmp_path_factory, data
):
    original = data.draw(connectomes(least=1 if suffix == ".nml" else 0))
    path = tmp_path_factory.mktemp("files") / f"c{suffix}"
    assert write(original, path) == path
    copy = read(path)
    assert copy == original
    if suffix in KEEP_THE_NAME:
        assert (copy.name, copy.references) == (original.name, original.references)
    else:
        assert (copy.name, copy.references) == ("c", ())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_a_copy_again_gives_the_same_connectome_under_either_kind_of_path(
    suffix, small, tmp_path
):
    first = read(str(write(small, str(tmp_path / f"a{suffix.upper()}"))))
    assert read(write(first, tmp_path / f"b{suffix}")) == small


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_there_is_replaced_and_nothing_else_is_left(suffix, small, tmp_path):
    path = write(small, tmp_path / f"c{suffix}")
    os.chmod(path, 0o640)
    write(small.without("alone"), path)
    assert len(read(path)) == 4
    assert path.stat().st_mode & 0o777 == 0o640
    beside = {f"c.cells{suffix}"} if suffix in (".csv", ".tsv") else set()
    assert {file.name for file in tmp_path.iterdir()} == {path.name} | beside


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError, ValueError])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_write_leaves_the_old_file_whole_and_no_draft(
    suffix, interruption, small, tmp_path, monkeypatch
):
    path = write(small, tmp_path / f"c{suffix}")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def interrupt(*_):
        raise interruption("now")

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(interruption, match="now"):
        write(small.without("AVAL"), path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_write_that_fails_in_the_middle_of_a_table_leaves_nothing(small, tmp_path, monkeypatch):
    import h5py

    made = h5py.Group.create_dataset

    def interrupt(group, name, *given, **named):
        if name == "nsyns":
            raise KeyboardInterrupt
        return made(group, name, *given, **named)

    monkeypatch.setattr(h5py.Group, "create_dataset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(small, tmp_path / "c.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_stays_a_link(small, tmp_path):
    target = write(small, tmp_path / "target.h5")
    link = tmp_path / "link.h5"
    link.symlink_to(target)
    write(small.without("alone"), link)
    assert link.is_symlink()
    assert len(read(target)) == 4


@pytest.mark.parametrize("path", ["c.xlsx", "c", "c.h5.bak", Path("folder") / "c.txt"])
def test_an_unknown_ending_is_told_with_those_that_are_known(path, small):
    for use in (read, lambda path: write(small, path)):
        with pytest.raises(ValueError, match=r"\.h5, \.hdf5, \.csv, \.tsv, \.graphml, \.nml"):
            use(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_files_and_folders_are_told_in_a_sentence(suffix, small, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read(tmp_path / f"c{suffix}")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*Create it first"):
        write(small, tmp_path / "missing" / f"c{suffix}")
    (tmp_path / f"d{suffix}").mkdir()
    for use in (read, lambda path: write(small, path)):
        with pytest.raises(IsADirectoryError, match="is a folder"):
            use(tmp_path / f"d{suffix}")


def test_write_takes_the_connectome_first(small, tmp_path):
    with pytest.raises(TypeError, match="write takes a connectome and a path, got PosixPath"):
        write(tmp_path / "c.h5", small)


def test_formats_load_their_libraries_only_when_they_are_touched(small, tmp_path):
    write(small, tmp_path / "c.csv")
    code = (
        "import sys; from amphid.wiring.files import read; read(sys.argv[1]); "
        "print(sorted({'h5py', 'pyarrow', 'neuroml', 'networkx', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "c.csv")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize(("suffix", "extra"), [(".nml", "neuroml"), (".parquet", "parquet")])
def test_a_missing_extra_is_told_with_its_install_line(suffix, extra, small, tmp_path, monkeypatch):
    path = write(small, tmp_path / f"c{suffix}")
    for module in ("neuroml.nml", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    for use in (read, lambda path: write(small, path)):
        with pytest.raises(ModuleNotFoundError, match=rf"pip install 'amphid\[{extra}\]'"):
            use(path)


def test_single_values_that_stand_for_all_connections_take_no_space(tmp_path):
    size = 100_003
    cells = Cells(["a", "b"])
    path = write(Connectome(cells, Connections(np.zeros(size), np.ones(size))), tmp_path / "c.h5")
    assert path.stat().st_size < 2.2 * 4 * size  # pre and post, and little else
    wires = read(path).connections
    assert wires.synapses.strides == wires.sign.strides == wires.delay.strides == (0,)
