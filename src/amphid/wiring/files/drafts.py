"""Files that are either written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(*paths: Path) -> Iterator[list[Path]]:
    """Drafts that take the place of the files once the block has ended well.

    The drafts lie in the folders of the files (renaming within a folder cannot fail half-way) and
    are gone when the block ends in an exception, KeyboardInterrupt included. A link is followed,
    and a file that was there keeps its permissions.
    """
    files = [Path(os.path.realpath(path)) for path in paths]
    drafts = [file.with_name(f".draft-{secrets.token_hex(8)}{file.suffix}") for file in files]
    try:
        yield drafts
        for draft, file in zip(drafts, files, strict=True):
            _flush(draft)
            if file.exists():
                shutil.copymode(file, draft)
        for draft, file in zip(drafts, files, strict=True):
            os.replace(draft, file)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
