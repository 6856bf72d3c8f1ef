"""Surrogates: what stands for the derivative of a spike, which has none.

A spike is a step in the distance to threshold; its gradient is taken as that of a smooth step of
the same height. Every surrogate but `StraightThrough` integrates to one, so that `width` in mV is
all that distinguishes two of a kind.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor


class Surrogate(Protocol):
    """Maps the distance above threshold [*B, N] in mV to spikes in {0, 1} with a gradient."""

    def __call__(self, distance: Tensor) -> Tensor:
        """One where the distance is above zero, else zero."""


def surrogate_of(
    owner: object, surrogate: Surrogate, way: tuple[float | Tensor, float | Tensor] | None = None
) -> Surrogate:
    """The surrogate of a cell whose membrane moves between two voltages in mV, if it does.

    Raises TypeError, naming whose it is, for what is no surrogate, ValueError for one relative to
    a way that there is not.
    """
    name = type(owner).__name__
    if not callable(surrogate) or isinstance(surrogate, type):
        raise TypeError(
            f"{name}: surrogate must be one such as FastSigmoid(width=1.0), got {surrogate!r}."
        )
    if not isinstance(surrogate, Relative):
        return surrogate
    if way is None and surrogate.way is None:
        raise ValueError(
            f"{name}: surrogate {surrogate!r} is relative to the way from rest to threshold, but "
            f"{name} starts nowhere near one: give a width in mV, such as FastSigmoid(1.0), or way="
        )
    return surrogate if way is None else surrogate.along(*way)


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
class Shape(ABC):
    """A surrogate by its slope, and how wide that is in mV. Abstract: concrete ones are final."""

    width: float = 1.0

    def __post_init__(self) -> None:
        _check_width(self.width)

    def __call__(self, distance: Tensor) -> Tensor:
        """Spikes [*B, N] of the distance above threshold [*B, N] in mV."""
        return _spike(distance, self.slope)

    @abstractmethod
    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""


@dataclass(frozen=True)
class FastSigmoid(Shape):
    r"""Slope :math:`1 / (2w (1 + |x| / w)^2)`: heavy tails, so that silent cells still learn.

    width: w in mV. The shape of SuperSpike (Zenke & Ganguli 2018, doi 10.1162/neco_a_01086).
    """

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return 0.5 / self.width / (1 + distance.abs() / self.width) ** 2


@dataclass(frozen=True)
class Arctan(Shape):
    r"""Slope :math:`1 / (\pi w (1 + (x / w)^2))`.

    width: w in mV, half the width at half the height.
    """

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return 1 / (math.pi * self.width) / (1 + (distance / self.width) ** 2)


@dataclass(frozen=True)
class Triangle(Shape):
    r"""Slope :math:`\max(0, 1 - |x| / w) / w`: exactly zero further than w from threshold.

    width: w in mV.
    """

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return (1 - distance.abs() / self.width).clamp(min=0) / self.width


@dataclass(frozen=True)
class Boxcar(Shape):
    r"""Slope :math:`1 / 2w` within w of threshold, exactly zero beyond: straight through, clipped.

    width: w in mV.
    """

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return (distance.abs() < self.width).to(distance.dtype) / (2 * self.width)


@dataclass(frozen=True)
class Sigmoid(Shape):
    r"""Slope :math:`\sigma(x / w)\, \sigma(-x / w) / w` of a logistic step; it cannot overflow.

    width: w in mV.
    """

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        scaled = distance / self.width
        return torch.sigmoid(scaled) * torch.sigmoid(-scaled) / self.width


@dataclass(frozen=True)
class Gaussian(Shape):
    r"""Slope :math:`\exp(-x^2 / 2w^2) / (w \sqrt{2\pi})`.

    width: w in mV, the standard deviation.
    """

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return _bell(distance, self.width)


@dataclass(frozen=True)
class MultiGaussian(Shape):
    r"""A Gaussian less two wide ones at its sides, so that the slope is negative far away.

    .. math:: \frac{(1 + h) G(x; 0, w) - h\, G(x; w, s w) - h\, G(x; -w, s w)}{1 - h}

    width: w in mV. height: h, below one. spread: s. The division, which the source does not have,
    makes it integrate to one as all others do.
    Reference: Yin, Corradi & Bohte 2021, doi 10.1038/s42256-021-00397-w.
    """

    height: float = 0.15
    spread: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.height < 1 and 0 < self.spread < math.inf):
            raise ValueError(
                "MultiGaussian: height must be at least 0 and below 1, spread above 0; got "
                f"height={self.height!r}, spread={self.spread!r}."
            )

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        wide = self.spread * self.width
        sides = _bell(distance - self.width, wide) + _bell(distance + self.width, wide)
        middle = (1 + self.height) * _bell(distance, self.width)
        return (middle - self.height * sides) / (1 - self.height)


@dataclass(frozen=True)
class StraightThrough(Shape):
    r"""Slope :math:`1 / w` everywhere, as though a spike were the distance to threshold.

    The one surrogate without an integral: far from threshold too, every cell learns alike. `Boxcar`
    is the same, clipped.

    width: w in mV, over which the slope makes up one spike.
    Reference: Bengio, Leonard & Courville 2013, doi 10.48550/arXiv.1308.3432.
    """

    def slope(self, distance: Tensor) -> Tensor:
        """Derivative that stands for the spike's, per mV."""
        return torch.ones_like(distance) / self.width


