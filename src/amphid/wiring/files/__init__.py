"""Connectomes on disk: one reader and one writer, the format by the ending of the name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from amphid.wiring.connectome import Connectome
from amphid.wiring.files import delimited, graphml, neuroml, parquet, sonata
from amphid.wiring.partition import check_part

__all__ = ["SUFFIXES", "read", "write"]

_FORMATS: dict[str, ModuleType] = {
    ".h5": sonata,
    ".hdf5": sonata,
    ".csv": delimited,
    ".tsv": delimited,
    ".graphml": graphml,
    ".nml": neuroml,
    ".parquet": parquet,
}
SUFFIXES = tuple(_FORMATS)


def read(path: str | Path, *, part: tuple[int, int] | None = None) -> Connectome:
    """The connectome in a file of this or another program.

    part: (number, parts) for all cells and only the connections onto one of several ranges of
    them, as `Connectome.part` chooses; what a rank of several needs. From an .h5 file that `write`
    wrote, edges are read in pieces and the others never stand in memory.

    ====================  ==========================================================================
    .h5, .hdf5            HDF5 in SONATA layout, nodes and edges in one file
    .csv, .tsv            edge list, with `<stem>.cells.csv` beside it when there is one, or a
                          square adjacency matrix of chemical synapses with names on both sides
    .graphml              GraphML
    .nml                  a NeuroML 2 network (needs `amphid[neuroml]`)
    .parquet              edge list (needs `amphid[parquet]`)
    ====================  ==========================================================================

    What each reader understands stands in `amphid.wiring.files`, one module per format.
    Raises ValueError for an ending that is not in the table and for a file that is damaged,
    foreign, hostile or of a newer format; FileNotFoundError when there is none;
    ModuleNotFoundError naming the install line when the extra is missing.
    """
    path = Path(path)
    reader = _format(path)
    if part is not None:
        check_part(part)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        connectome: Connectome = sonata.read(path, part) if reader is sonata else reader.read(path)
    except ValueError as error:
        sentence = " ".join(str(error).split())  # some libraries write several lines
        raise ValueError(f"{path}: {sentence}") from error
    except (MemoryError, OverflowError):
        raise ValueError(f"{path}: the file declares more than fits in memory.") from None
    return connectome.part(*part) if part and connectome.onto is None else connectome


def write(connectome: Connectome, path: str | Path) -> Path:
    """Write a connectome, in the format of the ending (see `read`); returns the path.

    Every format keeps all cells and connections with all their columns, in order. The name and the
    references of the connectome are kept by all but .csv and .tsv, which also cannot hold a table
    of cells and write `<stem>.cells.csv` beside the edge list.

    The file is written under another name in the same folder and renamed when whole: an
    interrupted write leaves what was there before.
    Raises ValueError for an unknown ending and FileNotFoundError for a folder that is not there.
    """
    if not isinstance(connectome, Connectome):
        raise TypeError(f"write takes a connectome and a path, got {type(connectome).__name__}.")
    connectome.check_whole("write")
    path = Path(path)
    writer = _format(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path} cannot be written: there is no folder {path.parent}. Create it first."
        )
    try:
        writer.write(connectome, path)
    except OSError as error:
        raise type(error)(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _format(path: Path) -> ModuleType:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(
            f"{path} ends in {path.suffix or 'nothing'!r}, which names no connectome format: "
            f"use one of {', '.join(SUFFIXES)}."
        ) from None
