"""The Python that repeats a session, to the bit on the same machine."""

from __future__ import annotations

from amphid.interfaces.view.session import Session

UNKNOWN = ("", "net = ...  # the network that this session was opened with\n")


def python_of(session: Session, recipe: tuple[str, str] = UNKNOWN) -> str:
    """A script that builds the network, does what the log holds, and records all of it.

    recipe: imports, and the lines that make the network as `net`, and as `g` the generator that
        its cells draw from, if they do.
    """
    imports, network = recipe
    used = {type(event.action).__name__ for event in session.log}
    used |= {type(session.life).__name__} - {"LivingNetwork"}
    lines = [imports.rstrip("\n") + "\n" if imports else ""]
    lines.append(f"from amphid.interfaces.view import {', '.join(sorted({'Session', *used}))}\n")
    lines.append("from amphid.models import Worm\n" if session.worm is not None else "")
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
    told = [session.life.script, f"seed={session.seed!r}"]
    told += [f"noise={session.noise!r}"] if session.noise else []
    told += ["generator=g"] if session.draws else []
    told += ["worm=Worm(net.connectome)"] if session.worm is not None else []
    return ", ".join(told)
