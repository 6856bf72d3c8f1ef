"""Values turned into currents and spikes over time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics.values import check_dt
from amphid.kernels import is_watched
from amphid.models.layer import Encoder, Layer, check_sequence


class Repeat(Encoder):
    """The same input at every step (direct coding): [*B, N] becomes [T, *B, N].

    duration: ms; T is that over dt. Layers before it are applied once, not T times.
    """

    def __init__(self, duration: float) -> None:
        super().__init__()
        self.hold_positive(duration=duration)
        self.duration = float(duration)

    def run(self, x: Tensor, state: Any = None, dt: float = 1.0) -> tuple[Tensor, tuple[()]]:
        """The input [*B, N], T times [T, *B, N]."""
        return x.expand(_steps(self, self.duration, dt), *x.shape), ()


class LatencyCode(Encoder):
    """One spike of each input, the sooner the larger it is: [*B, N] becomes [T, *B, N].

    An input of 1 spikes in the first step, one just above `silent` in the last, in proportion;
    at `silent` or below there is no spike. Inputs above 1 count as 1. Spikes have no gradient with
    respect to the input.

    duration: ms; T is that over dt. silent: at least 0, below 1.
    """

    def __init__(self, duration: float, *, silent: float = 0.0) -> None:
        super().__init__()
        self.hold_positive(duration=duration)
        self.duration, self.silent = float(duration), float(silent)
        if not 0 <= silent < 1:
            raise ValueError(f"LatencyCode: silent must be at least 0, below 1, got {silent!r}.")
        self._values += ("silent",)

    def run(self, x: Tensor, state: Any = None, dt: float = 1.0) -> tuple[Tensor, tuple[()]]:
        """Spikes [T, *B, N] of intensities [*B, N] in [0, 1]."""
        steps = _steps(self, self.duration, dt)
        late = (1 - x.detach().clamp(max=1)) / (1 - self.silent)  # 0 to 1
        place = (late * steps).floor().clamp(max=steps - 1)
        time = torch.arange(steps, device=x.device).reshape(-1, *[1] * x.dim())
        return ((place == time) & (x > self.silent)).to(x.dtype), ()


class RateCode(Layer):
    """Spikes drawn at a rate in proportion to the input, at most one a step (Bernoulli).

    Its gradient is that of the mean number of spikes. Behind `Repeat` for still inputs.

    rate: spikes per ms of an input of 1; 0.1 is 100 Hz. Inputs below 0 count as 0, above 1 as 1.
    generator: what draws; torch's own when None.
    """

    def __init__(self, rate: float = 0.1, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.hold_positive(rate=rate)
        self.rate, self.generator = float(rate), generator

    def run(self, x: Tensor, state: Any = None, dt: float = 1.0) -> tuple[Tensor, tuple[()]]:
        """Spikes [T, *B, N] of intensities [T, *B, N] in [0, 1]."""
        check_sequence(self, x)
        if self.rate * dt > 1 + 1e-9:
            raise ValueError(
                f"RateCode: a step of {dt:g} ms has {self.rate * dt:g} spikes at rate "
                f"{self.rate:g} per ms, but at most one fits: lower rate or dt, or use PoissonCode."
            )
        chance = _real(x).clamp(0, 1) * (self.rate * dt)
        place = x.device if self.generator is None else self.generator.device
        draw = torch.rand(x.shape, generator=self.generator, dtype=chance.dtype, device=place)
        return (draw.to(x.device) < chance).to(chance.dtype) + (chance - chance.detach()), ()


class PoissonCode(Layer):
    """Numbers of spikes drawn from Poisson distributions, several in one step where rates are high.

    Its gradient is that of the mean number of spikes. Behind `Repeat` for still inputs.

    rate: spikes per ms of an input of 1; 0.1 is 100 Hz. Inputs below 0 count as 0.
    generator: what draws; torch's own when None.
    """

    def __init__(self, rate: float = 0.1, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.hold_positive(rate=rate)
        self.rate, self.generator = float(rate), generator

    def run(self, x: Tensor, state: Any = None, dt: float = 1.0) -> tuple[Tensor, tuple[()]]:
        """Numbers of spikes [T, *B, N] of intensities [T, *B, N]."""
        check_sequence(self, x)
        mean = _real(x).clamp(min=0) * (self.rate * dt)
        if not is_watched(mean) and mean.isnan().any():
            raise ValueError("PoissonCode: the input has entries that are not a number (nan).")
        place = mean.device if self.generator is None else self.generator.device
        count = torch.poisson(mean.detach().to(place), generator=self.generator)
        return count.to(x.device) + (mean - mean.detach()), ()


class PopulationCode(nn.Module):
    r"""Every input seen by several cells with Gaussian tuning curves: [..., N] to [..., N K].

    .. math:: y_k = \exp\left(-\frac{(x - c_k)^2}{2 w^2}\right)

    Centers lie evenly from `low` to `high`, both included; w is `overlap` times their distance.
    What it gives is in [0, 1], ready for `LatencyCode`, `RateCode` or a linear layer.

    cells: K, at least 2. low, high: the range of the inputs.
    Reference: Bohte, Kok & La Poutre 2002, doi 10.1016/S0925-2312(01)00658-0.
    """

    center: Tensor

    def __init__(self, cells: int, *, low: float, high: float, overlap: float = 2 / 3) -> None:
        super().__init__()
        if not (isinstance(cells, int) and cells >= 2):
            raise ValueError(f"PopulationCode: cells must be at least 2, got {cells!r}.")
        if not (math.isfinite(low) and math.isfinite(high) and low < high and overlap > 0):
            raise ValueError(
                f"PopulationCode: low must be below high and overlap above 0, got low={low!r}, "
                f"high={high!r}, overlap={overlap!r}."
            )
        self.cells, self.low, self.high, self.overlap = cells, low, high, overlap
        self.width = overlap * (high - low) / (cells - 1)
        self.register_buffer("center", torch.linspace(low, high, cells), persistent=False)

    def extra_repr(self) -> str:
        """What it was given."""
        return f"{self.cells}, low={self.low:g}, high={self.high:g}, overlap={self.overlap:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Activities [..., N K], those of one input side by side, of inputs [..., N]."""
        away = (x[..., None] - self.center.to(x.dtype)) / self.width
        return torch.exp(-0.5 * away**2).flatten(-2)


def _real(x: Tensor) -> Tensor:
    """Whole numbers and truth values as real numbers."""
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def _steps(layer: nn.Module, duration: float, dt: float) -> int:
    check_dt(dt)
    steps = round(duration / dt)
    if steps < 1:
        raise ValueError(
            f"{type(layer).__name__}: a duration of {duration:g} ms has no step of {dt:g} ms."
        )
    return steps
