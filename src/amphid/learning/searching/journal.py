"""A search in one file that many processes append to.

Every record is one line of JSON, written under a lock that the system takes away from a process
that dies, and flushed to the disk. A line that was cut short by a power failure was never counted,
and is removed before the next is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import BaseJournalBackend

_CHUNK = 1 << 16


class JournalFile(BaseJournalBackend):
    """The file, as Optuna's journal storage writes and reads it.

    Raises FileNotFoundError when the folder is not there, ValueError for a file that is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = [0]  # where each record begins, as far as they were read
        if not path.parent.is_dir():
            raise FileNotFoundError(f"cannot keep a search in {path}: no folder {path.parent}.")
        if path.is_dir():
            raise IsADirectoryError(f"cannot keep a search in {path}: it is a folder.")
        with path.open("ab"):
            pass
        with path.open("rb") as file:
            if (start := file.read(9)) and not b'{"op_code'.startswith(start):
                raise ValueError(f"{path} is no journal of a search, and is left as it is.")

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The records from one on that are whole."""
        known = min(log_number_from, len(self._offsets) - 1)
        with self.path.open("rb") as file:
            file.seek(self._offsets[known])
            for number, line in enumerate(file, start=known):
                if not line.endswith(b"\n"):
                    return  # being written, or cut short
                if number + 1 == len(self._offsets):
                    self._offsets.append(self._offsets[number] + len(line))
                if number >= log_number_from:
                    yield self._record(line, number)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records; on the disk when this returns."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self.path.open("r+b") as file:
            lock(file)
            end = file.seek(0, os.SEEK_END)
            if end and (whole := _whole(file, end)) < end:
                file.truncate(whole)
                file.seek(whole)
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())

    def _record(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ValueError(f"{self.path} is damaged: line {number + 1} is not JSON.") from None
        return record


def lock(file: BinaryIO, *, wait: bool = True) -> bool:
    """Lock a file until it is closed or the process dies; False where another has it.

    Raises ModuleNotFoundError on a system without such locks.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "this system cannot lock files as a journal needs it: give a database instead, such as "
            "storage='sqlite:///search.db'. (No pip install would help.)"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _whole(file: BinaryIO, end: int) -> int:
    """Where the last whole line ends."""
    while end > 0:
        start = max(end - _CHUNK, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
