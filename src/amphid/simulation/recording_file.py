"""Recordings on disk: one HDF5 file with named dimensions and units."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from amphid.simulation.recording import UNITS, Recording, Spikes
from amphid.wiring import Cells

if TYPE_CHECKING:
    import h5py

FORMAT = 2  # 1 where every variable was kept for every cell


def save(run: Recording, path: Path) -> Path:
    """Write the recording under a temporary name, then put it in place."""
    import h5py

    if path.suffix not in (".h5", ".hdf5"):
        raise ValueError(f"a recording is kept as .h5, got {path.name!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(part, "w") as file:
            _write(run, file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def load(path: Path) -> Recording:
    """Read a recording that `save` wrote."""
    with opened(path) as file:
        return _read(file)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file of a recording, of which nothing is read yet.

    Raises FileNotFoundError, and ValueError for one that is cut short or no recording.
    """
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with h5py.File(path, "r") as file:
            version = int(file.attrs.get("amphid_recording", 0))
            if version > FORMAT:
                raise ValueError(
                    f"it has format {version}, this version reads up to {FORMAT}: upgrade amphid"
                )
            if version < 1:
                raise ValueError("it is HDF5, but no recording")
            yield file
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = error.args[0] if error.args else error
        raise ValueError(f"{path} cannot be read as a recording: {reason}.") from None


def _write(run: Recording, file: h5py.File) -> None:
    import h5py

    version = FORMAT if run.kept else 1
    file.attrs.update(amphid_recording=version, dt=run.dt, every=run.every, steps=run.steps)
    text = h5py.string_dtype()
    file.create_dataset("notes", data=np.array(run.notes, dtype=object), dtype=text)
    if run.trials:
        file.create_dataset("trials", data=np.array(run.trials, dtype=object), dtype=text)
    for column in ("name", "kind", "cell_class", "transmitter"):
        file.create_dataset(f"cells/{column}", data=getattr(run.cells, column), dtype=text)
    file["cells/position"] = run.cells.position
    file["cells/position"].attrs["units"] = "um"
    file["time"] = run.time.numpy()
    file["time"].attrs["units"] = "ms"
    for name, value in run.fields.items():
        if name == "spike":
            continue
        data = file.create_dataset(f"fields/{name}", data=value.detach().cpu().numpy())
        data.attrs["units"] = UNITS.get(name.rpartition(".")[2], "1")
        _name_dimensions(data)
    for name, cells in run.kept.items():
        file[f"kept/{name}"] = cells.cpu().numpy()
    if run.spikes is not None:
        file["spikes/index"] = run.spikes.index.cpu().numpy()
        file["spikes/shape"] = np.array(run.spikes.shape)
    if run.weight is not None:
        data = file.create_dataset("connections/weight", data=run.weight.detach().cpu().numpy())
        data.attrs["units"] = "1"
        _name_dimensions(data, "connection")
        file["connections/index"] = run.edges


def _name_dimensions(data: Any, last: str = "cell") -> None:
    batch = [f"batch{axis}" for axis in range(data.ndim - 2)]
    for axis, name in enumerate(("time", *batch, last)):
        data.dims[axis].label = name


def _read(file: h5py.File) -> Recording:
    names = ("name", "kind", "cell_class", "transmitter")
    columns = {name: file[f"cells/{name}"].asstr()[:] for name in names}
    dt, spikes = float(file.attrs["dt"]), None
    if "spikes" in file:
        index = torch.from_numpy(file["spikes/index"][:])
        spikes = Spikes(index, tuple(int(n) for n in file["spikes/shape"][:]), dt)
    return Recording(
        cells=Cells(position=file["cells/position"][:], **columns),
        dt=dt,
        every=int(file.attrs["every"]),
        fields={name: torch.from_numpy(data[:]) for name, data in file.get("fields", {}).items()},
        events=spikes,
        notes=tuple(file["notes"].asstr()[:]),
        trials=tuple(file["trials"].asstr()[:]) if "trials" in file else (),
        weight=torch.from_numpy(file["connections/weight"][:]) if "connections" in file else None,
        edges=file["connections/index"][:] if "connections" in file else None,
        kept={name: torch.from_numpy(data[:]) for name, data in file.get("kept", {}).items()},
    )
