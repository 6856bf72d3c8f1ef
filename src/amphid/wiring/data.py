"""Where data sets lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def checked_path(what: str, path: object) -> Path:
    """A path; TypeError, in a sentence, for what is none."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{what} must be a path, got {path!r:.60}.")
    return Path(path)


def cache_folder() -> Path:
    """Where fetched data sets are kept: `XDG_CACHE_HOME`/amphid, or ~/.cache/amphid."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "amphid"


def data_file(folder: str, name: str, fetched_as: str) -> Path:
    """A file of a data set: in `AMPHID_DATA`, else in the cache; gzipped ones count.

    Raises FileNotFoundError, with the way out, when it is in neither.
    """
    places = _places(folder)
    for place in places:
        for path in (place / name, place / f"{name}.gz"):
            if path.is_file():
                return path
    looked = " and ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"The data set {fetched_as!r} is not on this machine: there is no {name} in {looked}. "
        f"Fetch it with: amphid connectome fetch {fetched_as} (or set AMPHID_DATA to the folder "
        f"that holds {folder}/{name})."
    )


def data_folder(name: str) -> Path:
    """Folder of a data set: in `AMPHID_DATA` when it is there, else among the fetched ones.

    Raises FileNotFoundError, with the way out, when it is in neither.
    """
    places = _places(name)
    for place in places:
        if place.is_dir():
            return place
    looked = " and ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"The data set {name!r} is not on this machine (looked for {looked}). Set AMPHID_DATA to "
        f"the folder that holds it, or run: amphid connectome fetch {name.replace('_', '-')}"
    )


def _places(folder: str) -> list[Path]:
    """Where the folder of a data set may lie."""
    given = os.environ.get("AMPHID_DATA")
    return [Path(root) / folder for root in (given, cache_folder()) if root]
