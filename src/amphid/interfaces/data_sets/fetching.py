"""Download a data set from its official address: whole and checked, or not at all."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amphid.interfaces.data_sets.data_set import CHUNK, FileSet, RemoteFile

TIMEOUT = 30.0  # s, for each answer of the server

Opener = Callable[..., Any]
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Fetched:
    """One file that is now in its place, and the checksum that was found."""

    name: str
    path: str
    url: str
    bytes: int
    sha256: str
    checked_against: str
    downloaded: bool


def fetch(
    data: FileSet,
    folder: Path | None = None,
    *,
    base: str | None = None,
    force: bool = False,
    opener: Opener = urllib.request.urlopen,
    progress: Progress | None = None,
) -> list[Fetched]:
    """Bring the files of a data set into a folder, the cache when None; what is there is kept.

    base: address of a mirror, a folder that holds files of the same names; the checks are the same.
    force: replace files of the same names that are not those of the data set. progress: hears the
    name of the file, the bytes so far and in all.

    A file appears under its name only once it is whole and checked; `fetched.json` beside it says
    where it came from. Raises OSError, in a sentence, when the network, the server or the checksum
    fails, and FileExistsError for another file of that name.
    """
    folder = folder or data.home()
    made = _make(folder)
    try:
        done = [_bring(file, folder, base, opener, progress, force=force) for file in data.files]
        if data.extract:
            data.extract(folder)
    finally:
        for path in made:
            _remove_if_empty(path)
    _describe(data, folder, done)
    return done


def _bring(
    file: RemoteFile,
    folder: Path,
    base: str | None,
    opener: Opener,
    progress: Progress | None,
    *,
    force: bool,
) -> Fetched:
    target = folder / file.name
    url = f"{base.rstrip('/')}/{urllib.parse.quote(file.name)}" if base else file.url
    if fresh := not (target.exists() and _holds(file, target, force=force)):
        part = folder / f".{file.name}.{secrets.token_hex(4)}.part"
        try:
            _download(file, url, part, opener, progress)
            file.check(part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    sha256, size = file.check(target), target.stat().st_size
    return Fetched(file.name, str(target), url, size, sha256, file.proof, fresh)


def _holds(file: RemoteFile, target: Path, *, force: bool) -> bool:
    """Whether it is that file already."""
    try:
        file.check(target)
    except OSError as error:
        if force:
            return False
        raise FileExistsError(
            f"{target} is there already, but {error}. Give --force to replace it."
        ) from None
    return True


def _download(
    file: RemoteFile, url: str, part: Path, opener: Opener, progress: Progress | None
) -> None:
    """Write what the address answers, and make sure that it is all of it."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"an address starts with https:// or http://, got {url!r}.")
    try:
        with opener(url, timeout=TIMEOUT) as answer, part.open("wb") as out:
            length = answer.headers.get("Content-Length")
            announced = int(length) if length and length.isdigit() else file.size
            received = 0
            while block := answer.read(CHUNK):
                out.write(block)
                received += len(block)
                if progress:
                    progress(file.name, received, announced)
            out.flush()
            os.fsync(out.fileno())
    except urllib.error.HTTPError as error:
        raise ConnectionError(
            f"the server answered {error.code} {error.reason} for {url}."
        ) from None
    except urllib.error.URLError as error:
        host = urllib.parse.urlsplit(url).netloc
        raise ConnectionError(f"{host} cannot be reached: {error.reason}.") from None
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise ConnectionError(f"the download of {url} broke off: {error or 'no data'}.") from None
    if announced is not None and received < announced:
        raise ConnectionError(
            f"the download of {url} broke off: {received:,} of {announced:,} bytes came."
        )


def _describe(data: FileSet, folder: Path, done: list[Fetched]) -> None:
    """Put `fetched.json` beside the files; other data sets in the same folder keep their entry."""
    path = folder / "fetched.json"
    entry = {
        "citation": data.citation,
        "license": data.license,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": [asdict(file) for file in done],
    }
    known = _known(path) | {data.name: entry}
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _known(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _make(folder: Path) -> list[Path]:
    """Create the folder; returns those that were not there before, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
