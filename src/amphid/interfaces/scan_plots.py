"""Plots of scans for papers, on matplotlib axes: needs `pip install 'amphid[plot]'`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from amphid.interfaces.plots import SAFE, _axes, _color_bar, _diverging, _open

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 90  # rows or columns whose names can be read


def effect_matrix(
    change: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    ax: Axes | None = None,
) -> Axes:
    """Changes [R, C] as colors around zero, blue below and orange above; gray where unknown.

    rows, columns: their names, shown where they can be read. label: what it is, with its unit.
    Raises ValueError when names and changes do not fit.
    """
    values = np.ma.masked_invalid(np.asarray(change, dtype=np.float64))  # type: ignore[no-untyped-call,unused-ignore]
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"change must be [{len(rows)}, {len(columns)}], one for each row and column; got shape "
            f"{list(values.shape)}."
        )
    ax = _axes(ax)
    scale = _scale(values)
    image = ax.imshow(values, aspect="auto", interpolation="nearest", **scale)
    if len(columns) <= NAMED:
        turned = {"rotation": 90, "fontsize": "x-small"}
        ax.set_xticks(range(len(columns)), list(columns), **turned)  # type: ignore[arg-type]
    if len(rows) <= NAMED:
        ax.set_yticks(range(len(rows)), list(rows), fontsize="x-small")
    ax.tick_params(length=0)
    _color_bar(ax, image, label)
    return ax


def effect_curves(
    value: ArrayLike,
    lines: Mapping[str, ArrayLike],
    name: str,
    label: str,
    ax: Axes | None = None,
    *,
    control: Mapping[str, float] | None = None,
) -> Axes:
    """A line for each read-out over the scanned values [V], dashed where the control is.

    name: of the scanned value. label: what the lines are, with its unit.
    """
    ax = _axes(ax)
    for rank, (word, line) in enumerate(lines.items()):
        color = SAFE[rank % len(SAFE)]
        style = "o-" if rank < len(SAFE) else "o--"
        ax.plot(np.asarray(value), np.asarray(line), style, color=color, markersize=4, label=word)
        if control and word in control:
            ax.axhline(control[word], color=color, linestyle=":", linewidth=0.8)
    ax.set(xlabel=name, ylabel=label)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize="small")
    return _open(ax)


def _scale(values: Any) -> dict[str, Any]:
    """Colors around zero; the strongest hundredth does not drown the rest."""
    from matplotlib.colors import Normalize, SymLogNorm

    size = np.abs(values.compressed())
    top = float(size.max(initial=0.0)) or 1.0
    usual = float(np.quantile(size, 0.9)) if size.size else top
    if usual < top / 10:
        small = 10.0 ** np.floor(np.log10(max(usual, top / 1e3)))
        norm: Normalize = SymLogNorm(float(small), vmin=-top, vmax=top)
    else:
        norm = Normalize(-top, top)
    return {"cmap": _diverging(), "norm": norm}
