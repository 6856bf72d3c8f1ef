"""The attributes of a SONATA population, whichever of its groups they are in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.files import hdf5
from amphid.wiring.files.words import kind_code

_Column = NDArray[Any]
_Read = Callable[[Any, str, int | None, slice], _Column | None]


class Table:
    """One population of `size` nodes or edges; a row is a node or an edge.

    half: "node" or "edge". The columns `<half>_group_id` and `<half>_group_index` tell in which
    group the attributes of a row are, and where in it.
    trusted: we wrote the file, and group 0 holds all rows in order. window: the rows that are
    read, of a file that is trusted.
    """

    def __init__(
        self,
        population: Any,
        half: str,
        size: int,
        *,
        trusted: bool,
        window: slice = hdf5.EVERYTHING,
    ) -> None:
        self.name, self.half, self.size, self.window = population.name, half, size, window
        keys = [key for key in population if key.isascii() and key.isdecimal()]
        self.groups = {int(key): hdf5.subgroup(population, key) for key in keys}
        self.which = self.places = None
        if not trusted:
            self.which = hdf5.numbers(population, f"{half}_group_id", size)
            self.places = hdf5.numbers(population, f"{half}_group_index", size)
        if len(self.groups) > 1 and (self.which is None or self.places is None):
            raise ValueError(
                f"{self.name} has {len(self.groups)} groups and lacks {half}_group_id or "
                f"{half}_group_index, which tell the group of each {half}."
            )

    def numbers(self, *names: str) -> _Column | None:
        """[size] the first of these attributes that is there; nan where a group lacks it."""
        return self._first(names, hdf5.numbers, np.nan)

    def texts(self, *names: str) -> _Column | None:
        """[size] the same for texts, written out or enumerated; "" where a group lacks it."""
        return self._first(names, _texts, "")

    def kinds(self) -> _Column | None:
        """[size] the attribute `kind` by `kind_code`; chemical where a group lacks it."""
        return self._first(("kind",), _kinds, 0)

    def _first(self, names: tuple[str, ...], read: _Read, missing: object) -> _Column | None:
        for name in names:
            holders = {key: group for key, group in self.groups.items() if name in group}
            if holders and (self.which is None or self.places is None):
                return read(next(iter(holders.values())), name, self.size, self.window)
            if holders:
                parts = {
                    key: read(group, name, None, self.window) for key, group in holders.items()
                }
                return self._gathered(parts, missing)
        return None

    def _gathered(self, parts: dict[int, Any], missing: object) -> _Column:
        dtype = np.result_type(*parts.values(), type(missing))
        column = np.full(self.size, missing, dtype=dtype)
        for key, values in parts.items():
            rows = np.flatnonzero(self.which == key)
            places = self.places[rows]  # type: ignore[index]
            if rows.size and not (places.min() >= 0 and places.max() < len(values)):
                raise ValueError(
                    f"{self.name}/{self.half}_group_index points past the end of group {key}."
                )
            column[rows] = values[places]
        return column


def _texts(group: Any, name: str, size: int | None, window: slice) -> _Column | None:
    library = _library(group, name)
    if library is None:
        return _written(group, name, size, window)
    return _taken(library, _codes(group, name, size, window, len(library)))


def _kinds(group: Any, name: str, size: int | None, window: slice) -> _Column:
    library = _library(group, name)
    if library is None:
        library, codes = np.unique(_written(group, name, size, window), return_inverse=True)
    else:
        codes = _codes(group, name, size, window, len(library))
    return _taken(np.array([kind_code(word) for word in library], dtype=np.uint8), codes)


def _written(group: Any, name: str, size: int | None, window: slice) -> Any:
    found = hdf5.texts(group, name, size)
    return None if found is None else found[window]


def _library(group: Any, name: str) -> NDArray[np.object_] | None:
    """The texts that an enumeration stands for, None where the attribute is none."""
    libraries = hdf5.subgroup(group, "@library")
    return None if libraries is None else hdf5.texts(libraries, name)


def _codes(group: Any, name: str, size: int | None, window: slice, words: int) -> _Column:
    codes = hdf5.numbers(group, name, size, window)
    if codes is None or codes.dtype.kind not in "iu":
        raise ValueError(f"{group.name}/{name} must hold whole numbers, as an enumeration does.")
    if codes.size and not (codes.min() >= 0 and codes.max() < words):
        raise ValueError(f"{group.name}/{name} has a code that its library of {words} lacks.")
    return codes


def _taken(values: _Column, codes: _Column) -> _Column:
    if codes.size and codes.strides == (0,):
        return np.broadcast_to(values[codes[0]], codes.shape)
    return values[codes]
