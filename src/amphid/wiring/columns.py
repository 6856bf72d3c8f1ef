"""Columns of a table: checked, frozen, and not copied out where one value stands for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Kind = Literal["chemical", "electrical"]
KINDS: tuple[Kind, ...] = ("chemical", "electrical")
Texts = NDArray[np.object_]

_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def freeze(table: object, **columns: NDArray[Any]) -> None:
    """Set the columns of a frozen table, which nobody may write to any more."""
    for name, column in columns.items():
        column.flags.writeable = False
        object.__setattr__(table, name, column)


def names(given: Iterable[str]) -> list[str]:
    """Cell names: text, not empty, all different."""
    listed = [given] if isinstance(given, str) else as_list("name", given)
    for name in listed:
        check_text("name", name)
        if not name:
            raise ValueError("name is empty for one cell: every cell needs a name of its own.")
    if len(set(listed)) < len(listed):
        seen: set[str] = set()
        twice = next(n for n in listed if n in seen or seen.add(n))  # type: ignore[func-returns-value]
        raise ValueError(f"name {twice!r} is given to two cells: names must differ.")
    return listed


def texts(field: str, given: str | Sequence[str] | Texts, size: int) -> Texts:
    """A column of text, one entry per cell."""
    values = [given] * size if isinstance(given, str) else as_list(field, given)
    if len(values) != size:
        raise ValueError(f"{field} needs one entry for each of {size} cells, got {len(values)}.")
    for text in values:
        check_text(field, text)
    column = np.empty(size, dtype=object)
    column[:] = values
    return column


def as_list(field: str, given: Iterable[Any]) -> list[Any]:
    """The entries of a list, a tuple or an array."""
    if isinstance(given, (bytes, dict)) or not isinstance(given, Iterable):
        raise TypeError(f"{field} must be text or a list of texts, got {given!r}.")
    return list(given)


def check_text(field: str, text: object) -> None:
    """Refuse what is no text, or no file format keeps."""
    if not isinstance(text, str):
        raise TypeError(f"{field} must be text, got {text!r}.")
    if _UNWRITABLE.search(text):
        raise ValueError(f"{field} {text!r} holds a control character, which no file format keeps.")


def numbers(field: str, given: ArrayLike, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """A column of numbers; a single value is not copied out to all entries."""
    whole = np.issubdtype(dtype, np.integer)
    try:
        array = np.asarray(given)
        if array.dtype == dtype and array.shape == shape and not array.flags.writeable:
            return array
        if (array.ndim and array.shape != shape) or array.dtype.kind == "c":
            raise ValueError
        with np.errstate(invalid="ignore", over="raise"):
            cast: NDArray[Any] = array.astype(dtype)
        if whole and not np.array_equal(cast, array):
            raise ValueError
    except (ValueError, TypeError, OverflowError, FloatingPointError):
        raise ValueError(
            f"{field} must be {'whole numbers' if whole else 'numbers'} of shape {list(shape)}, or "
            f"one for all, that fit in {np.dtype(dtype).name}: got {shortened(given)}."
        ) from None
    return cast if cast.shape == shape else np.broadcast_to(cast, shape).view()


def shortened(given: object) -> str:
    """A value as an error message shows it."""
    text = " ".join(repr(given).split())
    return text if len(text) <= 60 else text[:57] + "..."


def kind_codes(kind: str | Sequence[str] | ArrayLike) -> ArrayLike:
    """Indices into `KINDS` for names of kinds; numbers stay as they are."""
    array = np.asarray(kind)
    if array.dtype.kind not in "UO":
        return array
    codes = np.full(array.shape, 255, dtype=np.uint8)
    for code, name in enumerate(KINDS):
        codes[array == name] = code
    if (codes == 255).any():
        unknown = array[codes == 255].flat[0] if array.ndim else array.item()
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {str(unknown)!r}.")
    return codes


def check_range(field: str, good: NDArray[Any], column: NDArray[Any], law: str) -> None:
    """Refuse a column of the connections in which one entry breaks a law."""
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ValueError(f"{field} must be {law}: connection {row} has {column[row]}.")


def taken(column: NDArray[Any], which: NDArray[Any]) -> NDArray[Any]:
    """Some entries of a column; one value that stands for all still does."""
    if column.strides != (0,) or not len(column):
        return column[which]
    size = int(which.sum()) if which.dtype == bool else len(which)
    return np.broadcast_to(column[0], (size,)).view()


def same_columns(one: object, other: object) -> bool:
    """Whether two tables hold the same, nan counting as equal to nan."""
    pairs = ((getattr(one, f.name), getattr(other, f.name)) for f in fields(one))  # type: ignore[arg-type]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)
