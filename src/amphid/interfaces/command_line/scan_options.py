"""From what was typed to the settings of a scan, and to a network with a trial for each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from amphid.interfaces.command_line import building, options
from amphid.interfaces.command_line import settings as config
from amphid.interfaces.command_line.building import Built
from amphid.interfaces.command_line.options import Told
from amphid.interfaces.command_line.parsing import UsageError, at_least_one, names, number
from amphid.interfaces.command_line.settings import RunSettings, ScanSection
from amphid.wiring import Connectome

SAMPLES = 200  # of each trial, unless told otherwise
EACH = "each"


def complete(typed: argparse.Namespace) -> Told:
    """Settings with a section `scan`; what is typed wins over the configuration.

    Raises UsageError when there is nothing to scan, ValueError or KeyError, in a sentence, for what
    does not fit.
    """
    base = config.read(typed.config).scan if typed.config else None
    told = options.complete(typed, scan=True)
    settings, section = told.settings, base or ScanSection()
    changes: dict[str, object] = {}
    if typed.lesions or typed.vary:
        connectome = building.wired(settings, told.loaded)
        changes["lesion"] = [
            one for text in typed.lesions or () for one in _lesion(text, connectome)
        ]
        changes["vary"] = _varied(typed.vary or ())
    changes |= {"paired": typed.paired} if typed.paired is not None else {}
    changes |= {"readout": typed.readout} if typed.readout is not None else {}
    section = section.model_copy(update=changes)
    if not typed.list:
        _check(section)
    updates = {"scan": section, "simulation": _sampled(settings, typed, fresh=base is None)}
    return replace(told, settings=settings.model_copy(update=updates))


def varied(settings: RunSettings, built: Built) -> Built:
    """What is simulated, with a network that has all trials.

    Raises KeyError with near names for a cell or a value that is not there.
    """
    section = settings.scan or ScanSection()
    if section.readout:
        built.connectome.select(*section.readout)
    if section.lesion:
        network = built.network.lesioned(*section.lesion)
    else:
        network = built.network.scanned(section.vary, paired=section.paired, control=True)
    trials = len(network.trials)
    building.check_size(settings, len(built.connectome), trials=trials)
    return replace(built, network=network)


def _check(section: ScanSection) -> None:
    if bool(section.lesion) == bool(section.vary):
        both = "Either cells or values differ from trial to trial, not both."
        none = "Nothing differs from trial to trial: give --lesion CELLS or --vary NAME=VALUES."
        raise UsageError(both if section.lesion else none, "amphid scan")


def _lesion(text: str, connectome: Connectome) -> list[list[str]]:
    """The lesions that a word stands for, each the names of cells that die together."""
    word, colon, which = text.partition(":")
    if word != EACH:
        return [_names(text)]
    cells = connectome.cells
    if colon:
        return [[str(name)] for name in cells.name[connectome.select(*_names(which))]]
    return [[str(name)] for name in cells.name[cells.kind != "muscle"]]


def _names(text: str) -> list[str]:
    try:
        return names(text)
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"--lesion: {error}.") from None


def _varied(texts: Sequence[str]) -> dict[str, list[float]]:
    """The values of each name."""
    pairs = [_values(text) for text in texts]
    if len(dict(pairs)) < len(pairs):
        raise ValueError("--vary takes all values of a name at once: NAME=a,b,c.")
    return dict(pairs)


def _values(text: str) -> tuple[str, list[float]]:
    """NAME=a,b,c or NAME=FROM:TO:COUNT."""
    name, equals, given = text.partition("=")
    try:
        if not equals:
            raise argparse.ArgumentTypeError("an = is missing")
        if given.count(":") == 2:
            first, last, count = given.split(":")
            steps = np.linspace(number(first), number(last), at_least_one(count))
            return name.strip(), [float(f"{value:.12g}") for value in steps]
        return name.strip(), [number(value) for value in given.split(",")]
    except argparse.ArgumentTypeError as error:
        raise ValueError(
            f"--vary is NAME=a,b,c or NAME=FROM:TO:COUNT, got {text!r}: {error}."
        ) from None


def _sampled(
    settings: RunSettings, typed: argparse.Namespace, *, fresh: bool
) -> config.SimulationSection:
    """What is kept of each trial: spikes where cells spike, else a voltage now and then."""
    how = settings.simulation
    updates: dict[str, object] = {}
    if typed.record is None and fresh:
        updates["record"] = ["v"] if settings.model.neuron == "graded" else ["spike"]
    if typed.every is None and fresh:
        updates["every"] = max(int(how.duration / how.dt) // SAMPLES, 1)
    return how.model_copy(update=updates)
