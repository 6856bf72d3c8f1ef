"""What is left of a signal some time after it arrived."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from amphid.dynamics.values import Value, is_number

STEP, LOWEST, HIGHEST = 0.6, -18.0, 4.2
"""Step and range of the logarithm of rates that stand for a power law: see `PowerTrace`."""

STEEPEST = 5.0
"""The greatest order for which these rates are fast enough."""


class Trace(ABC):
    """D(t): what is left of an arrival after t ms; D(0) = 1."""

    @property
    def memory(self) -> Value:
        """ms after which nothing is left at once; infinite where there is no such time."""
        return math.inf

    @abstractmethod
    def modes(self) -> list[tuple[float, Value]]:
        """Its parts while it lasts, each a share and the rate at which it decays, 1/ms."""

    def left(self, age: Tensor) -> Tensor:
        """What is left of one arrival at those ages in ms, as the engine has it."""
        there = sum(share * torch.exp(-rate * age) for share, rate in self.modes())
        return torch.where(age < self.memory, there, 0.0)


@dataclass(frozen=True)
class StepTrace(Trace):
    """All of it is left for some time, then nothing.

    duration: ms, at least one tick; infinite for a cell that forgets nothing until it fires.
    """

    duration: Value

    def __post_init__(self) -> None:
        """Raise ValueError where it lasts no time."""
        check_positive("StepTrace: duration", self.duration)

    @property
    def memory(self) -> Value:
        """ms after which nothing is left."""
        return self.duration

    def modes(self) -> list[tuple[float, Value]]:
        """One part that does not decay."""
        return [(1.0, 0.0)]


@dataclass(frozen=True)
class ExponentialTrace(Trace):
    r"""The leak of a membrane: :math:`D(t) = e^{-t / \tau}`.

    tau: ms.
    """

    tau: Value

    def __post_init__(self) -> None:
        """Raise ValueError where tau is not positive."""
        check_positive("ExponentialTrace: tau", self.tau)

    def modes(self) -> list[tuple[float, Value]]:
        """One part that decays with tau."""
        return [(1.0, 1.0 / self.tau)]


@dataclass(frozen=True)
class PowerTrace(Trace):
    r"""A leak without a time scale of its own: :math:`D(t) = (1 + t / t_0)^{-\beta}`.

    order: beta, positive, at most 5. scale: t0, ms, below which little is lost; it keeps D(0)
    finite.

    Held as a sum of exponentials, the trapezoidal rule in the logarithm of the rate of
    :math:`(1 + x)^{-\beta} = \Gamma(\beta)^{-1} \int_0^\infty s^{\beta - 1} e^{-s} e^{-s x} ds`:
    so the memory of all the past costs the same for each arrival. Orders from 0.1 to 2 are met
    within 2e-5 up to 1e5 times the scale, those up to 5 within 4e-4.
    """

    order: float
    scale: Value

    def __post_init__(self) -> None:
        """Raise ValueError where order or scale are not positive."""
        check_positive("PowerTrace: order", self.order)
        if not is_number(self.order) or self.order > STEEPEST:
            raise ValueError(
                f"PowerTrace: order must be a number of at most {STEEPEST:g}, the same for all "
                f"cells, got {self.order!r}."
            )
        check_positive("PowerTrace: scale", self.scale)

    def modes(self) -> list[tuple[float, Value]]:
        """Parts whose rates stand in a geometric series; the slowest does not decay."""
        points = [LOWEST + STEP * k for k in range(round((HIGHEST - LOWEST) / STEP))]
        shares = [math.exp(self.order * x - math.exp(x)) for x in points]
        slower = math.exp(self.order * LOWEST) / math.expm1(self.order * STEP)  # all below, at once
        total = slower + sum(shares)
        decaying = [
            (w / total, math.exp(x) / self.scale) for w, x in zip(shares, points, strict=True)
        ]
        return [(slower / total, 0.0), *decaying]


def check_positive(what: str, value: Value) -> None:
    """Raise TypeError or ValueError for what is no positive number or tensor [N]; infinity is."""
    if isinstance(value, Tensor):
        real = not value.is_complex() and value.dtype != torch.bool
        if not real or value.dim() > 1 or not value.numel():
            raise ValueError(
                f"{what} must be a number or a tensor [N] of real numbers, got {value.dtype} of "
                f"shape {list(value.shape)}."
            )
    elif not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{what} must be a number or a tensor [N], got {value!r}.")
    lowest = float(value.detach().min()) if isinstance(value, Tensor) else float(value)
    if not lowest > 0:
        raise ValueError(f"{what} must be positive, got {lowest:g}.")
