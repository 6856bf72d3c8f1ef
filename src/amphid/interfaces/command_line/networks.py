"""A network by what a person types: the shipped worm, a data set, or a file."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amphid.wiring import Connectome

SHIPPED = "celegans"


@dataclass(frozen=True)
class Input:
    """A file that was read, and what it held."""

    path: str
    bytes: int
    sha256: str

    @staticmethod
    def of(path: Path) -> Input:
        """A file as it is now. Raises FileNotFoundError when there is none."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Input(str(path.resolve()), path.stat().st_size, digest)


@dataclass(frozen=True)
class Loaded:
    """A connectome, what it is called in a configuration, and the files it came from."""

    connectome: Connectome
    source: str
    inputs: tuple[Input, ...] = ()

    @property
    def sha256(self) -> str | None:
        """One checksum over all its files, None for the shipped worm."""
        if len(self.inputs) < 2:
            return self.inputs[0].sha256 if self.inputs else None
        together = "".join(file.sha256 for file in self.inputs)
        return hashlib.sha256(together.encode()).hexdigest()


def load(typed: str, folder: Path | None = None) -> Loaded:
    """The network of that name or in that file, seen from a folder.

    Raises FileNotFoundError, with near names, when there is neither.
    """
    from amphid.interfaces.data_sets import named
    from amphid.wiring import celegans, files

    check(typed, folder=folder)
    if typed == SHIPPED:
        return Loaded(celegans(), typed)
    if data := named(typed):
        read = data.read(data)
        return Loaded(read, data.name, tuple(Input.of(data.find(name)) for name in data.needed))
    path = _path(typed, folder)
    if path.is_dir():
        raise IsADirectoryError(f"{typed} is a folder: give a file in it, or a network's name.")
    connectome = files.read(path)
    return Loaded(connectome, str(path.resolve()), tuple(Input.of(file) for file in _parts(path)))


def check(typed: str, *others: str, folder: Path | None = None) -> None:
    """Raise FileNotFoundError, with near names, for what is neither a network nor a file.

    others: names that whoever asks knows besides.
    """
    from amphid.interfaces.data_sets import named

    path = _path(typed, folder)
    if typed not in (SHIPPED, *others) and not named(typed) and not path.exists():
        near = _near(typed, path, others)
        raise FileNotFoundError(f"There is no network and no file {typed!r}.{near}")


def _path(typed: str, folder: Path | None) -> Path:
    return (folder or Path()) / Path(typed).expanduser()


def _parts(path: Path) -> Iterator[Path]:
    """The file, and the table of cells that may lie beside an edge list."""
    yield path
    beside = path.with_name(f"{path.stem}.cells{path.suffix}")
    if path.suffix.lower() in (".csv", ".tsv") and beside.is_file():
        yield beside


def _near(typed: str, path: Path, others: tuple[str, ...]) -> str:
    from amphid.interfaces.data_sets import DATA_SETS
    from amphid.wiring.files import SUFFIXES

    names = [SHIPPED, *others, *DATA_SETS]
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    files = [str(path.parent / file.name) for file in there if file.suffix in SUFFIXES]
    known = {name.lower(): name for name in (*files, *names)}
    if close := difflib.get_close_matches(typed.lower(), known, n=2):
        return f" Did you mean {' or '.join(known[name] for name in close)}?"
    return f" Networks by name: {', '.join(names)}."
