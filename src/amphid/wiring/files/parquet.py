"""Parquet edge lists, which pandas, polars, DuckDB and Arrow open as plain tables.

One row per connection: ``pre`` and ``post`` by name, ``kind``, ``synapses``, ``sign``, ``delay``
(null where none is given). The cells with all their columns, and the name and references of the
connectome, lie in the metadata of the file under the key ``amphid``, as JSON. A table without it is
read as any edge list: headers and words as in `amphid.wiring.files.words`, the names of cells text
or whole numbers, the cells in order of first appearance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import KINDS, Cells, Connectome
from amphid.wiring.files import heading, words
from amphid.wiring.files.drafts import replaced
from amphid.wiring.files.rows import Appearing, Listed, Rows, connections

_KEY = "amphid"


def write(connectome: Connectome, path: Path) -> None:
    """Write the edge list, the cells in its metadata."""
    pyarrow = with_pyarrow()
    wires, cells = connectome.connections, connectome.cells

    def chosen(codes: NDArray[Any], texts: Any) -> Any:
        return pyarrow.DictionaryArray.from_arrays(
            pyarrow.array(codes), pyarrow.array(list(texts), pyarrow.string())
        )

    table = pyarrow.table(
        {
            "pre": chosen(wires.pre, cells.name),
            "post": chosen(wires.post, cells.name),
            "kind": chosen(wires.kind, KINDS),
            "synapses": pyarrow.array(wires.synapses),
            "sign": pyarrow.array(wires.sign),
            "delay": pyarrow.array(wires.delay, mask=np.isnan(wires.delay)),
        }
    )
    about = heading.to_json(connectome, cells=_cells_to_json(cells))
    # Without the stored schema, readers see plain text and not the dictionaries it is kept by.
    with (
        replaced(path) as (draft,),
        pyarrow.parquet.ParquetWriter(draft, table.schema, store_schema=False) as file,
    ):
        file.write_table(table)
        file.add_key_value_metadata({_KEY: about})


def _cells_to_json(cells: Cells) -> dict[str, Any]:
    position = np.where(np.isnan(cells.position), None, cells.position.astype(object))  # type: ignore[call-overload]
    return {
        "name": cells.name.tolist(),
        "kind": cells.kind.tolist(),
        "cell_class": cells.cell_class.tolist(),
        "transmitter": cells.transmitter.tolist(),
        "position": position.tolist(),
    }


def read(path: Path) -> Connectome:
    """Read an edge list, with its cells if they are in the metadata."""
    pyarrow = with_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            flat = [f.name for f in file.schema_arrow if not pyarrow.types.is_nested(f.type)]
            columns = words.find_columns(flat)
            description = (file.metadata.metadata or {}).get(_KEY.encode())
        texts = [columns[name] for name in ("pre", "post", "kind") if name in columns]
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
            table = file.read(columns=list(columns.values()))
        table.validate(full=True)  # a damaged page can hold numbers past the end of a dictionary
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"the file is not Parquet, or is damaged or cut short ({error})."
        ) from None
    given = {name: table.column(header) for name, header in columns.items()}
    if description is None:
        cells, pre, post = _appearing_ends(given["pre"], given["post"])
        return Connectome(cells, connections(_rows(given, pre, post)), name=path.stem)
    about = heading.from_json(description)
    cells = _cells_from_json(about.get("cells"))
    index = Listed(cells.name, "the metadata of the file")
    pre, post = (_translated(given[end], index.__getitem__, np.int32) for end in ("pre", "post"))
    wires = connections(_rows(given, pre, post))
    return Connectome(cells, wires, name=about["name"], references=about["references"])


def _cells_from_json(found: Any) -> Cells:
    try:
        position = np.array(found["position"], dtype=np.float64).reshape(-1, 3)
        columns = {column: list(found[column]) for column in ("kind", "cell_class", "transmitter")}
        return Cells(list(found["name"]), position=position, **columns)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"its table of cells is damaged ({error}).") from None


def _appearing_ends(pre: Any, post: Any) -> tuple[Cells, NDArray[np.int32], NDArray[np.int32]]:
    """The cells in order of first appearance, row by row, and which of them the rows join."""
    index = Appearing()
    ends = [_translated(column, index.__getitem__, np.int32) for column in (pre, post)]
    used, first, place = np.unique(
        np.stack(ends, axis=1).ravel(), return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    rank = np.empty(len(used), dtype=np.int32)
    rank[order] = np.arange(len(used), dtype=np.int32)
    names = list(index)
    both = rank[place].reshape(-1, 2)
    return Cells([names[number] for number in used[order]]), both[:, 0], both[:, 1]


def _rows(given: dict[str, Any], pre: NDArray[np.int32], post: NDArray[np.int32]) -> Rows:
    size = len(pre)
    return Rows(
        pre=pre,
        post=post,
        kind=_translated(given["kind"], words.kind_code, np.uint8, missing=0)
        if "kind" in given
        else np.zeros(size, dtype=np.uint8),
        weight=_numbers(given, "synapses", 1.0, size),
        sign=_signs(given.get("sign"), size),
        delay=_numbers(given, "delay", np.nan, size),
    )


def _signs(column: Any, size: int) -> NDArray[Any]:
    if column is None:
        return np.zeros(size, dtype=np.int8)
    if with_pyarrow().types.is_floating(column.type):
        return np.nan_to_num(column.to_numpy())
    return _translated(column, words.sign_code, np.int8, missing=0)


def _numbers(given: dict[str, Any], name: str, default: float, size: int) -> NDArray[Any]:
    if name not in given:
        return np.full(size, default, dtype=np.float32)
    types, column = with_pyarrow().types, given[name]
    if not (types.is_integer(column.type) or types.is_floating(column.type)):
        raise ValueError(f"the column of {name} must hold numbers, it holds {column.type}.")
    values = column.to_numpy()
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def _translated(
    column: Any, translate: Callable[[str], int], dtype: type, missing: int | None = None
) -> NDArray[Any]:
    """[E] the texts of a column, or its whole numbers as texts, each translated to a number."""
    pyarrow = with_pyarrow()
    encoded = column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()
    values = encoded.type.value_type
    if not any(is_type(values) for is_type in _named_by(pyarrow.types)):
        raise ValueError(f"a column of names must hold text or whole numbers, it holds {values}.")
    if missing is None and encoded.null_count:
        raise ValueError(f"{encoded.null_count} connections lack the name of a cell.")
    array = encoded.unify_dictionaries().combine_chunks()
    if not len(array):
        return np.zeros(0, dtype=dtype)
    known = [translate(str(text)) for text in array.dictionary.to_pylist()]
    numbers: NDArray[Any] = np.array([*known, missing or 0], dtype=dtype)
    return numbers[array.indices.fill_null(len(known)).to_numpy()]


def _named_by(types: Any) -> tuple[Callable[[Any], bool], ...]:
    return types.is_string, types.is_large_string, types.is_string_view, types.is_integer


def with_pyarrow() -> Any:
    """The package that reads and writes Parquet files, with its module `parquet`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Parquet files need pyarrow: pip install 'amphid[parquet]'"
        ) from None
    return pyarrow
