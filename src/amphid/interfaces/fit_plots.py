"""Plots of trainings for papers, on matplotlib axes: needs `pip install 'amphid[plot]'`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from amphid.interfaces.plots import SAFE, _axes, _open

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOT_DRAWN = ("epoch", "update", "learning_rate", "seconds")


def learning_curve(rows: Sequence[Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """What was measured after each epoch, the loss on the left axis, the rest on the right one.

    rows: those of a `History`. The loss stands on a logarithmic axis where all of it is above zero.
    Raises ValueError when there is no epoch.
    """
    if not rows:
        raise ValueError("there is no whole epoch to be drawn.")
    ax = _axes(ax)
    epochs = [row["epoch"] + 1 for row in rows]
    losses = [row["loss"] for row in rows]
    ax.plot(epochs, losses, "o-", color=SAFE[0], markersize=3, label="loss")
    if all(loss is not None and math.isfinite(loss) and loss > 0 for loss in losses):
        ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel="loss on what is trained on")
    ax.locator_params(axis="x", integer=True)
    names = [name for name in rows[-1] if name not in (*NOT_DRAWN, "loss")]
    if names:
        _right(ax, epochs, rows, names)
    return _open(ax)


def _right(
    ax: Axes, epochs: Sequence[float], rows: Sequence[Mapping[str, float]], names: Sequence[str]
) -> None:
    """What was validated, on an axis of its own."""
    right = ax.twinx()
    right.spines["top"].set_visible(False)
    for number, name in enumerate(names):
        values = [row.get(name, math.nan) for row in rows]
        color = SAFE[1 + number % (len(SAFE) - 1)]
        right.plot(epochs, values, "s--", color=color, markersize=3, label=name)
    right.set_ylabel(", ".join(names))
    lines = [*ax.lines, *right.lines]
    ax.legend(lines, [str(line.get_label()) for line in lines], frameon=False, fontsize="small")
