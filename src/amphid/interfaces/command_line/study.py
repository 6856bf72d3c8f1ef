"""`amphid study`: run a claim and print what was measured beside what was published."""

from __future__ import annotations

import argparse
import json
import textwrap
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.parsing import add_global_options, choices

if TYPE_CHECKING:
    from amphid.studies import Report, Study

_EXAMPLES = """\
The exit code is 0 whether or not the claim holds: a claim that does not reproduce is a result.

examples:
  amphid study list
  amphid study worm-touch --seed 1
  amphid study worm-classic --json
"""


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "study",
        help="run a claim and compare it with what was published",
        description="Run one claim and print what was measured beside the published figure.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument("name", metavar="list|NAME", help="list, or the name of a study")
    parser.add_argument("--full", action="store_true", help="the whole protocol, not the quick one")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the report in a run folder")
    add_global_options(parser, seed="every random draw")


def studies() -> dict[str, Study]:
    """The studies by name: the one place where a name that a person types becomes one."""
    from amphid import studies as claims

    return {
        study.name: study
        for study in (
            claims.WormClassic(),
            claims.WormTouch(),
            claims.WormForecast(),
            claims.WholeFlyBrain(),
            claims.CorticalColumn(),
            claims.DigitsSpiking(),
            claims.DigitsRegularized(),
            claims.DigitsBiophysicalBptt(),
            claims.DigitsBiophysical(),
            claims.DigitsBinary(),
            claims.DigitsWithoutTraining(),
            claims.SpikeReplication(),
            claims.SearchDigits(),
            claims.CnnHierarchy(),
            claims.Transfer(),
            claims.Inbreeding(),
            claims.IntegrationMemory(),
            claims.FractionalMemory(),
            claims.AutodiffFails(),
            claims.EmergenceInit(),
            claims.EmergencePruning(),
            claims.LotteryDigits(),
            claims.ActivityPersistence(),
            claims.PersistenceQuantum(),
            claims.RobotArm(),
            claims.NeuralLatents(),
            claims.CursorBci(),
            claims.Neurofeedback(),
            claims.WormBehavior(),
            claims.LimitedData(),
        )
    }


def run(arguments: argparse.Namespace) -> int:
    """List the studies, or run one."""
    known = studies()
    if arguments.name == "list":
        return _show_list(known, arguments)
    if arguments.name not in known:
        raise KeyError(f"There is no study {arguments.name!r}.{choices(arguments.name, known)}")
    if arguments.out:
        from amphid.interfaces.command_line.run_folder import check_free

        check_free(arguments.out)
    report = _measured(known[arguments.name], arguments)
    if arguments.out:
        _keep(report, arguments)
    if arguments.json:
        output.document(vars(report))
    else:
        _show(report)
    return 0


def _measured(study: Study, arguments: argparse.Namespace) -> Report:
    from amphid.interfaces.command_line.options import ready, threads_for
    from amphid.studies import Settings

    ready(arguments.device, arguments.threads or threads_for(study.cells))
    shown = not (arguments.quiet or arguments.json)
    with output.progress(study.name, shown=shown) as advance:
        progress = (lambda _, done, of: advance(done, of)) if advance else None
        return study.run(Settings(seed=arguments.seed, full=arguments.full, progress=progress))


def _show_list(known: Mapping[str, Study], arguments: argparse.Namespace) -> int:
    rows = [[study.name, study.claim, study.published] for study in known.values()]
    columns = ("name", "claim", "published")
    if arguments.json:
        output.document([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        output.table(columns, rows)
    return 0


def _show(report: Report) -> None:
    verdict = {True: "holds", False: "does not hold", None: "could not be judged"}[report.holds]
    print(textwrap.fill(f"{report.study}: {report.claim}", 100))
    names = list(dict.fromkeys([*_flat(report.measured), *_flat(report.reference)]))
    measured, reference = _flat(report.measured), _flat(report.reference)
    rows = [[name, _short(measured.get(name)), _short(reference.get(name))] for name in names]
    output.table(("figure", "measured", "reference"), rows)
    control = [[name, _short(value)] for name, value in _flat(report.control).items()]
    if control:
        output.table(("control", "measured"), control)
    for number, assumption in enumerate(report.assumptions, 1):
        print(textwrap.fill(f"assumption {number}: {assumption}", 100, subsequent_indent="  "))
    seeds = ", ".join(map(str, report.seeds)) or "none"
    print(f"{verdict.upper()} (seeds: {seeds}; {report.seconds:.1f} s)")


def _keep(report: Report, arguments: argparse.Namespace) -> None:
    """Write the report, and what it ran with, to a folder."""
    from amphid.interfaces.command_line import run_folder

    started = datetime.now().astimezone()
    began = datetime.fromtimestamp(time.time() - report.seconds, started.tzinfo)
    with run_folder.whole(arguments.out) as draft:
        run_folder.write_json(draft / "report.json", vars(report))
        log = run_folder.circumstances(arguments.argv, began)
        log |= {"seed": arguments.seed, "device": arguments.device, "seconds": report.seconds}
        run_folder.write_json(draft / "run.json", log)
        told = {"study": report.study, "seed": arguments.seed, "full": arguments.full}
        lines = [f"{key} = {json.dumps(value)}" for key, value in told.items()]
        (draft / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested figures by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value
    return flat


def _short(value: Any) -> Any:
    """A figure as it stands; a list in one piece."""
    if isinstance(value, (list, tuple)):
        return json.dumps(output.finite(value)).replace('"', "")
    return value
