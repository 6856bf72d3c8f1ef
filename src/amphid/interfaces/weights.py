"""Weights as safetensors, with what else they depend on.

A weight means nothing without the equations around it: a network trained with tau = 20 ms does
something else at 10 ms, though its tensors fit. The file therefore holds, for every neuron and
synapse, the values that are no tensors, the surrogate, and whether the reset is differentiated; and
loading compares them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics.values import Equation

FORMAT = "1"


def save_weights(
    module: nn.Module, path: str | Path, *, notes: Mapping[str, str] | None = None
) -> Path:
    """Write the parameters and buffers of any module.

    notes: texts to keep with them, such as what it was trained on. The file appears whole or not at
    all. Raises ValueError for another suffix than .safetensors, FileNotFoundError when the folder
    is not there.
    """
    from safetensors.torch import save_file

    import amphid

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"the file must end in .safetensors, got {path.name!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")
    if not isinstance(module, nn.Module):
        raise TypeError(f"save_weights takes an nn.Module, got {type(module).__name__}.")
    tensors = {
        name: held.detach().cpu().contiguous().clone()  # two names may share one tensor
        for name, held in module.state_dict().items()
        if isinstance(held, Tensor)
    }
    about = {
        "amphid": amphid.__version__,
        "torch": torch.__version__,
        "format": FORMAT,
        "equations": json.dumps(equations(module)),
        "notes": json.dumps(dict(notes or {})),
    }
    part = path.with_name(f".{path.stem}.{os.getpid()}.part.safetensors")
    try:
        save_file(tensors, part, metadata=about)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def load_weights(module: nn.Module, path: str | Path, *, anyway: bool = False) -> dict[str, str]:
    """Put weights into a module made as the one they came from, and return the notes.

    anyway: take them although the equations around them differ: other constants, another surrogate
    or another gradient of the reset. Nothing is changed in the module unless all fits.

    Raises FileNotFoundError; ValueError for a file that is no safetensors file, for tensors that
    are missing, unknown or of another shape, and for equations that differ, each by name.
    """
    tensors, about = _read(Path(path))
    own = {name: held for name, held in module.state_dict().items() if isinstance(held, Tensor)}
    _check_names(set(tensors), set(own), path)
    for name, held in own.items():
        if tensors[name].shape != held.shape:
            raise ValueError(
                f"{path}: {name} has shape {list(tensors[name].shape)}, the module's "
                f"{list(held.shape)}."
            )
    if not anyway and (differing := list(_differences(about, equations(module)))):
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ValueError(
            f"{path} was written around other equations: {'; '.join(differing[:3])}{more}. Build "
            "the module as it was, or load it with anyway=True."
        )
    module.load_state_dict(tensors, strict=False)
    notes: dict[str, str] = json.loads(about.get("notes", "{}"))
    return notes


def equations(module: nn.Module) -> dict[str, dict[str, str]]:
    """The values of every neuron and synapse of a module that are no tensors, as texts by name."""
    return {
        name: {
            "": type(part).__name__,
            **{key: repr(held) for key, held in part.values() if not isinstance(held, Tensor)},
        }
        for name, part in module.named_modules()
        if isinstance(part, Equation)
    }


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a file in it, such as model.safetensors.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} cannot be read as safetensors ({error}): give a whole file that "
            "save_weights wrote, or the model.safetensors of a training."
        ) from None
    if about.get("format", FORMAT) > FORMAT and "amphid" in about:
        raise ValueError(
            f"{path} was written by amphid {about['amphid']}, which is newer: pip install "
            "--upgrade amphid"
        )
    return tensors, about


def _check_names(there: set[str], own: set[str], path: str | Path) -> None:
    for names, what in ((own - there, "lacks"), (there - own, "has, but the module has not,")):
        if names:
            raise ValueError(
                f"{path} {what} {_some(names)}. It holds {_some(there)}, the module {_some(own)}: "
                "build the module as it was when they were written."
            )


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "") or "nothing"


def _differences(about: Mapping[str, str], own: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what the equations of a file and of a module do not share."""
    there: dict[str, dict[str, str]] = json.loads(about.get("equations", "{}"))
    for name in sorted({*there, *own} if there else ()):
        file, here = there.get(name, {}), own.get(name, {})
        for key in dict.fromkeys([*file, *here]):
            if file.get(key) != here.get(key):
                which = ".".join(part for part in (name, key) if part) or "the module"
                yield f"{which} is {file.get(key, 'learned')}, not {here.get(key, 'learned')}"
