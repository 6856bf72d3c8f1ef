"""Edge lists and adjacency matrices as text: CSV, and TSV or semicolons alike.

Written are ``pre,post,kind,synapses,sign,delay`` by name of cell, and beside it, in
``<stem>.cells.csv``, ``name,kind,class,transmitter,x,y,z``. Read are both, or the edge list alone:
the cells then come in order of first appearance. What headers and rows may look like stands in
`amphid.wiring.files.edge_list`. Text is UTF-8 and names are kept to the letter.

A file whose first header is empty and whose other headers repeat its first column is an adjacency
matrix of chemical synapses, row pre, column post.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import KINDS, Cells, Connectome
from amphid.wiring.files import edge_list
from amphid.wiring.files.drafts import replaced
from amphid.wiring.files.edge_list import Rows, number_texts
from amphid.wiring.matrix import from_matrix

HEADER = ("pre", "post", "kind", "synapses", "sign", "delay")
CELLS_HEADER = ("name", "kind", "class", "transmitter", "x", "y", "z")
_CELL_COLUMNS = {
    "name": ("name", "cell", "cell name", "neuron", "id", "root id", "body id"),
    "kind": ("kind", "type", "role", "cell type"),
    "class": ("class", "cell class", "neuron class"),
    "transmitter": ("transmitter", "neurotransmitter", "neurotransmitters", "nt type"),
    "x": ("x", "x um"),
    "y": ("y", "y um"),
    "z": ("z", "z um"),
}
_CHUNK = 1 << 16


def cells_path(path: Path) -> Path:
    """Where the table of cells lies that belongs to an edge list."""
    return path.with_suffix(f".cells{path.suffix}")


def write(connectome: Connectome, path: Path) -> None:
    """Write the edge list and the table of its cells."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with replaced(path, cells_path(path)) as (wires, cells):
        with cells.open("w", encoding="utf-8", newline="") as file:
            file.writelines(_cell_lines(connectome.cells, delimiter))
        with wires.open("w", encoding="utf-8", newline="") as file:
            file.writelines(_connection_lines(connectome, delimiter))


def _cell_lines(cells: Cells, delimiter: str) -> Iterator[str]:
    texts = [cells.name, cells.kind, cells.cell_class, cells.transmitter]
    columns = [[_quoted(text) for text in column] for column in texts]
    columns += [list(number_texts(cells.position[:, axis])) for axis in range(3)]
    yield delimiter.join(CELLS_HEADER) + "\n"
    for row in zip(*columns, strict=True):
        yield delimiter.join(row) + "\n"


def _connection_lines(connectome: Connectome, delimiter: str) -> Iterator[str]:
    wires = connectome.connections
    name = np.array([_quoted(text) for text in connectome.cells.name], dtype=object)
    kinds = np.array(KINDS, dtype=object)
    signs = np.array(["0", "1", "-1"], dtype=object)  # a negative index counts from the end
    yield delimiter.join(HEADER) + "\n"
    for start in range(0, len(wires), _CHUNK):
        part = wires.take(slice(start, start + _CHUNK))  # type: ignore[arg-type]
        columns = (name[part.pre], name[part.post], kinds[part.kind], number_texts(part.synapses))
        rows = zip(*columns, signs[part.sign], number_texts(part.delay), strict=True)
        yield from (delimiter.join(row) + "\n" for row in rows)


def _quoted(text: str) -> str:
    # The reader skips blanks after a delimiter, so a name that starts with one needs the quotes.
    plain = text == text.strip() and not any(mark in text for mark in '",;\t')
    return text if plain else '"' + text.replace('"', '""') + '"'


def read(path: Path) -> Connectome:
    """Read an edge list, or a matrix; the connectome is named after the file."""
    with _table(path) as (header, rows):
        if header[0].strip() == "" and not _has_ends(header):
            return _read_matrix(header, rows, path.stem)
        beside = cells_path(path)
        known = _read_cells(beside) if beside.exists() else None
        return _read_edges(header, rows, known, path)


@contextmanager
def _table(path: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """The header of a table and its rows, each with the number of the line it ends on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            reader = csv.reader(
                chain([first], file),
                delimiter=_delimiter(first),
                strict=True,
                skipinitialspace=True,
            )
            header = next(reader, [])
            if not header:
                raise ValueError("the file is empty: expected a line of headers.")
            yield header, _rows(reader, len(header))
            if tuple(header) == HEADER:
                _check_end(file, path)
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text: save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}.") from None


def _delimiter(line: str) -> str:
    return max(",\t;", key=lambda mark: len(next(csv.reader([line], delimiter=mark), [])))


def _rows(reader: Any, width: int) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if len(row) == width:
            yield reader.line_num, row
        elif any(row):
            raise ValueError(
                f"line {reader.line_num} has {len(row)} fields, the header has {width}."
            )


def _check_end(file: TextIO, path: Path) -> None:
    with path.open("rb") as raw:
        raw.seek(-1, 2)
        if raw.read(1) not in b"\r\n":
            raise ValueError(
                "the last line is cut short: it does not end in a line break. If it is whole, "
                "add the line break."
            )


def _has_ends(header: Sequence[str]) -> bool:
    try:
        return bool(edge_list.find_columns(header))
    except ValueError:
        return False
