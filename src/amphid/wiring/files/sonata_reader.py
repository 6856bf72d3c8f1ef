"""Reading SONATA files, our own and those of other programs.

A file must hold nodes and edges. Several populations of either are read as one connectome, the
cells in the order of the populations. From the groups of a population are taken

* of nodes ``name`` (or the number of the node, after the population where there are several),
  ``kind``, ``cell_class`` (or ``mtype``, ``pop_name``), ``transmitter``, ``x``, ``y``, ``z``;
* of edges ``nsyns``, or else the magnitude of ``syn_weight`` or ``weight``; ``sign``, or else the
  sign of that weight when any is negative; ``delay``; and ``kind``, without which an edge is
  electrical when the name of its population says so ("electrical", "gap").

Node and edge types, which SONATA keeps in CSV files aside, are not read. Only what lies in the
file itself is: links and external, virtual or oddly shaped datasets are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import Cells, Connectome
from amphid.wiring.files import hdf5, heading
from amphid.wiring.files.rows import Rows, connections, joined
from amphid.wiring.files.sonata_table import Table
from amphid.wiring.partition import borders, touching

_Column = NDArray[Any]
_WINDOW = 1 << 20  # edges


def read(path: Path, part: tuple[int, int] | None = None) -> Connectome:
    """Read the nodes and edges of one file.

    part: its number and how many there are. Of a file of our own, edges are then read in pieces and
    only those of the part are kept in memory; other files are read whole.
    """
    import h5py

    if not h5py.is_hdf5(path):
        raise ValueError("the file is not HDF5, or its beginning is damaged.")
    try:
        with h5py.File(path, "r") as file:
            return _connectome(file, path.stem, part)
    except PermissionError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError) as error:
        reason = str(error).strip("'\"")  # h5py raises KeyError with a sentence
        raise ValueError(f"the file is damaged or cut short ({reason}).") from None


def _connectome(file: Any, stem: str, part: tuple[int, int] | None) -> Connectome:
    ours = "amphid_format" in file.attrs
    if ours:
        heading.check_format(file.attrs["amphid_format"])
    name, references = _about(file) if ours else (stem, ())
    nodes = [_nodes(*found, ours=ours) for found in _populations(file, "nodes")]
    places = _Places(nodes, ours=ours)
    populations = _populations(file, "edges")
    cells, own = _cells(nodes, ours=ours), None
    if part and ours and len(populations) == 1:
        edges, own = _rows_of_part(*populations[0], places, len(cells), part)
    else:
        edges = [_rows(*found, places, ours=ours) for found in populations]
    wires = connections(joined(edges))
    return Connectome(cells, wires, name=name, references=references, onto=own)


def _about(file: Any) -> tuple[str, tuple[str, ...]]:
    found = hdf5.text(file, "amphid")
    if found is None:
        raise ValueError("the dataset 'amphid' with the description is missing.")
    about = heading.from_json(found)
    return about["name"], about["references"]


def _populations(file: Any, half: str) -> list[tuple[str, Any]]:
    found = hdf5.subgroup(file, half)
    if found is None and "amphid_recording" in file.attrs:
        raise ValueError(
            "it is the recording of a run, not a connectome: amphid view opens the folder of "
            "the run."
        )
    if found is None:
        raise ValueError(
            f"there is no group {half!r}: a connectome in SONATA layout holds nodes and edges, "
            "both in one file. "
            "The populations of two files can be copied into one."
        )
    populations = [(name, hdf5.subgroup(found, name)) for name in found]
    if not populations or any(population is None for _, population in populations):
        raise ValueError(f"the group {half!r} holds no population.")
    return populations


@dataclass(frozen=True)
class _Nodes:
    """One population of nodes."""

    population: str
    ids: _Column  # [N] the numbers that edges call them by
    name: _Column | None
    texts: dict[str, _Column | None]
    position: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


def _nodes(name: str, population: Any, *, ours: bool) -> _Nodes:
    sized = (hdf5.subgroup(population, "0"), "name") if ours else (population, "node_type_id")
    size = None if sized[0] is None else hdf5.written_length(*sized)
    if size is None:
        raise ValueError(f"the nodes {name!r} lack {sized[1]}.")
    table = Table(population, "node", size, trusted=ours)
    ids = None if ours else hdf5.numbers(population, "node_id", size)
    position = [_or(table.numbers(axis), np.nan, size) for axis in "xyz"]
    return _Nodes(
        population=name,
        ids=np.arange(size) if ids is None else ids,
        name=table.texts("name"),
        texts={
            "kind": table.texts("kind"),
            "cell_class": table.texts("cell_class", "mtype", "pop_name"),
            "transmitter": table.texts("transmitter"),
        },
        position=np.stack(position, axis=1).astype(np.float64),
    )


def _or(column: _Column | None, default: object, size: int) -> _Column:
    return np.broadcast_to(np.array(default), size) if column is None else column


def _cells(nodes: list[_Nodes], *, ours: bool) -> Cells:
    texts = {
        column: np.concatenate([_or(part.texts[column], "", len(part)) for part in nodes])
        for column in ("kind", "cell_class", "transmitter")
    }
    given = [name for part in nodes for name in (() if part.name is None else part.name)]
    # Elsewhere a name may be that of a type, which its cells share.
    usable = ours or len(set(given)) == sum(map(len, nodes))
    position = np.concatenate([part.position for part in nodes])
    return Cells(given if usable else _numbered(nodes), position=position, **texts)


def _numbered(nodes: list[_Nodes]) -> list[str]:
    if len(nodes) == 1:
        return [str(number) for number in nodes[0].ids.tolist()]
    return [f"{part.population}:{number}" for part in nodes for number in part.ids.tolist()]


class _Places:
    """Where in the connectome the nodes of each population stand."""

    def __init__(self, nodes: list[_Nodes], *, ours: bool) -> None:
        self.alone = ours and len(nodes) == 1
        self.nodes = {part.population: part for part in nodes}
        ends = np.cumsum([len(part) for part in nodes]).tolist()
        self.starts = dict(zip(self.nodes, [0, *ends], strict=False))

    def of(self, edges: Any, column: str, window: slice = hdf5.EVERYTHING) -> NDArray[np.int32]:
        """[E] the places of the nodes that a column of `edges` calls by number."""
        written = hdf5.written_length(edges, column)
        numbers = hdf5.numbers(edges, column, window=window)
        if written is None or numbers is None:
            raise ValueError(f"{edges.name} lacks {column}.")
        population = next(iter(self.nodes))
        if not self.alone:
            population = edges[column].attrs.get("node_population", population)
        if isinstance(population, bytes):
            population = population.decode("utf-8", "replace")
        if population not in self.nodes:
            raise ValueError(
                f"{edges.name} joins nodes of the population {population!r}, which is not in the "
                "file."
            )
        ranks = _ranks(self.nodes[population].ids, numbers)
        if ranks is None:
            raise ValueError(
                f"{edges.name}/{column} has a number that is none of the "
                f"{len(self.nodes[population])} nodes of {population!r}."
            )
        return ranks + np.int32(self.starts[population])


def _ranks(ids: _Column, numbers: _Column) -> NDArray[np.int32] | None:
    """The places in `ids` at which the numbers stand, None when one is not there."""
    if numbers.size and (not ids.size or numbers.dtype.kind not in "iu"):
        return None
    counted = np.array_equal(ids, np.arange(len(ids)))
    if not numbers.size or counted:
        inside = not numbers.size or (numbers.min() >= 0 and numbers.max() < len(ids))
        return numbers.astype(np.int32, copy=False) if inside else None
    order = np.argsort(ids, kind="stable")
    found = order[np.searchsorted(ids, numbers, sorter=order).clip(max=len(ids) - 1)]
    return found.astype(np.int32) if np.array_equal(ids[found], numbers) else None


def _rows_of_part(
    name: str, population: Any, places: _Places, cells: int, part: tuple[int, int]
) -> tuple[list[Rows], range]:
    """The rows onto the cells of a part, never with many others in memory, and those cells."""
    ends = borders(cells, _ends(name, population, places), part[1])
    own = range(ends[part[0]], ends[part[0] + 1])
    kept = []
    for window in _windows(name, population):
        rows = _rows(name, population, places, ours=True, window=window)
        kept.append(rows.kept(touching(rows.pre, rows.post, rows.kind == 1, own)))
    return kept, own


def _ends(name: str, population: Any, places: _Places) -> Iterator[NDArray[np.int32]]:
    """The cells behind the connections, and in front of those that are electrical."""
    size = _length(name, population)
    for window in _windows(name, population):
        yield places.of(population, "target_node_id", window)
        kinds = Table(population, "edge", size, trusted=True, window=window).kinds()
        if kinds is not None and (kinds == 1).any():
            yield places.of(population, "source_node_id", window)[kinds == 1]


def _windows(name: str, population: Any) -> Iterator[slice]:
    for start in range(0, _length(name, population), _WINDOW):
        yield slice(start, start + _WINDOW)


def _length(name: str, population: Any) -> int:
    """How many edges there are."""
    sources, targets = (
        hdf5.written_length(population, f"{end}_node_id") for end in ("source", "target")
    )
    if sources != targets:
        raise ValueError(f"the edges {name!r} have {sources} sources and {targets} targets.")
    return sources or 0


def _rows(
    name: str,
    population: Any,
    places: _Places,
    *,
    ours: bool,
    window: slice = hdf5.EVERYTHING,
) -> Rows:
    pre, post = (places.of(population, f"{end}_node_id", window) for end in ("source", "target"))
    table = Table(population, "edge", _length(name, population), trusted=ours, window=window)
    size = len(pre)
    count, weight = table.numbers("nsyns"), table.numbers("syn_weight", "weight")
    if count is not None and (count < 0).any():
        raise ValueError(f"the edges {name!r} have a negative nsyns.")
    sign = table.numbers("sign")
    if sign is None and count is not None and weight is not None and (weight < 0).any():
        sign = np.sign(weight)
    electrical = any(word in name.casefold() for word in ("electrical", "gap"))
    return Rows(
        pre=pre,
        post=post,
        kind=_or(table.kinds(), np.uint8(electrical), size),
        weight=_or(weight if count is None else count, np.float32(1), size),
        sign=_or(sign, np.int8(0), size),
        delay=_or(table.numbers("delay"), np.float32("nan"), size),
    )
