"""Rates at which gates of ion channels open and close, and the gates themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from amphid.dynamics.values import is_number

FAR = 60.0  # scales from the midpoint beyond which a rate stands still: exp(60) fits any float type
NEAR = 1e-3  # scales from the midpoint within which three terms of the series are exact


class Rate(Protocol):
    """Maps a voltage [*B, N] in mV to a rate [*B, N] per ms."""

    def __call__(self, v: Tensor) -> Tensor:
        """The rate at v."""


@dataclass(frozen=True)
class ExponentialRate:
    r""":math:`r e^x` with :math:`x = (v - v_0) / s`.

    rate: r per ms. midpoint, scale: v0, s in mV.
    """

    rate: float
    midpoint: float
    scale: float

    def __post_init__(self) -> None:
        _check_rate(self)

    def __call__(self, v: Tensor) -> Tensor:
        """The rate [*B, N] per ms at v [*B, N] in mV."""
        return self.rate * torch.exp(((v - self.midpoint) / self.scale).clamp(-FAR, FAR))


@dataclass(frozen=True)
class SigmoidRate:
    r""":math:`r / (1 + e^{-x})` with :math:`x = (v - v_0) / s`.

    rate: r per ms. midpoint, scale: v0, s in mV.
    """

    rate: float
    midpoint: float
    scale: float

    def __post_init__(self) -> None:
        _check_rate(self)

    def __call__(self, v: Tensor) -> Tensor:
        """The rate [*B, N] per ms at v [*B, N] in mV."""
        return self.rate * torch.sigmoid((v - self.midpoint) / self.scale)


@dataclass(frozen=True)
class LinearRate:
    r""":math:`r x / (1 - e^{-x})` with :math:`x = (v - v_0) / s`; its 0/0 at :math:`v_0` is r.

    It grows linearly on one side and vanishes on the other. Also written
    :math:`k (v - v_0) / (1 - e^{-(v - v_0) / s})`, with :math:`r = k s`.

    rate: r per ms. midpoint, scale: v0, s in mV.
    """

    rate: float
    midpoint: float
    scale: float

    def __post_init__(self) -> None:
        _check_rate(self)

    def __call__(self, v: Tensor) -> Tensor:
        """The rate [*B, N] per ms at v [*B, N] in mV; it and its slope exact at the midpoint."""
        x = ((v - self.midpoint) / self.scale).clamp(min=-FAR)
        near = x.abs() < NEAR
        minus = torch.where(near, -1.0, -x)
        series = 1 + x * (0.5 + x / 12)
        return self.rate * torch.where(near, series, minus / torch.expm1(minus))


@dataclass(frozen=True)
class Gate:
    r"""A gate: :math:`\dot x = \alpha(v) (1 - x) - \beta(v) x`. opening, closing: alpha, beta."""

    opening: Rate
    closing: Rate

    def limit(self, v: Tensor) -> Tensor:
        """Where the gate comes to rest [*B, N], 0 to 1, when v [*B, N] stands still."""
        opening = self.opening(v)
        return opening / (opening + self.closing(v))

    def after(self, x: Tensor, v: Tensor, dt: float) -> Tensor:
        """The gate [*B, N] dt ms later, exact while v [*B, N] stands still."""
        opening = self.opening(v)
        total = opening + self.closing(v)
        limit = opening / total
        return limit + (x - limit) * torch.exp(-dt * total)


def _check_rate(given: ExponentialRate | SigmoidRate | LinearRate) -> None:
    name = type(given).__name__
    for field in ("rate", "midpoint", "scale"):
        if not is_number(value := getattr(given, field)):
            raise TypeError(f"{name}: {field} must be a finite number, got {value!r}.")
    if not given.rate > 0:
        raise ValueError(f"{name}: rate must be positive, got {given.rate:g}.")
    if given.scale == 0:
        raise ValueError(f"{name}: scale must not be zero; its sign is the direction.")
