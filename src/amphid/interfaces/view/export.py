"""A session as a file that plays: one page that opens from disk and needs no server."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amphid.interfaces.report_data import packed
from amphid.interfaces.view import wire
from amphid.interfaces.view.actions import Event, Stimulate
from amphid.interfaces.view.reel import PICTURES
from amphid.interfaces.view.session import Session

LARGEST = 1 << 27  # bytes of all pictures
PINNED = 4
PAGES = (".html",)

Fired = NDArray[np.bool_]


def film(
    session: Session, log: Sequence[Event], until: float, *, pictures: float = PICTURES
) -> Iterator[Fired]:
    """Play a log from rest, and stop at every picture, the first one at rest.

    until: ms. pictures: in each simulated second. Yields which cells fired since the last one [N].
    Raises ValueError for times and numbers that cannot be.
    """
    if not (until > 0 and pictures > 0 and math.isfinite(until * pictures)):
        raise ValueError(
            f"a film needs a time and pictures above 0, got {until!r} ms and {pictures!r} a second."
        )
    fired, waiting = np.zeros(len(session), bool), deque(log)
    session.reset()
    yield fired
    for number in range(1, math.floor(until * pictures / 1000) + 1):
        fired[:] = False
        end = round(number * 1000 / pictures / session.dt)
        while session.steps < end:
            while waiting and round(waiting[0].time / session.dt) <= session.steps:
                session.act(waiting.popleft().action)
            session.advance(1)
            fired |= session.life.fired.numpy()
        yield fired


def frames(
    session: Session, log: Sequence[Event], until: float, *, pictures: float = PICTURES
) -> list[bytes]:
    """The pictures of a log that is played from rest, as `wire.frame` packs them.

    Raises ValueError where they would be more than 128 MiB.
    """
    count = math.floor(until * pictures / 1000) + 2
    each = len(wire.frame(session))
    if count * each > LARGEST:
        raise ValueError(
            f"{count:,} pictures of {each:,} bytes are more than a page should hold: show less "
            "time, or fewer pictures."
        )
    return [
        wire.frame(session, number=number, speed=1.0, flags=wire.PLAYING, fired=fired)
        for number, fired in enumerate(film(session, log, until, pictures=pictures))
    ]


def export_page(
    path: str | Path,
    session: Session,
    *,
    log: Sequence[Event] | None = None,
    until: float | None = None,
    title: str = "A session",
    pictures: float = PICTURES,
) -> Path:
    """Play a log from rest and write it as one page that plays and can be scrubbed.

    log, until: those of the session itself when None; it stands at that time afterwards.
    The file appears whole or not at all. Raises ValueError for another suffix than .html, for a log
    that is empty of time, and for too many pictures; FileNotFoundError without the folder.
    """
    path = checked(path, PAGES)
    log = list(session.log if log is None else log)
    taken = frames(session, log, session.time if until is None else until, pictures=pictures)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(page_of(session, taken, log, title=title), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def page_of(session: Session, taken: Sequence[bytes], log: Sequence[Event], *, title: str) -> str:
    """The page that plays those pictures of a session, as text."""
    from amphid.interfaces.view.sheet import page

    tape = {
        "network": wire.network(session, title=title, live=False),
        "frames": packed(np.frombuffer(b"".join(taken), np.uint8), "u1"),
        "sizes": list(map(len, taken)),
        "log": [{"time": event.time, "text": str(event.action)} for event in log],
        "pinned": pinned(log),
    }
    return page(title, tape=tape)


def checked(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    """The path of a file that can be written. Raises ValueError, or FileNotFoundError."""
    path = Path(path)
    if path.suffix not in suffixes:
        raise ValueError(f"the file must end in {' or '.join(suffixes)}, got {path.name!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder.")
    return path


def pinned(log: Sequence[Event]) -> list[str]:
    """The cells that were stimulated, a few."""
    cells = [event.action.cell for event in log if isinstance(event.action, Stimulate)]
    return list(dict.fromkeys(cells))[:PINNED]
