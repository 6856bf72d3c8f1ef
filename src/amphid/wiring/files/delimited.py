"""Edge lists and adjacency matrices as text: CSV, and TSV or semicolons alike.

Written are ``pre,post,kind,synapses,sign,delay`` by name of cell, and beside it, in
``<stem>.cells.csv``, ``name,kind,class,transmitter,x,y,z``. Read are both, or the edge list alone:
the cells then come in order of first appearance. What headers and rows may look like stands in
`amphid.wiring.files.words`. Text is UTF-8.

In files that we did not write, which is seen from the headers, semicolons and blanks may stand for
the commas, and blanks around a name do not count.

A file whose first header is empty and whose other headers repeat its first column is an adjacency
matrix of chemical synapses, row pre, column post.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from amphid.wiring.connectome import KINDS, Cells, Connectome
from amphid.wiring.files import words
from amphid.wiring.files.drafts import replaced
from amphid.wiring.files.rows import (
    Appearing,
    Listed,
    connections,
    joined,
    parse_cells,
    parse_rows,
    parsed,
)
from amphid.wiring.files.words import number_texts
from amphid.wiring.matrix import from_matrix

HEADER = ("pre", "post", "kind", "synapses", "sign", "delay")
CELLS_HEADER = ("name", "kind", "class", "transmitter", "x", "y", "z")
_CHUNK = 1 << 12
_Numbered = tuple[int, list[str]]  # a row and the number of its line


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
        part = wires.take(np.arange(start, min(start + _CHUNK, len(wires))))
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
        if header[0].strip() == "" and words.find_ends(header) is None:
            return _read_matrix(header, rows, path.stem)
        beside = cells_path(path)
        known = _read_cells(beside) if beside.exists() else None
        return _read_edges(header, rows, known, path)


@contextmanager
def _table(path: Path) -> Iterator[tuple[list[str], Iterator[_Numbered]]]:
    """The header of a table and its rows, each with the number of the line it ends on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first, second = file.readline(), file.readline()
            mark = _delimiter(first) or _delimiter(second) or " "
            reader = csv.reader(
                chain([first, second], file), delimiter=mark, strict=True, skipinitialspace=True
            )
            header = next(reader, [])
            if len(header) < 2:
                header = first.split()  # some tables have blanks in the first line and tabs below
            if not header:
                raise ValueError("the file is empty: expected a line of headers.")
            if not first.endswith(("\n", "\r")):
                raise ValueError("the file is cut short, or has nothing but a line of headers.")
            ours = tuple(header) in (HEADER, CELLS_HEADER)
            if ours:
                _check_end(path)
            yield header, _rows(reader, len(header), strip=not ours)
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text: save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}.") from None


def _delimiter(line: str) -> str | None:
    """The mark that splits the line into most fields, None when none splits it."""
    fields = {mark: len(next(csv.reader([line], delimiter=mark), [])) for mark in ",\t;"}
    best = max(fields, key=fields.__getitem__)
    return best if fields[best] > 1 else None


def _rows(reader: Any, width: int, *, strip: bool) -> Iterator[_Numbered]:
    for row in reader:
        if not any(row):
            continue
        if len(row) != width:
            fields = "field" if len(row) == 1 else "fields"
            raise ValueError(
                f"line {reader.line_num} has {len(row)} {fields}, the header has {width}."
            )
        yield reader.line_num, [field.strip() for field in row] if strip else row


def _check_end(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(-1, 2)
        if file.read(1) not in b"\r\n":
            raise ValueError(
                "the last line is cut short: it does not end in a line break. If it is whole, "
                "add the line break."
            )


def _read_edges(
    header: list[str], rows: Iterator[_Numbered], cells: Cells | None, path: Path
) -> Connectome:
    columns = words.find_columns(header)
    beside = f"{cells_path(path).name} (without that file the cells are those of the connections)"
    index = Appearing() if cells is None else Listed(cells.name, beside)
    parts = []
    while part := list(islice(rows, _CHUNK)):
        parts.append(parse_rows(_texts(header, part, columns), index, partial(_line, part)))
    wires = connections(joined(parts))
    return Connectome(Cells(list(index)) if cells is None else cells, wires, name=path.stem)


def _read_cells(path: Path) -> Cells:
    try:
        with _table(path) as (header, rows):
            found = {c: words.find(header, names) for c, names in words.CELL_COLUMNS.items()}
            if found["name"] is None:
                raise ValueError(f"no column holds names among {words.listed(header)}.")
            part = list(rows)
            return parse_cells(_texts(header, part, found), partial(_line, part))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _texts(
    header: list[str], rows: list[_Numbered], columns: Mapping[str, str | None]
) -> dict[str, list[str]]:
    place = {column: header.index(name) for column, name in columns.items() if name is not None}
    return {column: [row[at] for _, row in rows] for column, at in place.items()}


def _line(rows: list[_Numbered], number: int) -> str:
    return f"line {rows[number][0]}"


def _read_matrix(header: list[str], rows: Iterator[_Numbered], name: str) -> Connectome:
    names = header[1:]
    matrix = np.zeros((len(names), len(names)), dtype=np.float32)
    count = 0
    for count, (line, row) in enumerate(rows, start=1):
        if count > len(names) or row[0] != names[count - 1]:
            raise ValueError(
                f"line {line} is named {row[0][:40]!r}: an adjacency matrix lists the same cells, "
                "in the same order, across and down. An edge list has headers such as pre, post."
            )
        matrix[count - 1] = parsed(_entry, row[1:], partial(_line, [(line, row)] * len(names)))
    if count < len(names):
        raise ValueError(f"the matrix has {len(names)} columns and {count} rows.")
    return from_matrix(names, matrix, name=name)


@lru_cache(maxsize=1 << 16)
def _entry(text: str) -> float:
    return words.weight(text) if text else 0.0
