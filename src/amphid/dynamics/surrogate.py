"""Surrogates: what stands for the derivative of a spike, which has none.

A spike is a step in the distance to threshold; its gradient is taken as that of a smooth step of
the same height. Every surrogate integrates to one, so that `width` in mV is all that distinguishes
two of a kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Surrogate(Protocol):
    """Maps the distance above threshold [*B, N] in mV to spikes in {0, 1} with a gradient."""

    def __call__(self, distance: Tensor) -> Tensor:
        """One where the distance is above zero, else zero."""


def check_surrogate(owner: object, surrogate: object) -> None:
    """Raise TypeError, naming whose it is, for what is no surrogate."""
    if not callable(surrogate):
        raise TypeError(
            f"{type(owner).__name__}: surrogate must be one such as FastSigmoid(width=1.0), "
            f"got {surrogate!r}."
        )


class _Step(torch.autograd.Function):
    """Heaviside step whose derivative is a given slope."""

    generate_vmap_rule = True

    @staticmethod
    def forward(distance: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.slope = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (distance,) = ctx.saved_tensors
        return gradients[0] * ctx.slope(distance), None


def _spike(distance: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
    spike: Tensor = _Step.apply(distance, slope)  # type: ignore[no-untyped-call]
    return spike


def _check_width(width: float) -> None:
    if not (isinstance(width, (int, float)) and width > 0 and math.isfinite(width)):
        raise ValueError(f"width must be a positive number of mV, got {width!r}.")


@dataclass(frozen=True)
class FastSigmoid:
    r"""Slope :math:`1 / (2w (1 + |x| / w)^2)`: heavy tails, so that silent cells still learn.

    width: w in mV. The shape of SuperSpike (Zenke & Ganguli 2018, doi 10.1162/neco_a_01086).
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        _check_width(self.width)

    def __call__(self, distance: Tensor) -> Tensor:
        """Spikes [*B, N] of the distance above threshold [*B, N] in mV."""
        return _spike(distance, self.slope)

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return 0.5 / self.width / (1 + distance.abs() / self.width) ** 2


@dataclass(frozen=True)
class Arctan:
    r"""Slope :math:`1 / (\pi w (1 + (x / w)^2))`.

    width: w in mV, half the width at half the height.
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        _check_width(self.width)

    def __call__(self, distance: Tensor) -> Tensor:
        """Spikes [*B, N] of the distance above threshold [*B, N] in mV."""
        return _spike(distance, self.slope)

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return 1 / (math.pi * self.width) / (1 + (distance / self.width) ** 2)


@dataclass(frozen=True)
class Triangle:
    r"""Slope :math:`\max(0, 1 - |x| / w) / w`: exactly zero further than w from threshold.

    width: w in mV.
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        _check_width(self.width)

    def __call__(self, distance: Tensor) -> Tensor:
        """Spikes [*B, N] of the distance above threshold [*B, N] in mV."""
        return _spike(distance, self.slope)

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return (1 - distance.abs() / self.width).clamp(min=0) / self.width


def reset(v: Tensor, spike: Tensor, to: float | Tensor, *, gradient: bool) -> Tensor:
    """v [*B, N] where no spike is, `to` where one is; the spike's gradient passes only if asked."""
    spike = spike if gradient else spike.detach()
    return v * (1 - spike) + to * spike
