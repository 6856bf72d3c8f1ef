"""The page as one text: markup, style and script, with a policy that allows nothing else."""

from __future__ import annotations

import json
from html import escape
from importlib import resources
from string import Template
from typing import Any

from amphid.interfaces.report import digest

TRAINING = ("spread.js", "curves.js", "training.js")
SHARED = ("data.js", "color.js", "scene.js", "gestures.js", "charts.js")
OWN = (
    "feed.js", "glide.js", "crowd.js", "history.js", "dish.js", "pictures.js", "cell.js", "talk.js",
    "image.js", "controls.js", "reel.js", "app.js",
)  # fmt: skip


def training_page(title: str) -> str:
    """The page of a training, which asks its own server for the log."""
    return _made("training.html", TRAINING, title, "'self'", "null")


def page(title: str, *, connect: str = "", tape: dict[str, Any] | None = None) -> str:
    """The page; connect: where it may, else nowhere. tape: what it plays without a server."""
    allowed = f"'self' {connect}" if connect else "'none'"
    data = json.dumps(tape, allow_nan=False) if tape else "null"
    return _made("view.html", OWN, title, allowed, data)


def _made(markup: str, own_scripts: tuple[str, ...], title: str, allowed: str, data: str) -> str:
    shared, own = (
        resources.files("amphid.interfaces") / "page",
        resources.files("amphid.interfaces.view") / "page",
    )
    scripts = [(shared / name).read_text("utf-8") for name in SHARED]
    scripts += [(own / name).read_text("utf-8") for name in own_scripts]
    script = f'(() => {{\n"use strict";\n{"".join(scripts)}}})();\n'
    style = (own / "view.css").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
        f"img-src data: blob:; connect-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
    harmless = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Template((own / markup).read_text("utf-8")).substitute(
        title=escape(title), policy=policy, style=style, script=script, tape=harmless
    )
