"""Plots of what lasts, on matplotlib axes: needs `pip install 'amphid[plot]'`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amphid.interfaces.plots import _axes, _color_bar, _open
from amphid.measures import Activity
from amphid.studies import PersistenceMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUIET, SATURATED = "0.92", "#d55e00"


def persistence_map(own: PersistenceMap, ax: Axes | None = None) -> Axes:
    """What lasts at each speed of conduction and refractory period, both on logarithmic axes.

    Colors are the rate as a share of the highest that refractoriness allows; light gray where
    activity is quiescent, orange where it is saturated, a cross where no cycle was found.
    """
    from matplotlib.colors import ListedColormap

    ax = _axes(ax)
    grid = own.speeds.numpy(), own.periods.numpy()
    kinds = np.array([[str(one) for one in row] for row in own.activity])
    pace = np.where(kinds == Activity.SUSTAINED, own.pace.numpy(), np.nan)
    drawn = ax.pcolormesh(*grid, pace, vmin=0, vmax=1, cmap="viridis", rasterized=True)
    for kind, color in ((Activity.QUIESCENT, QUIET), (Activity.SATURATED, SATURATED)):
        only = np.where(kinds == kind, 1.0, np.nan)
        ax.pcolormesh(*grid, only, cmap=ListedColormap([color]), rasterized=True)
    row, column = np.nonzero(kinds == str(None))
    ax.plot(grid[0][column], grid[1][row], "x", color="0.3", markersize=5)
    _color_bar(ax, drawn, "rate over the highest possible")
    ax.set(xscale="log", yscale="log", title="gray: quiescent; orange: saturated; x: undecided")
    ax.set(xlabel="speed of conduction (um/ms)", ylabel="refractory period (ms)")
    return _open(ax)
