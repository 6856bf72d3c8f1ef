"""Where a search may look: a range or a list of options for each setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from amphid.dynamics.values import is_number

Stored = None | bool | int | float | str
"""What a file or a database can keep of a setting."""


class Dimension(Protocol):
    """The values that one setting may take."""

    def distribution(self) -> Any:
        """The same for Optuna, in values that can be stored."""

    def value(self, stored: Any) -> Any:
        """The setting that a stored value stands for."""

    def points(self, most: int) -> list[Any]:
        """Stored values that cover it evenly: all there are, of a continuous range `most`."""


@dataclass(frozen=True)
class Uniform:
    """Any number from low to high, all alike."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self)

    def distribution(self) -> Any:
        """The same for Optuna."""
        return _optuna().distributions.FloatDistribution(self.low, self.high)

    def value(self, stored: Any) -> float:
        """A float."""
        return float(stored)

    def points(self, most: int) -> list[Any]:
        """Even steps from end to end."""
        return [float(point) for point in np.linspace(self.low, self.high, most)]


@dataclass(frozen=True)
class LogUniform:
    """Any number from low to high, alike in every decade; both ends above zero."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self)
        if not self.low > 0:
            raise ValueError(f"{self!r} must start above 0: a logarithmic range has no zero.")

    def distribution(self) -> Any:
        """The same for Optuna."""
        return _optuna().distributions.FloatDistribution(self.low, self.high, log=True)

    def value(self, stored: Any) -> float:
        """A float."""
        return float(stored)

    def points(self, most: int) -> list[Any]:
        """Even steps in the logarithm, both ends exactly."""
        inner = np.geomspace(self.low, self.high, most)[1:-1]
        return [self.low, *map(float, inner), self.high] if most > 1 else [self.low]


@dataclass(frozen=True)
class Integers:
    """A whole number from low to high, both included; `log` counts decades alike."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        if not all(isinstance(end, int) and not isinstance(end, bool) for end in self._ends):
            raise TypeError(f"{self!r}: low and high must be whole numbers.")
        _check_bounds(self)
        if self.log and self.low < 1:
            raise ValueError(f"{self!r} must start at 1 or above: a logarithmic range has no zero.")

    @property
    def _ends(self) -> tuple[int, int]:
        return self.low, self.high

    def distribution(self) -> Any:
        """The same for Optuna."""
        return _optuna().distributions.IntDistribution(self.low, self.high, log=self.log)

    def value(self, stored: Any) -> int:
        """An int."""
        return int(stored)

    def points(self, most: int) -> list[Any]:
        """Every number."""
        return list(range(self.low, self.high + 1))


class Choice:
    """One of some options, which have no order: `Choice("adam", "sgd")`, `Choice(16, 64)`.

    Options that a file cannot keep, such as modules, are kept by a name: their own, as functions
    and classes have one, or the one they are given: `Choice(narrow=LIF(tau=5.0), wide=LIF())`.
    Raises ValueError for fewer than two options, or two with the same name, and TypeError for an
    option without a name.
    """

    def __init__(self, *options: Any, **named: Any) -> None:
        pairs = [(_label(option), option) for option in options] + list(named.items())
        self.options: dict[Stored, Any] = {}
        for label, option in pairs:
            if label in self.options:
                raise ValueError(f"Choice has the option {label!r} twice.")
            self.options[label] = option
        if len(self.options) < 2:
            raise ValueError(f"Choice needs at least two options, got {len(self.options)}.")

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.options))})"

    def distribution(self) -> Any:
        """The same for Optuna."""
        return _optuna().distributions.CategoricalDistribution(tuple(self.options))

    def value(self, stored: Any) -> Any:
        """The option of that name."""
        return self.options[stored]

    def points(self, most: int) -> list[Any]:
        """Every option."""
        return list(self.options)


Space = Mapping[str, Dimension]


def check_space(space: object) -> None:
    """Raise, in a sentence, unless it is a dictionary of ranges and choices."""
    if not isinstance(space, Mapping) or not space:
        raise TypeError(
            f'space must be a dictionary such as {{"lr": LogUniform(1e-4, 1e-1)}}, got {space!r}.'
        )
    for name, dimension in space.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"space: the name of a setting must be a text, got {name!r}.")
        if not isinstance(dimension, (Uniform, LogUniform, Integers, Choice)):
            raise TypeError(
                f"space[{name!r}] must be Uniform, LogUniform, Integers or Choice, got "
                f"{dimension!r}."
            )


def _check_bounds(given: Uniform | LogUniform | Integers) -> None:
    if not (is_number(given.low) and is_number(given.high)):
        raise TypeError(f"{given!r}: low and high must be finite numbers.")
    if not given.low < given.high:
        raise ValueError(f"{given!r} is empty: low must be below high.")


def _label(option: Any) -> Stored:
    if option is None or isinstance(option, (bool, int, str)):
        return option
    if isinstance(option, float) and math.isfinite(option):
        return option
    name = getattr(option, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(
            f"Choice: {type(option).__name__} has no name that a file could keep; give it one: "
            "Choice(first=..., second=...)."
        )
    return name


def _optuna() -> Any:
    from amphid.learning.searching.optuna_found import optuna

    return optuna
