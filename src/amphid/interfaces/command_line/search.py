"""`amphid search`: look for the settings under which a number is best."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.parsing import add_global_options, at_least_one, number

if TYPE_CHECKING:
    from amphid.interfaces.command_line.search_options import SearchSettings
    from amphid.learning import Found

SAMPLERS = ("tpe", "gp", "random", "grid")
PRUNERS = ("none", "median", "halving", "hyperband")

_DESCRIPTION = """\
Try settings until so many trials are finished, and report the best. What is tried is a function of
yours, OBJECTIVE, such as train.py:loss, which takes a trial (a mapping of settings) and returns a
number; or any command, after --, in which {NAME} stands for a setting and whose JSON holds the
number under --measure. A run folder keeps the table, pictures, and a configuration that repeats the
search exactly.

With --storage FILE the search survives whatever happens to it: the same line again goes on, and
the same line in several terminals, or on several machines that see the file, shares the work.
"""
_EXAMPLES = """\
ranges: NAME=LOW:HIGH, NAME=log:LOW:HIGH, NAME=int:LOW:HIGH, NAME=logint:LOW:HIGH, NAME=a,b,c

examples:
  amphid search train.py:loss --space lr=log:1e-4:0.1 --space layers=int:1:4 --trials 50
  amphid search train.py:loss --trials 200 --storage search.journal --sampler gp
  amphid search --space g=log:0.1:10 --trials 20 --measure responders.AVAL.rate_Hz --toward 20 \\
      -- amphid simulate celegans --neuron lif --stimulate PLM --chemical {g} --json
"""


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "search",
        usage="amphid search OBJECTIVE [--space NAME=RANGE ...] --trials N [options]\n"
        "       amphid search --space NAME=RANGE ... --trials N [options] -- COMMAND ...\n"
        "       amphid search --config FILE [options]",
        help="the settings under which a number is best",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "objective",
        nargs="*",
        metavar="OBJECTIVE",
        help="FILE.py:FUNCTION or MODULE:FUNCTION; or a command, after --",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="start from the config.toml of a search"
    )
    _add_what(parser)
    _add_how(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (runs/<date>_<hash>)")
    add_global_options(parser, seed="the sampler's draws")


def _add_what(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is searched")
    group.add_argument(
        "--space",
        action="append",
        metavar="NAME=RANGE",
        help="a setting and where it may lie; once for each; SPACE of the module when there is "
        "none",
    )
    group.add_argument(
        "--measure",
        metavar="PATH",
        help="where a command's JSON holds the number: names with points between them; a row of a "
        "list by its number or by a name in it",
    )
    group.add_argument(
        "--toward", type=number, metavar="X", help="bring the number as near to X as it gets"
    )
    group.add_argument(
        "--maximize", action="store_true", default=None, help="larger is better, not smaller"
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how")
    group.add_argument(
        "--trials", type=at_least_one, metavar="N", help="finished ones, of all workers together"
    )
    group.add_argument(
        "--storage", metavar="FILE|URL", help="a file, or a database such as sqlite:///search.db"
    )
    group.add_argument("--name", metavar="NAME", help="of the search in its storage (search)")
    group.add_argument("--sampler", choices=SAMPLERS, help=f"{', '.join(SAMPLERS)} (tpe)")
    group.add_argument(
        "--points",
        type=at_least_one,
        metavar="N",
        help="values of a continuous range in a grid (5)",
    )
    group.add_argument("--pruner", choices=PRUNERS, help=f"{', '.join(PRUNERS)} (none)")
    group.add_argument(
        "--keep-going",
        action="store_true",
        default=None,
        help="a function that raises fails its trial, not the search",
    )


def run(arguments: argparse.Namespace) -> int:
    """Search, write the run folder, print the best; returns the exit code."""
    from amphid.interfaces.command_line import run_folder, search_options, search_results

    started, clock = datetime.now().astimezone(), time.perf_counter()
    if arguments.out:
        run_folder.check_free(arguments.out)
    settings = search_options.complete(arguments)
    objective, space = search_options.loaded(settings)
    folder = arguments.out or run_folder.default_folder(started, settings)
    log = run_folder.circumstances(arguments.argv, started)
    with run_folder.whole(folder) as draft:
        storage = settings.storage or str(draft / "search.journal")
        found, error = _searched(objective, space, settings, storage, arguments)
        log["seconds"] = round(time.perf_counter() - clock, 3)
        search_results.write(draft, found, settings, log)
    search_results.show(found, folder, settings, arguments)
    if isinstance(error, Exception):
        raise error
    if error:
        return search_results.verdict(found, folder, settings)
    return 0 if found.complete else search_results.nothing(found)


def _searched(
    objective: Any,
    space: Any,
    settings: SearchSettings,
    storage: str,
    arguments: argparse.Namespace,
) -> tuple[Found, BaseException | None]:
    """What was found, and what ended the search before its time."""
    from amphid import learning
    from amphid.interfaces.command_line import search_options
    from amphid.interfaces.command_line.options import ready

    ready(arguments.device, arguments.threads or 1)
    shown = not (arguments.quiet or arguments.json)
    terms: dict[str, Any] = {"name": settings.name, "maximize": settings.maximize}
    try:
        with output.progress("searching", shown=shown) as progress:
            found = learning.search(
                objective,
                space,
                trials=settings.trials,
                sampler=search_options.sampler(settings),
                pruner=search_options.pruner(settings),
                storage=storage,
                catch=search_options.caught(settings),
                progress=progress,
                **terms,
            )
        return found, None
    except (Exception, KeyboardInterrupt) as error:
        try:
            found = learning.found(storage, space, **terms)
        except Exception:
            raise error from None
        if not found.trials:
            raise
        return found, error
