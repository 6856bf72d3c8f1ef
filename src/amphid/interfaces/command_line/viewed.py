"""What `amphid view` looks at: a session of the network that was typed, and what its files need."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.interfaces.view import (
    ClassicCrawler,
    Crawl,
    Event,
    Feed,
    Lesion,
    Life,
    LivingClassic,
    LivingNetwork,
    LivingPortions,
    Poke,
    Restore,
    Session,
    Stimulate,
)
from amphid.models import Worm

if TYPE_CHECKING:
    from amphid.interfaces.command_line.options import Told
    from amphid.interfaces.command_line.settings import RunSettings
    from amphid.simulation import Network
    from amphid.wiring import Connectome

GRADED_STEP = 5.0  # ms; semi-implicit steps of graded cells bear it, and a page wants few
MANY, CROWD = 1000, 30_000  # cells
PORTION, LONG = 30.0, 40.0  # ms of a portion, of many cells (a picture) and of a crowd
FILM = 4000.0  # ms
ACTIONS = {made.__name__: made for made in (Stimulate, Lesion, Restore, Poke, Feed, Crawl)}


@dataclass(frozen=True)
class Viewed:
    """A session at rest.

    title: in words. recipe: the Python that makes its network. log, until: what a film of it shows.
    settings: complete, None for the classic worm. remarks: for the person.
    """

    session: Session
    title: str
    recipe: tuple[str, str]
    log: list[Event]
    until: float
    settings: RunSettings | None = None
    remarks: tuple[str, ...] = ()


def opened(arguments: argparse.Namespace) -> Viewed:
    """The session that was asked for, at rest."""
    import torch

    from amphid.interfaces.command_line import building, models, options
    from amphid.interfaces.weights import load_weights

    if arguments.config is None:
        graded = arguments.neuron in (None, "graded")
        arguments.duration = arguments.duration or FILM
        step = GRADED_STEP if graded else models.CELLS[arguments.neuron].dt
        arguments.dt = arguments.dt or step
    told = options.complete(arguments)
    seed = told.settings.simulation.seed
    generator = torch.Generator().manual_seed(seed)
    connectome = building.wired(told.settings, told.loaded)
    network = building.equipped(told.settings, connectome, generator)
    if arguments.weights:
        load_weights(network, arguments.weights)
    session = Session(
        life_of(network, told.settings.simulation.dt),
        seed=seed,
        noise=told.settings.stimulus.noise,
        generator=generator if told.settings.model.neuron == "escape" else None,
        worm=None if arguments.no_body else worm_of(connectome),
    )
    return _viewed(session, told, arguments)


def classic(arguments: argparse.Namespace) -> Viewed:
    """The classic worm of the web, at rest."""
    life = LivingClassic()
    body = None if arguments.no_body else ClassicCrawler(life)
    session = Session(life, seed=arguments.seed, worm=body)
    log = _acts(arguments) + _pulses(session, arguments)
    title = "The classic worm of the web, for comparison"
    return Viewed(session, title, ("", ""), _sorted(log), arguments.duration or FILM)


def _viewed(session: Session, told: Told, arguments: argparse.Namespace) -> Viewed:
    log, until = _acts(arguments), told.settings.simulation.duration
    names = session.connectome.cells.name
    for pulse in told.settings.stimulus.pulse:
        for cell in session.connectome.select(*pulse.cells):
            act = Stimulate(str(names[cell]), pulse.amplitude, pulse.stop - pulse.start)
            log.append(Event(pulse.start, act))
    if arguments.config is not None:
        log += recorded_log(arguments.config.parent / "run.json")
    return Viewed(
        session, title_of(told), recipe_of(told, arguments.weights), _sorted(log), until,
        told.settings, tuple(told.remarks),
    )  # fmt: skip


def recorded_log(path: Path) -> list[Event]:
    """What was done in a session that was recorded; nothing for other runs.

    Raises ValueError for a log that is none.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8")).get("log") or []
        return [Event(float(one["time"]), _action(one["action"])) for one in told]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError):
        raise ValueError(f"{path} holds no log of a session that can be read.") from None


