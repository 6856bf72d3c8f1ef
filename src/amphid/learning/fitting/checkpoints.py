"""A folder of a fit: its metrics, its last checkpoint and the weights it ended with."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from amphid.learning.fitting.packing import (
    Tensors,
    as_safetensors,
    packed,
    read_tensors,
    unpacked,
    write_whole,
)

FORMAT = 1
_NAME = re.compile(r"\d{5,}-\d{8,}")


class Folder:
    """Where a fit keeps what it does.

    `metrics.jsonl` has a line of JSON for every epoch. `checkpoints/` holds one checkpoint, a JSON
    file and a safetensors file named after the epoch and the number of updates: the JSON file is
    put in place last, so a checkpoint that has one is whole. `model.safetensors` are the weights at
    the end.

    counts: what is counted in every line and every state, and orders them. writes: False in a
    process that only reads, since another one keeps the same fit.
    """

    def __init__(self, path: Path, *, counts: str = "update", writes: bool = True) -> None:
        self.path, self.counts, self.writes = path, counts, writes
        self.checkpoints, self.metrics = path / "checkpoints", path / "metrics.jsonl"

    def begin(self, *, resume: bool) -> dict[str, Any] | None:
        """The last checkpoint, where the fit goes on from it; make the folder otherwise.

        Raises FileExistsError where a fit is already and it is not to be resumed, ValueError for a
        checkpoint that is damaged.
        """
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"the folder of a fit cannot be {self.path}, which is a file.")
        found = self._last()
        if not self.writes:
            return self._read(found) if found and resume else None
        if not resume and (found or self.metrics.exists()):
            raise FileExistsError(
                f"{self.path} already holds a fit: give resume=True to go on with it, or another "
                "folder."
            )
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        state = self._read(found) if found else None
        self._rewind(0 if state is None else int(state["at"][self.counts]))
        return state

    def keep(self, epoch: int, update: int, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, whoever else does; those before it go once this one is whole."""
        tensors: Tensors = {}
        tree = packed(dict(state), tensors)
        name = f"{epoch:05d}-{update:08d}"
        written = as_safetensors(tensors)
        write_whole(self.checkpoints / f"{name}.safetensors", written)
        content = {
            "amphid_fit": FORMAT,
            "update": update,
            "sha256": hashlib.sha256(written).hexdigest(),
            "state": tree,
        }
        text = json.dumps(content, ensure_ascii=False)
        write_whole(self.checkpoints / f"{name}.json", text.encode())
        for other in self.checkpoints.iterdir():
            if _NAME.fullmatch(other.stem) and _order(other) < _order(Path(name)):
                other.unlink(missing_ok=True)

    def tell(self, row: Mapping[str, Any]) -> None:
        """Add a line to the metrics, whole and at once."""
        if not self.writes:
            return
        with self.metrics.open("ab") as file:
            file.write(_line(row))
            file.flush()

    def weights(self, held: Mapping[str, Tensor]) -> None:
        """Write the weights at the end of the fit."""
        if self.writes:
            write_whole(self.path / "model.safetensors", as_safetensors(held))

    def _last(self) -> Path | None:
        if not self.checkpoints.is_dir():
            return None
        named = [path for path in self.checkpoints.glob("*.json") if _NAME.fullmatch(path.stem)]
        return max(named, key=_order, default=None)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content["amphid_fit"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read as a checkpoint: {error!r}.") from None
        if version != FORMAT:
            raise ValueError(
                f"{path} has format {version!r}, this version reads {FORMAT}: use the version of "
                "amphid that wrote it."
            )
        file = path.with_suffix(".safetensors")
        if not file.is_file():
            raise ValueError(f"{path} has lost its tensors: there is no {file.name} beside it.")
        if hashlib.sha256(file.read_bytes()).hexdigest() != content.get("sha256"):
            raise ValueError(f"{file} is not what {path.name} was written with: it is damaged.")
        try:
            state: dict[str, Any] = unpacked(content["state"], read_tensors(file))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be read as a checkpoint: {error!r}.") from None
        return state

    def _rewind(self, update: int) -> None:
        """Drop the lines of metrics beyond an update, and a line that was cut off."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_bytes().splitlines():
            try:
                row = json.loads(line)
                past = row[self.counts] > update
            except (ValueError, KeyError, TypeError):
                continue
            if not past:
                kept.append(line + b"\n")
        write_whole(self.metrics, b"".join(kept))


def _order(checkpoint: Path) -> list[int]:
    """Epoch and update of a checkpoint."""
    return [int(number) for number in checkpoint.stem.split("-")]


def _line(row: Mapping[str, Any]) -> bytes:
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return (json.dumps(finite, ensure_ascii=False) + "\n").encode()
