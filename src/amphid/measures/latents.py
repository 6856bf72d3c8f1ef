"""How well rates tell spikes, movement and average responses, as the Neural Latents Benchmark asks.

Reference: Pei et al. 2021, arXiv 2109.04463; definitions as in nlb_tools.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

FLOOR = 1e-9  # what a rate of zero counts as
PENALTIES = tuple(10 ** (step / 2) for step in range(-8, 1))
FOLDS = 5


def bits_per_spike(rates: Tensor, spikes: Tensor) -> float:
    r"""How much better rates [*B, N] tell counts than each cell's mean does, in bits per spike.

    .. math:: \frac{L_\text{null} - L}{n_\text{spikes} \ln 2}, \qquad
              L = \sum \lambda - n \ln \lambda + \ln n!

    rates: expected counts in each bin. spikes: counts of the same shape; bins that are NaN do not
    count. The null model knows the mean of each cell over these very bins, so that zero is not
    easily reached. Of cells that the model was not shown this is co-smoothing; of bins after those
    that it was shown, forward prediction. A rate of zero counts as 1e-9.

    Raises ValueError for another shape, rates that are negative or NaN where counts are not, and
    counts without a spike.
    Reference: Pei et al. 2021, arXiv 2109.04463.
    """
    _check_real(rates=rates, spikes=spikes)
    if rates.shape != spikes.shape or not spikes.dim():
        raise ValueError(
            f"rates and spikes must have the same shape [*B, N], got {list(rates.shape)} and "
            f"{list(spikes.shape)}."
        )
    rates, spikes = rates.double(), spikes.double()
    seen = ~spikes.isnan()
    count = spikes.nansum()
    if not count > 0:
        raise ValueError("spikes must hold at least one spike to be told.")
    null = spikes.flatten(0, -2).nanmean(0).expand_as(spikes) if spikes.dim() > 1 else spikes.mean()
    gained = _unlikeliness(null, spikes, seen) - _unlikeliness(rates, spikes, seen)
    return float(gained / count) / math.log(2)


def velocity_r2(
    rates: Sequence[Tensor] | Tensor,
    velocity: Sequence[Tensor] | Tensor,
    tested_rates: Sequence[Tensor] | Tensor,
    tested_velocity: Sequence[Tensor] | Tensor,
    *,
    lag: int = 0,
    penalties: Sequence[float] = PENALTIES,
) -> Tensor:
    r"""Share of the variance of each velocity [D] that a ridge regression on rates explains.

    .. math:: R^2 = 1 - \sum (v - \hat v)^2 / \sum (v - \bar v)^2

    on the tested trials; the benchmark's figure is the mean over D. rates: trials [T, N], or all of
    them [B, T, N]; velocity: [T, D] of each. lag: bins by which velocity follows the rates that
    tell it. penalties: of the squared weights, among which five blocks of the known bins choose.
    Bins whose velocity is NaN are left out.

    Raises ValueError for trials that do not fit each other, and for rates that are NaN.
    Reference: Pei et al. 2021, arXiv 2109.04463.
    """
    _check_choice(lag, penalties)
    x, y = _paired(rates, velocity, lag)
    tested, truth = _paired(tested_rates, tested_velocity, lag)
    if len(x) < FOLDS or not len(tested):
        raise ValueError(
            f"velocity must be known in at least {FOLDS} bins and tested in one, got {len(x)} "
            f"and {len(tested)}."
        )
    if tested.shape[1:] != x.shape[1:] or truth.shape[1:] != y.shape[1:]:
        raise ValueError(
            "tested trials must have the cells and velocities of the known ones, got "
            f"{tested.shape[1]} and {truth.shape[1]}, not {x.shape[1]} and {y.shape[1]}."
        )
    best = best_penalty(x, y, penalties)
    return explained(truth, ridge_told(x, y, tested, [best])[0])


def psth_r2(rates: Tensor, psth: Tensor, condition: Tensor) -> float:
    """Share of the variance of average responses that rates explain, averaged over cells.

    rates: of all trials [B, T, N]. psth: average response to each condition [C, T, N]; steps that
    are NaN in its first cell are left out. condition: number of each trial's condition [B]. Rates
    are averaged over the trials of a condition before they are compared, and R2 is taken over the
    steps of all conditions that have a trial.

    Raises ValueError for shapes that do not fit each other, and for rates that are NaN.
    Reference: Pei et al. 2021, arXiv 2109.04463.
    """
    _check_real(rates=rates, psth=psth, condition=condition)
    fits = rates.dim() == psth.dim() == 3 and rates.shape[1:] == psth.shape[1:]
    if not fits or condition.shape != rates.shape[:1]:
        raise ValueError(
            "rates must be [B, T, N], psth [C, T, N] and condition [B], got "
            f"{list(rates.shape)}, {list(psth.shape)} and {list(condition.shape)}."
        )
    if condition.is_floating_point() or condition.dtype == torch.bool or not len(condition):
        raise ValueError(
            "condition must be whole numbers, one for each of at least one trial, got "
            f"{condition.dtype} {list(condition.shape)}."
        )
    if not 0 <= int(condition.min()) <= int(condition.max()) < len(psth):
        raise ValueError(f"condition must be numbers from 0 to {len(psth) - 1}.")
    own = condition.unique()
    found = torch.stack([rates[condition == c].double().mean(0) for c in own]).flatten(0, 1)
    truth = psth[own].double().flatten(0, 1)
    kept = ~truth[:, 0].isnan()
    _check_numbers(found[kept])
    return float(explained(truth[kept], found[kept]).mean())


def explained(truth: Tensor, found: Tensor) -> Tensor:
    """R2 of each column [D] of found [M, D]; of one that is constant, 1 if it is met, else 0."""
    error = (truth - found).square().sum(0)
    spread = (truth - truth.mean(0)).square().sum(0)
    constant = (error == 0).to(error)
    return torch.where(spread > 0, 1 - error / spread.where(spread > 0, 1.0), constant)


def ridge_told(x: Tensor, y: Tensor, tested: Tensor, penalties: Sequence[float]) -> list[Tensor]:
    """What ridge regressions from x [M, K] to y [M, D] tell of tested [L, K], with intercept.

    One for each penalty of the squared weights.
    """
    center, level = x.mean(0), y.mean(0)
    apart = x - center
    square, drive = apart.T @ apart, apart.T @ (y - level)
    own = square.diagonal().clone()
    found = []
    for penalty in penalties:
        square.diagonal().copy_(own + penalty)
        found.append((tested - center) @ _solved(square, drive) + level)
    return found


def best_penalty(x: Tensor, y: Tensor, penalties: Sequence[float]) -> float:
    """The penalty with which five blocks of rows are told best by the others, by mean R2."""
    scores, place = torch.zeros(len(penalties)), torch.arange(len(x))
    for block in place.tensor_split(FOLDS):
        others = torch.cat((place[: block[0]], place[block[-1] + 1 :]))
        told = ridge_told(x[others], y[others], x[block], penalties)
        scores += torch.stack([explained(y[block], own).mean() for own in told])
    return penalties[int(scores.argmax())]


def _solved(square: Tensor, drive: Tensor) -> Tensor:
    root, failed = torch.linalg.cholesky_ex(square)
    if not bool(failed):
        return torch.cholesky_solve(drive, root)
    return torch.linalg.lstsq(square, drive).solution


def _paired(
    rates: Sequence[Tensor] | Tensor, velocity: Sequence[Tensor] | Tensor, lag: int
) -> tuple[Tensor, Tensor]:
    """Rows of rates [M, N] and of the velocities [M, D] that they tell, of all trials."""
    for name, given in (("rates", rates), ("velocity", velocity)):
        fits = given.dim() > 0 if isinstance(given, Tensor) else isinstance(given, Sequence)
        if not fits:
            raise TypeError(
                f"{name} must be trials, [B, T, N] or a list of [T, N], got {given!r:.60}."
            )
        _check_real(
            **(
                {name: given}
                if isinstance(given, Tensor)
                else {f"{name}[{k}]": t for k, t in enumerate(given)}
            )
        )
    if len(rates) != len(velocity) or not len(rates):
        raise ValueError(
            f"there must be a velocity for each trial of rates, got {len(rates)} trials of rates "
            f"and {len(velocity)} of velocity."
        )
    rows = [_lagged(x, y, lag) for x, y in zip(rates, velocity, strict=True)]
    for name, widths in (
        ("cells", {x.shape[1] for x, _ in rows}),
        ("velocities", {y.shape[1] for _, y in rows}),
    ):
        if len(widths) > 1:
            raise ValueError(f"all trials must have the same {name}, got {sorted(widths)}.")
    x, y = (torch.cat(column).double() for column in zip(*rows, strict=True))
    known = ~y.isnan().any(-1)
    _check_numbers(x[known])
    return x[known], y[known]


def _lagged(x: Tensor, y: Tensor, lag: int) -> tuple[Tensor, Tensor]:
    if x.dim() != 2 or y.dim() != 2 or len(x) != len(y):
        raise ValueError(
            f"a trial must be rates [T, N] and velocity [T, D], got {list(x.shape)} and "
            f"{list(y.shape)}."
        )
    return (x[: len(x) - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[:lag])


def _unlikeliness(rates: Tensor, spikes: Tensor, seen: Tensor) -> Tensor:
    """Negative log-likelihood of the counts that were seen, nats."""
    rates, spikes = rates[seen], spikes[seen]
    _check_numbers(rates)
    if bool((rates < 0).any()):
        raise ValueError(f"rates must not be negative, the lowest is {float(rates.min()):g}.")
    rates = rates.where(rates > 0, FLOOR)
    return (rates - spikes * rates.log() + (spikes + 1).lgamma()).sum()


def _check_numbers(rates: Tensor) -> None:
    if not bool(rates.isfinite().all()):
        raise ValueError(
            "rates must be numbers wherever spikes or velocity are, some are NaN or infinite."
        )


def _check_real(**given: object) -> None:
    """Raise TypeError for what is no tensor of real numbers."""
    for name, values in given.items():
        if not isinstance(values, Tensor) or values.is_complex():
            got = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(
                f"{name} must be a tensor of real numbers, got {got}: torch.as_tensor makes one "
                "of an array."
            )


def _check_choice(lag: object, penalties: Sequence[float]) -> None:
    if not isinstance(lag, int):
        raise TypeError(f"lag must be a whole number of bins, got {lag!r}.")
    fits = isinstance(penalties, Sequence) and not isinstance(penalties, str) and len(penalties)
    if not fits or not all(isinstance(p, (int, float)) and 0 <= p < math.inf for p in penalties):
        raise ValueError(
            f"penalties must be at least one finite number, not negative, got {penalties!r}."
        )
