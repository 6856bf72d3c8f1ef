"""A session as pages share it: one loop that plays it, does what they ask, and sends pictures."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from amphid.interfaces.view import wire
from amphid.interfaces.view.actions import Event, Poke
from amphid.interfaces.view.export import page_of
from amphid.interfaces.view.messages import (
    CrawlMessage,
    FeedMessage,
    LesionMessage,
    LinksMessage,
    Message,
    PlayMessage,
    PokeMessage,
    RecordMessage,
    ResetMessage,
    SpeedMessage,
    StimulateMessage,
    WatchMessage,
)
from amphid.interfaces.view.reel import Reel
from amphid.interfaces.view.script import UNKNOWN, python_of
from amphid.interfaces.view.session import Session

PICTURES = 30.0  # each second
BUDGET = 0.026  # s of each picture that may go into steps
WAITING = 4  # pictures that wait for a slow page
LONG = 1 << 16  # characters of a message of which no second one may wait
UNREAD = 2000  # messages that wait for a page before it has to come anew
ACTIONS = 100_000  # that a session remembers
BYTES = 6e6  # each second and page; large networks get fewer pictures

Act = StimulateMessage | LesionMessage | PokeMessage | FeedMessage | CrawlMessage


def told_of(event: Event) -> dict[str, Any]:
    """An event as pages are told of it."""
    place = event.action.place if isinstance(event.action, Poke) else None
    return {"op": "event", "time": event.time, "text": str(event.action), "place": place}


class Client:
    """One page: what waits to be sent to it, the newest pictures only.

    behind: it read nothing for so long that it must come anew.
    """

    def __init__(self) -> None:
        self.texts: deque[str] = deque()
        self.frames: deque[bytes] = deque(maxlen=WAITING)
        self.ready = asyncio.Event()
        self.watched: tuple[int, ...] = ()
        self.behind = False

    def tell(self, **words: Any) -> None:
        """Queue a message; a page that lets too many wait gets none of them."""
        self.behind = self.behind or len(self.texts) >= UNREAD
        if self.behind:
            self.texts.clear()
        else:
            self.texts.append(json.dumps(words))
        self.ready.set()

    def show(self, picture: bytes) -> None:
        """Queue a picture; where too many wait, the oldest is dropped."""
        self.frames.append(picture)
        self.ready.set()


class Stage:
    """The one place where a session is stepped and changed, between pictures.

    session: what is shown. title: in words. recipe: see `python_of`. keep: writes what was
    recorded and returns where; without it, nothing can be recorded.
    """

    def __init__(
        self,
        session: Session,
        *,
        title: str = "",
        recipe: tuple[str, str] = UNKNOWN,
        keep: Callable[[Session], Path] | None = None,
    ) -> None:
        self.session, self.title, self.recipe, self.keep = session, title, recipe, keep
        self.clients: set[Client] = set()
        self.playing, self.speed, self.reached, self.number = True, 1.0, 0.0, 0
        self._worker = ThreadPoolExecutor(1)  # each further thread would keep memory of its own
        self._asked: deque[tuple[Client, Message]] = deque()
        self._awake = asyncio.Event()
        self._fired = np.zeros(len(session), bool)
        self._levels: list[dict[int, float]] = []
        self._said: list[tuple[Client, dict[str, Any]]] = []  # a thread may not wake a client
        self._owed = 0.0  # ms that should have been simulated
        self.reel = Reel(session)
        self._pictures = min(PICTURES, max(2.0, BYTES / (3 * len(session) + 1)))

    def enter(self, client: Client) -> None:
        """A page has come."""
        self.clients.add(client)
        self._awake.set()

    def leave(self, client: Client) -> None:
        """A page has gone; without any, time stands still."""
        self.clients.discard(client)

    def ask(self, client: Client, message: Message) -> None:
        """What a page asks for is done before the next picture."""
        self._asked.append((client, message))
        self._awake.set()

    async def live(self) -> None:
        """Play, for ever."""
        last, loop = time.perf_counter(), asyncio.get_running_loop()
        while True:
            await self._rest()
            now = time.perf_counter()
            await loop.run_in_executor(self._worker, self._pass, min(now - last, 0.25))
            last = now
            said, self._said = self._said, []
            for client, words in said:
                client.tell(**words)
            self._show()
            left = 1 / self._pictures - (time.perf_counter() - now)
            await asyncio.sleep(max(left, 0.002))

    async def _rest(self) -> None:
        """Wait while there is nothing to do."""
        if self.clients and (self.playing or self._asked):
            return
        await self._awake.wait()
        self._awake.clear()
        self._owed = 0.0

    def _pass(self, seconds: float) -> None:
        """Do what was asked, then go on; what fails is told, and time stands still."""
        while self._asked:
            client, message = self._asked.popleft()
            self._answer(client, message)
        if not self.playing:
            self.reached = 0.0
            return
        try:
            self._advance(seconds)
        except (RuntimeError, ValueError, MemoryError) as error:
            self.playing = False
            self._tell_all(op="error", id=0, message=f"The simulation has stopped: {error}")

    def _advance(self, seconds: float) -> None:
        """As many steps as that time is owed and can be afforded."""
        session = self.session
        self._owed += seconds * 1000 * self.speed
        before, end = session.steps, time.perf_counter() + BUDGET * PICTURES / self._pictures
        while self._owed >= session.dt and time.perf_counter() < end:
            session.advance(1, self._heard)
            self._owed -= session.dt
        self._owed = min(self._owed, 2 * session.dt)  # what cannot be afforded is not owed
        passed = (session.steps - before) * session.dt / max(seconds * 1000, 1.0)
        self.reached += 0.1 * (passed - self.reached)

    def _heard(self) -> None:
        life = self.session.life
        if life.spikes:
            self._fired |= life.fired.numpy()
        self.reel.take()
        watched = sorted({cell for client in self.clients for cell in client.watched})
        if watched:
            self._levels.append(dict(zip(watched, life.level[watched].tolist(), strict=True)))

    def _show(self) -> None:
        """A picture for every page."""
        self.number += 1
        levels, self._levels = self._levels, []
        tape = self.session.tape
        flags = (wire.PLAYING if self.playing else 0) | (wire.RECORDING if tape else 0)
        flags |= wire.FULL if tape is not None and tape.full else 0
        pictures: dict[tuple[int, ...], bytes] = {}
        for client in tuple(self.clients):
            cells = client.watched
            if cells not in pictures:
                pictures[cells] = self._picture(cells, levels, flags)
            client.show(pictures[cells])
        self._fired[:] = False

    def _picture(self, cells: tuple[int, ...], levels: list[dict[int, float]], flags: int) -> bytes:
        kept = [[at.get(cell, np.nan) for cell in cells] for at in levels] if cells else []
        return wire.frame(
            self.session,
            number=self.number,
            speed=self.reached,
            flags=flags,
            fired=self._fired,
            watched=cells,
            samples=np.array(kept, np.float32).reshape(len(kept), len(cells)),
        )

    def _answer(self, client: Client, message: Message) -> None:
        try:
            told = self._done(client, message)
        except (KeyError, ValueError, OSError) as error:
            words = {"op": "error", "id": message.id, "message": str(error.args[0])}
        else:
            words = {"op": "ack", "id": message.id, **told}
        self._said.append((client, words))

    def _done(self, client: Client, message: Message) -> dict[str, Any]:
        """Do it; what the page is told about it."""
        session = self.session
        if isinstance(message, Act):
            if len(session.log) >= ACTIONS:
                raise ValueError(
                    f"the log holds {ACTIONS:,} actions, which is all it can: save it, then reset."
                )
            event = session.act(message.action())
            self._tell_all(**told_of(event))
        elif isinstance(message, SpeedMessage):
            self.speed = message.value
            self._tell_all(op="speed", value=self.speed)
        elif isinstance(message, ResetMessage):
            session.reset(message.seed)
            self.reel = Reel(session)
            self._tell_all(op="reset", seed=session.seed)
        elif isinstance(message, WatchMessage):
            client.watched = tuple(dict.fromkeys(map(session.place_of, message.cells)))
        elif isinstance(message, LinksMessage):
            cell = session.place_of(message.cell)
            return {"cell": cell, "links": wire.links(session.connectome, cell)}
        elif isinstance(message, RecordMessage):
            return self._recorded(on=message.on)
        else:
            return self._played(client, message)
        return {}

    def _played(self, client: Client, message: PlayMessage) -> dict[str, Any]:
        """What the buttons of the player do."""
        if message.op in ("script", "export"):
            self._check_free(client)
        if message.op == "script":
            return {"text": python_of(self.session, self.recipe)}
        if message.op == "export":
            made = page_of(self.session, self.reel.frames, self.session.log, title=self.title)
            return {"text": made}
        self.playing = message.op == "play"
        if message.op == "step":
            self.session.advance(1, self._heard)
        return {}

    def _check_free(self, client: Client) -> None:
        """Raise ValueError where a long answer waits already: each may have tens of MB."""
        said = [str(words.get("text", "")) for one, words in self._said if one is client]
        if any(len(text) > LONG for text in (*client.texts, *said)):
            raise ValueError("what was asked for before is still on its way.")

    def _recorded(self, *, on: bool) -> dict[str, Any]:
        """Start to record, or stop and write what was; nothing where it is so already."""
        session = self.session
        if on == (session.tape is not None):
            return {"recording": on}
        if self.keep is None:
            raise ValueError("this session has no place to write recordings to.")
        if session.tape is None:
            session.record()
            return {"recording": True}
        folder = str(self.keep(session)) if session.steps > session.tape.start else None
        session.tape = None
        self._tell_all(op="recorded", folder=folder)
        return {"recording": False, "folder": folder}

    def greeting(self) -> dict[str, Any]:
        """What a page must know when it comes: everything done so far."""
        log = [told_of(event) for event in self.session.log[-200:]]
        return {"op": "hello", "speed": self.speed, "seed": self.session.seed, "log": log}

    def _tell_all(self, **words: Any) -> None:
        self._said += [(client, words) for client in tuple(self.clients)]
