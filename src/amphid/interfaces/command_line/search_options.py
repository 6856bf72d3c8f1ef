"""From what was typed to the settings of a search, and to its objective and its space."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import amphid
from amphid import learning
from amphid.interfaces.command_line import settings as config
from amphid.interfaces.command_line.functions import function, value_of
from amphid.interfaces.command_line.parsing import UsageError, choices
from amphid.interfaces.command_line.search_command import Command, Failed
from amphid.learning.searching.space import Dimension

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

_PROGRAM = "amphid search"
_TYPED_OTHERWISE = ("objective", "command", "seed", "space")


class SearchSettings(BaseModel):
    """Everything a search was told."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    version: str = amphid.__version__
    objective: str | None = None
    command: list[str] = []
    space: dict[str, str] = {}
    measure: str | None = None
    toward: float | None = None
    maximize: bool = False
    trials: int | None = Field(default=None, ge=1)
    storage: str | None = None
    name: str = "search"
    sampler: Literal["tpe", "gp", "random", "grid"] = "tpe"
    points: int = Field(default=5, ge=1)
    pruner: Literal["none", "median", "halving", "hyperband"] = "none"
    keep_going: bool = False
    seed: int = Field(default=0, ge=0)


def complete(typed: argparse.Namespace) -> SearchSettings:
    """The settings; what is typed wins over the configuration.

    Raises UsageError or ValueError, in a sentence, for what is missing or does not fit.
    """
    given = _read(typed.config).model_dump() if typed.config else {}
    for key in SearchSettings.model_fields:
        value = getattr(typed, key, None)
        if key not in _TYPED_OTHERWISE and value is not None:
            given[key] = value
    if typed.space:
        given["space"] = _named(typed.space)
    if "seed" in typed.typed or not typed.config:
        given["seed"] = typed.seed
    given |= _what(typed)
    settings = SearchSettings.model_validate(given)
    _check(settings)
    return settings


def loaded(settings: SearchSettings) -> tuple[Any, dict[str, Dimension]]:
    """The objective, and the space: the module's SPACE unless one was given."""
    space = {name: dimension(name, text) for name, text in settings.space.items()}
    if settings.command:
        command = Command(
            settings.command, settings.measure, settings.toward, names=tuple(settings.space)
        )
        return command, space
    module, objective = function(settings.objective or "", what="OBJECTIVE")
    if not space:
        space = getattr(module, "SPACE", {})
        if not space:
            raise UsageError(
                "There is nothing to vary: give --space NAME=RANGE, or SPACE in the module.",
                _PROGRAM,
            )
    if settings.toward is None:
        return objective, space
    return lambda trial: abs(float(objective(trial)) - (settings.toward or 0.0)), space


def sampler(settings: SearchSettings) -> Any:
    """The one place where the name of a sampler that a person types becomes one."""
    table = {
        "tpe": learning.TPE(seed=settings.seed),
        "gp": learning.GP(seed=settings.seed),
        "random": learning.Random(seed=settings.seed),
        "grid": learning.Grid(points=settings.points, seed=settings.seed),
    }
    return table[settings.sampler]


def pruner(settings: SearchSettings) -> BasePruner | None:
    """The same for pruners."""
    from amphid.learning.searching.optuna_found import optuna

    table: dict[str, Callable[[], BasePruner | None]] = {
        "none": lambda: None,
        "median": optuna.pruners.MedianPruner,
        "halving": optuna.pruners.SuccessiveHalvingPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    return table[settings.pruner]()


def caught(settings: SearchSettings) -> tuple[type[Exception], ...]:
    """What makes a trial fail without ending the search."""
    return (Exception,) if settings.keep_going else (Failed,)


def dimension(name: str, text: str) -> Dimension:
    """A range or a choice: "0:1", "log:1e-4:0.1", "int:1:4", "logint:8:512" or "a,b,c".

    Raises ValueError, in a sentence, for what is none.
    """
    words = text.split(":")
    try:
        if len(words) == 1 and "," in text:
            return learning.Choice(*(value_of(word.strip()) for word in text.split(",")))
        if len(words) == 2:
            return learning.Uniform(float(words[0]), float(words[1]))
        kind, low, high = words
        if kind == "log":
            return learning.LogUniform(float(low), float(high))
        if kind in ("int", "logint"):
            return learning.Integers(int(low), int(high), log=kind == "logint")
        raise ValueError(f"{kind!r} is no kind of range")
    except (ValueError, TypeError) as error:
        reason = f" ({error})" if not _of_parsing(error) else ""
        raise ValueError(
            f"--space is NAME=LOW:HIGH, NAME=log:LOW:HIGH, NAME=int:LOW:HIGH, "
            f"NAME=logint:LOW:HIGH or NAME=a,b,c; got {name}={text}{reason}."
        ) from None


def toml(settings: SearchSettings) -> str:
    """The settings as TOML, complete."""
    lines = [
        "# Everything this search was told. Repeat it with: amphid search --config config.toml",
        *config._lines(settings),
    ]
    return "\n".join(lines) + "\n"


def _what(typed: argparse.Namespace) -> dict[str, Any]:
    """The objective or the command, if one was typed."""
    words: list[str] = typed.argv[typed.argv.index("--") + 1 :] if "--" in typed.argv else []
    before = typed.objective[: len(typed.objective) - len(words)]
    if words and before:
        raise UsageError("Either an OBJECTIVE or a command after --, not both.", _PROGRAM)
    if len(before) > 1:
        raise UsageError(f"There is one word too many: {before[1]!r}.", _PROGRAM)
    if words:
        return {"command": words, "objective": None}
    return {"objective": before[0], "command": []} if before else {}


def _check(settings: SearchSettings) -> None:
    if not settings.objective and not settings.command:
        raise UsageError("OBJECTIVE is missing: FILE.py:FUNCTION, or a command after --.", _PROGRAM)
    if settings.trials is None and settings.sampler != "grid":
        raise UsageError("--trials is missing.", _PROGRAM)
    if settings.command and not settings.space:
        raise UsageError("--space is missing.", _PROGRAM)
    if settings.measure and not settings.command:
        raise UsageError("--measure reads the JSON of a command; a function returns it.", _PROGRAM)
    if settings.maximize and settings.toward is not None:
        raise UsageError("Either --maximize or --toward, not both.", _PROGRAM)


def _named(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, given = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"--space is NAME=RANGE, got {text!r}.")
        if name.strip() in pairs:
            raise ValueError(f"--space gives {name.strip()} twice.")
        pairs[name.strip()] = given.strip()
    return pairs


def _read(path: Path) -> SearchSettings:
    try:
        return SearchSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as TOML: {error}.") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"it has a key {key!r} that is not known.{choices(key, SearchSettings.model_fields)}"
    return f"{key!r}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {first['input']!r}."


def _of_parsing(error: Exception) -> bool:
    """Whether Python complains about the text, in words that help nobody."""
    text = str(error)
    return any(part in text for part in ("could not convert", "invalid literal", "unpack"))
