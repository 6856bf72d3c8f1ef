"""A network that is watched and touched while it lives: a session, a page, a file that plays."""

from amphid.interfaces.view.actions import (
    Action,
    Crawl,
    Event,
    Feed,
    Lesion,
    Poke,
    Restore,
    Stimulate,
)
from amphid.interfaces.view.living import Life, LivingNetwork
from amphid.interfaces.view.session import Session

__all__ = [
    "Action",
    "Crawl",
    "Event",
    "Feed",
    "Lesion",
    "Life",
    "LivingNetwork",
    "Poke",
    "Restore",
    "Session",
    "Stimulate",
]
