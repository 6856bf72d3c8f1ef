"""What an estimator that samples can tell of the gradient it gave."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from amphid.learning.gradients.objective import Params
from amphid.learning.gradients.weak.calls import Asked, Calls
from amphid.learning.gradients.weak.sampling import per_owner


@dataclass(frozen=True)
class WeakReport:
    """How far the last gradient of an estimator that samples can be trusted.

    value: mean of the losses. evaluations: of the loss, at all calls so far. norm: of the gradient.
    standard_error: of the gradient, root mean square over its entries times the root of how many
        they are, so that it compares with the norm. Of a slope with a price, without what the
        price takes off it.
    explained: share of the variance of the losses that a straight slope foretells; for pairs, the
        share that is odd about the parameters, which bounds it.
    odd_even: variance of the odd over that of the even part of the loss, where pairs were asked:
        below one, curvature outweighs slope, so that a smaller radius may serve.
    cosines: with another gradient, for each parameter; `cosine` for all of them together.
    """

    value: float
    evaluations: int
    norm: float
    standard_error: float | None = None
    explained: float | None = None
    odd_even: float | None = None
    cosine: float | None = None
    cosines: Mapping[str, float] | None = None

    def __str__(self) -> str:
        rows = {
            "loss around the parameters": self.value,
            "evaluations so far": self.evaluations,
            "norm of the gradient": self.norm,
            "standard error": self.standard_error,
            "variance explained": self.explained,
            "odd / even variance": self.odd_even,
            "cosine with the other gradient": self.cosine,
        }
        rows |= {f"  {name}": cosine for name, cosine in (self.cosines or {}).items()}
        known = {name: number for name, number in rows.items() if number is not None}
        width = max(map(len, known))
        return "\n".join(f"{name:<{width}}  {number:.4g}" for name, number in known.items())


def reported(calls: Calls, against: Params | None) -> WeakReport:
    """The report of the last call. Raises ValueError where there was none."""
    if (last := calls.last) is None:
        raise ValueError("there is nothing to report before the first call.")
    own = last.gradients
    cosines = (
        None if against is None else {name: _cosine([own[name]], [against[name]]) for name in own}
    )
    return WeakReport(
        value=float(last.losses.mean()),
        evaluations=calls.evaluations,
        norm=float(_joined(own.values()).norm()),
        standard_error=_standard_error(last),
        explained=_explained(last),
        odd_even=_odd_even(last.losses),
        cosine=None if against is None else _cosine(own.values(), [against[name] for name in own]),
        cosines=cosines,
    )


def _standard_error(last: Asked) -> float | None:
    """Root of the summed variance of the entries of a gradient."""
    if last.weights is None or len(last.weights) < 2:
        return last.error
    sampling, whole = last.sampling, 0.0
    for first, stop, directions in sampling.chunks():
        for name, each in directions.items():
            rows = each if isinstance(each, Tensor) else each.dense(sampling.shapes[name])
            own = _per_entry(last.weights[first:stop].to(rows), rows, last.credit.get(name))
            unit = sampling.radius * sampling.units[name]
            whole += float((own * rows).square().sum()) / unit**2
    mean = float(_joined(last.gradients.values()).square().sum())
    count = len(last.weights)
    return math.sqrt(max(whole / count - mean, 0.0) / (count - 1))


def _per_entry(weights: Tensor, rows: Tensor, axis: int | None) -> Tensor:
    """The weight of each direction for each entry, so shaped that it multiplies directions."""
    if axis is not None:
        return per_owner(weights, rows.shape, axis)
    own = weights.flatten(1).mean(1) if weights.dim() > 1 else weights
    return own.view(-1, *(1,) * (rows.dim() - 1))


def _explained(last: Asked) -> float | None:
    if last.explained is not None or len(last.losses) < 2:
        return last.explained
    odd, even = _variances(last.losses)
    return odd / (odd + even) if odd + even > 0 else None


def _odd_even(losses: Tensor) -> float | None:
    if len(losses) < 2 or losses.shape[1] < 2:
        return None
    odd, even = _variances(losses)
    if even > 0:
        return odd / even
    return math.inf if odd > 0 else None


def _variances(losses: Tensor) -> tuple[float, float]:
    """Variance of the odd part, whose mean is zero, and of the even part of pairs of losses."""
    whole = losses.flatten(2).mean(2) if losses.dim() > 2 else losses
    odd, even = (whole[0] - whole[1]) / 2, (whole[0] + whole[1]) / 2
    return float(odd.square().mean()), float(even.var()) if len(even) > 1 else 0.0


def _joined(values: Iterable[Tensor]) -> Tensor:
    return torch.cat([value.flatten().double() for value in values])


def _cosine(own: Iterable[Tensor], other: Iterable[Tensor]) -> float:
    return float(cosine_similarity(_joined(own), _joined(other), dim=0))
