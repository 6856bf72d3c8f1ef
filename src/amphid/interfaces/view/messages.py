"""What a page may say: checked word by word, answered in a sentence where it does not fit."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from amphid.interfaces.view.actions import (
    Action,
    Crawl,
    Feed,
    Lesion,
    Poke,
    Restore,
    Stimulate,
)

LARGEST = 8192  # characters of a message
WATCHED = 12  # cells
PER_SECOND, BURST = 60.0, 120.0

Name = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[int, Field(ge=0, lt=2**53)] = 0


class StimulateMessage(_Message):
    """A current into a cell."""

    op: Literal["stimulate"]
    cell: Name
    amplitude: Number
    duration: Annotated[float, Field(gt=0, le=1e6)] = 500.0

    def action(self) -> Action:
        """What it asks for."""
        return Stimulate(self.cell, float(self.amplitude), float(self.duration))


class LesionMessage(_Message):
    """A cell dies, or lives again."""

    op: Literal["lesion", "restore"]
    cell: Name

    def action(self) -> Action:
        """What it asks for."""
        return Lesion(self.cell) if self.op == "lesion" else Restore(self.cell)


class PokeMessage(_Message):
    """A touch of the body."""

    op: Literal["poke"]
    place: Annotated[float, Field(ge=0, le=1)]
    duration: Annotated[float, Field(gt=0, le=1e5)] = 300.0

    def action(self) -> Action:
        """What it asks for."""
        return Poke(float(self.place), float(self.duration))


class FeedMessage(_Message):
    """Food in the dish."""

    op: Literal["feed"]
    x: Number
    y: Number

    def action(self) -> Action:
        """What it asks for."""
        return Feed(float(self.x), float(self.y))


class CrawlMessage(_Message):
    """Which circuit drives the muscles."""

    op: Literal["crawl"]
    on: bool

    def action(self) -> Action:
        """What it asks for."""
        return Crawl(self.on)


class PlayMessage(_Message):
    """Let time go on, or stand still."""

    op: Literal["play", "pause", "step", "script", "export"]


class RecordMessage(_Message):
    """Whether it is recorded from now on: a state, so that asking twice is asking once."""

    op: Literal["record"]
    on: bool


class SpeedMessage(_Message):
    """How fast time goes: simulated for lived."""

    op: Literal["speed"]
    value: Annotated[float, Field(ge=0.1, le=10)]


class ResetMessage(_Message):
    """From rest again."""

    op: Literal["reset"]
    seed: Annotated[int, Field(ge=0, lt=2**53)] | None = None


class WatchMessage(_Message):
    """Cells whose every step is sent."""

    op: Literal["watch"]
    cells: Annotated[list[Name], Field(max_length=WATCHED)]


class LinksMessage(_Message):
    """The connections of one cell."""

    op: Literal["links"]
    cell: Name


Message = (
    StimulateMessage
    | LesionMessage
    | PokeMessage
    | FeedMessage
    | CrawlMessage
    | PlayMessage
    | RecordMessage
    | SpeedMessage
    | ResetMessage
    | WatchMessage
    | LinksMessage
)
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="op")])


def read_message(text: str) -> Message:
    """A message out of its text. Raises ValueError, in a sentence, for anything else."""
    if len(text) > LARGEST:
        raise ValueError(f"a message has at most {LARGEST:,} characters, this one {len(text):,}.")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("a message must be a JSON object.") from None
    if not isinstance(given, dict):
        raise ValueError("a message must be a JSON object.")
    try:
        return _ADAPTER.validate_python(given)
    except ValidationError as error:
        raise ValueError(_sentence(error)) from None


def number_of(text: str) -> int:
    """The number by which the page knows a message, 0 where it cannot be told."""
    try:
        number: Any = json.loads(text)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return number if isinstance(number, int) and not isinstance(number, bool) else 0


class Pace:
    """How many messages a page may send: 60 in a second, 120 at once."""

    def __init__(self) -> None:
        self.left, self.seen = BURST, time.monotonic()

    def allows(self) -> bool:
        """Whether one more may come now."""
        now = time.monotonic()
        self.left = min(BURST, self.left + (now - self.seen) * PER_SECOND)
        self.seen = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    reason = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"].startswith("union_tag"):
        return "a message must have an op that is known."
    return f"{where or 'the message'}: {reason}."
