"""One self-contained page that shows a run: it opens from disk, needs no network and stays."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib import import_module, resources
from pathlib import Path
from string import Template

import numpy as np
import torch

from amphid.interfaces.report_data import (
    RESPONDERS,
    Trial,
    departure,
    payload,
    shown_fields,
    trial_of,
)
from amphid.measures import active
from amphid.simulation import Recording, Stimulus
from amphid.simulation.recording import UNITS
from amphid.wiring import Connectome
from amphid.wiring.connectome import Indices

SCRIPTS = ("data.js", "color.js", "scene.js", "gestures.js", "charts.js", "page.js")


def write_report(
    path: str | Path,
    run: Recording,
    connectome: Connectome,
    *,
    title: str,
    command: str | None = None,
    python: str | None = None,
    facts: Mapping[str, str] | None = None,
    stimulated: Sequence[str] = (),
    assumptions: Sequence[str] = (),
    stimulus: Stimulus | None = None,
    trial: int = 0,
) -> Path:
    """Write what was run and what came of it as one HTML file.

    connectome: that of the network; the recording may hold some of its cells.
    command, python: what repeats the run, as it is typed. facts: rows of the table of what was run,
        added to those that the recording knows, or in their place. assumptions: a sentence each.
    stimulated: names of the stimulated cells; those that the stimulus drives when there are none.
    stimulus: says when current flowed. Changes are counted from just before it starts, without it
        from the first sample. trial: which one of a batch is shown, its axes numbered through.

    Of more than 2,000 cells the page carries the stimulated, the strongest and a sample, and says
    so. The file appears whole or not at all.
    Raises ValueError when there is nothing to show, no such trial, or the suffix is not .html,
    KeyError for cells that the connectome does not hold, FileNotFoundError without the folder.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"a report ends in .html, got {path.name!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")
    shown = trial_of(run, connectome, stimulated, stimulus, trial)
    rows = {**_known_facts(shown, run, trial), **(facts or {})}
    sections = {
        "title": escape(title),
        "lead": _lead(shown),
        "tiles": _tiles(shown),
        "facts": _facts(rows),
        "responders": _responders(shown),
        "repeat": _repeat(command, python),
        "assumptions": _list("Assumptions", "assumptions", assumptions),
        "references": _list("References", "references", connectome.references),
    }
    page = _page(sections, json.dumps(payload(shown, title), allow_nan=False))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(page, encoding="utf-8", errors="replace")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _page(sections: Mapping[str, str], data: str) -> str:
    """The page with everything in it; its own policy forbids other scripts and all network."""
    folder = resources.files("amphid.interfaces") / "page"
    texts = {name: (folder / name).read_text("utf-8") for name in ("report.html", "report.css")}
    scripts = "".join((folder / name).read_text("utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{scripts}}})();\n'
    style = texts["report.css"]
    policy = (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    harmless = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Template(texts["report.html"]).substitute(
        sections, policy=policy, style=style, script=script, data=harmless
    )


def digest(text: str) -> str:
    """The hash by which a policy of contents knows a script or a style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _known_facts(trial: Trial, run: Recording, number: int) -> dict[str, str]:
    wires = trial.connectome.connections
    batch = (run.spikes.shape if run.spikes is not None else next(iter(run.fields.values())).shape)[
        1:-1
    ]
    every = f", every {run.every * run.dt:g} ms" if run.every > 1 and run.fields else ""
    rows = {
        "Network": trial.connectome.name or "without a name",
        "Cells": _by_kind(trial.connectome),
        "Connections": f"{int(wires.chemical.sum()):,} chemical, "
        f"{int(wires.electrical.sum()):,} electrical",
        "Duration": f"{run.duration:g} ms in {run.steps:,} steps of {run.dt:g} ms",
        "Recorded": ", ".join(
            dict.fromkeys([*(["spike"] if run.spikes is not None else []), *run.fields])
        )
        + every,
        "Stimulated": _some(str(trial.run.names[cell]) for cell in trial.stimulated),
        "Trial": f"{number} of {int(np.prod(batch))}, counted from 0" if batch else "",
        "Stepping": "; ".join(run.notes),
        "Versions": f"amphid {import_module('amphid').__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
    }
    return {name: text for name, text in rows.items() if text}


def _by_kind(connectome: Connectome) -> str:
    kinds, counts = np.unique(connectome.cells.kind.astype(str), return_counts=True)
    if len(kinds) == 1 or len(kinds) > 9:
        return f"{len(connectome):,}"
    each = [f"{count:,} {kind or 'other'}" for kind, count in zip(kinds, counts, strict=True)]
    return f"{len(connectome):,}: {', '.join(each)}"


def _some(names: Iterable[str], most: int = 12) -> str:
    listed = list(names)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _lead(trial: Trial) -> str:
    """What came of it, in a sentence or two."""
    first = "No cell responded."
    if len(trial.strongest):
        told = [c for c in trial.strongest if c not in trial.stimulated]
        cell = told[0] if told else trial.strongest[0]
        what = "Of the cells that were not stimulated, " if len(trial.stimulated) and told else ""
        first = f"{what}<b>{escape(str(trial.run.names[cell]))}</b> {_deed(trial, cell)}."
    sentences = [first]
    if len(trial.cells) < len(trial.connectome):
        sentences.append(
            f"The figures show {len(trial.cells):,} of {len(trial.connectome):,} cells: the "
            "stimulated, the strongest, and an even sample of the others."
        )
    return " ".join(sentences)


def _deed(trial: Trial, cell: int) -> str:
    """What the cell did more than others."""
    if trial.run.spikes is not None and len(trial.run.spikes):
        return f"fired most, at {trial.strength[cell]:.3g} Hz"
    field = shown_fields(trial.run)[0]
    what = "" if field == "v" else f" its {escape(field)}"
    return f"changed{what} most, by {_signed(trial.strength[cell])}{_unit(field)}"


def _tiles(trial: Trial) -> str:
    run = trial.run
    tiles = {
        "cells": f"{len(trial.connectome):,}",
        "connections": f"{len(trial.connectome.connections):,}",
        "ms simulated": f"{run.duration:,.6g}",
    }
    if run.spikes is not None:
        tiles["spikes"] = f"{len(run.spikes):,}"
        tiles["cells fired"] = f"{active(replace(run, fields={}), trial.onset).item():.0%}"
    elif "v" in shown_fields(run):
        tiles["cells moved by over 1 mV"] = f"{active(run, trial.onset).item():.0%}"
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in tiles.items()
    )


def _facts(rows: Mapping[str, str]) -> str:
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>'
        for name, text in rows.items()
    )


def _responders(trial: Trial) -> str:
    """The strongest responders as a table that needs no script."""
    cells = trial.connectome.cells
    top = trial.strongest[:RESPONDERS]
    if not len(top):
        return "<p>No cell responded.</p>"
    columns = {
        "Cell": [_cell_button(str(cells.name[c]), c in trial.stimulated) for c in top],
        "Kind": [escape(str(cells.kind[c])) for c in top],
        "Class": [escape(str(cells.cell_class[c])) for c in top],
        "Transmitter": [escape(str(cells.transmitter[c])) for c in top],
        **_figures(trial, top),
    }
    kept = {name: texts for name, texts in columns.items() if any(texts)}
    head = "".join(f'<th scope="col">{name}</th>' for name in kept)
    body = "".join(f"<tr>{_table_row(row)}</tr>" for row in zip(*kept.values(), strict=True))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figures(trial: Trial, top: Indices) -> dict[str, list[str]]:
    """Columns of numbers: how often and when first it fired, or its largest change and when."""
    spikes, columns = trial.run.spikes, {}
    if spikes is not None and len(spikes):
        trains = [spikes.time[spikes.cell == int(c)] for c in top]
        columns["Rate (Hz)"] = [f"{trial.strength[c]:.3g}" for c in top]
        columns["Spikes"] = [f"{len(train):,}" for train in trains]
        columns["First (ms)"] = [f"{train[0].item():.6g}" for train in trains]
        return columns
    for field in shown_fields(trial.run)[:1]:
        largest, after = departure(trial.run, field, trial.onset)
        name = "Largest change" if field == "v" else f"Largest change of {escape(field)}"
        columns[f"{name}{_unit(field, brackets=True)}"] = [_signed(float(largest[c])) for c in top]
        columns["at (ms)"] = [f"{trial.onset + float(after[c]):.6g}" for c in top]
    return columns


def _table_row(row: Sequence[str]) -> str:
    return f'<th scope="row">{row[0]}</th>' + "".join(f"<td>{text}</td>" for text in row[1:])


def _cell_button(name: str, stimulated: bool) -> str:  # noqa: FBT001
    mark = ' <span class="mark">stimulated</span>' if stimulated else ""
    return f'<button class="cell" type="button">{escape(name)}</button>{mark}'


def _repeat(command: str | None, python: str | None) -> str:
    blocks = [("In the shell", command), ("In Python", python)]
    texts = "".join(
        f'<div class="code"><h3>{heading}</h3>'
        f'<button class="copy" type="button" aria-label="Copy: {heading}">Copy</button>'
        f'<pre tabindex="0"><code>{escape(text.strip())}</code></pre></div>'
        for heading, text in blocks
        if text
    )
    return _section("Repeat it", "repeat", texts) if texts else ""


def _list(heading: str, name: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    entries = "".join(f"<li>{escape(item)}</li>" for item in items)
    return _section(heading, name, f"<ul>{entries}</ul>")


def _section(heading: str, name: str, inside: str) -> str:
    head = f'<h2 id="{name}">{heading}</h2>'
    return f'<section aria-labelledby="{name}">{head}{inside}</section>'


def _unit(field: str, *, brackets: bool = False) -> str:
    unit = UNITS.get(field.rpartition(".")[2], "1")
    if unit == "1":
        return ""
    return f" ({unit})" if brackets else f" {unit}"


def _signed(value: float) -> str:
    """With its sign, three digits, and a proper minus."""
    return f"{value:+#.3g}".removesuffix(".").replace("-", "\N{MINUS SIGN}")
