"""Plots of recordings and connectomes for papers, on matplotlib axes.

Every function draws on an Axes, the current one unless given, and returns it; saving and showing
are left to matplotlib. Needs `pip install 'amphid[plot]'`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from amphid.interfaces.placement import Placement, groups, place
from amphid.simulation import Recording
from amphid.simulation.recording import UNITS
from amphid.wiring import Connectome
from amphid.wiring.connectome import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEGIBLE = 12  # lines that can be told apart by color and named in a legend
SAFE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colors that the color-blind tell apart: Okabe & Ito 2008, without black and yellow."""
STAGES = ("sensory", "input", "polymodal", "inter", "hidden", "motor", "output", "muscle")
SYMBOLS = {"v": "membrane potential", "g": "conductance", "i": "current"}


def raster(run: Recording, ax: Axes | None = None, *, trial: int = 0) -> Axes:
    """One tick per spike: time in ms against cell, the first cell on top.

    trial: which one of a batch, its axes numbered through. Raises ValueError when no spikes were
    recorded or there is no such trial.
    """
    ax = _axes(ax)
    run = run.of("spike")
    if run.spikes is None:
        raise ValueError("a raster needs spikes: simulate(..., record=('spike',)).")
    spikes = run.spikes
    here = _numbered(spikes.index[1:-1], spikes.shape[1:-1]) == _trial(spikes.shape[1:-1], trial)
    time, cell = (column[here].cpu().numpy() for column in (spikes.time, spikes.cell))
    size = len(run.cells)
    height = min(max(_points_high(ax) / max(size, 1) * 0.8, 1.0), 14.0)
    ax.plot(time, cell, "|", color="0.1", markersize=height, markeredgewidth=0.8, rasterized=True)
    ax.set(xlabel="time (ms)", xlim=(0.0, run.duration), ylim=(size - 0.4, -0.6))
    _name_rows(ax, run)
    return _open(ax)


def traces(
    run: Recording, field: str = "v", ax: Axes | None = None, *, trial: int | None = None
) -> Axes:
    """One line per cell over time; of more than 12 cells the six that vary most are in color.

    The legend names the colored cells, the others are thin and gray. field: which variable; its
    unit stands on the axis. trial: which one of a batch; all when None, each cell in one color.
    Raises ValueError when the variable was not recorded or there is no such trial.
    """
    ax = _axes(ax)
    run = run.of(field)
    value = _field(run, field)
    batch, value = value.shape[1:-1], value.reshape(len(value), -1, value.shape[-1])
    if trial is not None:
        value = value[:, [_trial(batch, trial)]]
    time, size = run.time.numpy(), value.shape[-1]
    named = list(range(size))
    if size > LEGIBLE:
        named = list(np.argsort(-np.ptp(value, axis=0).max(0), kind="stable")[: len(SAFE)])
        others = np.delete(value, named, axis=2).reshape(len(value), -1)
        ax.plot(time, others, color="0.6", linewidth=0.5, alpha=0.4, rasterized=True)
        ax.plot([], [], color="0.6", linewidth=0.8, label=f"{size - len(named):,} other cells")
    for rank, cell in enumerate(named):
        style = "-" if rank < len(SAFE) else "--"
        color = SAFE[rank % len(SAFE)]
        lines = ax.plot(time, value[..., cell], linestyle=style, color=color, linewidth=1.2)
        lines[0].set_label(str(run.names[cell]))
    ax.set(xlabel="time (ms)", ylabel=_label(field), xlim=(0.0, run.duration))
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize="small")
    return _open(ax)


def cells(
    connectome: Connectome,
    values: ArrayLike | Tensor | None = None,
    ax: Axes | None = None,
    *,
    label: str = "",
    names: int = 6,
) -> Axes:
    """The cells in place, colored by one value each; a worm has its head to the left.

    values: [N], such as `measures.response(run, before)`. Values of both signs are colored around
    zero, blue below and orange above. label: their name and unit, on the color bar. names: how many
    of the cells with the largest values are named. Muscles are bars, other cells dots.
    Raises ValueError when there is not one value per cell.
    """
    ax = _axes(ax)
    placement = place(connectome.cells)
    x, y = placement.point[:, 0], placement.point[:, 1]
    color = _values(values, len(connectome))
    muscle = connectome.cells.kind == "muscle"
    scale = _scale(color)
    size = min(34.0, max(3.0, 9000.0 / max(len(connectome), 1)))
    order = np.argsort(np.nan_to_num(np.abs(color), nan=-1.0), kind="stable")
    for mark, chosen in (("s", order[muscle[order]]), ("o", order[~muscle[order]])):
        drawn = ax.scatter(
            x[chosen],
            y[chosen],
            s=size,
            c=color[chosen],
            marker=mark,
            plotnonfinite=True,
            linewidths=0.3,
            edgecolors="0.25",
            **scale,
        )
    if values is not None:
        _color_bar(ax, drawn, label)
        _name_largest(ax, connectome, placement, color, names)
    for text, right, up, _ in placement.marks:
        ax.annotate(text, (right, up), ha="center", va="center", color="0.4", fontsize="small")
        ax.update_datalim([(1.03 * right, up)])
    ax.set_aspect("equal", "datalim")
    ax.axis("off")
    if placement.known.any():
        _scale_bar(ax, x, y)
    return ax


