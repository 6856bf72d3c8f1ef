"""Optuna, which is not always installed; imported by nothing that is loaded early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

try:
    import optuna
except ModuleNotFoundError:
    raise ModuleNotFoundError("searches need optuna: pip install 'amphid[search]'") from None

__all__ = ["optuna", "quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the line on stderr that Optuna writes for every trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.ERROR))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
