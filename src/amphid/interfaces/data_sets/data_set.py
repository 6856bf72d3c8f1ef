"""Files at their official address, and how a connectome is read from those that hold one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amphid.wiring.data import cache_folder, data_file

if TYPE_CHECKING:
    from amphid.wiring import Connectome

CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class RemoteFile:
    """One file at its official address, with what proves that a copy of it is whole.

    size: bytes, None where it is not known before the download. sha256: of the file. git: the id
    that the commit named in the address gives the file (SHA-1 over its length and content).
    """

    name: str
    url: str
    size: int | None = None
    sha256: str = ""
    git: str = ""

    @property
    def proof(self) -> str:
        """What a copy is checked against, in words."""
        return f"sha256 {self.sha256}" if self.sha256 else f"git object {self.git}"

    def check(self, path: Path) -> str:
        """The sha256 of a copy. Raises OSError, in a sentence, when it is not this file."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            raise OSError(f"{self.name} should have {self.size:,} bytes, {path} has {size:,}")
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        with path.open("rb") as file:
            while part := file.read(CHUNK):
                sha256.update(part)
                git.update(part)
        expected = self.sha256 or self.git
        found = sha256.hexdigest() if self.sha256 else git.hexdigest()
        if found != expected:
            kind = "sha256" if self.sha256 else "git object id"
            raise OSError(f"the {kind} of {self.name} should be {expected}, this copy has {found}")
        return sha256.hexdigest()


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """Files that others published.

    name: as it is typed; also: other names it answers to. folder: under `AMPHID_DATA` or the
    cache. files: what is downloaded. extract: makes what the reader wants out of the files, in a
    folder; `extracted` are the names of what it makes. study: one that needs it.
    """

    name: str
    folder: str
    title: str
    files: tuple[RemoteFile, ...]
    license: str
    citation: str
    extract: Callable[[Path], None] | None = None
    extracted: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    study: str = ""

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the files that the reader wants."""
        return self.extracted or tuple(file.name for file in self.files)

    @property
    def source(self) -> str:
        """Address of the page that a person would open."""
        parts = self.files[0].url.split("/")
        return f"github.com/{parts[3]}/{parts[4]}" if "githubusercontent" in parts[2] else parts[2]

    def home(self) -> Path:
        """Where `fetch` puts it."""
        return cache_folder() / self.folder

    def places(self) -> dict[str, Path]:
        """Folders in which it may lie, the first wins."""
        given = os.environ.get("AMPHID_DATA")
        first = {"AMPHID_DATA": Path(given) / self.folder} if given else {}
        return {**first, "cache": self.home()}

    def find(self, name: str) -> Path:
        """One of its files: in `AMPHID_DATA`, else in the cache; gzipped ones count.

        Raises FileNotFoundError, with the way out.
        """
        return data_file(self.folder, name, self.name)

    def here(self) -> Path | None:
        """The folder that holds what its reader wants, or None where something is missing."""
        try:
            return [self.find(name) for name in self.needed][-1].parent
        except FileNotFoundError:
            return None


@dataclass(frozen=True, kw_only=True)
class DataSet(FileSet):
    """A connectome that others published; cells, connections: as published."""

    cells: int
    connections: int | None
    read: Callable[[DataSet], Connectome]
