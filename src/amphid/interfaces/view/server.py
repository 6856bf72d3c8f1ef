"""The page over loopback: one address with a token in it, one socket, nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from amphid.interfaces.view.stage import Client, Stage

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

HERE = "127.0.0.1"
INSTALL = "The page needs starlette, uvicorn and websockets: pip install 'amphid[web]'"
PAGES = 16  # at once
PRIVATE = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
UNWANTED, BUSY, LATE = 4403, 4429, 4408  # codes with which a socket is closed


class Door:
    """Who may come in: the right token, from the page itself, by the name of this machine.

    port: of the address. token: made anew for every server.
    """

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port, self.token = port, token or secrets.token_urlsafe(24)
        self.hosts = {f"{name}:{port}" for name in (HERE, "localhost")}
        self.origins = {f"http://{host}" for host in self.hosts}

    @property
    def address(self) -> str:
        """The page's, token included."""
        return f"http://{HERE}:{self.port}/?token={self.token}"

    def admits(self, caller: HTTPConnection, *, page: bool = False) -> bool:
        """Whether a request may be answered; page: it must come from our own page."""
        given = caller.query_params.get("token", "")
        known = secrets.compare_digest(given.encode(), self.token.encode())
        hosted = caller.headers.get("host", "") in self.hosts
        return known and hosted and (not page or caller.headers.get("origin") in self.origins)


def application(stage: Stage, door: Door) -> Starlette:
    """Page, network and socket. Raises ModuleNotFoundError, with the way out, without the extra."""
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL, name=error.name) from None

    @asynccontextmanager
    async def alive(_: Starlette) -> AsyncIterator[None]:
        playing = asyncio.create_task(stage.live())
        yield
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing

    routes = [
        Route("/", partial(_page, stage=stage, door=door)),
        Route("/network", partial(_network, stage=stage, door=door)),
        WebSocketRoute("/live", partial(_talk, stage=stage, door=door)),
    ]
    return Starlette(routes=routes, lifespan=alive)


def serve(
    build: Callable[[Door], Starlette], *, port: int = 0, ready: Callable[[str], None]
) -> None:
    """Serve what is built for a door until interrupted; `ready` is called with its address.

    port: 0 for any that is free. Raises ValueError for one that is taken, ModuleNotFoundError
    without the extra `web`.
    """
    try:
        import uvicorn
        import websockets  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL, name=error.name) from None
    logging.getLogger("uvicorn.error").addFilter(_worth_telling)
    listening = _listening(port)
    door = Door(listening.getsockname()[1])
    config = uvicorn.Config(
        build(door),
        ws="websockets-sansio",
        ws_max_size=1 << 16,
        log_level="error",
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    with listening, suppress(KeyboardInterrupt):
        ready(door.address)
        uvicorn.Server(config).run(sockets=[listening])


def _worth_telling(record: logging.LogRecord) -> bool:
    """Whether a line of the server's log is for the person, not for who sent broken text."""
    return not record.getMessage().startswith("Invalid UTF-8")


def _listening(port: int) -> socket.socket:
    made = socket.socket()
    if os.name == "posix":  # elsewhere it would let two servers share a port
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # at once after the last one
    try:
        made.bind((HERE, port))
        made.listen()  # whoever comes before the server is up waits for it
    except OSError:
        made.close()
        raise ValueError(f"port {port} is taken: give another, or none for any.") from None
    return made


async def _page(request: Request, stage: Stage, door: Door) -> Response:
    from starlette.responses import HTMLResponse

    from amphid.interfaces.view.sheet import page

    if not door.admits(request):
        return refused()
    text = page(stage.title, connect=f"ws://{request.headers['host']}")
    return HTMLResponse(text, headers=PRIVATE)


async def _network(request: Request, stage: Stage, door: Door) -> Response:
    from starlette.responses import Response

    from amphid.interfaces.view.wire import network

    if not door.admits(request):
        return refused()
    text = json.dumps(network(stage.session, title=stage.title), allow_nan=False)
    return Response(text, media_type="application/json", headers=PRIVATE)


def refused() -> Response:
    """The answer to whoever does not know the address."""
    from starlette.responses import PlainTextResponse

    text = "This page opens only by the address that amphid view printed, token included.\n"
    return PlainTextResponse(text, status_code=403, headers=PRIVATE)


async def _talk(socket: WebSocket, stage: Stage, door: Door) -> None:
    """One page from its coming to its going."""
    if not door.admits(socket, page=True):
        await socket.close(UNWANTED)
        return
    await socket.accept()
    if len(stage.clients) >= PAGES:
        await socket.close(BUSY, f"{PAGES} pages are open already")
        return
    client = Client()
    client.tell(**stage.greeting())
    stage.enter(client)
    sending = asyncio.create_task(_send(socket, client))
    try:
        await _listen(socket, stage, client)
    finally:
        stage.leave(client)
        sending.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await sending


async def _send(socket: WebSocket, client: Client) -> None:
    while not client.behind:
        await client.ready.wait()
        client.ready.clear()
        while client.texts:
            await socket.send_text(client.texts.popleft())
        while client.frames:
            await socket.send_bytes(client.frames.popleft())
    await socket.close(LATE, "too much was not read")


async def _listen(socket: WebSocket, stage: Stage, client: Client) -> None:
    """Every message is done or answered with an error."""
    from amphid.interfaces.view.messages import Pace, number_of, read_message

    pace, over = Pace(), 0
    while True:
        heard: dict[str, Any] = dict(await socket.receive())
        if heard["type"] == "websocket.disconnect":
            return
        text = heard.get("text")
        if not pace.allows():
            over += 1
            if over > 1000:
                await socket.close(BUSY, "too many messages")
                return
            if over % 100 == 1:
                client.tell(op="error", id=0, message="too many messages: some were not read.")
        elif text is None:
            client.tell(op="error", id=0, message="a message must be text, not bytes.")
        else:
            try:
                stage.ask(client, read_message(text))
            except ValueError as error:
                client.tell(op="error", id=number_of(text), message=str(error))
