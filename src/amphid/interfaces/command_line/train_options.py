"""From what was typed to the settings of a training, and to what is trained."""

from __future__ import annotations

import argparse
import inspect
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

import amphid
from amphid import dynamics, learning, models, tasks
from amphid.dynamics.surrogate import Surrogate
from amphid.interfaces.command_line import settings as config
from amphid.interfaces.command_line.functions import function, value_of
from amphid.interfaces.command_line.parsing import UsageError, choices

PROGRAM = "amphid train"
TASKS = {"digits": tasks.Digits}
"""The one place where the name of a task that a person types becomes one."""
SURROGATES: dict[str, Callable[[float], Surrogate]] = {
    "arctan": dynamics.Arctan,
    "fast-sigmoid": dynamics.FastSigmoid,
    "triangle": dynamics.Triangle,
    "boxcar": dynamics.Boxcar,
    "sigmoid": dynamics.Sigmoid,
    "gaussian": dynamics.Gaussian,
}
NETWORK = (
    "network", "hidden", "maps", "steps", "tau", "surrogate", "width", "dropout", "batch_norm",
    "samples", "batch",
)  # fmt: skip
"""Settings of the networks for tasks, which a function of one's own does not take."""
SHARPNESS = 2.0  # what mean outputs are multiplied by to be logits


class TrainSettings(BaseModel):
    """Everything a training was told."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    version: str = amphid.__version__
    what: str = Field(min_length=1)
    network: Literal["dense", "convolutional"] = "dense"
    hidden: list[int] = Field(default=[100], min_length=1)
    maps: list[int] = Field(default=[12, 24], min_length=2, max_length=2)
    steps: float | None = Field(default=None, gt=0)
    tau: float = Field(default=10.0, gt=0)
    surrogate: str = "arctan"
    width: float = Field(default=0.5, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    batch_norm: bool = False
    samples: int | None = Field(default=None, ge=1)
    batch: int = Field(default=128, ge=1)
    values: dict[str, bool | int | float | str] = {}
    epochs: int = Field(default=5, ge=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=4e-3, gt=0)
    schedule: Literal["cycle", "constant"] = "cycle"
    clip: float | None = Field(default=None, gt=0)
    l1: float = Field(default=0.0, ge=0)
    l2: float = Field(default=0.0, ge=0)
    patience: int | None = Field(default=None, ge=1)
    checkpoint_every: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, eq=False)
class Trainee:
    """What is trained: a model, batches and a loss; what it is validated by; the task it is of."""

    model: nn.Module
    batches: Any
    loss: Callable[..., Any]
    validate: Any = None
    task: tasks.Task | None = None


def complete(typed: argparse.Namespace) -> TrainSettings:
    """The settings; what is typed wins over the configuration.

    Raises UsageError or ValueError, in a sentence, for what is missing or does not fit.
    """
    source = typed.resume / "config.toml" if typed.resume else typed.config
    given = read(source).model_dump() if source else {}
    own = {key: getattr(typed, key, None) for key in TrainSettings.model_fields}
    own = {key: value for key, value in own.items() if value is not None and key != "seed"}
    if typed.set:
        own["values"] = dict(map(_pair, typed.set))
    if "seed" in typed.typed:
        own["seed"] = typed.seed
    settings = checked(given | own, "")
    _check(settings, own)
    if typed.resume:
        _check_resumed(settings, own)
    return settings


def checked(given: dict[str, Any], where: str) -> TrainSettings:
    """The settings in a dictionary. Raises ValueError naming the first that does not fit."""
    if not given.get("what"):
        if where:
            raise ValueError(f"{where} does not say what is trained: it is of no training.")
        raise UsageError("WHAT is missing: digits, or FILE.py:FUNCTION.", PROGRAM)
    try:
        return TrainSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            reason = f"there is no setting {key!r}.{choices(key, TrainSettings.model_fields)}"
        else:
            reason = f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {first['input']!r}."
        raise ValueError(f"{where}: {reason}" if where else reason) from None


def read(path: Path) -> TrainSettings:
    """The settings in a `config.toml`. Raises OSError or ValueError, in a sentence."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: is {path.parent} the folder of a training?")
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as TOML: {error}.") from None
    return checked(given, str(path))


def toml(settings: TrainSettings) -> str:
    """The settings as TOML, complete."""
    first = "# Everything this training was told. Repeat it with: amphid train --config config.toml"
    return "\n".join([first, *config._lines(settings)]) + "\n"


def trainee(settings: TrainSettings, device: str) -> Trainee:
    """What is to be trained, on its device; all draws are of one generator."""
    draw = torch.Generator().manual_seed(settings.seed)
    made = _of_task(settings, draw) if settings.what in TASKS else _own(settings, draw)
    made.model.to(device)
    return made


def optimizer(settings: TrainSettings, model: nn.Module) -> torch.optim.Optimizer:
    """The one place where the name of an optimizer that a person types becomes one."""
    table: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": partial(torch.optim.SGD, momentum=0.9),
    }
    return table[settings.optimizer](model.parameters(), lr=settings.learning_rate)


