"""Plots of searches for papers, on matplotlib axes: needs `pip install 'amphid[plot]'`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from amphid.interfaces.plots import SAFE, _axes, _open
from amphid.learning import Found, Integers, LogUniform

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def history(found: Found, ax: Axes | None = None, *, label: str = "value") -> Axes:
    """One dot per trial, and the best value so far as a line; pruned trials are crosses.

    label: what the objective is, with its unit. Values of both signs or of few decades stand on a
    linear axis, others on a logarithmic one. Raises ValueError when no trial is complete.
    """
    ax = _axes(ax)
    _ = found.best
    rows = found.history()
    numbers, values, best = (np.array(column) for column in zip(*rows, strict=True))
    seen = np.isfinite(values)
    ax.plot(numbers[seen], values[seen], "o", color="0.55", markersize=4, label="complete")
    pruned = [one for one in found.trials if one.state == "pruned" and _finite(one.value)]
    if pruned:
        where = [one.number for one in pruned]
        ax.plot(where, [one.value for one in pruned], "x", color="0.7", markersize=4)  # type: ignore[arg-type]
        ax.lines[-1].set_label("pruned")
    failed = [one.number for one in found.trials if one.state == "failed"]
    for number in failed:
        ax.axvline(number, color=SAFE[1], linewidth=0.6, alpha=0.4, zorder=0)
    ax.step(numbers, best, where="post", color=SAFE[0], linewidth=1.5, label="best so far")
    if _decades(values[seen]):
        ax.set_yscale("log")
    ax.set(xlabel="trial", ylabel=label)
    _whole_ticks(ax)
    ax.legend(frameon=False, fontsize="small")
    return _open(ax)


def importance(found: Found, ax: Axes | None = None) -> Axes:
    """A bar for each setting: its share in what sets the best trials apart, the largest on top.

    Raises ValueError for fewer than ten complete trials.
    """
    ax = _axes(ax)
    shares = found.importance()
    names = list(shares)[::-1]
    bars = ax.barh(names, [shares[name] for name in names], color=SAFE[0], height=0.6)
    ax.bar_label(bars, fmt="{:.2f}", padding=3, fontsize="small")
    ax.set(xlabel="importance (share)", xlim=(0.0, 1.12 * max(shares.values(), default=1.0)))
    return _open(ax)


def setting(found: Found, name: str, ax: Axes | None = None, *, label: str = "value") -> Axes:
    """The values of all complete trials over one setting, later trials darker.

    Raises KeyError for a setting that there is not, ValueError when no trial is complete.
    """
    if name not in found.space:
        raise KeyError(f"the search has no setting {name!r}; it has {', '.join(found.space)}.")
    ax = _axes(ax)
    _ = found.best
    dimension, ran = found.space[name], found.complete
    values = np.array([one.value for one in ran], dtype=np.float64)
    where: list[Any] = [one.stored[name] for one in ran]
    if not isinstance(where[0], (int, float)) or isinstance(where[0], bool):
        where = [str(held) for held in where]
    order = np.arange(len(ran))
    ax.scatter(where, values, c=order, cmap="Blues", vmin=-len(ran) / 2, s=18, edgecolors="0.4")
    wide = isinstance(dimension, LogUniform) or (isinstance(dimension, Integers) and dimension.log)
    if wide:
        ax.set_xscale("log")
    if _decades(values[np.isfinite(values)]):
        ax.set_yscale("log")
    ax.set(xlabel=name, ylabel=label)
    return _open(ax)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _decades(values: Any) -> bool:
    """Whether positive values span so much that a linear axis would hide the small ones."""
    return bool(len(values) and values.min() > 0 and values.max() > 100 * values.min())


def _whole_ticks(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
