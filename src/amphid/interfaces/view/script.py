"""The Python that repeats a session, to the bit on the same machine."""

from __future__ import annotations

from amphid.interfaces.view.classic import LivingClassic
from amphid.interfaces.view.classic_crawler import ClassicCrawler
from amphid.interfaces.view.session import Session
from amphid.models import Worm

UNKNOWN = ("", "net = ...  # the network that this session was opened with\n")


def python_of(session: Session, recipe: tuple[str, str] = UNKNOWN) -> str:
    """A script that builds the network, does what the log holds, and records all of it.

    recipe: imports, and the lines that make the network as `net`, and as `g` the generator that
        its cells draw from, if they do.
    """
    imports, network = recipe
    used = {type(event.action).__name__ for event in session.log}
    used |= {type(session.life).__name__} - {"LivingNetwork"}
    if isinstance(session.life, LivingClassic):
        imports, network = "", f"life = {session.life.script}\n"
    if isinstance(session.worm, ClassicCrawler):
        used.add("ClassicCrawler")
    lines = [imports.rstrip("\n") + "\n" if imports else ""]
    lines.append(f"from amphid.interfaces.view import {', '.join(sorted({'Session', *used}))}\n")
    lines.append("from amphid.models import Worm\n" if isinstance(session.worm, Worm) else "")
    lines += ["\n", network, f"session = Session({_told(session)})\n", "session.record()\n"]
    time = 0.0
    for event in session.log:
        if event.time > time:
            lines.append(f"session.run({event.time!r})\n")
            time = event.time
        lines.append(f"session.act({event.action!r})\n")
    lines.append(f"session.run({session.time!r})\n")
    lines.append("run = session.recording()\n" if session.steps else "")
    return "".join(lines)


def _told(session: Session) -> str:
    classic = isinstance(session.life, LivingClassic)
    told = ["life" if classic else session.life.script, f"seed={session.seed!r}"]
    told += [f"noise={session.noise!r}"] if session.noise else []
    told += ["generator=g"] if session.draws else []
    if session.worm is not None:
        told.append(f"worm={'ClassicCrawler(life)' if classic else 'Worm(net.connectome)'}")
    return ", ".join(told)
