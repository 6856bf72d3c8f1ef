"""A training as it is watched: its log, thinned while it is read, and what its network does now."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from amphid.models.evaluating import evaluating

if TYPE_CHECKING:
    from amphid.interfaces.command_line.train_options import Trainee

POINTS = 600  # lines of a log that are read and shown
RUNS = 24  # of a folder of several that are shown
LONGEST = 1 << 16  # bytes of a line
SHOWN = 64  # cells of a layer in a raster
ASKED = 4096  # losses of an audit; of fewer its trend is mostly lost in noise
METERS = ("parents", "ancestor", "distance", "curse", "luck")
"""Columns of an evolution that tell how inbred its population is."""


@dataclass(frozen=True)
class Log:
    """The `metrics.jsonl` of a run folder, of which no more is read than is shown."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def rows(self, points: int = POINTS) -> list[dict[str, Any]]:
        """Lines evenly over the file, the first and the last among them, in order.

        A line that is not whole yet, or is no object of JSON, is passed over.
        """
        if not self.size:
            return []
        with self.path.open("rb") as file:
            return list(_whole(_lines(file, self.size, points)))


class Subject:
    """A network that is trained, before and now, with a batch to look at it by.

    made: makes the trainee, the same each time: a model as it began, batches and a loss.
    folder: where the training keeps its checkpoints and weights.
    """

    def __init__(self, made: Callable[[], Trainee], folder: Path) -> None:
        self.made, self.folder = made, folder

    def raster(self) -> dict[str, Any]:
        """What the cells give out in one example, before the training and now."""
        before, now = self.made(), self._now()
        inputs, _ = _first(before.batches)
        return {"before": _given(before.model, inputs), "now": _given(now.model, inputs)}

    def gradients(self) -> dict[str, Any]:
        """The gradient report of a batch, as text."""
        from amphid.learning import gradient_report

        now = self._now()
        return {"text": str(gradient_report(now.model, _first(now.batches), now.loss))}

    def surrogates(self) -> dict[str, Any]:
        """The audit of surrogates on a batch, as text."""
        from amphid.learning import surrogate_audit

        now, draw = self._now(), torch.Generator().manual_seed(0)
        audit = surrogate_audit(
            now.model, _first(now.batches), now.loss, generator=draw, samples=ASKED
        )
        told = f"From {ASKED:,} losses of one batch; more by amphid.learning.surrogate_audit."
        return {"text": f"{audit}\n{told}"}

    def _now(self) -> Trainee:
        made = self.made()
        made.model.load_state_dict(_weights(self.folder))
        return made


LOOKS: Mapping[str, Callable[[Subject], dict[str, Any]]] = {
    "raster": Subject.raster,
    "gradients": Subject.gradients,
    "surrogates": Subject.surrogates,
}
"""What the page may ask for by name."""


def subject_of(folder: Path) -> Subject | None:
    """The network of a run folder of `amphid train`; None where it does not tell which."""
    from amphid.interfaces.command_line import train_options

    if not (folder / "config.toml").is_file():
        return None
    try:
        settings = train_options.read(folder / "config.toml")
    except ValueError:
        return None
    return Subject(lambda: train_options.trainee(settings, "cpu"), folder)


def logs_of(folder: Path) -> dict[str, Log]:
    """The log of a training, or those of the trainings in a folder of several, by name."""
    if (folder / "metrics.jsonl").is_file():
        return {"": Log(folder / "metrics.jsonl")}
    found = sorted(path for path in folder.glob("*/metrics.jsonl") if path.is_file())
    return {path.parent.name: Log(path) for path in found[:RUNS]}


def ended(folder: Path) -> str:
    """Why a training ended, in a word; nothing while it runs, or where nobody tells."""
    try:
        told = json.loads((folder / "run.json").read_text(encoding="utf-8"))["ended"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(told)


def _lines(file: Any, size: int, points: int) -> Iterator[bytes]:
    """Whole lines of a file at even distances; all of them where they are few."""
    if size <= points * 200:
        yield from file.readlines()
        return
    last = -1
    for start in np.linspace(0, size, points, endpoint=False, dtype=np.int64).tolist():
        if start <= last:
            continue
        file.seek(start)
        if start:
            file.readline(LONGEST)  # the rest of a line that began before
        line = file.readline(LONGEST)
        last = file.tell() - 1
        yield line
    file.seek(max(0, size - LONGEST))
    tail = file.readlines()
    if tail and file.tell() - 1 > last:
        yield tail[-1]


def _whole(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.endswith(b"\n"):
            continue
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def _weights(folder: Path) -> dict[str, Any]:
    """The newest weights: those at the end, or of the last checkpoint where that is younger.

    Raises FileNotFoundError where there are none yet.
    """
    from safetensors.torch import load_file

    from amphid.learning.fitting.checkpoints import Folder

    final = folder / "model.safetensors"
    newest = max(folder.glob("checkpoints/*.json"), key=os.path.getmtime, default=None)
    if final.is_file() and (newest is None or final.stat().st_mtime >= newest.stat().st_mtime):
        return load_file(final)
    state = Folder(folder, writes=False).begin(resume=True)
    if state is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint yet: look again in a while.")
    return dict(state["model"])


def _first(batches: Any) -> tuple[Any, Any]:
    for inputs, targets, *_ in batches:
        return inputs, targets
    raise ValueError("the training has no batches to look at.")


@torch.no_grad()
def _given(model: nn.Module, inputs: Any) -> list[dict[str, Any]]:
    """Of each layer of cells, what up to 64 of them give out in the first example [N, T]."""
    from amphid.learning.gradient_report import heard

    with evaluating(model), heard(model) as passed:
        model(inputs)
    shown = []
    for one in passed:
        output = one.output.reshape(len(one.output), -1, one.output.shape[-1])[:, 0, :SHOWN]
        value = output.T.double().nan_to_num()
        shown.append(
            {
                "name": one.name,
                "cells": one.output.shape[-1],
                "dt": one.dt,
                "value": [[round(x, 4) for x in row] for row in value.tolist()],
            }
        )
    return shown
