"""A simulated population whose cells prefer directions of movement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor, nn

from amphid.models.decoders.decoder import Trials, check_positive
from amphid.wiring import checks

HALVINGS = 12  # of a step of Newton's method that goes too far


@final
class TunedPopulation(nn.Module):
    r"""Poisson cells tuned to the velocity, such as those of motor cortex.

    .. math:: r_i = \max(0,\ b_i + m_i\, d_i \cdot v + s_i |v|)

    with a preferred direction d, a depth m, and a gain s for speed whatever the direction.

    baseline: b [N], spikes per ms (0.01 is 10 Hz). slope: m d [N, D], spikes per ms and unit of
    velocity. speed: s [N], of the same unit; none when None.
    Reference: Georgopoulos et al. 1986, doi 10.1126/science.3749885; speed: Moran and Schwartz
    1999, doi 10.1152/jn.1999.82.5.2676.
    """

    baseline: Tensor
    slope: Tensor
    speed: Tensor

    def __init__(self, baseline: Tensor, slope: Tensor, speed: Tensor | None = None) -> None:
        super().__init__()
        checks.reals("TunedPopulation: baseline", baseline)
        speed = torch.zeros_like(baseline) if speed is None else speed
        _check(baseline, slope, speed)
        self.register_buffer("baseline", baseline)
        self.register_buffer("slope", slope)
        self.register_buffer("speed", speed)

    @classmethod
    def drawn(
        cls,
        cells: int,
        axes: int,
        *,
        generator: torch.Generator,
        baseline: float = 0.01,
        depth: float = 0.01,
        top: float = 1.0,
    ) -> Self:
        """Preferred directions drawn evenly from all there are, in 2-D, 3-D or more.

        baseline: mean of rates at rest, spikes per ms; each cell's is drawn from half to one and a
        half times that. depth: mean of how much a movement at speed `top` along its preferred
        direction adds to the rate of a cell, drawn likewise.
        """
        check_positive(cls.__name__, cells=cells, axes=axes)
        checks.drawing(generator)
        for name, value in (("baseline", baseline), ("depth", depth), ("top", top)):
            checks.positive(f"TunedPopulation: {name}", value)
        along = torch.randn(cells, axes, generator=generator)
        preferred = along / along.norm(dim=-1, keepdim=True)
        spread = torch.rand(2, cells, generator=generator) + 0.5
        return cls(baseline * spread[0], (depth / top * spread[1])[:, None] * preferred)

    @classmethod
    def fitted(cls, counts: Trials, velocity: Trials, interval: float) -> Self:
        """The population most likely to have fired counts [T, N] at velocities [T, D].

        Each cell by Poisson regression with the rate as it stands above, a convex problem. counts
        and velocity: of one sequence, or lists of trials. interval: ms of a bin.
        """
        checks.positive("interval", interval)
        counts, velocity = _joined("counts", counts), _joined("velocity", velocity)
        if counts.dim() != 2 or velocity.dim() != 2 or len(counts) != len(velocity):
            raise ValueError(
                "TunedPopulation is fitted to counts [T, N] and velocity [T, D] of the same bins, "
                f"got {list(counts.shape)} and {list(velocity.shape)}."
            )
        size = velocity.norm(dim=-1, keepdim=True)
        design = torch.cat((torch.ones_like(size), velocity, size), -1)
        weights = poisson_regression(design, counts) / interval
        parts = weights.float()
        return cls(parts[:, 0], parts[:, 1:-1], parts[:, -1])

    @property
    def preferred(self) -> Tensor:
        """Preferred directions [N, D], of length one; zero for a cell that has none."""
        return torch.nn.functional.normalize(self.slope, dim=-1)

    @property
    def depth(self) -> Tensor:
        """Depth of tuning [N], spikes per ms and unit of velocity."""
        return self.slope.norm(dim=-1)

    def forward(self, velocity: Tensor) -> Tensor:
        """Rates [*B, N] in spikes per ms at velocities [*B, D]."""
        checks.reals("TunedPopulation: velocity", velocity)
        if not velocity.dim() or velocity.shape[-1] != self.slope.shape[1]:
            raise ValueError(
                f"TunedPopulation: velocity [*B, D] must have {self.slope.shape[1]} axes, got "
                f"shape {list(velocity.shape)}."
            )
        size = velocity.norm(dim=-1, keepdim=True)
        rate = self.baseline + velocity @ self.slope.T + size * self.speed
        return rate.clamp(min=0.0)

    def fire(self, velocity: Tensor, interval: float, *, generator: torch.Generator) -> Tensor:
        """Counts of spikes [*B, N] within `interval` ms at velocities [*B, D]."""
        checks.positive("interval", interval)
        rates = self(velocity)
        if not bool(rates.isfinite().all()):
            raise ValueError("TunedPopulation fires at velocities that are finite, some is not.")
        return torch.poisson(rates * interval, generator=checks.drawing(generator))

    def altered(self, *, turn: float, share: float, generator: torch.Generator) -> Self:
        """The population as another context finds it: preferred directions and baselines moved.

        turn: standard deviation, in radians, of the angle by which each preferred direction turns,
        to any side. share: standard deviation of the logarithm of what baselines are multiplied by.
        """
        checks.least("turn", turn)
        checks.least("share", share)
        checks.drawing(generator)
        angle = turn * torch.randn(len(self.baseline), 1, generator=generator)
        aside = torch.randn(self.slope.shape, generator=generator)
        factor = torch.randn(len(self.baseline), generator=generator).mul(share).exp()
        slope = _turned(self.slope, angle.to(self.slope), aside.to(self.slope))
        return type(self)(self.baseline * factor.to(self.baseline), slope, self.speed)

    def extra_repr(self) -> str:
        """How many cells and axes."""
        return f"cells={len(self.baseline)}, axes={self.slope.shape[1]}"


def poisson_regression(design: Tensor, counts: Tensor, *, steps: int = 50) -> Tensor:
    """Weights [N, K] under which max(0, design [T, K] @ w) is likeliest to give counts [T, N].

    Newton's method, each cell on its own: a step goes as far as the likelihood rises, and it ends
    where none rises by 1e-6. The first column of the design is one. Silent cells get weights of
    zero.
    """
    design, counts = design.double(), counts.double()
    weights = design.new_zeros(counts.shape[1], design.shape[1])
    present = counts.sum(0) > 0
    counts = counts[:, present]
    now = weights[present]
    now[:, 0] = counts.mean(0)
    for _ in range(steps):
        now, gain = _climbed(design, counts, now)
        if not bool((gain > 1e-6).any()):
            break
    weights[present] = now
    return weights


def _climbed(design: Tensor, counts: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [N, K] after one step of Newton's method, and what each likelihood [N] gained."""
    rate = design @ weights.T
    before, step = _likelihood(rate, counts), _newton(design, counts, rate)
    share = design.new_ones(len(weights), 1)
    for _ in range(HALVINGS):
        gain = _likelihood(design @ (weights + share * step).T, counts) - before
        worse = ~(gain >= 0)[:, None]
        if not worse.any():
            break
        share = torch.where(worse, share / 2, share)
    return torch.where(worse, weights, weights + share * step), gain


