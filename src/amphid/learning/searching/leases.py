"""Whether the process that works on a trial is still there."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Protocol, Self

from amphid.learning.searching.journal import lock

WORKER = "amphid:worker"
BEAT = "amphid:beat"


class Lease(Protocol):
    """A worker's sign of life, and its knowledge of that of others."""

    worker: str

    def __enter__(self) -> Self:
        """Start to give signs of life."""

    def __exit__(self, *error: object) -> None:
        """Stop."""

    def working(self, trial: int | None) -> None:
        """Work on that trial of the storage from now on."""

    def dead(self, trial: Any) -> bool:
        """Whether nobody works on a trial that is said to run."""


class Locked:
    """A locked file per worker beside the journal: the system unlocks it when the process dies."""

    def __init__(self, journal: Path) -> None:
        self.worker = uuid.uuid4().hex
        self._folder = journal.with_name(f"{journal.name}.workers")

    def __enter__(self) -> Self:
        path = self._folder / self.worker
        while True:
            self._folder.mkdir(exist_ok=True)
            # others may take away the folder, or a file that is not locked yet
            with contextlib.suppress(FileNotFoundError):
                self._file = path.open("wb")
                lock(self._file)
                if path.stat().st_ino == os.fstat(self._file.fileno()).st_ino:
                    return self

    def __exit__(self, *error: object) -> None:
        (self._folder / self.worker).unlink(missing_ok=True)
        self._file.close()
        with contextlib.suppress(OSError):  # others work there
            for path in self._folder.iterdir():
                self._gone(path)
            self._folder.rmdir()

    def working(self, trial: int | None) -> None:
        """Any trial: the file stands for all."""

    def dead(self, trial: Any) -> bool:
        """Whether the file of its worker is gone, or not locked any more."""
        worker = trial.system_attrs[WORKER]
        if worker == self.worker:
            return False
        return self._gone(self._folder / worker)

    def _gone(self, path: Path) -> bool:
        """Whether nobody locks a file any more; then it is removed."""
        try:
            with path.open("r+b") as file:
                if not lock(file, wait=False):
                    return False
        except FileNotFoundError:
            return True
        path.unlink(missing_ok=True)
        return True


class Beating:
    """A number beside the trial that counts up, for storages that know no locks.

    A trial is dead once its number has stood still for `patience` seconds of the clock of who
    looks, so clocks of machines need not agree.
    """

    def __init__(self, storage: Any, patience: float) -> None:
        self.worker = uuid.uuid4().hex
        self._storage, self._patience = storage, patience
        self._trial: int | None = None
        self._over = threading.Event()
        self._seen: dict[int, tuple[Any, float]] = {}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def working(self, trial: int | None) -> None:
        """Beat for that trial."""
        self._trial = trial

    def dead(self, trial: Any) -> bool:
        """Whether its number has stood still."""
        if trial.system_attrs[WORKER] == self.worker:
            return False
        beat, now = trial.system_attrs.get(BEAT), time.monotonic()
        last, since = self._seen.get(trial._trial_id, (None, now))
        if beat != last or trial._trial_id not in self._seen:
            self._seen[trial._trial_id] = (beat, now)
            return False
        return now - since > self._patience

    def _beat(self) -> None:
        count = 0
        while not self._over.wait(self._patience / 5):
            count, trial = count + 1, self._trial
            if trial is not None:
                with contextlib.suppress(Exception):  # a beat may be lost, and a trial just ended
                    self._storage.set_trial_system_attr(trial, BEAT, count)


class Alone:
    """The lease of a search that no other process can see."""

    worker = "alone"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def working(self, trial: int | None) -> None:
        """Nobody asks."""

    def dead(self, trial: Any) -> bool:
        """Never."""
        return False
