"""A session as a still picture or a moving one, for papers and talks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amphid.interfaces.placement import Placement, place
from amphid.interfaces.view.actions import Event
from amphid.interfaces.view.export import checked, film
from amphid.interfaces.view.session import Session

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STILLS = (".png", ".pdf", ".svg")
FILMS = (".gif", ".webm", ".mp4")
CODECS = {
    ".webm": ("libvpx-vp9", ("-pix_fmt", "yuv420p", "-crf", "30", "-b:v", "0", "-row-mt", "1")),
    ".mp4": ("libx264", ("-pix_fmt", "yuv420p", "-crf", "20")),
}
"""What ffmpeg is told for each: a quality that keeps thin lines, colors that all players know."""
MOST = 3600  # pictures of a film
SMALL = 0.03  # of the largest change, below which the scale of colors is even


def still(session: Session, axes: Axes | None = None, *, top: float | None = None) -> Axes:
    """The cells of a session where they are, colored by their change from rest; the dead crossed.

    top: the change at the ends of the scale of colors; the largest there is when None.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import SymLogNorm

    axes = plt.gca() if axes is None else axes
    placement, change = place(session.connectome.cells), _change(session)
    top = top or max(float(np.abs(change).max()), 1e-3)
    order = np.argsort(np.abs(change), kind="stable")
    across, up = placement.point[order, :2].T
    drawn = axes.scatter(
        across,
        up,
        c=change[order],
        s=14,
        cmap="PuOr_r",
        norm=SymLogNorm(SMALL * top, vmin=-top, vmax=top),
        edgecolors="0.35",
        linewidths=0.3,
    )
    dead = list(session.dead)
    axes.plot(*placement.point[dead, :2].T, "kx", markersize=5)
    name, unit = session.life.shows
    axes.figure.colorbar(drawn, ax=axes, label=f"change of {name} ({unit})", shrink=0.8)
    _frame(axes, placement)
    return axes


def body(session: Session, axes: Axes | None = None) -> Axes:
    """The body of a session in its dish, um. Raises ValueError for a session without one."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Circle

    if session.worm is None:
        raise ValueError("this session has no body: give it worm=Worm(connectome).")
    axes = plt.gca() if axes is None else axes
    dorsal, ventral = session.worm.ends()
    outline = np.concatenate((dorsal, ventral[::-1]))
    axes.fill(*outline.T, facecolor="#cfc6b2", edgecolor="#6d6450", linewidth=0.8)
    dish = session.worm.build.dish
    if dish is not None:
        axes.add_patch(Circle((0, 0), dish, fill=False, color="0.6"))
        axes.set(xlim=(-1.05 * dish, 1.05 * dish), ylim=(-1.05 * dish, 1.05 * dish))
    if session.worm.food is not None:
        axes.plot(*session.worm.food, "P", color="#46823c", label="food")
    axes.set(xlabel="x (um)", ylabel="y (um)", aspect="equal")
    return axes


def save_still(path: str | Path, session: Session) -> Path:
    """Write the session as it stands as a picture: .png, .pdf or .svg.

    Raises ValueError for another suffix, ModuleNotFoundError without the extra `plot`.
    """
    path = checked(path, STILLS)
    _drawn(session, None).savefig(path, dpi=200)
    return path


def save_film(
    path: str | Path,
    session: Session,
    *,
    log: Sequence[Event] | None = None,
    until: float | None = None,
    pictures: float = 15.0,
) -> Path:
    """Play a log from rest and write it as a film: .gif, or .webm and .mp4 where ffmpeg is there.

    log, until: those of the session itself when None. pictures: in each simulated second.
    The file appears whole or not at all. Raises ValueError for another suffix, no time, or more
    than 3,600 pictures; FileNotFoundError where the program ffmpeg is missing.
    """
    path = checked(path, FILMS)
    log = list(session.log if log is None else log)
    until = session.time if until is None else until
    if until * pictures / 1000 > MOST:
        raise ValueError(
            f"{until * pictures / 1000:,.0f} pictures are more than a film of {MOST:,}: show less "
            "time, or fewer pictures a second."
        )
    writer = writer_of(path, pictures)
    top = max(_largest(session, log, until, pictures), 1e-3)
    figure = _drawn(session, top)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with writer.saving(figure, str(part), 100):
            for _ in film(session, log, until, pictures=pictures):
                _draw(figure, session, top)
                writer.grab_frame()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def writer_of(path: Path, pictures: float) -> Any:
    """What writes such a film with matplotlib: Pillow a .gif, ffmpeg the others.

    Raises ModuleNotFoundError or FileNotFoundError, with the way out, for what is missing.
    """
    try:
        from matplotlib import animation
    except ModuleNotFoundError:
        raise _without_matplotlib() from None
    if path.suffix == ".gif":
        return animation.PillowWriter(fps=round(pictures))
    if not animation.FFMpegWriter.isAvailable():
        raise FileNotFoundError(
            f"{path.suffix} needs the program ffmpeg, which is not on the PATH: install it, for "
            "instance with apt-get install ffmpeg, or write a .gif, which needs no program."
        )
    codec, more = CODECS[path.suffix]
    return animation.FFMpegWriter(fps=round(pictures), codec=codec, extra_args=list(more))


def _largest(session: Session, log: Sequence[Event], until: float, pictures: float) -> float:
    """The largest change of any cell in a film, so that its colors keep their meaning."""
    shown = film(session, log, until, pictures=pictures)
    return max(float(np.abs(_change(session)).max()) for _ in shown)


def _drawn(session: Session, top: float | None) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise _without_matplotlib() from None
    figure = Figure(figsize=(8, 6.4 if session.worm else 3.6), layout="constrained")
    _draw(figure, session, top)
    return figure


def _without_matplotlib() -> ModuleNotFoundError:
    sentence = "pictures need matplotlib: pip install 'amphid[plot]'"
    return ModuleNotFoundError(sentence, name="matplotlib")


def _draw(figure: Figure, session: Session, top: float | None) -> None:
    figure.clear()
    rows = 2 if session.worm else 1
    axes = figure.subplots(rows, squeeze=False, height_ratios=[1, 1.2][:rows])[:, 0]
    still(session, axes[0], top=top)
    axes[0].set_title(f"{session.time / 1000:.2f} s", loc="left", fontsize=10)
    if session.worm:
        body(session, axes[1])


def _change(session: Session) -> np.ndarray[Any, np.dtype[np.float64]]:
    change = (session.life.level - session.rest).double().numpy()
    return np.asarray(np.nan_to_num(change))


def _frame(axes: Axes, placement: Placement) -> None:
    """Axes in um where cells are in place, and none where they are laid out."""
    axes.set_aspect("equal")
    axes.margins(0.1)  # for the names at both ends
    for text, x, y, _ in placement.marks:
        axes.annotate(text, (x, y), ha="center", va="center", fontsize=8, color="0.4")
    if placement.known.any():
        axes.set(xlabel="along the animal (um)", ylabel="(um)")
    else:
        axes.set_axis_off()
