"""Plots of the landscape of a loss, on matplotlib axes: needs `pip install 'amphid[plot]'`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from amphid.interfaces.plots import SAFE, _axes, _open
from amphid.learning import LossLine, LossPlane

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = 12


def line(
    lines: LossLine | Mapping[str, LossLine], ax: Axes | None = None, *, label: str = "loss"
) -> Axes:
    """Losses along a line, one curve each; a dotted line is where the parameters are."""
    ax = _axes(ax)
    ax.axvline(0.0, color="0.6", linewidth=0.8, linestyle=":")
    named = {"": lines} if isinstance(lines, LossLine) else lines
    for number, (name, own) in enumerate(named.items()):
        color = SAFE[number % len(SAFE)]
        ax.plot(own.at, own.losses.cpu(), ".-", color=color, markersize=3, linewidth=1, label=name)
    if any(named):
        ax.legend(frameon=False, fontsize="small")
    ax.set(xlabel="distance along the direction", ylabel=label)
    return _open(ax)


def plane(own: LossPlane, ax: Axes | None = None, *, label: str = "loss") -> Axes:
    """A loss over a plane in colors, with lines of equal loss; a cross is where parameters are."""
    ax = _axes(ax)
    across, up, losses = (held.cpu().numpy() for held in (own.across, own.up, own.losses.T))
    drawn = ax.pcolormesh(across, up, losses, cmap="viridis", shading="nearest", rasterized=True)
    if losses.max() > losses.min():
        ax.contour(across, up, losses, levels=LEVELS, colors="white", linewidths=0.5, alpha=0.6)
    ax.plot(0.0, 0.0, "x", color="white", markersize=7, markeredgewidth=2)
    bar = ax.figure.colorbar(drawn, ax=ax)
    bar.set_label(label)
    bar.outline.set_visible(False)
    ax.set(xlabel="along the first direction", ylabel="along the second direction", aspect="equal")
    return _open(ax)
