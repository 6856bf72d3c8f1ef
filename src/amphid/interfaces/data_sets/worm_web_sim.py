"""The worm of the web: its tables, taken out of the two scripts that hold them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

TABLES = ("weights.csv", "cells.json", "muscles.json")

_CELL = re.compile(r"(\w+): \{([^{}]*)\}")
_WEIGHT = re.compile(r"(\w+): (-?\d+)")
_VISITED = re.compile(r"BRAIN\.postSynaptic\['(\w+)'\] = \[0, 0\]")
_LISTS = {
    "read_and_reset": "muscleList",
    "left": "mLeft",
    "right": "mRight",
    "prefixes": "muscles",
}


def extract(folder: Path) -> None:
    """Write the three tables beside `constants.js` and `connectome.js`.

    Raises ValueError when the scripts do not hold what they should.
    """
    rows = _weights((folder / "constants.js").read_text(encoding="utf-8"))
    script = (folder / "connectome.js").read_text(encoding="utf-8")
    cells = _VISITED.findall(script)
    muscles = {name: _names(script, variable) for name, variable in _LISTS.items()}
    if not rows or not cells or not all(muscles.values()):
        raise ValueError(f"The scripts in {folder} do not hold the tables of the worm of the web.")
    with (folder / "weights.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("pre", "post", "weight"), *rows])
    _write(folder / "cells.json", cells)
    _write(folder / "muscles.json", muscles)


def _weights(script: str) -> list[tuple[str, str, int]]:
    """One row per connection, in the order of the script."""
    return [
        (pre, post, int(weight))
        for pre, targets in _CELL.findall(script)
        for post, weight in _WEIGHT.findall(targets)
    ]


def _names(script: str, variable: str) -> list[str]:
    found = re.search(rf"BRAIN\.{variable} = \[([^\]]*)\]", script)
    return re.findall(r"'(\w+)'", found[1]) if found else []


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n", encoding="utf-8")
