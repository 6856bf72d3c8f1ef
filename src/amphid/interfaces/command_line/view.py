"""`amphid view`: a live page on which a network is played, touched and lesioned."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.interfaces.command_line import networks, output
from amphid.interfaces.command_line.parsing import (
    UsageError,
    add_global_options,
    not_negative,
    positive,
    whole,
)
from amphid.interfaces.command_line.simulate import add_model, models_told

if TYPE_CHECKING:
    from amphid.interfaces.command_line.viewed import Viewed

_DESCRIPTION = """\
Open a page on this machine where a network lives: play it, stimulate and kill cells, poke the worm,
record, and copy what was done as Python that repeats it exactly. Ctrl-C ends it.
"""
_EXAMPLES = """\
examples:
  amphid view celegans
  amphid view celegans --neuron lif --seed 3 --noise 40
  amphid view celegans --export touch.html --stimulate PLM:20:500:1500 --poke 0.3:2500
  amphid view classic
  amphid view runs/2026-01-31_1a2b3c4
  amphid view brain.h5 --neuron lif --port 8000 --no-browser
"""

CLASSIC = "classic"
FILES, FILMED = ("export", "png", "gif", "webm"), ("duration", "stimulate", "poke", "crawl")
SESSION = (
    "dt", "noise", "weights", "no_body", "signs", "inhibitory", "annotate", "lesion", "neuron",
    "parameter", "synapse", "chemical", "electrical",
)  # fmt: skip
"""Options that make a network and a session of it."""
LIMITS = (
    ("dt", 1e-3, 100.0, " ms"),
    ("duration", 1.0, 1e6, " ms"),
    ("noise", 0.0, 1e6, " pA"),
    ("seed", 0, 2.0**53, ""),
)
UNTYPED = ("config", "stimulus", "amplitude", "start", "stop", "record", "every")
"""Options of a simulation that a session does not have."""


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "view",
        usage="amphid view NETWORK [options]\n       amphid view RUN [options]",
        help="play, touch and lesion a network on a live page",
        description=_DESCRIPTION,
        epilog=f"{models_told()}\n{_EXAMPLES}",
    )
    parser.set_defaults(parser=parser, run=run, **dict.fromkeys(UNTYPED))
    parser.add_argument(
        "network",
        nargs="?",
        metavar="NETWORK",
        help="celegans, a data set, a file, the folder of a training, or classic: the worm "
        "of the web that has a table of weights in place of physics",
    )
    _add_page(parser.add_argument_group("page"))
    _add_session(parser.add_argument_group("session"))
    _add_files(parser.add_argument_group("a file in place of the live page"))
    add_model(parser)
    add_global_options(parser, seed="noise and of cells that fire by chance")


def _add_page(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--port", type=whole, default=0, metavar="N", help="of the page (any free)")
    group.add_argument("--no-browser", action="store_true", help="only print the address")
    group.add_argument("--no-body", action="store_true", help="the worm without its body")


def _add_session(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dt", type=positive, metavar="ms", help="of one step (by model)")
    group.add_argument(
        "--noise", type=not_negative, metavar="pA", help="deviation of a current into every cell"
    )
    group.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights of the network, .safetensors"
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    """What is written, and what is done to the network meanwhile."""
    group.add_argument("--export", type=Path, metavar="FILE", help="a page that plays, .html")
    group.add_argument("--png", type=Path, metavar="FILE", help="its end: .png, .pdf or .svg")
    group.add_argument("--gif", type=Path, metavar="FILE", help="a film, .gif")
    group.add_argument(
        "--webm", type=Path, metavar="FILE",
        help="a film, .webm or .mp4; the program ffmpeg makes it",
    )  # fmt: skip
    group.add_argument("--duration", type=positive, metavar="ms", help="that it shows (4000)")
    group.add_argument(
        "--stimulate", action="append", metavar="CELLS",
        help="a pulse into cells, as in amphid simulate: CELLS:pA:START:STOP",
    )  # fmt: skip
    group.add_argument(
        "--poke", action="append", type=_poke, metavar="PLACE:START",
        help="touch the worm at a place from 0, the nose, to 1, the tail, at that time in ms",
    )  # fmt: skip
    group.add_argument("--crawl", action="store_true", help="the published circuit crawls")


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until interrupted; returns the exit code."""
    if not arguments.network:
        raise UsageError(
            "NETWORK is missing: celegans, a data set, a file or a run folder.", "amphid view"
        )
    if arguments.port > 65535:
        raise UsageError(f"--port is at most 65535, got {arguments.port}.", "amphid view")
    check_numbers(arguments)
    check_files(arguments)
    networks.check(arguments.network, CLASSIC)
    folder = Path(arguments.network).expanduser()
    if folder.is_dir() and not is_simulation(folder):
        return watched(folder, arguments)
    if arguments.device != "cpu":
        raise UsageError("--device: a session lives on the processor.", "amphid view")
    from amphid.interfaces.command_line import viewed

    if arguments.network == CLASSIC:
        check_ignored(arguments, "the classic worm is its own table, without physics", "no_body")
        return shown(viewed.classic(arguments), arguments)
    if folder.is_dir():
        check_recording(folder)
        arguments.config, arguments.network = folder / "config.toml", None
    return shown(viewed.opened(arguments), arguments)


def shown(viewed: Viewed, arguments: argparse.Namespace) -> int:
    """Serve the page of a session until interrupted, or write its files; returns the exit code."""
    for remark in viewed.remarks:
        output.remark(remark, quiet=arguments.quiet)
    if any(getattr(arguments, name) for name in FILES):
        return filmed(viewed, arguments)
    from amphid.interfaces.command_line.viewed import kept
    from amphid.interfaces.view.server import application, serve
    from amphid.interfaces.view.stage import Stage

    stage = Stage(
        viewed.session,
        title=viewed.title,
        recipe=viewed.recipe,
        keep=lambda _: kept(viewed, arguments),
    )
    serve(
        lambda door: application(stage, door),
        port=arguments.port,
        ready=lambda address: announce(address, arguments),
    )
    return 0


