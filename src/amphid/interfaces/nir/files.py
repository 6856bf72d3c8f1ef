"""NIR graphs as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from amphid.interfaces.nir.package import nir
from amphid.interfaces.nir.reading import from_nir
from amphid.interfaces.nir.writing import to_nir


def export_nir(
    module: nn.Module,
    path: str | Path,
    *,
    inputs: int | tuple[int, ...],
    euler: float | None = None,
) -> Path:
    """Write layers as a .nir file; see `to_nir`.

    The file appears whole or not at all. Raises ValueError for another suffix, FileNotFoundError
    when the folder is not there.
    """
    path = Path(path)
    if path.suffix not in (".nir", ".h5", ".hdf5"):
        raise ValueError(f"the file must end in .nir, got {path.name!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")
    graph = to_nir(module, inputs=inputs, euler=euler)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        nir().write(part, graph)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def import_nir(
    path: str | Path | Any, *, euler: float | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Read a .nir file, of ours or of another program, as layers; see `from_nir`.

    path: of the file, or the graph itself, as `nir` and other libraries hand it over.
    Raises FileNotFoundError, or ValueError for a file that is damaged or no NIR.
    """
    if not isinstance(path, str | Path):
        if isinstance(path, nir().NIRGraph):
            return from_nir(path, euler=euler, dtype=dtype)
        raise TypeError(f"import_nir takes a path or a NIRGraph, got {type(path).__name__}.")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        graph = nir().read(path, type_check=False)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # its reader raises whatever the damage leads to
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read as NIR ({reason}).") from None
    return from_nir(graph, euler=euler, dtype=dtype)