def matrix(connectome: Connectome, ax: Axes | None = None, *, kind: Kind = "chemical") -> Axes:
    """Who connects to whom: rows send, columns receive, darker for more synapses (logarithmic).

    kind: "chemical" or "electrical". Where signs are known, excitation is blue and inhibition
    orange. Cells are sorted by kind, from sense to muscle, and keep their order within.
    """
    from matplotlib.colors import SymLogNorm

    ax = _axes(ax)
    signed = kind == "chemical" and bool((connectome.connections.sign < 0).any())
    order = np.argsort([_stage(kind) for kind in connectome.cells.kind], kind="stable")
    counts = connectome.matrix(kind, signed=signed)[np.ix_(order, order)]
    top = max(float(np.abs(counts).max(initial=0.0)), 1.0)
    norm = SymLogNorm(1.0, vmin=-top if signed else 0.0, vmax=top)
    colors = _diverging().reversed() if signed else "Blues"
    image = ax.imshow(counts, cmap=colors, norm=norm, interpolation="nearest")
    _color_bar(ax, image, "synapses, those that inhibit below 0" if signed else "synapses")
    ax.set(xlabel="to cell", ylabel="from cell")
    _frame_kinds(ax, connectome.cells.kind[order])
    return ax


def _axes(ax: Axes | None) -> Axes:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise ModuleNotFoundError("plots need matplotlib: pip install 'amphid[plot]'") from None
    if ax is not None:
        return ax
    # the current axes while they are empty; never on top of another picture
    fresh = plt.get_fignums() and not plt.gca().has_data()
    return plt.gca() if fresh else plt.figure().gca()


def _open(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _points_high(ax: Axes) -> float:
    return float(ax.get_window_extent().height * 72 / ax.figure.dpi)


def _field(run: Recording, field: str) -> NDArray[Any]:
    if field not in run.fields:
        raise ValueError(
            f"there is no {field!r} to draw in {run!r}: simulate(..., record=({field!r},))."
        )
    return run.fields[field].detach().cpu().numpy()


def _trial(batch: tuple[int, ...], trial: int) -> int:
    count = math.prod(batch)
    if not 0 <= trial < count:
        raise ValueError(f"trial must be below {count}, the trials of this recording, got {trial}.")
    return trial


def _numbered(place: Tensor, batch: tuple[int, ...]) -> Tensor:
    """[K] trial of each spike, the axes of the batch numbered through."""
    number = torch.zeros(place.shape[1], dtype=torch.int64, device=place.device)
    for size, axis in zip(batch, place, strict=True):
        number = number * size + axis
    return number


def _label(field: str) -> str:
    group, _, variable = field.rpartition(".")
    words = " ".join(filter(None, (group, SYMBOLS.get(variable, variable.replace("_", " ")))))
    unit = UNITS.get(variable, "1")
    return words if unit == "1" else f"{words} ({unit})"


def _name_rows(ax: Axes, run: Recording) -> None:
    """Names of the cells where they fit, else of their groups, else numbers."""
    from matplotlib.ticker import MaxNLocator

    size = len(run.cells)
    together = {
        label: row
        for label, row in groups(run.cells, np.ones(size, dtype=bool)).items()
        if label and np.ptp(row) == len(row) - 1
    }
    if size <= _points_high(ax) / 7:
        ax.set_yticks(range(size), [str(name) for name in run.names], fontsize="small")
    elif sum(map(len, together.values())) == size and len(together) > 1:
        ax.set_yticks([row.mean() for row in together.values()], list(together))
        for row in list(together.values())[1:]:
            ax.axhline(row[0] - 0.5, color="0.75", linewidth=0.6, zorder=0)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylabel("cell")


def _values(values: ArrayLike | Tensor | None, size: int) -> NDArray[np.float64]:
    if values is None:
        return np.zeros(size)
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (size,):
        raise ValueError(
            f"values must be one number per cell: the connectome has {size} cells, values have "
            f"shape {list(given.shape)}."
        )
    return given


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    shades = ["#08306b", "#0072b2", "#8cc4e8", "#f4f4f2", "#f4b183", "#d55e00", "#7f2704"]
    return LinearSegmentedColormap.from_list("blue to orange", shades).with_extremes(bad="0.75")


def _scale(color: NDArray[np.float64]) -> dict[str, Any]:
    """Color map and its range: around zero for both signs, logarithmic when values span decades."""
    from matplotlib.colors import Normalize, SymLogNorm

    size = np.abs(color[np.isfinite(color)])
    top = float(size.max(initial=0.0)) or 1.0
    low = -top if (color < 0).any() else 0.0
    wide = size.size > 0 and float(np.median(size)) < top / 20
    norm = SymLogNorm(_small(top), vmin=low, vmax=top) if wide else Normalize(low, top)
    return {"cmap": _diverging() if low else "cividis_r", "norm": norm}


def _small(top: float) -> float:
    """Where the logarithmic scale turns linear: a power of ten two decades below the top."""
    return float(10.0 ** (math.floor(math.log10(top)) - 2))


def _color_bar(ax: Axes, drawn: Any, label: str) -> None:
    from matplotlib.colors import SymLogNorm

    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.8, aspect=25, pad=0.02)
    bar.set_label(label)
    if isinstance(drawn.norm, SymLogNorm):
        ticks = _decades(drawn.norm)
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        bar.ax.minorticks_off()


