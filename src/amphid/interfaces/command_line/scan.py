"""`amphid scan`: the same run with other cells killed, or other values, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.parsing import add_global_options, names
from amphid.interfaces.command_line.simulate import (
    add_model,
    add_recording,
    add_stimulus,
    models_told,
)

_DESCRIPTION = """\
Repeat a run with some cells killed, or with other values of cells and synapses, all side by
side, and report what differs from the run as it is. A run folder keeps the table, the recording,
a figure, and a configuration that repeats the scan exactly.
"""
_EXAMPLES = """\
examples:
  amphid scan celegans --stimulate PLM --lesion each --readout AVB,AVA,PVC
  amphid scan celegans --stimulate ASH --lesion AVAL,AVAR --lesion AVD --lesion each:AIB
  amphid scan celegans --stimulate PLM --vary excitatory.conductance=0.01,0.03,0.1
  amphid scan celegans --neuron lif --stimulate PLM --vary tau=5:40:8 --vary period=1,2,4
  amphid scan celegans --neuron lif --list
"""


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "scan",
        usage="amphid scan NETWORK --lesion CELLS [options]\n"
        "       amphid scan NETWORK --vary NAME=VALUES [options]\n"
        "       amphid scan --config FILE [options]",
        help="the same run with cells killed or values changed, side by side",
        description=_DESCRIPTION,
        epilog=f"{models_told()}\n{_EXAMPLES}",
    )
    parser.set_defaults(parser=parser, run=run, lesion=None)
    parser.add_argument(
        "network", nargs="?", metavar="NETWORK", help="celegans, a data set, or a file"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="start from the config.toml of a scan"
    )
    _add_scan(parser)
    add_stimulus(parser)
    add_model(parser, lesion=False)
    add_recording(parser, every="as many as make 200 samples")
    add_global_options(parser, seed="noise and of cells that fire by chance")


def _add_scan(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what differs from trial to trial")
    group.add_argument(
        "--lesion",
        dest="lesions",
        action="append",
        metavar="CELLS",
        help="a trial without these cells, classes or patterns (commas between them); each: every "
        "cell but the muscles by itself; each:CELLS: every one of these by itself; may be given "
        "several times",
    )
    group.add_argument(
        "--vary",
        action="append",
        metavar="NAME=VALUES",
        help="values a,b,c, or FROM:TO:COUNT in even steps; given several times, every combination",
    )
    group.add_argument(
        "--paired",
        action="store_true",
        default=None,
        help="the first values together, then the second",
    )
    group.add_argument("--list", action="store_true", help="only list the names for --vary")
    group.add_argument(
        "--readout",
        type=names,
        metavar="CELLS",
        help="the cells, classes or patterns that are looked at (all cells)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run all trials, write the run folder, print what differs; returns the exit code."""
    from amphid.interfaces.command_line import building, run_folder, scan_options, scan_results

    began = run_folder.begun(arguments, "amphid scan")
    told = scan_options.complete(arguments)
    built = building.build(told.settings, told.loaded)
    if arguments.list:
        scan_results.show_names(built.network, arguments)
        return 0
    varied = scan_options.varied(told.settings, built)
    with output.progress("scanning", shown=not (arguments.quiet or arguments.json)) as progress:
        outcome = scan_results.scanned(varied, told, progress)
    folder = began.folder(told.settings)
    with run_folder.whole(folder) as draft:
        scan_results.write(draft, outcome, began.circumstances, began.clock)
    scan_results.show(outcome, folder, arguments)
    return scan_results.verdict(outcome, folder)
