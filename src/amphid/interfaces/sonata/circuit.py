"""Nodes, edges and their types on disk.

NEST reads parameters of cells and delays from the tables of types alone, so cells that differ in a
parameter are of different types, and so are connections that differ in their delay. The files of
edges hold the delays too, for readers that look there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.interfaces.sonata.nest_models import Kind, Numbers, Projection
from amphid.wiring import Connectome

FIRST = 100  # number of the first type
_MAGIC = 0x0A7A


@dataclass(frozen=True)
class Train:
    """When a cell fires, ms."""

    cell: int
    times: Sequence[float]


@dataclass(frozen=True)
class Population:
    """Cells of a connectome that lie in one file; with trains they fire as told."""

    name: str
    cells: NDArray[np.int64]
    trains: tuple[Train, ...] = ()


@dataclass(frozen=True)
class Circuit:
    """Everything but the simulation: populations, what their cells do, connections."""

    connectome: Connectome
    populations: list[Population]
    kinds: list[Kind]
    projections: list[Projection]
    dt: float

    def write(self, folder: Path) -> None:
        """Fill the folders `network`, `components` and `inputs`."""
        for name in ("network", "components/cells", "components/synapses"):
            (folder / name).mkdir(parents=True)
        for population in self.populations:
            types = np.full(len(population.cells), FIRST)
            if population.trains:
                _write_trains(folder, population)
                rows: list[dict[str, Any]] = [{"node_type_id": FIRST, "model_type": "virtual"}]
            else:
                types, rows = self._node_types(folder, population)
            _write_table(folder / f"network/{population.name}_node_types.csv", rows)
            self._write_nodes(folder / f"network/{population.name}_nodes.h5", population, types)
        rows = list(self._edge_types(folder))
        for name, (source, edges) in self._edge_files.items():
            _write_table(folder / f"network/{name}_edge_types.csv", rows)
            self._write_edges(folder / f"network/{name}_edges.h5", name, source, edges)

    def config(self) -> dict[str, Any]:
        """What `circuit_config.json` says."""
        nodes = [
            {
                "nodes_file": f"$NETWORK_DIR/{population.name}_nodes.h5",
                "node_types_file": f"$NETWORK_DIR/{population.name}_node_types.csv",
                "populations": {
                    population.name: {"type": "virtual" if population.trains else "point_neuron"}
                },
            }
            for population in self.populations
        ]
        edges = [
            {
                "edges_file": f"$NETWORK_DIR/{name}_edges.h5",
                "edge_types_file": f"$NETWORK_DIR/{name}_edge_types.csv",
                "populations": {name: {"type": "chemical"}},
            }
            for name in self._edge_files
        ]
        return {
            "manifest": {
                "$BASE_DIR": ".",
                "$NETWORK_DIR": "$BASE_DIR/network",
                "$COMPONENTS_DIR": "$BASE_DIR/components",
            },
            "components": {
                "point_neuron_models_dir": "$COMPONENTS_DIR/cells",
                "synaptic_models_dir": "$COMPONENTS_DIR/synapses",
            },
            "networks": {"nodes": nodes, "edges": edges},
        }

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        """[N] number of each cell within its population."""
        place = np.zeros(len(self.connectome), dtype=np.int64)
        for population in self.populations:
            place[population.cells] = np.arange(len(population.cells))
        return place

    @cached_property
    def _columns(self) -> tuple[NDArray[np.int64], Numbers, NDArray[np.int64], NDArray[np.int64]]:
        """Of all connections: which, weight, delay in steps, type."""
        types = self._type_of
        ids = [
            np.array([types[number, steps] for steps in one.steps.tolist()], dtype=np.int64)
            for number, one in enumerate(self.projections)
        ]
        nothing = [np.zeros(0, dtype=np.int64)]
        edges = np.concatenate([*nothing, *(one.edges for one in self.projections)])
        weight = np.concatenate([np.zeros(0), *(one.weight for one in self.projections)])
        steps = np.concatenate([*nothing, *(one.steps for one in self.projections)])
        return edges, weight, steps, np.concatenate([*nothing, *ids])

    @cached_property
    def _type_of(self) -> dict[tuple[int, int], int]:
        """The type of connections of a projection with a delay of so many steps."""
        pairs = [
            (number, int(steps))
            for number, one in enumerate(self.projections)
            for steps in np.unique(one.steps)
        ]
        return {pair: FIRST + rank for rank, pair in enumerate(pairs)}

    @cached_property
    def _edge_files(self) -> dict[str, tuple[Population, NDArray[np.int64]]]:
        """Connections that leave each population, by the name of their file."""
        pre = self.connectome.connections.pre[self._columns[0]]
        found = {}
        for population in self.populations:
            chosen = np.flatnonzero(np.isin(pre, population.cells))
            if len(chosen):
                name = f"{population.name}_to_{self.populations[0].name}"
                found[name] = (population, chosen)
        return found

    def _node_types(
        self, folder: Path, population: Population
    ) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
        """The type of every cell of a population, and the rows of the table of types."""
        types = np.zeros(len(self.connectome), dtype=np.int64)
        rows: list[dict[str, Any]] = []
        for kind in self.kinds:
            here = np.isin(kind.cells, population.cells)
            columns = np.stack([column[here] for column in kind.parameters.values()], axis=1)
            distinct, which = np.unique(columns, axis=0, return_inverse=True)
            types[kind.cells[here]] = FIRST + len(rows) + which.reshape(-1)
            for values in distinct.tolist():
                number = FIRST + len(rows)
                parameters = dict(zip(kind.parameters, values, strict=True))
                _write_json(folder / f"components/cells/{number}.json", parameters)
                rows.append(
                    {
                        "node_type_id": number,
                        "model_type": "point_neuron",
                        "model_template": f"nest:{kind.model}",
                        "dynamics_params": f"{number}.json",
                    }
                )
        return types[population.cells], rows

    def _edge_types(self, folder: Path) -> Iterator[dict[str, Any]]:
        for (number, steps), type_id in self._type_of.items():
            one = self.projections[number]
            path = f"components/synapses/{one.group}.json"
            _write_json(folder / path, one.parameters)
            yield {
                "edge_type_id": type_id,
                "model_template": one.model,
                "delay": repr(round(steps * self.dt, 9)),
                "dynamics_params": f"{one.group}.json",
                "group": one.group,
            }

    def _write_nodes(self, path: Path, population: Population, types: NDArray[np.int64]) -> None:
        import h5py

        cells, size = self.connectome.cells, len(population.cells)
        with h5py.File(path, "w") as file:
            _stamp(file)
            group = file.create_group(f"nodes/{population.name}")
            group["node_id"] = np.arange(size, dtype=np.uint64)
            group["node_type_id"] = types.astype(np.int64)
            group["node_group_id"] = np.zeros(size, dtype=np.uint32)
            group["node_group_index"] = np.arange(size, dtype=np.uint64)
            own, text = group.create_group("0"), h5py.string_dtype()
            for column in ("name", "kind", "cell_class", "transmitter"):
                values = getattr(cells, column)[population.cells]
                own.create_dataset(column, data=values, dtype=text)
            for axis, column in enumerate("xyz"):
                position = cells.position[population.cells, axis]
                if not np.isnan(position).all():
                    own[column] = position

    def _write_edges(
        self, path: Path, name: str, source: Population, chosen: NDArray[np.int64]
    ) -> None:
        import h5py

        edges, weight, steps, types = (column[chosen] for column in self._columns)
        wires, size = self.connectome.connections, len(chosen)
        with h5py.File(path, "w") as file:
            _stamp(file)
            group = file.create_group(f"edges/{name}")
            ends = (("source_node_id", wires.pre, source), ("target_node_id", wires.post, None))
            for column, end, population in ends:
                data = self._place[end[edges]].astype(np.uint64)
                owner = (population or self.populations[0]).name
                group.create_dataset(column, data=data).attrs["node_population"] = owner
            group["edge_type_id"] = types.astype(np.int64)
            group["edge_group_id"] = np.zeros(size, dtype=np.uint32)
            group["edge_group_index"] = np.arange(size, dtype=np.uint64)
            group["0/syn_weight"] = weight
            group["0/delay"] = steps * self.dt


def _write_trains(folder: Path, population: Population) -> None:
    import h5py

    place = {int(cell): number for number, cell in enumerate(population.cells)}
    ids = [np.full(len(train.times), place[train.cell]) for train in population.trains]
    times = np.concatenate(
        [np.asarray(train.times, dtype=np.float64) for train in population.trains]
    )
    if not (np.isfinite(times) & (times > 0)).all():
        raise ValueError("spike times must be numbers of ms above 0.")
    order = np.argsort(times, kind="stable")
    (folder / "inputs").mkdir()
    with h5py.File(folder / f"inputs/{population.name}.h5", "w") as file:
        _stamp(file)
        group = file.create_group(f"spikes/{population.name}")
        kinds = h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1")
        group.attrs.create("sorting", 2, dtype=kinds)
        group["node_ids"] = np.concatenate(ids)[order].astype(np.uint64)
        group["timestamps"] = times[order]
        group["timestamps"].attrs["units"] = "ms"


def _stamp(file: Any) -> None:
    file.attrs["magic"] = np.uint32(_MAGIC)
    file.attrs["version"] = np.array([0, 1], dtype=np.uint32)


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A table of types with a space between columns."""
    lines = [" ".join(rows[0]), *(" ".join(str(value) for value in row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