def _bell(distance: Tensor, width: float) -> Tensor:
    """Normal density of that standard deviation."""
    return torch.exp(-0.5 * (distance / width) ** 2) / (width * math.sqrt(2 * math.pi))


@dataclass(frozen=True, repr=False)
class Relative:
    """A surrogate whose width is a share of the way that the membrane has to threshold.

    `LIF(surrogate=Relative(FastSigmoid, 0.1))` is 1.5 mV wide for a cell that rests 15 mV below
    threshold, and 0.1 mV for one written in units of its threshold: the same gradient in both.

    shape: makes the surrogate of a width in mV. share: of the way. way: mV, from where the membrane
    rests, or starts anew, to threshold, as a mean over cells; the neuron fills it in when it is
    made, so learned values do not move it. `learning.scale_surrogates` takes the spread that the
    membrane shows on data instead.
    """

    shape: Callable[[float], Surrogate]
    share: float
    way: float | None = None

    def __post_init__(self) -> None:
        _check_width(self.share)

    def __repr__(self) -> str:
        name = getattr(self.shape, "__name__", repr(self.shape))
        width = "" if self.way is None else f", width={self.share * self.way:g}"
        return f"Relative({name}, {self.share:g}{width})"

    def __call__(self, distance: Tensor) -> Tensor:
        """Spikes [*B, N] of the distance above threshold [*B, N] in mV."""
        if self.way is None:
            raise ValueError(
                "Relative does not know how far it is to threshold: hand it to a neuron when that "
                "is made, or give way= in mV."
            )
        return self.shape(self.share * self.way)(distance)

    def along(self, start: float | Tensor, threshold: float | Tensor) -> Relative:
        """The same for cells that go from there to threshold, both in mV.

        Raises ValueError where that is no way.
        """
        way = float((torch.as_tensor(threshold) - torch.as_tensor(start)).detach().abs().mean())
        if not 0 < way < math.inf:
            raise ValueError(
                "Relative needs a threshold away from where the membrane starts, but the way is "
                f"{way:g} mV: give a surrogate with a width in mV, such as FastSigmoid(1.0)."
            )
        return replace(self, way=way)


def reset(v: Tensor, spike: Tensor, to: float | Tensor, *, gradient: bool) -> Tensor:
    """v [*B, N] where no spike is, `to` where one is; the spike's gradient passes only if asked."""
    spike = spike if gradient else spike.detach()
    return v * (1 - spike) + to * spike
