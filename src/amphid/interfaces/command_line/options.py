"""From what was typed, and a configuration it may start from, to complete settings."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amphid
from amphid.interfaces.command_line import building, models, networks
from amphid.interfaces.command_line import settings as config
from amphid.interfaces.command_line.networks import Input, Loaded
from amphid.interfaces.command_line.parsing import names, number
from amphid.interfaces.command_line.settings import RunSettings
from amphid.simulation import stimulus_from_file

START, STOP, DURATION = 100.0, 600.0, 2000.0  # ms, unless told otherwise
SMALL = 1000  # cells

Section = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """Complete settings, the network they name, the files they read, remarks for the person."""

    settings: RunSettings
    loaded: Loaded
    inputs: tuple[Input, ...]
    remarks: list[str] = field(default_factory=list)


def complete(typed: argparse.Namespace, *, scan: bool = False) -> Told:
    """What is typed wins over the configuration, the configuration over the defaults.

    scan: whether the configuration may be that of a scan, which is left to the caller.
    Raises ValueError, KeyError or OSError, in a sentence, for what does not fit.
    """
    base = config.read(typed.config) if typed.config else None
    if base and base.scan and not scan:
        raise ValueError(
            f"{typed.config} is the configuration of a scan: amphid scan --config {typed.config}"
        )
    given: dict[str, Section] = base.model_dump(exclude={"version"}) if base else {}
    sections = {
        name: given.get(name, {}) for name in ("network", "model", "stimulus", "simulation")
    }
    folder = typed.config.parent if typed.config else Path()
    remarks = _version_remark(base)
    loaded = _network(sections["network"], typed, folder, remarks)
    _model(sections["model"], typed)
    _simulation(sections["simulation"], sections["model"]["neuron"], typed)
    _machine(sections["simulation"], typed, len(loaded.connectome))
    table = _stimulus(sections["stimulus"], sections["model"]["neuron"], typed, folder)
    _duration(sections, typed, table, loaded)
    where = str(typed.config or "")
    settings = config.checked({"version": amphid.__version__, **sections}, where)
    building.check_pulses(settings)
    return Told(settings, loaded, (*loaded.inputs, *([table] if table else [])), remarks)


def threads_for(cells: int) -> int | None:
    """One for small networks, whose steps are too short to be shared out; None leaves it to torch.

    OMP_NUM_THREADS has the last word.
    """
    return 1 if cells <= SMALL and "OMP_NUM_THREADS" not in os.environ else None


def ready(device: str, threads: int | None) -> int:
    """Make ready what a run is done with; returns the threads.

    Raises ValueError, in a sentence, for a device that is not there.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise ValueError(
            f"--device {device} is not available here: this machine has {', '.join(found)}."
        ) from None
    return torch.get_num_threads()


def _version_remark(base: RunSettings | None) -> list[str]:
    if base is None or base.version == amphid.__version__:
        return []
    return [
        f"the configuration was written by amphid {base.version}, this is {amphid.__version__}: "
        "the run may differ in detail."
    ]


def _network(
    section: Section, typed: argparse.Namespace, folder: Path, remarks: list[str]
) -> Loaded:
    """Load the network and choose a sign rule that fits what it knows."""
    if typed.network is not None:
        section |= {"source": typed.network, "sha256": None}
        folder = Path()
    loaded = networks.load(section["source"], folder)
    _check_unchanged(loaded.source, section.get("sha256"), loaded.sha256)
    section |= {"source": loaded.source, "sha256": loaded.sha256}
    _override(section, typed, "annotate", "signs", "inhibitory", "lesion")
    if not section.get("signs"):
        connectome = building.annotated(loaded, section.get("annotate"))
        section["signs"] = building.default_signs(connectome)
        if section["signs"] == "positive":
            remarks.append(
                f"{typed.network} tells neither signs nor transmitters, so every chemical "
                f"connection excites. {building.worm_hint(connectome)}".strip()
            )
    return loaded


