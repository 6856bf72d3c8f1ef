"""A network as a folder in SONATA layout: configurations, nodes, edges and their types.

::

    circuit_config.json      where everything lies
    simulation_config.json   how it is run: duration, dt, inputs
    network/                 nodes and edges of each population, and the table of their types
    components/cells/        parameters of each type of cell, components/synapses/ of connections
    inputs/                  spikes of the cells that fire as told

The layout is that of the SONATA developer guide: Dai et al. 2020, doi:10.1371/journal.pcbi.1007696.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from amphid.interfaces.sonata.circuit import Circuit, Population, Train
from amphid.interfaces.sonata.nest_models import Numbers, kinds, projections
from amphid.simulation import Network, Stimulus

CELLS, INPUTS = "cells", "inputs"


def export_sonata(
    network: Network,
    folder: str | Path,
    *,
    dt: float,
    duration: float,
    stimulus: Stimulus | Tensor | None = None,
    spikes: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Write a whole network as a SONATA circuit that NEST's `SonataNetwork` builds and runs.

    Cells become point neurons with NEST's models and parameters, connections its synapses with
    weights in its units and delays in steps of dt; names, kinds and positions of the cells go with
    them. LIF and AdEx with delta, exponential and alpha currents or conductances can be said in
    NEST, alone, `Refractory` or `Mixed`, and Izhikevich of 2003 with delta pulses; `ShortTerm`
    becomes `tsodyks2_synapse`. What cannot be said is a ValueError that names it.

    folder: not there yet, or empty. dt, duration: ms. stimulus: currents that do not change, into
    `I_e`. spikes: cells that fire as told, at times in ms, instead of by their equations: virtual
    nodes of a population "inputs".

    The folder appears whole or not at all. Raises ValueError for what NEST cannot do, KeyError for
    a cell that is not there, FileExistsError for a folder with files in it.
    """
    folder = Path(folder)
    _check(network, dt, duration)
    told = {str(network.connectome.cells.name[network.connectome.index(name)]): times
            for name, times in (spikes or {}).items()}  # fmt: skip
    circuit = _circuit(network, _constant(network, stimulus), told, dt)
    with _whole(folder) as draft:
        circuit.write(draft)
        _write_json(draft / "circuit_config.json", circuit.config())
        _write_json(draft / "simulation_config.json", _simulation(dt, duration, bool(told)))
    return folder


def _circuit(
    network: Network, drive: Numbers, told: Mapping[str, Sequence[float]], dt: float
) -> Circuit:
    names = network.connectome.cells.name
    virtual = np.isin(names.astype(str), list(told))
    wires = network.connectome.connections
    if virtual[wires.post].any():
        name = names[wires.post[virtual[wires.post]][0]]
        raise ValueError(f"{name} fires as told in `spikes`, so no connection may lead to it.")
    every = kinds(network, drive, dt)
    populations = [Population(CELLS, np.flatnonzero(~virtual))]
    trains = [Train(int(network.connectome.index(name)), times) for name, times in told.items()]
    if trains:
        populations.append(Population(INPUTS, np.flatnonzero(virtual), tuple(trains)))
    return Circuit(network.connectome, populations, every, projections(network, every, dt), dt)


def _constant(network: Network, stimulus: Stimulus | Tensor | None) -> Numbers:
    """A current into each cell [N] in pA."""
    size = len(network.connectome)
    if stimulus is None:
        return np.zeros(size)
    current = stimulus.dense() if isinstance(stimulus, Stimulus) else stimulus
    if current.dim() != 2 or current.shape[1] != size:
        raise ValueError(
            f"stimulus must be [T, {size}], a current into each cell, got shape "
            f"{list(current.shape)}."
        )
    if bool((current != current[:1]).any()):
        raise ValueError(
            "NEST's SONATA reader takes spikes as inputs, and currents only as the constant I_e of "
            "a cell: this stimulus changes. Give currents that last, or spike times with `spikes`."
        )
    drive: Numbers = current[0].detach().double().numpy()
    return drive


def _simulation(dt: float, duration: float, inputs: bool) -> dict[str, Any]:  # noqa: FBT001
    spikes = {
        "input_type": "spikes",
        "module": "h5",
        "input_file": f"$BASE_DIR/inputs/{INPUTS}.h5",
        "node_set": INPUTS,
    }
    return {
        "manifest": {"$BASE_DIR": ".", "$OUTPUT_DIR": "$BASE_DIR/output"},
        "network": "$BASE_DIR/circuit_config.json",
        "target_simulator": "NEST",
        "run": {"tstop": duration, "dt": dt, "random_seed": 0},
        "inputs": {INPUTS: spikes} if inputs else {},
        "output": {"output_dir": "$OUTPUT_DIR", "spikes_file": "spikes.h5"},
    }


def _check(network: Network, dt: float, duration: float) -> None:
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}.")
    if network.batch:
        raise ValueError(
            "only a single network can be exported, not trials or draws side by side: got a batch "
            f"of {list(network.batch)}."
        )
    for name, value in (("dt", dt), ("duration", duration)):
        if not (isinstance(value, int | float) and 0 < value < float("inf")):
            raise ValueError(f"{name} must be a positive number of ms, got {value!r}.")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A draft that becomes the folder once the block has ended well, and is gone otherwise."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already: give a folder that is new or empty.")
    if not folder.absolute().parent.is_dir():
        raise FileNotFoundError(f"cannot write {folder}: there is no folder {folder.parent}.")
    draft = folder.absolute().with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        draft.mkdir()
        yield draft
        if folder.is_dir():
            folder.rmdir()
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
