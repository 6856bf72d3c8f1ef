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
from amphid.interfaces.view.animal import Animal
from amphid.interfaces.view.classic import LivingClassic
from amphid.interfaces.view.classic_crawler import ClassicCrawler
from amphid.interfaces.view.export import export_page, film
from amphid.interfaces.view.living import Life, LivingNetwork
from amphid.interfaces.view.portions import LivingPortions
from amphid.interfaces.view.session import Session
from amphid.interfaces.view.stills import body, save_film, save_still, still

__all__ = [
    "Action",
    "Animal",
    "ClassicCrawler",
    "Crawl",
    "Event",
    "Feed",
    "Lesion",
    "Life",
    "LivingClassic",
    "LivingNetwork",
    "LivingPortions",
    "Poke",
    "Restore",
    "Session",
    "Stimulate",
    "body",
    "export_page",
    "film",
    "save_film",
    "save_still",
    "still",
]
