"""The figure of a scan: what differs, trial by cell, or over the values of one or two names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amphid.interfaces import scan_plots
from amphid.interfaces.command_line.effects import Effects
from amphid.interfaces.command_line.settings import ScanSection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRIALS, CELLS, LINES = 60, 60, 6  # that a figure shows


def save(path: Path, found: Effects, scan: ScanSection) -> None:
    """Draw it into a PNG file.

    Raises ModuleNotFoundError, with the line that installs it, where matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ModuleNotFoundError("plots need matplotlib: pip install 'amphid[plot]'") from None
    names = list(scan.vary)
    width, height = _inches(found, scan)
    figure = Figure(figsize=(width, height), layout="constrained")
    ax = figure.subplots()
    if len(names) == 1:
        _curves(found, scan.vary[names[0]], names[0], ax)
    elif len(names) == 2 and not scan.paired:
        _grid(found, scan, ax)
    else:
        _matrix(found, ax, ranked=bool(scan.lesion))
    figure.savefig(path, dpi=150)


def _inches(found: Effects, scan: ScanSection) -> tuple[float, float]:
    if len(scan.vary) in (1, 2) and not (len(scan.vary) == 2 and scan.paired):
        return 7.0, 4.2
    columns, rows = len(found.columns(CELLS)), min(len(found.trials) - 1, TRIALS)
    return 2.8 + 0.14 * columns, 1.6 + 0.14 * rows


def _matrix(found: Effects, ax: Axes, *, ranked: bool) -> None:
    """Changes, trial by cell; the lesions with the largest effects."""
    trials = found.by_size if ranked else np.arange(1, len(found.trials))
    trials, cells = trials[:TRIALS], found.columns(CELLS)
    label = f"change of the {found.measure} ({found.unit})"
    rows = [found.trials[k] for k in trials]
    columns = [found.cells[k] for k in cells]
    scan_plots.effect_matrix(found.change[np.ix_(trials, cells)], rows, columns, label, ax)
    few = len(trials) < len(found.trials) - 1
    shown = f" ({len(trials)} of {len(found.trials) - 1}, the largest effects)" if few else ""
    ax.set(ylabel=f"without{shown}" if ranked else "trial", xlabel="cell")


def _curves(found: Effects, values: list[float], name: str, ax: Axes) -> None:
    """The measure of the read-outs, or of the cells that change most, over the values."""
    lines = found.of_readout()
    if not lines:
        lines = {found.cells[k]: found.value[:, k] for k in found.columns(LINES)}
    order = np.argsort(values, kind="stable")
    scan_plots.effect_curves(
        np.asarray(values)[order],
        {word: line[1:][order] for word, line in lines.items()},
        name,
        f"{found.measure} ({found.unit})",
        ax,
        control={word: float(line[0]) for word, line in lines.items()},
    )
    ax.set_title("dotted: as it is", fontsize="small", loc="left", color="0.4")


def _grid(found: Effects, scan: ScanSection, ax: Axes) -> None:
    """The change of the read-outs, or of all cells, over the values of two names."""
    (down, rows), (across, columns) = scan.vary.items()
    change = found.mean_change[1:].reshape(len(rows), len(columns))
    label = f"mean change of the {found.measure} ({found.unit})"
    named = [f"{value:.4g}" for value in rows], [f"{value:.4g}" for value in columns]
    scan_plots.effect_matrix(change, *named, label, ax)
    ax.set(xlabel=across, ylabel=down)
