"""HDF5 in SONATA layout: the native format, lossless and of the size of its arrays.

One file holds both halves of a circuit::

    /                 magic 0x0A7A, version [0, 1], amphid_format; dataset amphid: name, references
    /nodes/cells      node_type_id, node_id, node_group_id, node_group_index
        0             name; kind, cell_class, transmitter (enumerations); x, y, z (um)
    /edges/cells_to_cells   source_node_id, target_node_id, edge_type_id, edge_group_id, ...
        0             nsyns; kind (enumeration: chemical, electrical); sign; delay (ms)
        indices       which connections leave and which enter a cell

The order of edges is the order of the connections. A column in which nothing is known is left out,
and one that is a single value throughout takes no space: the value is the fill value of a dataset
of which no chunk is written. An electrical connection stands once.

Files of other programs are read too (see `amphid.wiring.files.sonata_reader`).

The layout is that of the SONATA developer guide: Dai et al. 2020, doi:10.1371/journal.pcbi.1007696.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import KINDS, Cells, Connectome
from amphid.wiring.files.drafts import replaced
from amphid.wiring.files.heading import FORMAT, to_json
from amphid.wiring.files.sonata_reader import read

__all__ = ["read", "write"]

_MAGIC = 0x0A7A
_NODES, _EDGES = "cells", "cells_to_cells"


def write(connectome: Connectome, path: Path) -> None:
    """Write nodes and edges, with the indices that let libsonata look edges up by node."""
    import h5py

    with replaced(path) as (draft,), h5py.File(draft, "w", libver="v110") as file:
        file.attrs["magic"] = np.uint32(_MAGIC)
        file.attrs["version"] = np.array([0, 1], dtype=np.uint32)
        file.attrs["amphid_format"] = np.uint32(FORMAT)
        file["amphid"] = np.bytes_(to_json(connectome))
        _write_nodes(file.create_group(f"nodes/{_NODES}"), connectome.cells)
        _write_edges(file.create_group(f"edges/{_EDGES}"), connectome)


def _write_nodes(population: Any, cells: Cells) -> None:
    count = np.arange(len(cells), dtype=np.uint32)
    _store(population, "node_type_id", np.zeros(len(cells), dtype=np.int64))
    _store(population, "node_id", count)
    _store(population, "node_group_id", np.zeros(len(cells), dtype=np.uint32))
    _store(population, "node_group_index", count)
    group = population.create_group("0")
    _store_texts(group, "name", cells.name)
    for name in ("kind", "cell_class", "transmitter"):
        column = getattr(cells, name)
        if (column != "").any():
            library, codes = np.unique(column, return_inverse=True)
            _store_enumeration(group, name, codes.astype(np.uint32), library)
    for axis, name in enumerate("xyz"):
        _store_known(group, name, np.ascontiguousarray(cells.position[:, axis]))


def _write_edges(population: Any, connectome: Connectome) -> None:
    wires, size = connectome.connections, len(connectome.connections)
    for name, column in (("source_node_id", wires.pre), ("target_node_id", wires.post)):
        population.create_dataset(name, data=column).attrs["node_population"] = _NODES
    _store(population, "edge_type_id", wires.kind)
    _store(population, "edge_group_id", np.broadcast_to(np.uint32(0), size))
    population.create_dataset(
        "edge_group_index", data=np.arange(size, dtype=np.uint32), **_packing(size)
    )
    group = population.create_group("0")
    _store(group, "nsyns", wires.synapses)
    _store_enumeration(group, "kind", wires.kind, np.array(KINDS, dtype=object))
    if wires.sign.any():
        _store(group, "sign", wires.sign)
    _store_known(group, "delay", wires.delay)
    indices = population.create_group("indices")
    _store_index(indices.create_group("source_to_target"), wires.pre, len(connectome))
    _store_index(indices.create_group("target_to_source"), wires.post, len(connectome))


def _packing(size: int) -> dict[str, Any]:
    return {"compression": "gzip", "compression_opts": 1, "shuffle": True} if size else {}


def _store(group: Any, name: str, column: NDArray[Any]) -> None:
    if column.size and (column == column[0]).all():
        group.create_dataset(
            name, shape=column.shape, dtype=column.dtype, fillvalue=column[0], chunks=True
        )
    else:
        group.create_dataset(name, data=column)


def _store_known(group: Any, name: str, column: NDArray[Any]) -> None:
    if not np.isnan(column).all():
        _store(group, name, column)


def _store_texts(group: Any, name: str, column: NDArray[np.object_]) -> None:
    import h5py

    group.create_dataset(name, data=column, dtype=h5py.string_dtype())


def _store_enumeration(group: Any, name: str, codes: Any, library: NDArray[np.object_]) -> None:
    _store(group, name, codes)
    _store_texts(group.require_group("@library"), name, library)


def _store_index(group: Any, node: NDArray[np.int32], size: int) -> None:
    """SONATA's index: for each node the ranges of connections that are its own."""
    shift = len(node).bit_length()
    keys = node.astype(np.int64)
    keys <<= shift
    keys |= np.arange(len(node))
    keys.sort()
    first = np.append(True, np.diff(keys) != 1)[: len(keys)]
    last = np.append(first[1:], True)[: len(keys)]
    edge = np.int64((1 << shift) - 1)
    dtype = np.uint32 if len(node) < 1 << 32 else np.uint64
    ranges = np.empty((int(first.sum()), 2), dtype=dtype)
    ranges[:, 0] = keys[first] & edge
    ranges[:, 1] = (keys[last] & edge) + 1
    bounds = np.searchsorted(keys[first] >> shift, np.arange(size + 1)).astype(dtype)
    group.create_dataset("range_to_edge_id", data=ranges)
    group.create_dataset("node_id_to_ranges", data=np.stack([bounds[:-1], bounds[1:]], axis=1))
