"""A bar that shows how far something is, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, int | None], None]


@contextmanager
def bar(doing: str | Callable[[], str]) -> Iterator[Advance | None]:
    """A bar on stderr; yields what is called with parts done and all, or None off a terminal.

    doing: what is under way; a function is asked again with every part.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(file=sys.stderr)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, refresh_per_second=4
    ) as drawn:
        said = doing if callable(doing) else lambda: doing
        task = drawn.add_task(said(), total=None)
        yield lambda done, of: drawn.update(task, completed=done, total=of, description=said())


@contextmanager
def heard(
    progress: bool | Callable[[int, int], None] | None,  # noqa: FBT001
    doing: str | Callable[[], str] = "simulating",
) -> Iterator[Callable[[int, int], None] | None]:
    """Who hears of the progress: a function, a bar for True, or nobody."""
    if not (callable(progress) or isinstance(progress, bool | None)):
        raise TypeError(
            f"progress must be True for a bar, False, or a function of what is done and how much "
            f"there is, got {progress!r}."
        )
    if callable(progress) or not progress:
        yield progress or None
        return
    with bar(doing) as advance:
        yield advance
