"""From what a user names to a storage of Optuna, and to how its workers know of each other."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from amphid.learning.searching.journal import JournalFile
from amphid.learning.searching.leases import Alone, Beating, Lease, Locked
from amphid.learning.searching.optuna_found import optuna


def opened(storage: Any, patience: float) -> tuple[Any, Lease]:
    """The storage, and a worker's lease on it.

    Raises TypeError for what is no storage, OSError or ValueError, in a sentence, for one that
    cannot be opened.
    """
    if storage is None:
        return optuna.storages.InMemoryStorage(), Alone()
    if isinstance(storage, optuna.storages.BaseStorage):
        return storage, Beating(storage, patience)
    if isinstance(storage, str) and "://" in storage:
        place = _database(storage)
        return place, Beating(place, patience)
    if isinstance(storage, (str, Path)):
        return _journal(Path(storage)), Locked(Path(storage))
    raise TypeError(
        "storage must be a file, the URL of a database such as 'sqlite:///search.db', or a "
        f"storage of Optuna, got {storage!r}."
    )


def _journal(path: Path) -> Any:
    backend = JournalFile(path)
    try:
        return optuna.storages.JournalStorage(backend)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: a record lacks {error}.") from None


def _database(url: str) -> Any:
    from sqlalchemy.exc import SQLAlchemyError

    shown = url.partition("://")[0] + "://..." if "@" in url else url  # never show a password
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.storages.RDBStorage(url)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the database {shown} needs its driver: pip install {error.name}"
        ) from None
    except (ImportError, ValueError, RuntimeError, SQLAlchemyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the database {shown} cannot be opened: {reason}.") from None
