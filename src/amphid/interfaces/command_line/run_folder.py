"""A run folder: written under a temporary name and renamed when it is whole."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from amphid.interfaces.command_line.output import finite
from amphid.interfaces.command_line.parsing import UsageError


def default_folder(started: datetime, settings: object) -> Path:
    """runs/<date>_<time>_<hash of the settings>, a name that is not taken."""
    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:7]
    folder = Path("runs") / f"{started:%Y-%m-%d_%H%M%S}_{digest}"
    return next(path for path in _numbered(folder) if not path.exists())


def check_free(folder: Path) -> None:
    """Raise FileExistsError unless the folder is empty or not there."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        kind = "a folder with files in it" if folder.is_dir() else "a file"
        raise FileExistsError(
            f"{folder} is already {kind}, and a run never writes over what is there: give --out "
            "another name, or remove it."
        )


@dataclass(frozen=True)
class Began:
    """How a command that fills a run folder began, and when; clock: by time.perf_counter."""

    arguments: argparse.Namespace
    started: datetime
    clock: float

    @property
    def circumstances(self) -> dict[str, Any]:
        """Where and with what it runs."""
        return circumstances(self.arguments.argv, self.started)

    def folder(self, settings: object) -> Path:
        """The folder that was asked for, or the default one."""
        asked: Path | None = self.arguments.out
        return asked or default_folder(self.started, settings)


def begun(arguments: argparse.Namespace, command: str) -> Began:
    """A command that begins now. Raises UsageError or FileExistsError before anything is done."""
    began = Began(arguments, datetime.now().astimezone(), time.perf_counter())
    if arguments.network is None and arguments.config is None:
        raise UsageError("NETWORK is missing: celegans, a data set or a file.", command)
    if arguments.out:
        check_free(arguments.out)
    return began


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A draft that becomes the folder once the block has ended well, and is gone otherwise."""
    check_free(folder)
    folder = folder.absolute()
    made = [path for path in folder.parents if not path.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        draft.mkdir()
        yield draft
        check_free(folder)
        if folder.is_dir():
            folder.rmdir()
        os.replace(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        raise


def write_json(path: Path, value: Any) -> None:
    """A JSON file; what is not finite becomes null."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def circumstances(argv: Sequence[str], started: datetime) -> dict[str, Any]:
    """Where and with what a command ran: versions, machine, argv, git state."""
    import numpy
    import torch

    import amphid

    return {
        "amphid": amphid.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "argv": ["amphid", *argv],
        "folder": os.getcwd(),
        "git": git_state(Path.cwd()),
        "started": started.isoformat(timespec="seconds"),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the repository around a folder, and whether it has changes; None outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain")
    return {"commit": commit, "changed": None if changes is None else bool(changes)}


def _git(folder: Path, *words: str) -> str | None:
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            env={**os.environ, **quiet},
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    for number in range(2, sys.maxsize):
        yield folder.with_name(f"{folder.name}-{number}")
