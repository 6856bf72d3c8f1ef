"""Everything a simulation was told: kept as `config.toml`, read back to repeat it."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Signs = Literal["transmitter", "receptor", "positive", "file"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkSection(_Section):
    """Which wiring, and what is done to it before cells get equations."""

    source: str = Field(min_length=1)
    sha256: str | None = None
    annotate: Literal["celegans"] | None = None
    signs: Signs
    inhibitory: list[str] = ["GABA"]
    lesion: list[str] = []


class ModelSection(_Section):
    """Equations of cells and synapses; strengths in the unit of the synapses, per synapse."""

    neuron: str
    synapse: str
    chemical: float = Field(gt=0)
    electrical: float = Field(gt=0)
    parameters: dict[str, float] = {}


class Pulse(_Section):
    """A constant current into some cells: pA, from start to stop in ms."""

    cells: list[str] = Field(min_length=1)
    amplitude: float
    start: float = Field(ge=0)
    stop: float


class StimulusSection(_Section):
    """What drives the cells; noise: standard deviation in pA of a current into each of them."""

    noise: float = Field(default=0.0, ge=0)
    file: str | None = None
    sha256: str | None = None
    pulse: list[Pulse] = []


class SimulationSection(_Section):
    """How it is run: ms, variables to record, steps between samples."""

    duration: float = Field(gt=0)
    dt: float = Field(gt=0)
    record: list[str] = Field(min_length=1)
    every: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    device: str = "cpu"
    threads: int = Field(ge=1)


class ScanSection(_Section):
    """What differs from trial to trial: the cells that are dead, or values by name.

    readout: the cells that are looked at; all when empty.
    """

    lesion: list[list[str]] = []
    vary: dict[str, list[float]] = {}
    paired: bool = False
    readout: list[str] = []


class RunSettings(_Section):
    """One simulation, complete."""

    version: str
    network: NetworkSection
    model: ModelSection
    stimulus: StimulusSection = StimulusSection()
    simulation: SimulationSection
    scan: ScanSection | None = None

    @field_validator("model")
    @classmethod
    def _known_names(cls, model: ModelSection) -> ModelSection:
        from amphid.interfaces.command_line.models import CELLS, SYNAPSES
        from amphid.interfaces.command_line.parsing import choices

        for key, name, known in (
            ("neuron", model.neuron, CELLS),
            ("synapse", model.synapse, SYNAPSES),
        ):
            if name not in known:
                raise ValueError(f"{key} cannot be {name!r}.{choices(name, known)}")
        if (model.neuron == "graded") != (model.synapse == "graded"):
            raise ValueError(
                f"{model.synapse} synapses do not fit {model.neuron} cells: graded cells need "
                "graded synapses, spiking cells conductance or current."
            )
        return model


def read(path: Path) -> RunSettings:
    """The settings in a `config.toml`, paths in it seen from its folder.

    Raises ValueError, in a sentence, for what is not TOML, for keys that are not known and for
    values out of range.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the file in it, {path / 'config.toml'}.")
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as TOML: {error}.") from None
    return checked(given, str(path))


def checked(given: Mapping[str, Any], where: str) -> RunSettings:
    """The settings in a nested dictionary, from a file or "" for the command line.

    Raises ValueError that names the first thing that does not fit.
    """
    try:
        return RunSettings.model_validate(given)
    except ValidationError as error:
        raise ValueError(f"{where}: {_sentence(error)}" if where else _sentence(error)) from None


def toml(settings: RunSettings) -> str:
    """The settings as TOML, complete."""
    command = "scan" if settings.scan else "simulate"
    lines = [
        f"# Everything this run was told. Repeat it with: amphid {command} --config config.toml",
        f"version = {json.dumps(settings.version)}",
    ]
    for name in ("network", "model", "stimulus", "simulation"):
        lines += ["", f"[{name}]", *_lines(section := getattr(settings, name))]
        for pulse in getattr(section, "pulse", ()):
            lines += ["", "[[stimulus.pulse]]", *_lines(pulse)]
    if settings.scan:
        lines += ["", "[scan]", *_lines(settings.scan)]
    return "\n".join(lines) + "\n"


def _lines(section: BaseModel) -> list[str]:
    values = section.model_dump(exclude_none=True, exclude={"pulse"})
    return [f"{key} = {_value(value)}" for key, value in values.items()]


def _value(value: Any) -> str:
    """One value as TOML; the texts of JSON are those of TOML but for DEL."""
    if isinstance(value, dict):
        pairs = (f"{_key(key)} = {_value(held)}" for key, held in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    """A key of TOML; one with a point in it would be a table."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _sentence(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    *parents, key = first["loc"] or ("",)
    section = ".".join(str(part) for part in parents if not isinstance(part, int))
    place = f"[{section}]" if section else "the file"
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(key), _keys(section), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"{place} has a key {key!r} that is not known.{hint}"
    if first["type"] == "missing":
        return f"{place} lacks {key!r}."
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return f"{key!r} in {place}: {reason}, got {first['input']!r}."


def _keys(section: str) -> list[str]:
    model: Any = RunSettings
    for part in filter(None, section.split(".")):
        kind = model.model_fields[part].annotation
        model = next(iter(get_args(kind)), kind)
    return list(model.model_fields)
