"""The live page inside a notebook, Jupyter or marimo, without a server of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

from amphid.interfaces.view import wire
from amphid.interfaces.view.messages import Pace, number_of, read_message
from amphid.interfaces.view.session import Session
from amphid.interfaces.view.sheet import page
from amphid.interfaces.view.stage import Client, Stage

LOST = "A live page of amphid stood here: run this cell again to bring it back."
INSTALL = "A page in a notebook needs anywidget: pip install 'amphid[notebook]'"


def widget(session: Session, *, title: str = "A session", height: int = 900) -> Any:
    """The page of a session as a widget, live as long as the notebook's kernel.

    height: pixels. It is light or dark as the notebook is. A notebook that is opened anew shows the
    last picture where it keeps the state of widgets, and else says that the cell is to be run
    again; `export_page` writes a file that plays without a kernel.
    Raises ModuleNotFoundError, with the way out, without the extra `notebook`.
    """
    try:
        import anywidget
        import traitlets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL, name=error.name) from None
    script = resources.files("amphid.interfaces.view") / "page" / "widget.js"
    text = page(title, tape={"host": True, "network": wire.network(session, title=title)})

    class View(anywidget.AnyWidget):
        _esm = script.read_text("utf-8")
        page = traitlets.Unicode(text).tag(sync=True)
        title = traitlets.Unicode("").tag(sync=True)
        height = traitlets.Int(0).tag(sync=True)
        last = traitlets.Bytes(b"").tag(sync=True)

        def __repr__(self) -> str:
            return LOST

    made = View(title=title, height=height)
    carrier = Carrier(Stage(session, title=title), made.send)
    made.on_msg(lambda _, content, buffers: carrier.hear(content))
    return made


class Carrier:
    """Between a stage and a page that is reached by messages.

    stage: what is played. send: called with words and buffers.
    """

    def __init__(self, stage: Stage, send: Callable[..., None]) -> None:
        self.stage, self.send, self.pace = stage, send, Pace()
        self.client = Client()
        self.tasks: list[asyncio.Task[None]] = []

    def hear(self, content: Any) -> None:
        """A message of the page, as text; "ready" is the first, and again after a reload."""
        if content == "ready":
            self._begin()
        elif not isinstance(content, str) or not self.pace.allows():
            self.client.tell(op="error", id=0, message="this message was not read.")
        else:
            try:
                self.stage.ask(self.client, read_message(content))
            except ValueError as error:
                self.client.tell(op="error", id=number_of(content), message=str(error))

    def stop(self) -> None:
        """Let time stand still for good."""
        for task in self.tasks:
            task.cancel()
        self.tasks = []

    def _begin(self) -> None:
        self.client.tell(**self.stage.greeting())
        self.stage.enter(self.client)  # which shows it a picture, be it the first or a reload
        if not self.tasks:
            self.tasks = [
                asyncio.ensure_future(made) for made in (self.stage.live(), self._carry())
            ]

    async def _carry(self) -> None:
        client = self.client
        while True:
            await client.ready.wait()
            client.ready.clear()
            while client.texts:
                self.send(json.loads(client.texts.popleft()))
            while client.frames:
                self.send({"op": "picture"}, buffers=[client.frames.popleft()])