def _newton(design: Tensor, counts: Tensor, rate: Tensor) -> Tensor:
    """Step [N, K] to the top of the parabola that touches the likelihood of each cell."""
    steep = torch.where(rate > 0, counts / rate - 1, 0.0)
    curved = torch.where(rate > 0, counts / rate.square(), 0.0)
    squares = (design[:, :, None] * design[:, None, :]).flatten(1)
    curvature = (curved.T @ squares).unflatten(1, (design.shape[1], -1))
    least = 1e-12 * curvature.diagonal(dim1=1, dim2=2).mean(-1)[:, None, None]
    whole = torch.eye(design.shape[1], dtype=design.dtype, device=design.device)
    return torch.linalg.solve(curvature + least * whole, steep.T @ design)


def _likelihood(rate: Tensor, counts: Tensor) -> Tensor:
    """Logarithm of the likelihood of each cell [N], but for a constant."""
    rate = rate.clamp(min=0.0)
    return (torch.special.xlogy(counts, rate) - rate).sum(0)


def _joined(what: str, given: Trials) -> Tensor:
    """All bins of trials [T, N] one after the other."""
    parts = [given] if isinstance(given, Tensor) else given
    if not isinstance(parts, Sequence) or not parts:
        raise TypeError(f"{what} must be a tensor or a list of them, got {given!r:.60}.")
    whole = torch.cat([checks.reals(what, part) for part in parts])
    if not bool(whole.isfinite().all()):
        raise ValueError(f"{what} must be finite: leave out its gaps.")
    return whole


def _turned(slope: Tensor, angle: Tensor, aside: Tensor) -> Tensor:
    """Vectors [N, D] turned by an angle [N, 1] towards a side [N, D], as long as before."""
    length = slope.norm(dim=-1, keepdim=True)
    along = torch.nn.functional.normalize(slope, dim=-1)
    across = aside - (aside * along).sum(-1, keepdim=True) * along
    across = torch.nn.functional.normalize(across, dim=-1)
    return length * (angle.cos() * along + angle.sin() * across)


def _check(baseline: Tensor, slope: Tensor, speed: Tensor) -> None:
    """Raise TypeError or ValueError for values that are no population."""
    checks.reals("TunedPopulation: slope", slope)
    checks.reals("TunedPopulation: speed", speed)
    if baseline.dim() != 1 or slope.dim() != 2 or len(slope) != len(baseline):
        raise ValueError(
            "TunedPopulation takes baseline [N] and slope [N, D], got "
            f"{list(baseline.shape)} and {list(slope.shape)}."
        )
    if speed.shape != baseline.shape:
        raise ValueError(
            f"TunedPopulation: speed must be [N] = [{len(baseline)}], got {list(speed.shape)}."
        )
    for name, value in (("baseline", baseline), ("slope", slope), ("speed", speed)):
        if not bool(value.isfinite().all()):
            raise ValueError(f"TunedPopulation: {name} must be finite.")
    if not bool((baseline >= 0).all()):
        raise ValueError("TunedPopulation: baseline must be rates of 0 and more, spikes per ms.")
