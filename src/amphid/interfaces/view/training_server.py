"""The page of a training over loopback: its log, and looks at its network when they are asked."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.interfaces.view.server import INSTALL, PRIVATE, Door, refused
from amphid.interfaces.view.sheet import training_page
from amphid.interfaces.view.training import (
    LOOKS,
    POINTS,
    Log,
    Subject,
    ended,
    logs_of,
    subject_of,
)

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


def training_application(folder: Path, door: Door) -> Starlette:
    """Page, log and looks. Raises ModuleNotFoundError, with the way out, without the extra."""
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL, name=error.name) from None
    subject = subject_of(folder)
    busy = asyncio.Lock()
    return Starlette(
        routes=[
            Route("/", partial(_page, folder=folder, door=door)),
            Route("/rows", partial(_rows, folder=folder, door=door, looks=subject is not None)),
            Route("/look/{name}", partial(_look, subject=subject, door=door, busy=busy)),
        ]
    )


async def _page(request: Request, folder: Path, door: Door) -> Response:
    from starlette.responses import HTMLResponse

    if not door.admits(request):
        return refused()
    return HTMLResponse(training_page(folder.resolve().name), headers=PRIVATE)


async def _rows(request: Request, folder: Path, door: Door, *, looks: bool) -> Response:
    """The logs, thinned, and how it ended; nothing where the page knows all of that."""
    from starlette.responses import JSONResponse, Response

    if not door.admits(request):
        return refused()
    logs, over = logs_of(folder), ended(folder)
    size, known = sum(log.size for log in logs.values()), request.query_params
    if known.get("size") == str(size) and known.get("ended", "") == over:
        return Response(status_code=204, headers=PRIVATE)
    told = await asyncio.to_thread(read_all, logs)
    return JSONResponse({"size": size, "ended": over, "looks": looks, **told}, headers=PRIVATE)


def read_all(logs: dict[str, Log]) -> dict[str, Any]:
    """The lines of the first run, and of all where there are several."""
    points = max(100, POINTS // max(len(logs), 1))
    rows = {name: log.rows(points) for name, log in logs.items()}
    several = [{"name": name, "rows": read} for name, read in rows.items()]
    return {"rows": next(filter(None, rows.values()), []), "runs": several if len(logs) > 1 else []}


async def _look(
    request: Request, subject: Subject | None, door: Door, busy: asyncio.Lock
) -> Response:
    """One look at a time; what goes wrong is told in a sentence."""
    from starlette.responses import JSONResponse

    if not door.admits(request):
        return refused()
    look = LOOKS.get(request.path_params["name"])
    if look is None or subject is None:
        return JSONResponse({"error": "there is no such look at this run."}, 404, PRIVATE)
    async with busy:
        try:
            return JSONResponse(await asyncio.to_thread(look, subject), headers=PRIVATE)
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            return JSONResponse(
                {"error": str(error.args[-1] if error.args else error)}, 200, PRIVATE
            )
