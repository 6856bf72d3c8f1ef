"""What is printed: tables for people, tab-separated lines for programs, JSON, progress."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Rows = Sequence[Sequence[Any]]


def on_terminal() -> bool:
    """Whether stdout is read by a person."""
    return sys.stdout.isatty()


def table(columns: Sequence[str], rows: Rows, *, title: str = "") -> None:
    """A table; on a terminal with rules and aligned, otherwise tab-separated with a header."""
    if not on_terminal():
        lines = [columns, *([_plain(value) for value in row] for row in rows)]
        print("\n".join("\t".join(line) for line in lines))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(title=title or None, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        values = [row[number] for row in rows]
        figures = all(isinstance(value, (int, float)) or value is None for value in values)
        justify: Any = "right" if figures and values else "left"
        drawn.add_column(column, justify=justify, no_wrap=not number, overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(_plain(value)) for value in row))
    Console().print(drawn)


def facts(values: Mapping[str, Any], *, comment: bool = False) -> None:
    """Names and values, one to a line; as comments where a table follows in the same output."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        if on_terminal():
            print(f"{name:<{width}}  {_plain(value)}")
        else:
            print(f"{'# ' if comment else ''}{name}\t{_plain(value)}")


def document(value: Any) -> None:
    """One JSON document; what is not finite becomes null."""
    print(json.dumps(finite(value), indent=2, ensure_ascii=False))


def finite(value: Any) -> Any:
    """The same made of plain Python values, None for nan and infinity."""
    if isinstance(value, Mapping):
        return {str(key): finite(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [finite(held) for held in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def remark(text: str, *, quiet: bool) -> None:
    """A line on stderr for a person, unless told to be quiet."""
    if not quiet:
        print(text, file=sys.stderr)


@contextmanager
def progress(doing: str, *, shown: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on stderr, on a terminal only; yields what is to be called with parts done and all."""
    if not (shown and sys.stderr.isatty()):
        yield None
        return
    from amphid.simulation.progress import bar

    with bar(doing) as advance:
        yield advance


def _plain(value: Any) -> str:
    """A value as text, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else ""
    if isinstance(value, int):
        return f"{value:,}" if on_terminal() else str(value)
    return " ".join(str(value).split())
