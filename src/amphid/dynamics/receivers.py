"""What a cell does with the signals that reach it, where only their timing counts.

Cells of geometric networks have no membrane between arrivals: a receiver is a few numbers for each
cell, and `simulation.race` does the rest, from one arrival to the next. Signals that arrive in one
tick are simultaneous: their weights are added before anything is asked, so their order is of no
account. One that arrives while its cell is refractory is lost.

The competition of latencies with refractoriness is that of Silva 2019, doi 10.1162/neco_a_01241;
decays, relative refractoriness and inhibition are definitions of this package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.traces import Trace, check_positive
from amphid.dynamics.values import Value

LONGEST = 1 << 30
"""Ticks that stand for ever: the most that a run can take."""


@dataclass(frozen=True, eq=False)
class Reception:
    """A receiver in numbers, for N cells and K modes of what is left of an arrival.

    period: [N] ticks of absolute refractoriness. threshold: [N]. memory: [N] ticks after which an
    arrival is taken back, 0 where it never is. share: [K] of an arrival in each mode. rate: [N, K]
    at which it decays, per tick. raised: [N] by how many thresholds the threshold is raised when
    absolute refractoriness ends. recovery: [N] rate at which that decays, per tick. silenced:
    whether inhibition makes a cell refractory.
    """

    period: NDArray[np.int32]
    threshold: NDArray[np.float64]
    memory: NDArray[np.int32]
    share: NDArray[np.float64]
    rate: NDArray[np.float64]
    raised: NDArray[np.float64]
    recovery: NDArray[np.float64]
    silenced: bool

    def __len__(self) -> int:
        return len(self.period)


class Receiver(ABC):
    """What each cell does with the signals that reach it; a value is a float or a tensor [N]."""

    period: Value
    """Absolute refractory period, ms."""

    @abstractmethod
    def reception(self, size: int, dt: float) -> Reception:
        """Its numbers for so many cells and ticks of dt ms; times are rounded to whole ticks.

        Raises ValueError where a value has not one entry per cell.
        """

    def __post_init__(self) -> None:
        """Raise ValueError for values that make no sense."""
        for own in fields(self):  # type: ignore[arg-type]
            self._check(own.name)

    @abstractmethod
    def _check(self, name: str) -> None: ...


@dataclass(frozen=True, eq=False)
class Winner(Receiver):
    """Single-input activation: the first signal that finds its cell not refractory decides.

    period: absolute refractory period, ms; infinite for a cell that fires once.

    Where excitation wins, the cell fires and is refractory for `period`; where inhibition wins, it
    is refractory as well, and silent. Where several arrive in one tick the sign of their sum
    decides, and a sum of zero does nothing. The winner among the signals under way is the one of
    least effective latency that is not below the effective refractory period (Silva 2019,
    doi 10.1162/neco_a_01241); that inhibition can win is a definition of this package.
    """

    period: Value

    def reception(self, size: int, dt: float) -> Reception:
        """Its numbers for so many cells and ticks of dt ms."""
        none = np.zeros(size)
        return Reception(
            period=ticks("period", self.period, size, dt),
            threshold=none,
            memory=none.astype(np.int32),
            share=np.zeros(0),
            rate=np.zeros((size, 0)),
            raised=none,
            recovery=none,
            silenced=True,
        )

    def _check(self, name: str) -> None:
        check_values(type(self).__name__, **{name: getattr(self, name)})


@dataclass(frozen=True)
class RelativeRefractoriness:
    r"""A threshold that is raised after a spike and comes down again.

    .. math:: \theta(t) = \theta\,(1 + c\,e^{-(t - t_\text{fire} - R) / \tau})

    raised: c, by how many thresholds when absolute refractoriness R ends. tau: ms.
    """

    raised: Value
    tau: Value

    def __post_init__(self) -> None:
        """Raise ValueError for values that make no sense."""
        check_values(type(self).__name__, raised=self.raised, tau=self.tau)


@dataclass(frozen=True, eq=False)
class Summing(Receiver):
    r"""Summation: a cell fires when what is left of the signals that reached it is enough.

    .. math:: \Sigma(t) = \sum_a w_a D(t - t_a) \ge \theta

    threshold: theta, in the unit of the weights. period: absolute refractory period R, ms.
    trace: D, what is left of an arrival after a time.
    relative: how the threshold is raised after a spike; it is not when None.

    A cell asks for its threshold in ticks in which what arrives excites it, and in no others: where
    inhibition wears off, it does not fire by itself. When it fires, its sum is emptied.

    The geometric perceptron of Silva 2019, doi 10.1162/neco_a_01241, in a definition of this
    package.
    """

    threshold: Value
    period: Value
    trace: Trace
    relative: RelativeRefractoriness | None = None

    def reception(self, size: int, dt: float) -> Reception:
        """Its numbers for so many cells and ticks of dt ms."""
        modes = self.trace.modes()
        rates = [each("the values of trace", rate, size) * dt for _, rate in modes]
        none = np.zeros(size)
        relative = self.relative
        memory = ticks("memory", self.trace.memory, size, dt)
        return Reception(
            period=ticks("period", self.period, size, dt),
            threshold=each("threshold", self.threshold, size),
            memory=np.where(memory < LONGEST, memory, 0).astype(np.int32),
            share=np.array([share for share, _ in modes]),
            rate=np.ascontiguousarray(np.stack(rates, 1)),
            raised=each("raised", relative.raised, size) if relative else none,
            recovery=dt / each("tau", relative.tau, size) if relative else none,
            silenced=False,
        )

    def _check(self, name: str) -> None:
        if name in ("threshold", "period"):
            check_values(type(self).__name__, **{name: getattr(self, name)})
        elif name == "trace" and not isinstance(self.trace, Trace):
            raise TypeError(f"trace must be a Trace, such as StepTrace(5.0), got {self.trace!r}.")
        elif name == "relative" and not isinstance(self.relative, RelativeRefractoriness | None):
            raise TypeError(
                f"relative must be a RelativeRefractoriness or None, got {self.relative!r}."
            )


def check_values(owner: str, **values: Value) -> None:
    """Raise TypeError or ValueError for what is not positive; infinity is."""
    for name, value in values.items():
        check_positive(f"{owner}: {name}", value)


def each(name: str, value: Value, size: int) -> NDArray[np.float64]:
    """A value for each of so many cells [N]."""
    held = value.detach().cpu().double().numpy() if isinstance(value, Tensor) else np.array(value)
    if held.ndim > 1 or held.shape not in ((), (1,), (size,)):
        raise ValueError(
            f"{name} must be a number or a tensor of one entry per cell: there are {size} cells, "
            f"got shape {list(held.shape)}."
        )
    return np.array(np.broadcast_to(held, size), dtype=np.float64)


def ticks(name: str, value: Value, size: int, dt: float) -> NDArray[np.int32]:
    """Times in ms as whole ticks [N], at least one; infinity is LONGEST."""
    return np.clip(np.rint(each(name, value, size) / dt), 1, LONGEST).astype(np.int32)
