"""The page as one text: markup, style and script, with a policy that allows nothing else."""

from __future__ import annotations

import json
from html import escape
from importlib import resources
from string import Template
from typing import Any

from amphid.interfaces.report import digest

SHARED = ("data.js", "color.js", "scene.js", "gestures.js", "charts.js")
OWN = ("feed.js", "crowd.js", "history.js", "dish.js", "app.js")


def page(title: str, *, connect: str = "", tape: dict[str, Any] | None = None) -> str:
    """The page; connect: where it may, else nowhere. tape: what it plays without a server."""
    shared, own = (
        resources.files("amphid.interfaces") / "page",
        resources.files("amphid.interfaces.view") / "page",
    )
    scripts = [(shared / name).read_text("utf-8") for name in SHARED]
    scripts += [(own / name).read_text("utf-8") for name in OWN]
    script = f'(() => {{\n"use strict";\n{"".join(scripts)}}})();\n'
    style = (own / "view.css").read_text("utf-8")
    allowed = f"'self' {connect}" if connect else "'none'"
    policy = (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
        f"img-src data: blob:; connect-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(tape, allow_nan=False) if tape else "null"
    harmless = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Template((own / "view.html").read_text("utf-8")).substitute(
        title=escape(title), policy=policy, style=style, script=script, tape=harmless
    )
