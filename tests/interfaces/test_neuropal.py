"""Names of recorded cells come out of the Julia file that holds them, or a sentence does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from amphid.interfaces.data_sets import neuropal


class Pair(NamedTuple):
    """What Julia makes of a key and its value."""

    first: object
    second: object


def keep(file: h5py.File, value: object) -> h5py.Reference:
    """Write a value as Julia does: references all the way, dictionaries as lists of pairs."""
    data = value
    if isinstance(value, dict):
        data = [keep(file, Pair(key, entry)) for key, entry in value.items()]
    elif isinstance(value, tuple):
        names = value._fields if isinstance(value, Pair) else ("1", "2")
        fields = np.dtype([(name, h5py.ref_dtype) for name in names])
        data = np.array(tuple(keep(file, entry) for entry in value), dtype=fields)
    elif value == "":
        data = h5py.Empty("S1")
    kind = h5py.ref_dtype if isinstance(data, list) else None
    return file.create_dataset(str(len(file)), data=data, dtype=kind).ref


def write(path: Path, animals: dict[str, dict[int, str]]) -> None:
    """A file of labels with those names in those columns."""
    matches = {
        animal: (
            {k: {"label": name, "confidence": 4.0, "note": ""} for k, name in columns.items()},
            7,
        )
        for animal, columns in animals.items()
    }
    with h5py.File(path, "w") as file:
        stored = keep(file, {"dict_match_dict": matches, "list_uid": 3})
        file.create_dataset("NeuroPAL_labels", data=stored, dtype=h5py.ref_dtype)


def test_names_are_kept_by_animal_and_column(tmp_path: Path) -> None:
    write(tmp_path / neuropal.LABELS, {"two": {5: "MI"}, "one": {3: "AVAL", 11: "RMF?"}})
    neuropal.extract(tmp_path)
    told = json.loads((tmp_path / neuropal.EXTRACTED).read_text())
    assert told["two"] == {"5": {"label": "MI", "confidence": 4.0, "note": ""}}
    assert {column: cell["label"] for column, cell in told["one"].items()} == {
        "3": "AVAL",
        "11": "RMF?",
    }


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_told(tmp_path: Path, part: float) -> None:
    path = tmp_path / neuropal.LABELS
    write(path, {"one": {3: "AVAL"}})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ValueError, match="does not hold names of cells by animal"):
        neuropal.extract(tmp_path)
    assert not (tmp_path / neuropal.EXTRACTED).exists()


def test_a_foreign_file_is_told(tmp_path: Path) -> None:
    for content in ({"other": 3}, {"NeuroPAL_labels": 3}):
        with h5py.File(tmp_path / neuropal.LABELS, "w") as file:
            for name, value in content.items():
                file[name] = value
        with pytest.raises(ValueError, match="does not hold names of cells by animal"):
            neuropal.extract(tmp_path)