def _model(section: Section, typed: argparse.Namespace) -> None:
    """Another neuron brings its own synapses and strengths, unless they are typed."""
    if typed.neuron and typed.neuron != section.get("neuron"):
        section.clear()
    _override(section, typed, "neuron", "synapse")
    section.setdefault("neuron", "graded")
    cell = models.CELLS[section["neuron"]]
    section.setdefault("synapse", cell.synapse)
    scale = models.SYNAPSES[section["synapse"]].scale
    if typed.synapse:
        section.pop("chemical", None)
    _override(section, typed, "chemical", "electrical")
    section.setdefault("chemical", cell.chemical * scale)
    section.setdefault("electrical", cell.electrical)
    parameters = models.parameters_of(section["neuron"]) | section.get("parameters", {})
    section["parameters"] = parameters | dict(map(_parameter, typed.parameter or ()))


def _simulation(section: Section, neuron: str, typed: argparse.Namespace) -> None:
    _override(section, typed, "dt", "record", "every")
    section.setdefault("dt", models.CELLS[neuron].dt)
    section.setdefault("record", ["v"] if neuron == "graded" else ["v", "spike"])
    if "seed" in typed.typed:
        section["seed"] = typed.seed


def _machine(section: Section, typed: argparse.Namespace, cells: int) -> None:
    """Device and threads."""
    if "device" in typed.typed:
        section["device"] = typed.device
    threads = typed.threads or section.get("threads") or threads_for(cells)
    section["threads"] = ready(section.setdefault("device", "cpu"), threads)


def _stimulus(
    section: Section, neuron: str, typed: argparse.Namespace, folder: Path
) -> Input | None:
    """Pulses and a table; returns the table as a file, when there is one."""
    _override(section, typed, "noise")
    common = {"amplitude": typed.amplitude, "start": typed.start, "stop": typed.stop}
    common = {name: value for name, value in common.items() if value is not None}
    if typed.stimulate:
        default = {"amplitude": models.CELLS[neuron].amplitude, "start": START, "stop": STOP}
        section["pulse"] = [pulse_of(text, default | common) for text in typed.stimulate]
    else:
        section["pulse"] = [{**pulse, **common} for pulse in section.get("pulse", [])]
    return _table(section, typed, folder)


def _table(section: Section, typed: argparse.Namespace, folder: Path) -> Input | None:
    """The table of currents, typed or configured."""
    if typed.stimulus:
        section |= {"file": str(typed.stimulus), "sha256": None}
        folder = Path()
    if not section.get("file"):
        return None
    path = folder / Path(section["file"]).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no table of currents {str(path)!r}. Names of cells go with --stimulate."
        )
    table = Input.of(path)
    _check_unchanged(table.path, section.get("sha256"), table.sha256)
    section |= {"file": table.path, "sha256": table.sha256}
    return table


def _duration(
    sections: dict[str, Section], typed: argparse.Namespace, table: Input | None, loaded: Loaded
) -> None:
    """As typed, as configured, as long as the table of currents, or the default."""
    section = sections["simulation"]
    _override(section, typed, "duration")
    if "duration" not in section and table:
        currents = stimulus_from_file(loaded.connectome, table.path, dt=section["dt"])
        section["duration"] = currents.duration
    section.setdefault("duration", DURATION)


def pulse_of(text: str, default: Section) -> Section:
    """CELLS[:pA[:START[:STOP]]]; what is left empty is the default."""
    cells, *numbers = text.split(":")
    if len(numbers) > 3:
        raise ValueError(f"--stimulate is CELLS:pA:START:STOP at the longest, got {text!r}.")
    if cells.lower().endswith(".csv"):
        raise ValueError(f"a table of currents is given with --stimulus {cells}.")
    try:
        named = zip(("amplitude", "start", "stop"), numbers, strict=False)
        values = {name: number(value) for name, value in named if value.strip()}
        return {"cells": names(cells), **default, **values}
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"--stimulate {text!r}: {error}.") from None


def _parameter(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), number(value)
    except argparse.ArgumentTypeError:
        raise ValueError(f"--parameter needs NAME=NUMBER, got {text!r}.") from None


def _override(section: Section, typed: argparse.Namespace, *keys: str) -> None:
    """Take what was typed."""
    section |= {key: value for key in keys if (value := getattr(typed, key)) is not None}


def _check_unchanged(name: str, expected: str | None, found: str | None) -> None:
    if expected and expected != found:
        raise ValueError(
            f"{name} has changed since the configuration was written. Remove its sha256 from the "
            "configuration to run with what it is now."
        )