def _decades(norm: Any) -> list[float]:
    """Zero and the powers of ten that the scale spans, from where it turns logarithmic."""
    powers = range(round(math.log10(norm.linthresh)), math.floor(math.log10(norm.vmax)) + 1)
    above = [10.0**power for power in powers]
    return [-tick for tick in reversed(above) if -tick >= norm.vmin] + [0.0, *above]


def _name_largest(
    ax: Axes, connectome: Connectome, placement: Placement, color: NDArray[np.float64], names: int
) -> None:
    """Names beside the cells of largest value, each where it covers no other name."""
    from matplotlib.patheffects import withStroke

    size = np.nan_to_num(np.abs(color), nan=0.0)
    x, y = placement.point[:, 0], placement.point[:, 1]
    per_point = np.ptp(x) / (0.8 * ax.get_window_extent().width * 72 / ax.figure.dpi) or 1.0
    taken = [(right / per_point, up / per_point) for _, right, up, _ in placement.marks]
    for cell in np.argsort(-size, kind="stable")[:names]:
        if size[cell] > 0:
            shift = _free_spot(x[cell] / per_point, y[cell] / per_point, taken)
            ax.annotate(
                str(connectome.cells.name[cell]),
                (x[cell], y[cell]),
                xytext=shift,
                textcoords="offset points",
                fontsize="x-small",
                va="center",
                path_effects=[withStroke(linewidth=2, foreground="white")],
                arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkB": 2},
            )


def _free_spot(x: float, y: float, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Offset in points of a name from its cell, where it is clear of those already set."""
    offsets = [(8.0, 9.0 * sign * turn) for turn in range(1, 9) for sign in (1, -1)]
    for right, up in offsets:
        if all(abs(x + right - a) > 34 or abs(y + up - b) > 9 for a, b in taken):
            break
    taken.append((x + right, y + up))
    return right, up


def _scale_bar(ax: Axes, x: Any, y: Any) -> None:
    length = 10.0 ** math.floor(math.log10(max(float(np.ptp(x)), 1.0) / 2))
    left, low = float(x.min()), float(y.min()) - 0.06 * float(np.ptp(x))
    ax.plot([left, left + length], [low, low], color="0.2", linewidth=2, solid_capstyle="butt")
    ax.annotate(f" {length:g} um", (left + length, low), va="center", fontsize="small")


def _stage(kind: str) -> int:
    return STAGES.index(kind) if kind in STAGES else len(STAGES)


def _frame_kinds(ax: Axes, kind: NDArray[np.object_]) -> None:
    edges = [0, *(np.flatnonzero(kind[1:] != kind[:-1]) + 1), len(kind)]
    if not 2 < len(edges) <= LEGIBLE:
        return
    for edge in edges[1:-1]:
        ax.axhline(edge - 0.5, color="0.6", linewidth=0.5)
        ax.axvline(edge - 0.5, color="0.6", linewidth=0.5)
    wide = [(a, b) for a, b in pairwise(edges) if b - a > 0.02 * len(kind)]
    middles, labels = [(a + b - 1) / 2 for a, b in wide], [str(kind[a]) or "other" for a, _ in wide]
    ax.set_xticks(middles, labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(middles, labels)
