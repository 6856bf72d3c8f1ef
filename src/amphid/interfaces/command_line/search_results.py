"""What `amphid search` writes and prints."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

from amphid.interfaces.command_line import output, run_folder, search_options
from amphid.interfaces.command_line.search_options import SearchSettings
from amphid.learning import Found

_SHOWN = 10  # trials in the table on a terminal


def write(folder: Path, found: Found, settings: SearchSettings, log: dict[str, Any]) -> None:
    """Fill the run folder: configuration, table, pictures, log."""
    (folder / "config.toml").write_text(search_options.toml(settings), encoding="utf-8")
    _write_table(folder / "trials.csv", found)
    log = log | {"seed": settings.seed, **data(found, settings), "remarks": _draw(folder, found)}
    run_folder.write_json(folder / "run.json", log)


def data(found: Found, settings: SearchSettings) -> dict[str, Any]:
    """What was searched and what came of it."""
    best = found.best if found.complete else None
    states = [one.state for one in found.trials]
    return {
        "search": found.name,
        "objective": settings.objective or settings.command,
        "best": dict(best.stored) if best else None,
        "value": best.value if best else None,
        "trial": best.number if best else None,
        "trials": {state: states.count(state) for state in ("complete", "pruned", "failed")},
        "importance": _importance(found),
        "table": found.table(),
    }


def show(
    found: Found, folder: Path, settings: SearchSettings, arguments: argparse.Namespace
) -> None:
    """Print what came of it: for a person, for a program, or as JSON."""
    told = data(found, settings)
    if arguments.json:
        output.document({"run": str(folder), **told})
        return
    output.facts(_facts(told, folder), comment=True)
    rows = [row for row in told["table"] if row["value"] is not None]
    sign = -1 if found.maximize else 1
    rows.sort(key=lambda row: (row["state"] != "complete", sign * row["value"]))
    columns = list(told["table"][0]) if told["table"] else ["trial"]
    title = f"the best {min(_SHOWN, len(rows))} of {len(found.trials)} trials"
    output.table(columns, [list(row.values()) for row in rows[:_SHOWN]], title=title)


def verdict(found: Found, folder: Path, settings: SearchSettings) -> int:
    """130, with a sentence on stderr, for a search that was interrupted."""
    where = settings.storage or folder / "search.journal"
    print(
        f"amphid: interrupted after {len(found.trials)} trials; they are in {folder}, and "
        f"--storage {where} goes on with them.",
        file=sys.stderr,
    )
    return 130


def nothing(found: Found) -> int:
    """1, with a sentence on stderr, for a search of which no trial came to an end."""
    print(f"amphid: none of {len(found.trials)} trials gave a number.", file=sys.stderr)
    return 1


def _facts(told: dict[str, Any], folder: Path) -> dict[str, Any]:
    best = told["best"] or {}
    shares = (told["importance"] or {}).items()
    counts = ", ".join(f"{count} {state}" for state, count in told["trials"].items() if count)
    return {
        "best value": told["value"],
        **best,
        "trials": counts,
        "importance": ", ".join(f"{name} {share:.2f}" for name, share in shares),
        "folder": str(folder),
    }


def _importance(found: Found) -> dict[str, float] | None:
    """None where there are too few trials to tell."""
    try:
        return found.importance()
    except ValueError:
        return None


def _write_table(path: Path, found: Found) -> None:
    rows = found.table()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(list(rows[0]) if rows else ["trial"])
        for row in rows:
            writer.writerow(["" if value is None else value for value in row.values()])


def _draw(folder: Path, found: Found) -> list[str]:
    """Draw the pictures that can be drawn; sentences about those that cannot."""
    from amphid.interfaces import search_plots

    remarks = []
    for name, plot in (("history", search_plots.history), ("importance", search_plots.importance)):
        try:
            from matplotlib.figure import Figure

            figure = Figure(figsize=(7.0, 4.2), layout="constrained")
            plot(found, figure.subplots())
            figure.savefig(folder / f"{name}.png", dpi=150)
        except ModuleNotFoundError:
            remarks.append(f"no {name}.png: plots need matplotlib: pip install 'amphid[plot]'.")
        except ValueError as error:
            remarks.append(f"no {name}.png: {error}")
    return remarks
