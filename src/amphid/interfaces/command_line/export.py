"""`amphid export`: a network with its equations, for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.parsing import (
    UsageError,
    add_global_options,
    choices,
    positive,
)
from amphid.interfaces.command_line.simulate import add_model, models_told

if TYPE_CHECKING:
    from amphid.simulation import Network

_DESCRIPTION = """\
Write the network that `amphid simulate` would run with the same options, cells and synapses
included, in the format that the ending of OUT names: .nml (NeuroML 2), .pt2 (one step, for torch),
.onnx (one step, for anything that runs ONNX). Wiring without equations: amphid connectome convert.
"""
_EXAMPLES = """\
examples:
  amphid export celegans worm.nml --neuron lif --steady
  amphid export celegans worm.onnx --neuron graded --dt 0.5
  amphid export --config runs/2026-01-01_120000_abcdef0/config.toml worm.pt2
"""

_Write = Callable[["Network", Path, float], Any]


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "export",
        usage="amphid export NETWORK OUT [options]\n       amphid export --config FILE OUT",
        help="a network with its equations, for other programs",
        description=_DESCRIPTION,
        epilog=f"{models_told()}\n{_EXAMPLES}",
    )
    absent = ("stimulate", "stimulus", "amplitude", "start", "stop", "noise", "duration")
    parser.set_defaults(parser=parser, run=run, record=None, every=None, **dict.fromkeys(absent))
    parser.add_argument("words", nargs="+", metavar="NETWORK OUT", help="what, and where to")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the config.toml of a run, or of a scan"
    )
    parser.add_argument("--dt", type=positive, metavar="ms", help="of one step (by model)")
    parser.add_argument(
        "--steady",
        action="store_true",
        help="synapses that do not depress, each as strong as a fresh one",
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    add_model(parser)
    add_global_options(parser, seed="cells that are drawn")


def run(arguments: argparse.Namespace) -> int:
    """Build the network and write it."""
    import torch

    from amphid.interfaces.command_line import building, options

    *network, target = arguments.words
    if len(network) + (arguments.config is not None) != 1:
        raise UsageError("NETWORK and OUT are needed, or --config and OUT.", "amphid export")
    arguments.network, path = (network or [None])[0], Path(target)
    write = _writer(path)
    if path.exists() and not arguments.force:
        raise FileExistsError(f"{path} is there already: give --force to write over it.")
    told = options.complete(arguments, scan=True)
    connectome = building.wired(told.settings, told.loaded)
    generator = torch.Generator().manual_seed(told.settings.simulation.seed)
    built = building.equipped(told.settings, connectome, generator)
    write(_steady(built) if arguments.steady else built, path, told.settings.simulation.dt)
    if arguments.json:
        wires = len(connectome.connections)
        output.document({"written": str(path), "cells": len(connectome), "connections": wires})
    else:
        print(f"{connectome!r}\n{building.described_model(told.settings)}\nwritten to {path}")
    return 0


def _writer(path: Path) -> _Write:
    """The one place where an ending becomes a format."""
    known: dict[str, _Write] = {".nml": _neuroml, ".pt2": _step, ".onnx": _step}
    if path.suffix not in known:
        raise ValueError(f"OUT cannot end in {path.suffix!r}.{choices(path.suffix, known)}")
    return known[path.suffix]


def _steady(network: Network) -> Network:
    """The network with what is inside of synapses with short-term plasticity, at first strength."""
    from amphid.dynamics import ShortTerm
    from amphid.simulation import Network

    groups = {}
    for group, synapse in network.groups():
        if isinstance(synapse, ShortTerm):
            scale = "amplitude" if hasattr(synapse.synapse, "amplitude") else "conductance"
            first = getattr(synapse.synapse, scale) * synapse.use
            groups[group] = synapse.synapse.changed(**{scale: first})
        else:
            groups[group] = synapse
    return Network(network.connectome, neuron=network.neuron, synapse=groups, weight=network.weight)


def _neuroml(network: Network, path: Path, dt: float) -> None:
    from amphid.dynamics import ShortTerm
    from amphid.interfaces.neuroml import export_neuroml

    if any(isinstance(synapse, ShortTerm) for _, synapse in network.groups()):
        raise ValueError(
            "these synapses depress, which no NeuroML component says exactly: --steady writes them "
            "as strong as fresh ones."
        )
    export_neuroml(network, path)


def _step(network: Network, path: Path, dt: float) -> None:
    from amphid.interfaces.step_files import export_step

    export_step(network, path, inputs=len(network.connectome), dt=dt)
