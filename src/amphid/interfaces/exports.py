"""Recordings in the formats of other programs: NWB and CSV."""

from __future__ import annotations

import csv
import math
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from amphid.simulation import Recording, Spikes
from amphid.simulation.recording import UNITS

if TYPE_CHECKING:
    from pynwb import NWBFile

SI = {"mV": ("volts", 1e-3), "pA": ("amperes", 1e-12), "nS": ("siemens", 1e-9), "1": ("n.a.", 1.0)}
"""NWB keeps SI units beside the factor that leads to them."""


def export_nwb(
    run: Recording,
    path: str | Path,
    *,
    description: str,
    session_start: datetime,
    identifier: str | None = None,
) -> Path:
    """Write a recording as Neurodata Without Borders, for the programs that read experiments.

    Spikes become `units`, one row per cell and trial with its columns `cell` and `trial`; variables
    become time series [T', N], of a batch [T', trials, N], in `processing/simulation`, beside the
    table `cells`.
    description: what was run. session_start: with its time zone, as NWB asks for. identifier: a
    name unique in the world; a random one when None.

    The file appears whole or not at all. Raises ValueError for another suffix than .nwb and for a
    time without a zone, FileNotFoundError when the folder is not there. Needs the extra `nwb`.
    """
    try:
        from pynwb import NWBHDF5IO, NWBFile
    except ModuleNotFoundError:
        raise ModuleNotFoundError("NWB files need pynwb: pip install 'amphid[nwb]'") from None
    if session_start.tzinfo is None:
        raise ValueError(
            f"session_start needs a time zone, got {session_start}: datetime.now().astimezone()."
        )
    file = NWBFile(
        session_description=description,
        identifier=identifier or str(uuid.uuid4()),
        session_start_time=session_start,
        source_script="amphid",
        source_script_file_name="amphid.interfaces.exports",
    )
    _add_variables(file, run)
    if run.spikes is not None:
        _add_units(file, run.of("spike"), run.spikes)

    def write(part: Path) -> None:
        with NWBHDF5IO(part, "w") as io:
            io.write(file)

    return _written(Path(path), ".nwb", write)


def export_csv(run: Recording, path: str | Path, *, field: str = "v") -> Path:
    """Write one variable as a table: a column `time (ms)`, then one per cell.

    Of a batch there is a column `trial` before, its axes numbered through. What is written for a
    single trial can be read by `stimulus_from_file` if it is a current.
    The file appears whole or not at all. Raises ValueError when the variable was not recorded or
    the suffix is not .csv, FileNotFoundError when the folder is not there.
    """
    if field not in run.fields:
        raise ValueError(f"there is no {field!r} to write in {run!r}.")
    run = run.of(field)
    value = run.fields[field].detach().cpu()
    batched, value = value.dim() > 2, value.reshape(len(value), -1, value.shape[-1])
    times = [_short(time) for time in run.time.tolist()]
    header = [*(["trial"] if batched else []), "time (ms)", *run.names]
    rows = (
        [*([trial] if batched else []), time, *map(repr, row)]
        for trial in range(value.shape[1])
        for time, row in zip(times, value[:, trial].tolist(), strict=True)
    )
    return _table(Path(path), header, rows)


def export_spikes(run: Recording, path: str | Path) -> Path:
    """Write the spikes as a table of events: `time_ms`, `cell` and, of a batch, `trial`.

    The file appears whole or not at all. Raises ValueError when no spikes were recorded or the
    suffix is not .csv, FileNotFoundError when the folder is not there.
    """
    run = run.of("spike")
    if run.spikes is None:
        raise ValueError("the recording has no spikes: simulate(..., record=('spike',)).")
    spikes, batched = run.spikes, len(run.spikes.shape) > 2
    times, cells = _times(spikes).tolist(), run.names[spikes.cell.cpu().numpy()]
    columns: list[Any] = [map(_short, times), cells]
    columns += [_trials(spikes).tolist()] if batched else []
    header = ["time_ms", "cell", *(["trial"] if batched else [])]
    return _table(Path(path), header, map(list, zip(*columns, strict=True)))


