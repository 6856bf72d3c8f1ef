"""`amphid simulate`: run a connectome and report who answered."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.models import CELLS, SIGNS, SYNAPSES
from amphid.interfaces.command_line.parsing import (
    add_global_options,
    at_least_one,
    names,
    not_negative,
    number,
    positive,
)

_DESCRIPTION = """\
Give the cells of a connectome equations, stimulate some of them, and report who answered.
A run folder keeps the recording, a report, and a configuration that repeats the run exactly.
"""
INTERRUPTED = 130
_EXAMPLES = """\
examples:
  amphid simulate celegans --stimulate PLML,PLMR
  amphid simulate celegans --stimulate ALM:20:100:300 --stimulate PLM:20:800:1000 --lesion AVA
  amphid simulate worm.csv --annotate celegans --neuron lif --stimulate "ASH*" --duration 500
  torchrun --nproc-per-node 2 -m amphid simulate brain.h5 --neuron lif --stimulate "sugar*"
  amphid simulate --config runs/2026-01-31_120000_1a2b3c4/config.toml
"""


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "simulate",
        usage="amphid simulate NETWORK [options]\n       amphid simulate --config FILE [options]",
        help="run a connectome and report who answered",
        description=_DESCRIPTION,
        epilog=f"{models_told()}\n{_EXAMPLES}",
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "network", nargs="?", metavar="NETWORK", help="celegans, a data set, or a file"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="start from the config.toml of a run"
    )
    add_stimulus(parser)
    add_model(parser)
    add_recording(parser)
    add_global_options(parser, seed="noise and of cells that fire by chance")


def add_stimulus(parser: argparse.ArgumentParser) -> None:
    """The options that tell what drives the cells."""
    group = parser.add_argument_group("stimulus")
    group.add_argument(
        "--stimulate",
        action="append",
        metavar="CELLS",
        help="a pulse into cells, classes or patterns with commas between them, or "
        "CELLS:pA:START:STOP with its own numbers; may be given several times",
    )
    group.add_argument(
        "--stimulus",
        type=Path,
        metavar="FILE",
        help="a CSV table of currents: time in ms, then one column in pA for each cell",
    )
    group.add_argument("--amplitude", type=number, metavar="pA", help="of a pulse (by model)")
    group.add_argument("--start", type=not_negative, metavar="ms", help="of a pulse (100)")
    group.add_argument("--stop", type=positive, metavar="ms", help="of a pulse (600)")
    group.add_argument(
        "--noise",
        type=not_negative,
        metavar="pA",
        help="deviation of a current into every cell (0)",
    )


def add_model(parser: argparse.ArgumentParser, *, lesion: bool = True) -> None:
    """The options that tell the wiring and the equations; lesion: whether cells can be killed."""
    group = parser.add_argument_group("wiring and equations")
    group.add_argument(
        "--signs",
        choices=SIGNS,
        metavar="RULE",
        help=f"which connections inhibit: {', '.join(SIGNS)}",
    )
    group.add_argument(
        "--inhibitory", type=names, metavar="NAMES", help="transmitters that inhibit (GABA)"
    )
    group.add_argument(
        "--annotate",
        choices=["celegans"],
        metavar="ATLAS",
        help="fill in what an atlas knows: celegans",
    )
    if lesion:
        group.add_argument("--lesion", type=names, metavar="CELLS", help="kill these cells first")
    group.add_argument(
        "--neuron", choices=CELLS, metavar="MODEL", help="what a cell does: see below (graded)"
    )
    group.add_argument(
        "--parameter", action="append", metavar="NAME=X", help="a constant of the neuron model"
    )
    group.add_argument(
        "--synapse",
        choices=SYNAPSES,
        metavar="MODEL",
        help="what a connection does: see below (by model)",
    )
    group.add_argument(
        "--chemical",
        type=positive,
        metavar="X",
        help="strength of one synapse, nS (pA where it is a current)",
    )
    group.add_argument(
        "--electrical", type=positive, metavar="nS", help="strength of one gap junction"
    )


def add_recording(parser: argparse.ArgumentParser, *, every: str = "1") -> None:
    """The options that tell how it is run; every: its default, in words."""
    group = parser.add_argument_group("run")
    group.add_argument("--duration", type=positive, metavar="ms", help="in all (2000)")
    group.add_argument("--dt", type=positive, metavar="ms", help="of one step (by model)")
    group.add_argument(
        "--record",
        type=names,
        metavar="NAMES",
        help="v, spike, release, ... (v, and spike where cells spike)",
    )
    group.add_argument(
        "--every", type=at_least_one, metavar="N", help=f"steps between samples ({every})"
    )
    group.add_argument("--top", type=at_least_one, default=15, metavar="N", help="rows shown (15)")
    group.add_argument("--out", type=Path, metavar="DIR", help="run folder (runs/DATE_TIME_HASH)")


def models_told() -> str:
    """The neuron models, a line each."""
    lines = ["neuron models, and what a pulse and a step are unless told otherwise:"]
    lines += [
        f"  {name:<13} {cell.about:<38} {cell.amplitude:>5g} pA  {cell.dt:g} ms"
        for name, cell in CELLS.items()
    ]
    lines += ["", "synapses:"]
    lines += [f"  {name:<13} {synapses.about}" for name, synapses in SYNAPSES.items()]
    return "\n".join([*lines, ""])


def run(arguments: argparse.Namespace) -> int:
    """Simulate, write the run folder, print who answered; returns the exit code."""
    from amphid.interfaces.command_line import building, options, results, run_folder
    from amphid.simulation import rank

    began = run_folder.begun(arguments, "amphid simulate")
    told = options.complete(arguments)
    built = building.build(told.settings, told.loaded)
    number, _ = rank()
    shown = not (arguments.quiet or arguments.json or number)
    with output.progress("simulating", shown=shown) as progress:
        outcome = results.simulated(built, told, progress)
    if number:  # the first of several processes writes and prints for all
        return INTERRUPTED if outcome.interrupted else 0
    folder = began.folder(told.settings)
    with run_folder.whole(folder) as draft:
        results.write(draft, outcome, began.circumstances, began.clock)
    results.show(outcome, folder, arguments)
    return results.verdict(outcome, folder)
