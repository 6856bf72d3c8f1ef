"""Trees of tensors and plain values as a safetensors file and a JSON file, and back.

Nothing is unpickled: what is neither a tensor nor a plain value is refused when it is written.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

Tensors = dict[str, Tensor]
_PLAIN = (str, int, float, bool, type(None))


def packed(value: Any, tensors: Tensors, where: str = "") -> Any:
    """The value as JSON in which tensors are numbered; they are put into `tensors`.

    Raises TypeError naming the place of what cannot be kept.
    """
    if isinstance(value, Tensor):
        name = f"{len(tensors)}:{where}"
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple):
        return {"tuple": [packed(part, tensors, f"{where}/{k}") for k, part in enumerate(value)]}
    if isinstance(value, list):
        return [packed(part, tensors, f"{where}/{k}") for k, part in enumerate(value)]
    if isinstance(value, Mapping) and type(value) in (dict, Counter, OrderedDict, defaultdict):
        kind = "counter" if isinstance(value, Counter) else "map"
        entries = [
            [packed(key, tensors, where), packed(part, tensors, f"{where}/{key}")]
            for key, part in value.items()
        ]
        return {kind: entries}
    raise TypeError(
        f"a checkpoint keeps tensors, numbers, text, lists and mappings, but {where.strip('/')} "
        f"holds {type(value).__name__}."
    )


def unpacked(value: Any, tensors: Tensors) -> Any:
    """What was packed."""
    if isinstance(value, list):
        return [unpacked(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "tuple":
        return tuple(unpacked(part, tensors) for part in held)
    entries = {unpacked(key, tensors): unpacked(part, tensors) for key, part in held}
    return Counter(entries) if kind == "counter" else entries


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, through to the disk, then put it in place."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def as_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a safetensors file."""
    content: bytes = _safetensors().save({name: _alone(held) for name, held in tensors.items()})
    return content


def read_tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file. Raises ValueError for a damaged one."""
    safetensors = _safetensors()
    try:
        found: Tensors = safetensors.load_file(path)
    except Exception as error:  # the library has its own exceptions, one of them a bare Exception
        raise ValueError(f"{path} cannot be read as safetensors: {error}.") from None
    return found


def _alone(held: Tensor) -> Tensor:
    """A copy, since tied weights share memory and safetensors refuses that."""
    return held.detach().to("cpu", copy=True).contiguous()


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ModuleNotFoundError:
        raise ModuleNotFoundError("checkpoints need safetensors: pip install safetensors") from None
    return safetensors.torch
