"""Functions of a person's own, by the name FILE.py:FUNCTION or MODULE:FUNCTION."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from amphid.interfaces.command_line.parsing import choices


def function(text: str, *, what: str) -> tuple[ModuleType, Any]:
    """The module and the function that FILE.py:FUNCTION or MODULE:FUNCTION names.

    what: how the command calls it. Raises ValueError or FileNotFoundError, in a sentence.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise ValueError(f"{what} is FILE.py:FUNCTION or MODULE:FUNCTION, got {text!r}.")
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    found = getattr(module, name, None)
    if not callable(found):
        known = [key for key, held in _public(module).items() if callable(held)]
        raise ValueError(f"{place} has no function {name!r}.{choices(name, known or ['none'])}")
    return module, found


def value_of(word: str) -> Any:
    """A number, true or false where it is one, else the word."""
    try:
        value = json.loads(word)
    except ValueError:
        return word
    return value if isinstance(value, (bool, int, float)) else word


def _public(module: ModuleType) -> Mapping[str, Any]:
    own = vars(module).items()
    return {
        key: held
        for key, held in own
        if not key.startswith("_") and getattr(held, "__module__", None) == module.__name__
    }


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.absolute()))  # what stands beside it can be imported
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise ValueError(f"there is no module {name!r} here: FILE.py:FUNCTION?") from None
        raise
