"""What `amphid train` writes and prints."""

from __future__ import annotations

import argparse
import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amphid.interfaces import fit_plots
from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.train_options import Trainee, TrainSettings
from amphid.learning import History
from amphid.learning.fitting.packing import write_whole


def data(
    history: History, trainee: Trainee, settings: TrainSettings, folder: Path
) -> dict[str, Any]:
    """What was trained and what came of it; a task is tested once the training is over."""
    own = trainee.model.parameters()
    told: dict[str, Any] = {
        "run": str(folder),
        "what": settings.what,
        "seed": settings.seed,
        "parameters": sum(held.numel() for held in own if held.requires_grad),
        "ended": history.why,
        "updates": history.updates,
        "best_epoch": None if history.best is None else history.best + 1,
        "training_seconds": round(sum(row["seconds"] for row in history.rows), 3),
        "epochs": [{**row, "epoch": row["epoch"] + 1} for row in history.rows],
    }
    if trainee.task is not None:
        over = history.why != "interrupted"
        told["test"] = asdict(trainee.task.score(trainee.model)) if over else None
        told["chance"] = trainee.task.chance
        told["reference"] = [asdict(held) for held in trainee.task.reference]
    return told


def write(folder: Path, told: dict[str, Any], log: dict[str, Any]) -> None:
    """Add the log and the picture to the folder, where the fit has put the rest."""
    remarks = _draw(folder, told["epochs"])
    whole = output.finite({**log, **told, "remarks": remarks})
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / "run.json", text.encode())


def show(told: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print what came of it: for a person, for a program, or as JSON."""
    if arguments.json:
        output.document(told)
        return
    output.facts(_facts(told), comment=True)
    if rows := told["epochs"]:
        output.table(list(rows[0]), [list(row.values()) for row in rows], title="epochs")


def verdict(told: dict[str, Any]) -> int:
    """130, with a sentence on stderr, for a training that was interrupted."""
    if told["ended"] != "interrupted":
        return 0
    print(
        f"amphid: interrupted after {told['updates']} updates, at a checkpoint; "
        f"amphid train --resume {told['run']} goes on with it.",
        file=sys.stderr,
    )
    return 130


def _facts(told: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if score := told.get("test"):
        low, high = score["low"], score["high"]
        facts["test"] = f"{score['value']:.2%} of {score['samples']:,} ({low:.2%} to {high:.2%})"
        facts["chance"] = f"{told['chance']:.2%}"
        published = (f"{held['what']} {held['score']:.2%}" for held in told["reference"])
        facts["published"] = "; ".join(published)
    best = told["best_epoch"]
    return facts | {
        "parameters": told["parameters"],
        "ended": told["ended"] + (f"; parameters are those of epoch {best}" if best else ""),
        "training": f"{told['training_seconds']:.1f} s, {told['updates']} updates",
        "folder": told["run"],
    }


def _draw(folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Draw the learning curve; a sentence where it cannot be drawn."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return ["no learning_curve.png: plots need matplotlib: pip install 'amphid[plot]'."]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    try:
        fit_plots.learning_curve([{**row, "epoch": row["epoch"] - 1} for row in rows], figure.gca())
    except ValueError as error:
        return [f"no learning_curve.png: {error}"]
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    write_whole(folder / "learning_curve.png", drawn.getvalue())
    return []
