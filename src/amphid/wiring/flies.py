"""The published brains of the fly: larva and adult, read from the files of their authors."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import Cells, Connections, Connectome
from amphid.wiring.data import data_file
from amphid.wiring.files.parquet import with_pyarrow

LARVA = "larval_drosophila_winding2023"
LARVA_ARCHIVE = "Supplementary-Data-S1.zip"
LARVA_REFERENCE = "Winding et al. 2023, Science 379:eadd9330, doi 10.1126/science.add9330."

FLYWIRE = "flywire_shiu2024"
FLYWIRE_FILES: Mapping[int, tuple[str, str]] = {
    783: ("Completeness_783.csv", "Connectivity_783.parquet"),
    630: (
        "2023_03_23_completeness_630_final.csv",
        "2023_03_23_connectivity_630_final.parquet",
    ),
}
FLYWIRE_REFERENCE = (
    "Dorkenwald et al. 2024, Nature 634:124-138, doi 10.1038/s41586-024-07558-y; edge list of Shiu "
    "et al. 2024, Nature 634:210-219, doi 10.1038/s41586-024-07763-9."
)

Contacts = Literal["all", "axo-dendritic", "axo-axonic", "dendro-axonic", "dendro-dendritic"]
MATRICES: Mapping[str, str] = {
    "all": "all-all",
    "axo-dendritic": "ad",
    "axo-axonic": "aa",
    "dendro-axonic": "da",
    "dendro-dendritic": "dd",
}
KIND_OF_TYPE = {
    "sensory": "sensory",
    "ascending": "ascending",
    "DN-VNC": "descending",
    "DN-SEZ": "descending",
    "RGN": "neurosecretory",
}
_FOLDER = "Supplementary-Data-S1"
_AT_ONCE = 1 << 16  # rows of the edge list; with the buffer, bounds the memory beyond what is kept
_BUFFER = 1 << 16  # bytes


def larval_fly(contacts: Contacts = "all") -> Connectome:
    """The brain of the larval fly: 2,952 neurons by skeleton id, signs unknown.

    contacts: all four kinds of contact together, or one of them. Cells carry the cell type as their
    class, sensory ones their modality, such as "gustatory-external".

    Winding et al. 2023, doi 10.1126/science.add9330. Read from `AMPHID_DATA` or from what `amphid
    connectome fetch larval-fly` brought; raises FileNotFoundError, with the way out, where neither
    has it.
    """
    return read_larval_fly(data_file(LARVA, LARVA_ARCHIVE, "larval-fly"), contacts)


def read_larval_fly(archive: Path, contacts: Contacts = "all") -> Connectome:
    """The same from the archive that the article comes with.

    Raises ValueError for other contacts and for a damaged archive.
    """
    if contacts not in MATRICES:
        raise ValueError(f"contacts must be one of {', '.join(MATRICES)}, got {contacts!r}.")
    try:
        with zipfile.ZipFile(archive) as files:
            matrix = f"{_FOLDER}/{MATRICES[contacts]}_connectivity_matrix.csv"
            with files.open(matrix) as file:
                names, pre, post, synapses = _sparse_matrix(file)
            with files.open(f"{_FOLDER}/annotations.csv") as file:
                about = _annotations(io.TextIOWrapper(file, encoding="utf-8"))
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        reason = error.args[0] if error.args else error
        raise ValueError(f"{archive} is damaged: {reason}.") from None
    types = [about.get(name, ("", "")) for name in names]
    cells = Cells(
        names,
        cell_class=[more if kind == "sensory" and more else kind for kind, more in types],
        kind=[KIND_OF_TYPE.get(kind, "inter" if kind else "") for kind, _ in types],
    )
    wires = Connections(pre, post, synapses=synapses)
    return Connectome(cells, wires, name="larval-fly", references=(LARVA_REFERENCE,))


def flywire(version: int = 783) -> Connectome:
    """The brain of the adult fly, FlyWire version 783 (138,639 neurons by root id) or 630.

    Synapses and signs are those of the edge list of Shiu et al. 2024, made from predicted
    transmitters. Read from `AMPHID_DATA` or from what `amphid connectome fetch flywire-783`
    brought; raises FileNotFoundError, with the way out, where neither has it.
    """
    if version not in FLYWIRE_FILES:
        known = " or ".join(map(str, FLYWIRE_FILES))
        raise ValueError(f"version must be {known}, got {version!r}.")
    names = FLYWIRE_FILES[version]
    index, edges = (data_file(FLYWIRE, name, f"flywire-{version}") for name in names)
    return read_flywire(index, edges)


def read_flywire(index: Path, edges: Path) -> Connectome:
    """The same from its two files: the table of neurons and the edge list.

    Takes 13 bytes for each connection, and little beyond that. Raises ValueError for
    files that are none of FlyWire, ModuleNotFoundError where pyarrow is missing.
    """
    names = flywire_names(index)
    pre, post, synapses, sign = _signed_edges(edges)
    for column in (pre, post, synapses, sign):
        column.flags.writeable = False  # then it is kept as it is, not copied
    try:
        wires = Connections(pre, post, synapses=synapses, sign=sign)
        return Connectome(Cells(names), wires, name="flywire", references=(FLYWIRE_REFERENCE,))
    except ValueError as error:
        raise ValueError(f"{edges} does not fit {index}: {error}") from None


def flywire_names(index: Path) -> list[str]:
    """Root ids of the neurons, in the order of the edge list; ids are too long for a float."""
    opened = gzip.open if index.suffix == ".gz" else open
    try:
        with opened(index, "rt", encoding="utf-8", newline="") as file:
            names = [row[0] for row in csv.reader(file) if row][1:]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{index} is no table of neurons: {error}.") from None
    if not all(name.isdigit() for name in names):
        raise ValueError(f"{index} is no table of neurons: its first column must hold root ids.")
    return names


def _signed_edges(path: Path) -> tuple[NDArray[Any], ...]:
    """Cells before and behind each connection, its number of synapses and its sign."""
    columns = ("Presynaptic_Index", "Postsynaptic_Index", "Excitatory x Connectivity")
    pyarrow = with_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            size, row = file.metadata.num_rows, 0
            kept = tuple(np.empty(size, kind) for kind in ("i4", "i4", "f4", "i1"))
            for batch in file.iter_batches(_AT_ONCE, columns=list(columns), use_threads=False):
                rows = slice(row, row + len(batch))
                pre, post, weight = (batch[name].to_numpy() for name in columns)
                kept[0][rows], kept[1][rows] = pre, post
                kept[2][rows], kept[3][rows] = np.abs(weight), np.sign(weight)
                row += len(batch)
    except (pyarrow.lib.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no edge list of FlyWire: {error}.") from None
    return kept


def _annotations(file: IO[str]) -> dict[str, tuple[str, str]]:
    """Cell type and further annotation of each skeleton."""
    return {
        row[side]: (row["celltype"], row.get("additional_annotations") or "")
        for row in csv.DictReader(file)
        for side in ("left_id", "right_id")
    }


def _sparse_matrix(
    file: IO[bytes],
) -> tuple[list[str], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Names, and row, column and value of the entries that are not zero, one line at a time."""
    names = file.readline().decode().strip().split(",")[1:]
    parts = list(_rows(file, names))
    if len(parts) != len(names):
        raise KeyError(f"the matrix has {len(parts)} rows for {len(names)} columns")
    pre = np.repeat(np.arange(len(parts)), [len(columns) for columns, _ in parts])
    post = np.concatenate([columns for columns, _ in parts])
    return names, pre, post, np.concatenate([values for _, values in parts])


def _rows(file: IO[bytes], names: list[str]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    for name, line in zip(names, file, strict=False):
        first, _, rest = line.partition(b",")
        row = np.fromstring(rest.decode(), sep=",", dtype=np.float32)
        if first.decode() != name or len(row) != len(names):
            raise KeyError(f"row {name} of the matrix does not match its header")
        columns = np.flatnonzero(row)
        yield columns, row[columns]
