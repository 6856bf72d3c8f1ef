"""Plots of evolution for papers, on matplotlib axes: needs `pip install 'amphid[plot]'`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from amphid.interfaces.plots import SAFE, _axes, _open

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from amphid.learning.evolution.evolving import Row

METERS = {
    "parents": ("effective parents", SAFE[0], "-"),
    "ancestor": ("last common ancestor (generations)", SAFE[1], "--"),
    "distance": ("distance", SAFE[2], "-."),
}


def meters(rows: Sequence[Row], ax: Axes | None = None) -> Axes:
    """Meters of inbreeding over generations: kinship on a logarithmic axis, luck on the right one.

    rows: those of `Evolved`, or of an `Evolving`. Luck is the share of the lead of the best that
    vanished when it was evaluated again. Raises ValueError when there is no generation.
    """
    _check(rows)
    ax = _axes(ax)
    generations = [_number(row["generation"]) for row in rows]
    for name, (label, color, line) in METERS.items():
        ax.plot(generations, [_above_zero(row[name]) for row in rows], line, color=color)
        ax.lines[-1].set_label(label)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.1), max(high, 10.0))
    ax.set(xlabel="generation", ylabel="parents; generations; distance (units of a gene)")
    ax.locator_params(axis="x", integer=True)
    _luck(ax, rows)
    return _open(ax)


def losses(rows: Sequence[Row], ax: Axes | None = None) -> Axes:
    """Losses over generations: mean and best of the candidates, and that of the answer.

    On a logarithmic axis where all are above zero. Raises ValueError when there is no generation.
    """
    _check(rows)
    ax = _axes(ax)
    generations = [_number(row["generation"]) for row in rows]
    styles = {"mean": ("0.6", "-"), "best": (SAFE[1], "--"), "answer": (SAFE[0], "-")}
    for name, (color, line) in styles.items():
        ax.plot(generations, [_number(row[name]) for row in rows], line, color=color, label=name)
    if all(_number(row[name]) > 0 for row in rows for name in styles):
        ax.set_yscale("log")
    ax.set(xlabel="generation", ylabel="loss")
    ax.locator_params(axis="x", integer=True)
    ax.legend(frameon=False, fontsize="small")
    return _open(ax)


def _luck(ax: Axes, rows: Sequence[Row]) -> None:
    """What share of the lead of the best was luck, on an axis of its own."""
    lines = list(ax.lines)
    if any(row["luck"] is not None for row in rows):
        right = ax.twinx()
        right.spines["top"].set_visible(False)
        generations = [_number(row["generation"]) for row in rows]
        right.plot(generations, [_number(row["luck"]) for row in rows], ":", color=SAFE[3])
        right.lines[-1].set_label("luck of the best (right)")
        right.set(ylabel="luck (share of the lead)", ylim=(-0.05, 1.25))
        lines += right.lines
    labels = [str(line.get_label()) for line in lines]
    ax.legend(
        lines,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=2,
        frameon=False,
        fontsize="small",
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _above_zero(value: float | None) -> float:
    """A number that a logarithmic axis can show."""
    return value if value is not None and value > 0 else math.nan


def _check(rows: Sequence[Row]) -> None:
    if not rows:
        raise ValueError("there is no generation to be drawn.")