def schedule(settings: TrainSettings, chosen: torch.optim.Optimizer, batches: Any) -> Any:
    """One cycle of learning rates, where the batches of an epoch can be counted; None if constant.

    Reference: Smith and Topin 2019, doi 10.1117/12.2520589.
    """
    if settings.schedule == "constant":
        return None
    try:
        total = len(batches) * settings.epochs
    except TypeError:
        raise ValueError(
            "the batches cannot be counted, so there is no cycle of learning rates over them: give "
            "--schedule constant, or batches that have a length."
        ) from None
    cycle = torch.optim.lr_scheduler.OneCycleLR(chosen, settings.learning_rate, total_steps=total)
    return learning.EachUpdate(cycle)


def penalties(settings: TrainSettings) -> tuple[Any, ...]:
    """L1 and L2, where they were asked for."""
    strengths = ((learning.L1, settings.l1), (learning.L2, settings.l2))
    return tuple(kind(strength) for kind, strength in strengths if strength)


def _of_task(settings: TrainSettings, draw: torch.Generator) -> Trainee:
    """A spiking network for a task of ours."""
    task = TASKS[settings.what](settings.samples)
    cells = partial(
        models.unit_lif, settings.tau, surrogate=SURROGATES[settings.surrogate](settings.width)
    )
    common: dict[str, Any] = {"cells": cells, "dropout": settings.dropout, "generator": draw}
    if settings.network == "dense":
        steps = settings.steps or 10.0
        common |= {"steps": steps, "batch_norm": settings.batch_norm}
        model = models.dense_classifier(tasks.digits.SIDE**2, settings.hidden, 10, **common)
    else:
        low, high = settings.maps
        steps = settings.steps or 5.0
        model = models.convolutional_classifier(
            tasks.digits.SIDE, 10, maps=(low, high), steps=steps, **common
        )

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return task.loss(SHARPNESS * outputs, targets)

    def validate(model: nn.Module) -> dict[str, float]:
        return {"accuracy": task.score(model, "validation").value}

    batches = task.batches("train", size=settings.batch, generator=draw)
    return Trainee(model, batches, loss, validate, task)


def _own(settings: TrainSettings, draw: torch.Generator) -> Trainee:
    """What a function of the person's own gives."""
    _, built = function(settings.what, what="WHAT")
    takes = inspect.signature(built).parameters
    given: dict[str, Any] = dict(settings.values)
    if "generator" in takes:
        given["generator"] = draw
    free = any(one.kind is one.VAR_KEYWORD for one in takes.values())
    if strangers := [name for name in given if name not in takes and not free]:
        raise ValueError(f"{settings.what} takes no {strangers[0]!r}; it takes {_named(takes)}.")
    lacking = [
        name
        for name, one in takes.items()
        if one.default is one.empty
        and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        and name not in given
    ]
    if lacking:
        raise ValueError(f"{settings.what} needs {lacking[0]!r}: give --set {lacking[0]}=VALUE.")
    made = built(**given)
    if not isinstance(made, (tuple, list)) or len(made) not in (3, 4):
        raise ValueError(
            f"{settings.what} must return (model, batches, loss) or (model, batches, loss, "
            f"validate), it returned {type(made).__name__}."
        )
    if not isinstance(made[0], nn.Module):
        raise ValueError(f"the model of {settings.what} must be an nn.Module, got {made[0]!r}.")
    return Trainee(*made)


def _named(takes: Any) -> str:
    return ", ".join(takes) or "nothing"


def _check(settings: TrainSettings, own: dict[str, Any]) -> None:
    if settings.surrogate not in SURROGATES:
        known = choices(settings.surrogate, SURROGATES)
        raise ValueError(f"--surrogate cannot be {settings.surrogate!r}.{known}")
    if settings.what in TASKS:
        _check_network(settings, own)
        return
    if ":" not in settings.what:
        raise ValueError(
            f"there is no task {settings.what!r}.{choices(settings.what, TASKS)} "
            "A function of your own is FILE.py:FUNCTION."
        )
    if typed := [key for key in NETWORK if key in own]:
        option = "--" + typed[0].replace("_", "-")
        raise UsageError(
            f"{option} is of the networks for tasks; {settings.what} gets values by --set.", PROGRAM
        )


def _check_network(settings: TrainSettings, own: dict[str, Any]) -> None:
    """Options that the network does not have are refused, not forgotten."""
    if settings.values:
        raise UsageError("--set gives values to a function of your own.", PROGRAM)
    foreign = ("maps",) if settings.network == "dense" else ("hidden", "batch_norm")
    if typed := [key for key in foreign if own.get(key)]:
        option = "--" + typed[0].replace("_", "-")
        raise UsageError(f"{option} is not of a {settings.network} network.", PROGRAM)


def _check_resumed(settings: TrainSettings, own: dict[str, Any]) -> None:
    """Only the number of epochs may be another."""
    if other := [key for key in own if key != "epochs"]:
        option = "--" + other[0].replace("_", "-")
        option = "WHAT" if option == "--what" else "--set" if option == "--values" else option
        raise UsageError(f"--resume goes on as it was told: leave out {option}.", PROGRAM)
    if "epochs" in own and settings.schedule == "cycle":
        raise UsageError(
            "a cycle of learning rates ends with its epochs: --epochs may be another only for "
            "trainings with --schedule constant.",
            PROGRAM,
        )


def _pair(text: str) -> tuple[str, Any]:
    name, equals, word = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"--set is NAME=VALUE, got {text!r}.")
    return name.strip(), value_of(word.strip())
