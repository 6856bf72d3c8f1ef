"""`amphid connectome`: list, describe, convert and fetch wiring."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.models import SIGNS
from amphid.interfaces.command_line.parsing import add_global_options, at_least_one

_INFO = """\
examples:
  amphid connectome info celegans
  amphid connectome info larval-drosophila --json
  amphid connectome info my_wiring.csv
"""
_CONVERT = """\
The formats are those of the endings: .h5 (SONATA layout), .csv and .tsv (edge list, with the
table of cells beside it), .graphml, .nml (NeuroML 2), .parquet.

examples:
  amphid connectome convert celegans worm.h5
  amphid connectome convert worm.h5 worm.graphml --signs transmitter
"""
_FETCH = """\
A file is put in its place once it is whole and checked. It goes to the cache folder
($XDG_CACHE_HOME/amphid or ~/.cache/amphid), where every command finds it by its name.

examples:
  amphid connectome fetch --list
  amphid connectome fetch larval-drosophila
"""


def add(commands: Any) -> None:
    """The command and its verbs."""
    parser = commands.add_parser(
        "connectome",
        help="list, describe, convert and fetch wiring",
        description="Wiring: what there is, what it holds, in which format, and where to get it.",
    )
    parser.set_defaults(parser=parser, run=None)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    _add_list(verbs)
    _add_info(verbs)
    _add_convert(verbs)
    _add_fetch(verbs)
    add_global_options(parser)


def _add_list(verbs: Any) -> None:
    parser = verbs.add_parser(
        "list",
        help="wiring by name: shipped, here, or to be fetched",
        description="Wiring that has a name: what ships, what is on this machine, what is fetched.",
    )
    parser.set_defaults(parser=parser, run=run_list)
    add_global_options(parser)


def _add_info(verbs: Any) -> None:
    parser = verbs.add_parser(
        "info",
        help="cells, connections, degrees, hubs",
        description="What a connectome holds: cells by kind, connections, degrees, hubs.",
        epilog=_INFO,
    )
    parser.set_defaults(parser=parser, run=run_info)
    parser.add_argument("network", metavar="NETWORK", help="celegans, a data set, or a file")
    parser.add_argument("--top", type=at_least_one, default=10, metavar="N", help="hubs shown (10)")
    add_global_options(parser)


def _add_convert(verbs: Any) -> None:
    parser = verbs.add_parser(
        "convert",
        help="write a connectome in another format",
        description="Write a connectome in the format that the ending of OUT names.",
        epilog=_CONVERT,
    )
    parser.set_defaults(parser=parser, run=run_convert)
    parser.add_argument("network", metavar="IN", help="celegans, a data set, or a file")
    parser.add_argument("target", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument(
        "--signs", choices=SIGNS, metavar="RULE", help=f"give signs by a rule: {', '.join(SIGNS)}"
    )
    parser.add_argument(
        "--annotate", choices=["celegans"], metavar="ATLAS", help="fill in what an atlas knows"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    add_global_options(parser)


def _add_fetch(verbs: Any) -> None:
    parser = verbs.add_parser(
        "fetch",
        help="download a published data set",
        description="Download a data set from its official address and check it.",
        epilog=_FETCH,
    )
    parser.set_defaults(parser=parser, run=run_fetch)
    parser.add_argument("name", nargs="?", metavar="NAME", help="which data set")
    parser.add_argument("--list", action="store_true", help="what can be fetched, and from where")
    parser.add_argument("--to", type=Path, metavar="DIR", help="into this folder, not the cache")
    parser.add_argument(
        "--from", dest="base", metavar="URL", help="a mirror: the address of a folder of such files"
    )
    parser.add_argument("--force", action="store_true", help="fetch what is here already")
    add_global_options(parser)


def run_list(arguments: argparse.Namespace) -> int:
    """Print the wiring that has a name."""
    from amphid.interfaces.command_line import wiring_facts

    rows = wiring_facts.known()
    if arguments.json:
        output.document(rows)
        return 0
    columns = ("name", "cells", "connections", "here", "what")
    named = [row for row in rows if row["cells"] is not None]
    output.table(columns, [[row[column] for column in columns] for row in named])
    for row in rows:
        if row not in named:
            where = f"{row['name']}, at {row['source']}: {row['what']}"
            output.remark(f"not fetched: {where}", quiet=arguments.quiet)
    return 0


def run_info(arguments: argparse.Namespace) -> int:
    """Print what a connectome holds."""
    from amphid.interfaces.command_line import networks, wiring_facts

    loaded = networks.load(arguments.network)
    facts = wiring_facts.of(loaded, arguments.top)
    if arguments.json:
        output.document(facts)
    else:
        output.facts(wiring_facts.lines(facts))
    return 0


def run_convert(arguments: argparse.Namespace) -> int:
    """Write a connectome in another format."""
    from amphid.interfaces.command_line import building, models, networks
    from amphid.wiring import files

    target: Path = arguments.target
    written = [target, *_beside(target)]
    for path in written:
        if path.exists() and not arguments.force:
            raise FileExistsError(f"{path} is there already: give --force to write over it.")
    loaded = networks.load(arguments.network)
    connectome = building.annotated(loaded, arguments.annotate)
    if arguments.signs:
        connectome = connectome.signed(models.sign_rule(arguments.signs, ("GABA",)))
    files.write(connectome, target)
    found = [str(path) for path in written if path.exists()]
    if arguments.json:
        wires = len(connectome.connections)
        output.document({"written": found, "cells": len(connectome), "connections": wires})
        return 0
    print(f"{connectome!r}")
    print(f"written to {' and '.join(found)}")
    if target.suffix.lower() in (".csv", ".tsv") and (connectome.name or connectome.references):
        remark = "its name and references are not kept: tables have no place for them."
        output.remark(f"amphid: {remark}", quiet=arguments.quiet)
    return 0


def run_fetch(arguments: argparse.Namespace) -> int:
    """Download a data set, or say what there is."""
    from amphid.interfaces.command_line import fetching
    from amphid.interfaces.command_line.parsing import UsageError

    if arguments.list:
        return fetching.show_list(arguments)
    if arguments.name is None:
        raise UsageError("NAME is missing.", "amphid connectome fetch")
    return fetching.run(arguments)


def _beside(target: Path) -> list[Path]:
    """The table of cells that goes with an edge list."""
    if target.suffix.lower() not in (".csv", ".tsv"):
        return []
    return [target.with_name(f"{target.stem}.cells{target.suffix}")]
