"""XML files from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from xml.parsers import expat


class _RootReached(Exception):
    pass


def refuse_doctype(path: Path) -> None:
    """Raise ValueError for a file that is no XML or has a document type declaration.

    Neither GraphML nor NeuroML has one, and it can declare entities that grow in memory without
    end or name other files. It can stand before the root element only, so no more is looked at.
    """
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = _stop
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except _RootReached:
        return
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"the file is not XML, or is damaged ({error}).") from None


def _refuse(*_: object) -> NoReturn:
    raise ValueError("the file has a document type declaration, which is refused: remove it.")


def _stop(*_: object) -> NoReturn:
    raise _RootReached
