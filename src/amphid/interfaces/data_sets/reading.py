"""Connectomes out of the files of the data sets."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from amphid.interfaces.data_sets.data_set import DataSet
from amphid.wiring import Cells, Connections, Connectome, files

MATRIX = "Supplementary-Data-S1/all-all_connectivity_matrix.csv"
ANNOTATIONS = "Supplementary-Data-S1/annotations.csv"
KIND_OF_TYPE = {
    "sensory": "sensory",
    "ascending": "ascending",
    "DN-VNC": "descending",
    "DN-SEZ": "descending",
    "RGN": "neurosecretory",
}


def worm_web_sim(data: DataSet) -> Connectome:
    """Weights as synapses and signs, cells in the order in which the original visits them."""
    names = json.loads(data.find("cells.json").read_text(encoding="utf-8"))
    place = {name: index for index, name in enumerate(names)}
    with data.find("weights.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    weight = np.array([float(row["weight"]) for row in rows])
    muscles = ("MVU", "MVL", "MDL", "MVR", "MDR")
    return Connectome(
        Cells(names, kind=["muscle" if name.startswith(muscles) else "" for name in names]),
        Connections(
            [place[row["pre"]] for row in rows],
            [place[row["post"]] for row in rows],
            synapses=np.abs(weight),
            sign=np.sign(weight),
        ),
        name=data.name,
        references=(data.citation,),
    )


def larval_drosophila(data: DataSet) -> Connectome:
    """All four kinds of contacts together, row by row out of the zip; cells by skeleton id."""
    path = data.find(data.files[0].name)
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open(MATRIX) as file:
                names, pre, post, synapses = _sparse_matrix(file)
            with archive.open(ANNOTATIONS) as file:
                type_of = _types(io.TextIOWrapper(file, encoding="utf-8"))
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ValueError(f"{path} is damaged: {error.args[0] if error.args else error}.") from None
    types = [type_of.get(name, "") for name in names]
    return Connectome(
        Cells(
            names,
            cell_class=types,
            kind=[KIND_OF_TYPE.get(kind, "inter" if kind else "") for kind in types],
        ),
        Connections(pre, post, synapses=synapses),
        name=data.name,
        references=(data.citation,),
    )


def flywire(data: DataSet) -> Connectome:
    """The brain of the adult fly; signs as in the edge list, made from predicted transmitters."""
    index, edges = (file.name for file in data.files)
    with _text(data.find(index)) as file:
        names = [row[0] for row in csv.reader(file)][1:]
    pre, post, weight = _signed_edges(data.find(edges))
    return Connectome(
        Cells(names),
        Connections(pre, post, synapses=np.abs(weight), sign=np.sign(weight)),
        name=data.name,
        references=(data.citation,),
    )


def visual_types(data: DataSet) -> Connectome:
    """Types of cells as cells; the synapses of all cells of a type together."""
    with _text(data.find(data.files[0].name)) as file:
        rows = list(csv.DictReader(file))
    names = sorted({row[column] for row in rows for column in ("from type", "to type")})
    place = {name: index for index, name in enumerate(names)}
    return Connectome(
        Cells(names),
        Connections(
            [place[row["from type"]] for row in rows],
            [place[row["to type"]] for row in rows],
            synapses=[float(row["synapses total"]) for row in rows],
        ),
        name=data.name,
        references=(data.citation,),
    )


def neuroml(data: DataSet) -> Connectome:
    """A NeuroML network as it stands, with the signs of its synapses."""
    connectome = files.read(data.find(data.files[0].name))
    return replace(connectome, name=data.name, references=(data.citation,))


def _text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _types(file: IO[str]) -> dict[str, str]:
    rows = list(csv.DictReader(file))
    return {row[side]: row["celltype"] for side in ("left_id", "right_id") for row in rows}


def _sparse_matrix(file: IO[bytes]) -> tuple[list[str], NDArray, NDArray, NDArray]:  # type: ignore[type-arg]
    """Names, and row, column and value of the entries that are not zero, one line at a time."""
    names = file.readline().decode().strip().split(",")[1:]
    parts = list(_rows(file, names))
    pre = np.repeat(np.arange(len(parts)), [len(columns) for columns, _ in parts])
    post = np.concatenate([columns for columns, _ in parts])
    return names, pre, post, np.concatenate([values for _, values in parts])


def _rows(file: IO[bytes], names: list[str]) -> Iterator[tuple[NDArray, NDArray]]:  # type: ignore[type-arg]
    for name, line in zip(names, file, strict=True):
        first, _, rest = line.partition(b",")
        row = np.fromstring(rest.decode(), sep=",", dtype=np.float32)
        if first.decode() != name or len(row) != len(names):
            raise KeyError(f"row {name} of the matrix does not match its header")
        columns = np.flatnonzero(row)
        yield columns, row[columns]


def _signed_edges(path: Path) -> tuple[NDArray, NDArray, NDArray]:  # type: ignore[type-arg]
    columns = ["Presynaptic_Index", "Postsynaptic_Index", "Excitatory x Connectivity"]
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Parquet files need pyarrow: pip install 'amphid[parquet]'"
        ) from None
    try:
        table = pyarrow.parquet.read_table(path, columns=columns)
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is no edge list of FlyWire: {error}.") from None
    pre, post, weight = (table[column].to_numpy() for column in columns)
    return pre, post, weight
