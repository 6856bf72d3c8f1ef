"""How far two spike trains are apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amphid.kernels import leaking_sum

BLOCK = 64  # steps filtered by one matrix product


def filtered(spikes: Tensor, tau: float, dt: float) -> Tensor:
    r"""Spike trains [T, *B, N] each spike of which leaves a trace that decays with tau, from 1.

    .. math:: u_t = e^{-dt / \tau} u_{t - 1} + s_t

    tau, dt: ms. Differentiable, of linear cost in T: blocks of time are one matrix product each.
    """
    _check_time(spikes, tau=tau, dt=dt)
    if (left := leaking_sum(spikes, math.exp(-dt / tau))) is not None:
        return left
    ages = torch.arange(min(BLOCK, len(spikes)), device=spikes.device)
    apart = (ages[:, None] - ages).to(spikes)
    kernel = torch.exp(-apart.clamp(min=0) * (dt / tau)).tril()
    left = kernel[:, 0] * math.exp(-dt / tau)
    trace, traces = torch.zeros_like(spikes[0].flatten()), []
    for block in spikes.flatten(1).split(BLOCK):
        size = len(block)
        traces.append(kernel[:size, :size] @ block + left[:size, None] * trace)
        trace = traces[-1][-1]
    return torch.cat(traces).view(spikes.shape)


def van_rossum(first: Tensor, second: Tensor, *, tau: float = 10.0, dt: float = 1.0) -> Tensor:
    r"""Squared van Rossum distance of spike trains [T, *B, N], one number for each [*B, N].

    .. math:: D^2 = \frac{1}{\tau} \int_0^\infty \Bigl(\sum_i e^{-(t - t_i) / \tau}
              - \sum_j e^{-(t - t_j) / \tau}\Bigr)^2 dt

    The integral is exact for spikes at the starts of steps, and goes on beyond the last step. One
    spike against none is 1/2; two single spikes :math:`\delta` apart are
    :math:`1 - e^{-\delta / \tau}`. With a small tau it counts spikes that do not coincide, with a
    large one it compares numbers of spikes. Differentiable. tau, dt: ms.
    Raises ValueError for trains of different shapes.
    Reference: van Rossum 2001, doi 10.1162/089976601300014321.
    """
    _check_pair(first, second)
    square = filtered(first - second, tau, dt).square()
    within = -math.expm1(-2 * dt / tau)
    return 0.5 * (within * square[:-1].sum(0) + square[-1])


def train_correlation(
    first: Tensor,
    second: Tensor,
    *,
    tau: float = 10.0,
    dt: float = 1.0,
    floor: float = 1e-3,
    pooled: bool = False,
) -> Tensor:
    r"""Correlation of filtered spike trains [T, *B, N], one number for each [*B, N].

    .. math:: r = \frac{\text{Cov}(u, w)}{
              \sqrt{(\text{Var} u + \epsilon^2)(\text{Var} w + \epsilon^2)}}

    with traces u, w that each spike raises by 1 and that decay with tau. It does not see how many
    spikes there are, only when; a train without any has 0. Differentiable.

    tau, dt: ms. floor: :math:`\epsilon`, in units of the trace of a spike. pooled: over time and
    batch together, one number for each cell [N]; windows with hardly a spike each need that.
    Raises ValueError for trains of different shapes.
    Reference: Schreiber et al. 2003, doi 10.1016/S0925-2312(02)00838-X, with a Gaussian filter and
    without the means taken off.
    """
    _check_pair(first, second)
    over = tuple(range(first.dim() - 1)) if pooled else (0,)
    u, w = (_centered(filtered(spikes, tau, dt), over) for spikes in (first, second))
    spread = (u.square().mean(over) + floor**2) * (w.square().mean(over) + floor**2)
    return (u * w).mean(over) / spread.sqrt()


def victor_purpura(first: Tensor, second: Tensor, *, cost: float = 0.1, dt: float = 1.0) -> Tensor:
    """Victor-Purpura distance of spike trains [T, *B, N], one number for each [*B, N].

    The least cost of turning one train into the other by steps that remove a spike for 1, insert
    one for 1, and move one by t ms for `cost` times t. Without cost it is the difference of the
    numbers of spikes; with a large one, the number of spikes that do not coincide. A metric.

    cost: per ms. dt: ms. An entry above 1 counts as so many spikes. No gradient passes.
    Raises ValueError for trains of different shapes or a negative cost.
    Reference: Victor & Purpura 1996, doi 10.1152/jn.1996.76.2.1310.
    """
    _check_pair(first, second)
    _check_time(first, dt=dt)
    if not cost >= 0:
        raise ValueError(f"cost must be per ms, not negative, got {cost!r}.")
    (own, counts), (other, others) = _times(first, dt), _times(second, dt)
    column = torch.arange(other.shape[-1] + 1, device=first.device, dtype=torch.float64)
    row = column.expand(len(own), -1)
    for number, time in enumerate(own.unbind(-1)):
        moved = row[:, :-1] + cost * (time[:, None] - other).abs()
        removed = row + 1
        best = torch.cat((removed[:, :1], torch.minimum(removed[:, 1:], moved)), -1)
        # inserting costs 1 from column to column: a running minimum once that is taken off
        best = (best - column).cummin(-1).values + column
        row = torch.where((number < counts)[:, None], best, row)
    return row.gather(1, others[:, None])[:, 0].view(first.shape[1:]).to(first)


def _centered(trace: Tensor, over: tuple[int, ...]) -> Tensor:
    return trace - trace.mean(over, keepdim=True)


def _times(spikes: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """Times [R, K] in ms of the spikes of each train, filled up behind, and how many [R]."""
    trains = spikes.detach().flatten(1).round().long().clamp(min=0).T
    counts = trains.sum(-1)
    most = int(counts.max()) if counts.numel() else 0
    train, step = trains.nonzero(as_tuple=True)
    repeated = trains[train, step]
    train, step = train.repeat_interleave(repeated), step.repeat_interleave(repeated)
    place = torch.arange(len(train), device=spikes.device) - (counts.cumsum(0) - counts)[train]
    times = torch.zeros(len(trains), most, dtype=torch.float64, device=spikes.device)
    times[train, place] = step.double() * dt
    return times, counts


def _check_pair(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.dim() < 2 or not len(first):
        raise ValueError(
            "two spike trains must have the same shape [T, *B, N], got "
            f"{list(first.shape)} and {list(second.shape)}."
        )


def _check_time(spikes: Tensor, **times: float) -> None:
    if not spikes.dim() or not len(spikes):
        raise ValueError(f"spikes must be [T, *B, N], got shape {list(spikes.shape)}.")
    for name, value in times.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive number of ms, got {value!r}.")
