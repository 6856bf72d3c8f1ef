"""Penalties: numbers added to a loss, so that parameters or activity stay within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor

from amphid.learning.gradients.objective import Activity

Held = TypeVar("Held")


@dataclass(frozen=True)
class L1:
    r"""The sum of the magnitudes of parameters times `strength`: many become zero.

    on: names of parameters, patterns such as "*.weight"; all that are trained when None. A pattern
    that fits no parameter is a KeyError.
    """

    strength: float
    on: str | tuple[str, ...] | None = None
    watches = False

    def __post_init__(self) -> None:
        _check_strength(self.strength)

    def __call__(self, params: Mapping[str, Tensor], activity: Mapping[str, Activity]) -> Tensor:
        """The penalty."""
        return self.strength * _summed(
            held.abs().sum() for held in _chosen(params, self.on, "parameter")
        )


@dataclass(frozen=True)
class L2:
    r"""Half the sum of the squares of parameters times `strength`: all become small.

    Its gradient is `strength` times the parameter, as weight decay of SGD is.
    on: names of parameters, patterns such as "*.weight"; all that are trained when None. A pattern
    that fits no parameter is a KeyError.
    """

    strength: float
    on: str | tuple[str, ...] | None = None
    watches = False

    def __post_init__(self) -> None:
        _check_strength(self.strength)

    def __call__(self, params: Mapping[str, Tensor], activity: Mapping[str, Activity]) -> Tensor:
        """The penalty."""
        return (
            self.strength
            / 2
            * _summed(held.square().sum() for held in _chosen(params, self.on, "parameter"))
        )


@dataclass(frozen=True)
class RateBounds:
    r"""Cells should fire neither less than `lower` nor more than `upper`, on the mean of a batch.

    .. math:: \text{strength} \cdot \Bigl\langle \max(0, r_\text{lower} - r)^2
              + \max(0, r - r_\text{upper})^2 \Bigr\rangle

    the mean over cells, summed over layers; rates in Hz by the dt of the fit.
    on: layers of cells by their names in the model, or patterns; all when None.
    """

    strength: float
    lower: float = 0.0
    upper: float = float("inf")
    on: str | tuple[str, ...] | None = None
    watches = True

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        if not (_are_numbers(self.lower, self.upper) and 0 <= self.lower <= self.upper):
            raise ValueError(
                "lower and upper must be rates in Hz, the lower not above the upper, got "
                f"{self.lower!r} and {self.upper!r}."
            )

    def __call__(self, params: Mapping[str, Tensor], activity: Mapping[str, Activity]) -> Tensor:
        """The penalty."""
        return self.strength * _summed(
            self._beyond(heard.rate) for heard in _chosen(activity, self.on, "layer")
        )

    def _beyond(self, rate: Tensor) -> Tensor:
        rate = rate.flatten(0, -2).mean(0) if rate.dim() > 1 else rate
        below, above = (self.lower - rate).clamp(min=0), (rate - self.upper).clamp(min=0)
        return (below.square() + above.square()).mean()


@dataclass(frozen=True)
class TotalSpikes:
    """The number of spikes of an example, of all cells together, times `strength`.

    The mean over examples. on: layers of cells by their names in the model, or patterns; all when
    None.
    """

    strength: float
    on: str | tuple[str, ...] | None = None
    watches = True

    def __post_init__(self) -> None:
        _check_strength(self.strength)

    def __call__(self, params: Mapping[str, Tensor], activity: Mapping[str, Activity]) -> Tensor:
        """The penalty."""
        layers = _chosen(activity, self.on, "layer")
        return self.strength * _summed(heard.total.sum(-1).mean() for heard in layers)


@dataclass(frozen=True)
class Saturation:
    r"""Cells should be in a state in which their input still tells: neither never nor always on.

    .. math:: \text{strength} \cdot \Bigl\langle \max(0, \text{least} - s)^2
              + \max(0, s - \text{most})^2 \Bigr\rangle

    with s the share of time steps in which a cell is on, on the mean of a batch; the mean over
    cells, summed over layers. It is the cell's own ceiling that counts here, not a rate in Hz: a
    cell that fires in every step, or in none, has no slope.
    least, most: shares of time, from 0 to 1. on: layers of cells by their names in the model, or
    patterns; all when None.
    """

    strength: float
    least: float = 0.01
    most: float = 0.5
    on: str | tuple[str, ...] | None = None
    watches = True

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        if not (_are_numbers(self.least, self.most) and 0 <= self.least <= self.most <= 1):
            raise ValueError(
                "least and most must be shares of time, the least not above the most, got "
                f"{self.least!r} and {self.most!r}."
            )

    def __call__(self, params: Mapping[str, Tensor], activity: Mapping[str, Activity]) -> Tensor:
        """The penalty."""
        layers = _chosen(activity, self.on, "layer")
        return self.strength * _summed(self._beyond(heard) for heard in layers)

    def _beyond(self, heard: Activity) -> Tensor:
        share = heard.total / heard.steps
        share = share.flatten(0, -2).mean(0) if share.dim() > 1 else share
        below, above = (self.least - share).clamp(min=0), (share - self.most).clamp(min=0)
        return (below.square() + above.square()).mean()


@dataclass(frozen=True)
class Balance:
    r"""Excitation and inhibition that a cell can receive should cancel.

    .. math:: \text{strength} \Bigl\langle \Bigl(\frac{E - r I}{E + r I}\Bigr)^2 \Bigr\rangle

    with E the sum of the positive weights into a cell and I that of the magnitudes of the negative
    ones; the mean over cells, summed over weights. 0 where they balance, `strength` for a cell with
    one kind alone.
    ratio: r, how much an inhibitory weight counts. on: names of weights [cells, inputs], patterns
    such as "*.weight"; all parameters with two axes or more when None.
    """

    strength: float
    ratio: float = 1.0
    on: str | tuple[str, ...] | None = None
    watches = False

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        if not (_are_numbers(self.ratio) and 0 < self.ratio < float("inf")):
            raise ValueError(f"ratio must be a number above zero, got {self.ratio!r}.")

    def __call__(self, params: Mapping[str, Tensor], activity: Mapping[str, Activity]) -> Tensor:
        """The penalty."""
        wide = {name: held for name, held in params.items() if held.dim() > 1}
        weights = _chosen(wide, self.on, "weight with an axis of cells and one of inputs")
        return self.strength * _summed(self._apart(held.flatten(1)) for held in weights)

    def _apart(self, weight: Tensor) -> Tensor:
        excites, inhibits = weight.clamp(min=0).sum(1), -self.ratio * weight.clamp(max=0).sum(1)
        total = (excites + inhibits).clamp(min=torch.finfo(weight.dtype).tiny)
        return ((excites - inhibits) / total).square().mean()


def _chosen(held: Mapping[str, Held], on: str | tuple[str, ...] | None, what: str) -> list[Held]:
    """Those whose names fit; every pattern must fit one."""
    if not held:
        raise ValueError(f"a penalty found no {what} in the model to look at.")
    if on is None:
        return list(held.values())
    patterns = (on,) if isinstance(on, str) else on
    if not isinstance(patterns, Iterable) or not all(isinstance(one, str) for one in patterns):
        raise TypeError(f"on must be a name, a pattern, or several of them, got {on!r}.")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in held):
            raise KeyError(
                f"a penalty is on {pattern!r}, which fits no {what}; there are {', '.join(held)}."
            )
    return [
        value
        for name, value in held.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def _summed(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()


def _check_strength(strength: Any) -> None:
    if not _are_numbers(strength) or not 0 <= strength < float("inf"):
        raise ValueError(f"strength must be a number, not negative, got {strength!r}.")


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, Real) and not isinstance(value, bool) for value in values)