def check_files(arguments: argparse.Namespace) -> None:
    """Raise for files that cannot be written, or that nothing is written to, before any work."""
    asked = [f"--{name}" for name in (*FILES, *FILMED) if getattr(arguments, name)]
    files = [name for name in FILES if getattr(arguments, name)]
    folder = Path(arguments.network)
    live = folder.is_dir() and not is_simulation(folder)
    if asked and (live or not files):
        way = "is only looked at live" if live else "needs --export, --png, --gif or --webm"
        sentence = f"{', '.join(asked)}: {arguments.network} {way}."
        raise UsageError(sentence, "amphid view")
    if not files:
        return
    from amphid.interfaces.view import export, stills

    suffixes = {"export": export.PAGES, "png": stills.STILLS}
    suffixes |= {"gif": stills.FILMS[:1], "webm": stills.FILMS[1:]}
    for name in files:
        path = export.checked(getattr(arguments, name), suffixes[name])
        if name in ("gif", "webm"):
            stills.writer_of(path, 1.0)


def check_numbers(arguments: argparse.Namespace) -> None:
    """Raise for numbers that no page can mean, before any work."""
    for name, least, most, unit in LIMITS:
        value = getattr(arguments, name)
        if value is not None and not least <= value <= most:
            sentence = f"--{name} is from {least:,.7g} to {most:,.7g}{unit}, got {value:g}."
            raise UsageError(sentence, "amphid view")


def check_ignored(arguments: argparse.Namespace, what: str, *taken: str) -> None:
    """Raise for options that something which brings its own network would ignore."""
    asked = [name for name in SESSION if getattr(arguments, name) not in (None, False)]
    asked = [name for name in asked if name not in taken]
    if asked:
        told = ", ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise UsageError(f"{told}: {what}.", "amphid view")


def is_simulation(folder: Path) -> bool:
    """Whether a folder is that of a simulation, or of a session that was recorded."""
    return (folder / "recording.h5").is_file() and (folder / "config.toml").is_file()


def check_recording(folder: Path) -> None:
    """Raise ValueError, with what makes it anew, for a run whose recording is damaged or cut short.

    The page shows its network, not the recording; but whoever looks at a run must hear of it.
    """
    from amphid.simulation.recording_file import opened

    try:
        with opened(folder / "recording.h5"):
            pass
    except ValueError as error:
        way = f"amphid simulate --config {folder / 'config.toml'}"
        if (folder / "session.py").is_file():
            way = f"the script {folder / 'session.py'}"
        raise ValueError(f"{error} It is made anew by {way}.") from None


def watched(folder: Path, arguments: argparse.Namespace) -> int:
    """Serve the page of a training until interrupted; returns the exit code."""
    from amphid.interfaces.view.server import serve
    from amphid.interfaces.view.training import logs_of
    from amphid.interfaces.view.training_server import training_application

    if not logs_of(folder) and (folder / "session.py").is_file():
        raise FileNotFoundError(
            f"{folder} is a session of the classic worm, which has no config.toml: python "
            f"{folder / 'session.py'} repeats it, and amphid view {CLASSIC} opens the worm at rest."
        )
    if not logs_of(folder):
        raise FileNotFoundError(
            f"{folder} holds no metrics.jsonl, and no config.toml with a recording.h5: give the "
            "folder of a training, of several, or of a simulation; or a network."
        )
    if "seed" in arguments.typed:
        raise UsageError(f"--seed: {folder} is a training, which has one.", "amphid view")
    check_ignored(arguments, f"{folder} is the folder of a training, which is only looked at")
    serve(
        lambda door: training_application(folder, door),
        port=arguments.port,
        ready=lambda address: announce(address, arguments),
    )
    return 0


def filmed(viewed: Viewed, arguments: argparse.Namespace) -> int:
    """Write the session that was typed as files; returns the exit code."""
    from amphid.interfaces.view import export_page
    from amphid.interfaces.view.stills import save_film, save_still

    session, log, until = viewed.session, viewed.log, viewed.until
    if late := [event for event in log if event.time > until]:
        raise UsageError(
            f"{late[0].action} comes at {late[0].time:g} ms, but the film ends at {until:g} ms: "
            "give an earlier time or a longer --duration.",
            "amphid view",
        )
    made = [
        save_film(path, session, log=log, until=until)
        for path in (arguments.gif, arguments.webm)
        if path
    ]
    if arguments.export:
        path = export_page(arguments.export, session, log=log, until=until, title=viewed.title)
        made.append(path)
    if arguments.png:
        session.replay(log, until)
        made.append(save_still(arguments.png, session))
    if arguments.json:
        output.document({"written": list(map(str, made)), "actions": len(log)})
    else:
        output.facts({f"written {path.suffix[1:]}": str(path) for path in made})
    return 0


def _poke(text: str) -> tuple[float, float]:
    place, _, start = text.partition(":")
    try:
        return not_negative(place), not_negative(start or "500")
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"needs PLACE:START, such as 0.3:2500 for a place and a time in ms, got {text!r}"
        ) from None


def announce(address: str, arguments: argparse.Namespace) -> None:
    """Tell where the page is, and open it unless told not to."""
    if arguments.json:
        output.document({"address": address})
    else:
        print(f"The page is at {address}\nCtrl-C ends it.")
    sys.stdout.flush()  # whoever started it waits for the address
    if not (arguments.no_browser or arguments.json):
        webbrowser.open(address)
