"""What arguments must be, told in sentences."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


def instance(what: str, value: Any, kind: type[Any], example: str) -> Any:
    """A value of that kind."""
    if not isinstance(value, kind):
        got = type(value).__name__ if isinstance(value, Tensor) else f"{value!r:.60}"
        raise TypeError(f"{what} must be {example}, got {got}.")
    return value


def reals(what: str, values: object) -> Tensor:
    """A tensor of real numbers."""
    if not isinstance(values, Tensor) or values.is_complex():
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(
            f"{what} must be a tensor of real numbers, got {got}: torch.as_tensor makes one of an "
            "array."
        )
    return values


def closest(name: object, names: Collection[str]) -> str:
    """ " Did you mean ...?" for a name that is not among some; empty where none is near."""
    close = difflib.get_close_matches(str(name), sorted(names), n=2)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def drawing(generator: torch.Generator | None) -> torch.Generator:
    """The generator, or a TypeError that says how to make one."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, such as torch.Generator().manual_seed(1): "
            f"got {generator!r}."
        )
    return generator


def whole(what: str, value: int, *, least: int = 1) -> int:
    """A whole number of at least some size."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{what} must be a whole number, got {value!r}.")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, got {value}.")
    return int(value)


def real(what: str, value: float) -> float:
    """A number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{what} must be a number, got {value!r}.")
    return float(value)


def share(what: str, value: float) -> float:
    """A number between 0 and 1."""
    share = real(what, value)
    if not 0 <= share <= 1:
        raise ValueError(f"{what} must be between 0 and 1, got {value}.")
    return share


def fraction(what: str, value: float) -> float:
    """A number from 0 to less than 1."""
    part = share(what, value)
    if part == 1:
        raise ValueError(f"{what} must be less than 1, got {value}.")
    return part


def least(what: str, value: float, bound: float = 0.0) -> float:
    """A finite number that is not below a bound."""
    number = real(what, value)
    if not bound <= number < float("inf"):
        raise ValueError(f"{what} must be finite and at least {bound:g}, got {value}.")
    return number


def positive(what: str, value: float) -> float:
    """A positive, finite number."""
    number = real(what, value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{what} must be positive and finite, got {value}.")
    return number


def places(positions: ArrayLike, *, flat: bool = False) -> NDArray[np.float64]:
    """Positions [N, 3] in um, all known; flat: [N, 2] are taken too, in the plane z = 0."""
    shape = "[N, 2] or [N, 3]" if flat else "[N, 3]"
    try:
        given = torch.as_tensor(positions).detach()
        if given.is_complex():
            raise TypeError
        place = given.double().numpy().copy()
    except (ValueError, TypeError, RuntimeError):
        raise ValueError(f"positions must be numbers of shape {shape} in um.") from None
    if flat and place.ndim == 2 and place.shape[1] == 2:
        place = np.pad(place, ((0, 0), (0, 1)))
    if place.ndim != 2 or place.shape[1] != 3 or not len(place):
        raise ValueError(f"positions must be of shape {shape}, got {list(place.shape)}.")
    if not np.isfinite(place).all():
        row = int(np.flatnonzero(~np.isfinite(place).all(1))[0])
        raise ValueError(f"positions must all be known: that of cell {row} is {place[row]}.")
    return place