def life_of(network: Network, dt: float) -> Life:
    """Steps of the torch engine where they keep up with real time, else those of compiled code.

    Many cells take portions of many steps.
    """
    from amphid.kernels import UnknownOperation
    from amphid.simulation.choosing import step_seconds

    cells = len(network.connectome)
    if cells > MANY:
        portion = PORTION if cells <= CROWD else LONG
        return LivingPortions(network, dt, max(1, round(portion / dt)))
    if 1000 * step_seconds(network) > dt and importlib.util.find_spec("numba"):
        life = LivingPortions(network, dt, 1)
        with contextlib.suppress(UnknownOperation):
            life.begin()
            return life
    return LivingNetwork(network, dt)


def worm_of(connectome: Connectome) -> Worm | None:
    """The body of the worm, where the network has its muscles and touch receptors."""
    if "MDL01" not in connectome.cells.name:
        return None
    try:
        return Worm(connectome)
    except KeyError:
        return None


def title_of(told: Told) -> str:
    """What is looked at, in words."""
    model = told.settings.model
    source = told.settings.network.source
    name = "C. elegans" if source == "celegans" else Path(source).name
    return f"{name}, {model.neuron} cells"


def recipe_of(told: Told, weights: Path | None) -> tuple[str, str]:
    """The Python that makes the network."""
    from amphid.interfaces.command_line.script import network_of
    from amphid.interfaces.command_line.settings import StimulusSection

    silent = told.settings.model_copy(update={"stimulus": StimulusSection()})
    imports, lines = network_of(silent)  # a session has noise of its own
    if "torch." not in lines:
        imports = imports.replace("import torch\n\n", "")
    if weights:
        imports = f"{imports.rstrip()}\nfrom amphid.interfaces.weights import load_weights\n\n"
        lines += f"load_weights(net, {str(weights.resolve())!r})\n"
    return imports, lines


def kept(viewed: Viewed, arguments: argparse.Namespace) -> Path:
    """Write what a session recorded as a run folder; returns it."""
    from datetime import datetime

    from amphid.interfaces.command_line import run_folder, settings
    from amphid.interfaces.report import write_report
    from amphid.interfaces.view.script import python_of

    session = viewed.session
    run, now = session.recording(), datetime.now().astimezone()
    script = python_of(session, viewed.recipe)
    folder = run_folder.default_folder(now, (viewed.settings, session.log, session.time))
    with run_folder.whole(folder) as draft:
        run.save(draft / "recording.h5")
        (draft / "session.py").write_text(script, encoding="utf-8")
        if viewed.settings is not None:
            lived = _lived(viewed.settings, session)
            (draft / "config.toml").write_text(settings.toml(lived), encoding="utf-8")
        log = [{"time": event.time, "action": repr(event.action)} for event in session.log]
        about = run_folder.circumstances(arguments.argv, now)
        run_folder.write_json(draft / "run.json", {**about, "seed": session.seed, "log": log})
        title = f"{viewed.title}: a session"
        write_report(draft / "report.html", run, session.connectome, title=title, python=script)
    return folder


def _lived(settings: RunSettings, session: Session) -> RunSettings:
    """The settings of a session that has lived: what was done to it stands in its log."""
    update = {"duration": session.time, "seed": session.seed}
    simulation = settings.simulation.model_copy(update=update)
    stimulus = settings.stimulus.model_copy(update={"pulse": []})
    return settings.model_copy(update={"simulation": simulation, "stimulus": stimulus})


def _acts(arguments: argparse.Namespace) -> list[Event]:
    """What is done to the body."""
    log = [Event(0.0, Crawl(on=True))] if arguments.crawl else []
    return log + [Event(start, Poke(place)) for place, start in arguments.poke or ()]


def _pulses(session: Session, arguments: argparse.Namespace) -> list[Event]:
    """What is done to cells of a network that has no settings."""
    from amphid.interfaces.command_line.options import START, STOP, pulse_of

    names, log = session.connectome.cells.name, []
    for text in arguments.stimulate or ():
        told = pulse_of(text, {"amplitude": 1.0, "start": START, "stop": STOP})
        for cell in session.connectome.select(*told["cells"]):
            act = Stimulate(str(names[cell]), told["amplitude"], told["stop"] - told["start"])
            log.append(Event(told["start"], act))
    return log


def _sorted(log: list[Event]) -> list[Event]:
    return sorted(log, key=lambda event: event.time)


def _action(text: str) -> Any:
    """An action out of the line of Python that makes it, and nothing else out of any other."""
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(text)
    words = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    return ACTIONS[call.func.id](**words)