def _add_variables(file: NWBFile, run: Recording) -> None:
    from pynwb import TimeSeries

    about = "A simulated recording and its cells."
    module = file.create_processing_module(name="simulation", description=about)
    module.add(_cell_table(run))
    for name, value in run.fields.items():
        if name == "spike":
            continue  # they are units
        unit, factor = SI[UNITS.get(name.rpartition(".")[2], "1")]
        data = value.detach().cpu().numpy()
        series = TimeSeries(
            name=name,
            data=data.reshape(len(data), -1, data.shape[-1]) if data.ndim > 2 else data,
            unit=unit,
            conversion=factor,
            starting_time=run.every * run.dt / 1000,
            rate=1000 / (run.every * run.dt),
            comments="axes: time, trial if there are several, cell" + _rows(run, name),
        )
        module.add(series)


def _rows(run: Recording, name: str) -> str:
    """Which rows of the table of cells a series of some cells has, if not all."""
    rows = run.kept.get(name)
    if rows is None:
        return ""
    return f"; of these rows of the table of cells alone: {', '.join(map(str, rows.tolist()))}"


def _cell_table(run: Recording) -> Any:
    from pynwb.core import DynamicTable, VectorData

    def column(name: str, values: Any, meaning: str) -> Any:
        data = list(map(str, values)) if values.dtype == object else values
        return VectorData(name=name, data=data, description=meaning)

    cells = run.cells
    columns = [
        column("cell", cells.name, "Name of the cell."),
        column("kind", cells.kind, "What the cell does, such as sensory; empty where unknown."),
        column("cell_class", cells.cell_class, "Class of the cell; empty where unknown."),
        column("transmitter", cells.transmitter, "Its transmitters; empty where unknown."),
        *(
            column(axis, cells.position[:, place], "Position in um, nan where unknown.")
            for place, axis in enumerate("xyz")
        ),
    ]
    about = "The recorded cells; row k is the last index k of a series of all."
    return DynamicTable(name="cells", description=about, columns=columns)


def _add_units(file: NWBFile, run: Recording, spikes: Spikes) -> None:
    file.add_unit_column(name="cell", description="Name of the cell.")
    about = "Trial of the batch, its axes numbered through."
    file.add_unit_column(name="trial", description=about)
    trial, size, trials = _trials(spikes), len(run.cells), math.prod(spikes.shape[1:-1])
    owner = trial * size + spikes.cell.cpu()
    order = owner.sort(stable=True).indices
    seconds = (_times(spikes) / 1000)[order]
    trains = seconds.split(torch.bincount(owner, minlength=trials * size).tolist())
    for row, train in enumerate(trains):
        name = str(run.names[row % size])
        file.add_unit(spike_times=train.numpy(), cell=name, trial=row // size)


def _times(spikes: Spikes) -> torch.Tensor:
    """[K] ms, in double precision."""
    return (spikes.index[0].cpu() + 1).double() * spikes.dt


def _trials(spikes: Spikes) -> torch.Tensor:
    """[K] trial of each spike, the axes of the batch numbered through."""
    number = torch.zeros_like(spikes.cell, device="cpu")
    for size, place in zip(spikes.shape[1:-1], spikes.index[1:-1].cpu(), strict=True):
        number = number * size + place
    return number


def _short(time: float) -> str:
    return f"{time:.10g}"


def _table(path: Path, header: list[str], rows: Iterator[list[Any]]) -> Path:
    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(chain([header], rows))

    return _written(path, ".csv", write)


def _written(path: Path, suffix: str, write: Callable[[Path], None]) -> Path:
    """Write under a temporary name, then put the file in place."""
    if path.suffix != suffix:
        raise ValueError(f"the file must end in {suffix}, got {path.name!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{suffix}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
