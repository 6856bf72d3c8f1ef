"""Which surrogate agrees with the trend of a loss: surrogate gradients beside a weak one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Surrogate
from amphid.learning.gradients.backprop import Backprop
from amphid.learning.gradients.objective import Loss, Objective, Params
from amphid.learning.gradients.weak.calls import new_key
from amphid.learning.gradients.weak.designs import Gaussian
from amphid.learning.gradients.weak.sampling import Sampling, units_of
from amphid.learning.surrogate_widths import of_width, scale_surrogates, surrogates_of

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
GROUPS = 16  # of directions, each left out once for the standard error
ALL = "all"
LOST = "lost"  # where a trend is, in noise
Candidate = float | Surrogate


@dataclass(frozen=True)
class Agreement:
    """How a surrogate gradient goes with the trend of the loss at one radius.

    surrogate: the share of the membrane's spread that it is wide, or the surrogate itself. radius:
    of the trend. cosines, errors: of the angle to the trend and their standard errors, by layer and
    for "all"; nan where the trend is lost in noise, for want of samples. steepness: how much longer
    it is than the trend; near 1 where it is right in size too. left_out: the cosine for all without
    one group of directions each.
    """

    surrogate: Candidate
    radius: float
    cosines: Mapping[str, float]
    errors: Mapping[str, float]
    steepness: float
    left_out: tuple[float, ...] = field(default=(), repr=False)

    @property
    def cosine(self) -> float:
        """That of all parameters together."""
        return self.cosines[ALL]


@dataclass(frozen=True, eq=False)
class SurrogateAudit:
    """What `surrogate_audit` found: print it, read it, or `apply` the best to the model."""

    agreements: tuple[Agreement, ...]
    widths: Mapping[Candidate, Mapping[str, float]] = field(default_factory=dict, repr=False)

    @property
    def best(self) -> Candidate:
        """The surrogate that agrees best, on average over radii."""
        return max(
            self.candidates, key=lambda own: (not math.isnan(self.mean(own)), self.mean(own))
        )

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All that were asked, in their order."""
        return tuple(dict.fromkeys(own.surrogate for own in self.agreements))

    @property
    def sentence(self) -> str:
        """What it comes to."""
        best = self.best
        if math.isnan(self.mean(best)):
            return "The trend is lost in noise: raise samples, or take a larger radius."
        close = [own for own in self.candidates if own != best and self.tied(best, own)]
        said = f"{_named(best)} agrees best with the trend: cosine {self.mean(best):.2f}"
        return said + (f"; {', '.join(map(_named, close))} as well as that." if close else ".")

    def tied(self, one: Candidate, other: Candidate) -> bool:
        """Whether two differ by less than twice the error of their difference."""
        pairs = zip(self._left_out(one), self._left_out(other), strict=True)
        gaps = [a - b for a, b in pairs]
        return not self.mean(one) - self.mean(other) > 2 * _jackknifed(gaps)

    def _left_out(self, candidate: Candidate) -> list[float]:
        rows = [own.left_out for own in self.agreements if own.surrogate == candidate]
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    def mean(self, candidate: Candidate) -> float:
        """Mean cosine over radii."""
        found = [own.cosine for own in self.agreements if own.surrogate == candidate]
        return sum(found) / len(found)

    def apply(self, model: nn.Module) -> None:
        """Give the surrogates of a model the best width, or put the best surrogate there."""
        for name, (module, own) in surrogates_of(model):
            module.surrogate = _chosen(self.best, self.widths, name, own)

    def __str__(self) -> str:
        names = list(self.agreements[0].cosines)
        rows = [["surrogate", "radius", *names, "steepness"]]
        for own in self.agreements:
            cells = [_told(own.cosines[name], own.errors[name]) for name in names]
            steepness = LOST if math.isnan(own.steepness) else f"{own.steepness:.2g}"
            rows.append([_named(own.surrogate), f"{own.radius:g}", *cells, steepness])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, "", self.sentence])


def surrogate_audit(
    model: nn.Module,
    batch: tuple[Any, Any],
    loss: Callable[[Any, Any], Tensor],
    *,
    generator: torch.Generator,
    surrogates: Sequence[Candidate] = SHARES,
    radii: Sequence[float] = (0.1,),
    samples: int = 2048,
    dt: float | None = None,
) -> SurrogateAudit:
    """The cosine of surrogate gradients with the weak gradient of a network, layer by layer.

    surrogates: shares of the spread of each membrane, as `scale_surrogates` takes them, or
        surrogates such as FastSigmoid(5.0), put into every cell. radii: of the perturbation that
        the trend is measured by, in units of each parameter's root mean square. samples: losses
        asked for each radius, pairs on both sides.
    batch: (inputs, targets). loss: of model(inputs) and targets. dt: ms, handed to the model.

    Gradients compare in units of the root mean square of each parameter, as a relative change of
    each counts. The trend does not depend on the surrogate, so that one serves all. Its length is
    measured without the bias of noise, and errors are by leaving out directions, a sixteenth at a
    time. The model is left as it was, see `SurrogateAudit.apply`.
    """
    if not (found := dict(surrogates_of(model))):
        raise ValueError(f"this {type(model).__name__} has no cell with a surrogate.")
    if samples < 2 * GROUPS:
        raise ValueError(f"samples must be at least {2 * GROUPS}, got {samples!r}.")
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(f"batch must be a pair (inputs, targets), got {type(batch).__name__}.")
    objective = Objective(model, *batch, loss, dt=dt)
    params: Params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    slopes: dict[Candidate, Params] = {}
    widths: dict[Candidate, dict[str, float]] = {}
    with _put_back(model, found):
        for one in surrogates:
            widths[one] = _put(model, found, one, batch[0], dt)
            slopes[one] = Backprop()(objective, params)[1]
    slopes = {one: _scaled(slope, params) for one, slope in slopes.items()}
    agreements = [
        Agreement(one, radius, *_compared(trend, slope))
        for radius in radii
        for trend in [_Trend.measured(objective, params, radius, samples // 2, generator)]
        for one, slope in slopes.items()
    ]
    return SurrogateAudit(tuple(agreements), widths)


def trend_angle(
    loss: Loss,
    params: Params,
    slope: Params,
    *,
    radius: float,
    samples: int,
    generator: torch.Generator,
) -> tuple[float, float, float]:
    """Cosine of a gradient with the trend of a loss, its error, and how much steeper it is.

    The trend is that within `radius`, measured by pairs of samples; as in `surrogate_audit`, of
    parameters in units of their root mean square. nan where it is lost in noise.
    """
    trend = _Trend.measured(loss, params, radius, samples // 2, generator)
    cosines, errors, steepness, _ = _compared(trend, _scaled(slope, params))
    return cosines[ALL], errors[ALL], steepness


def _scaled(slope: Params, params: Params) -> Params:
    """A gradient for parameters in units of their root mean square."""
    units = units_of(params, list(params), absolute=False)
    return {name: units[name] * own for name, own in slope.items()}


@dataclass(frozen=True, eq=False)
class _Trend:
    """Slopes along random directions, summed group by group, in units of the parameters.

    sums: [G, P] of slope times direction. squares: [G] of its squared length. counts: [G].
    """

    sums: Mapping[str, Tensor]
    squares: Mapping[str, Tensor]
    counts: Tensor

    @classmethod
    def measured(
        cls, loss: Loss, params: Params, radius: float, pairs: int, draw: torch.Generator
    ) -> _Trend:
        """The trend of a loss around parameters."""
        held = {name: own.detach() for name, own in params.items()}
        units = units_of(held, list(held), absolute=False)
        sampling = Sampling(held, list(held), units, radius, Gaussian(), new_key(draw), pairs)
        losses = sampling.losses(loss, (1.0, -1.0)).double()
        losses = losses.view(2, pairs, -1).mean(2)
        slopes = (losses[0] - losses[1]) / (2 * radius)  # [K]
        group = torch.arange(pairs) * GROUPS // pairs
        sums = {name: torch.zeros(GROUPS, own.numel()).to(own) for name, own in held.items()}
        squares = {name: torch.zeros(GROUPS).to(own) for name, own in held.items()}
        for first, stop, directions in sampling.chunks():
            for name, each in directions.items():
                rows = each if isinstance(each, Tensor) else each.dense(held[name].shape)
                own = rows.flatten(1) * slopes[first:stop].to(rows)[:, None]
                sums[name].index_add_(0, group[first:stop], own)
                squares[name].index_add_(0, group[first:stop], own.square().sum(1))
        return cls(sums, squares, torch.bincount(group, minlength=GROUPS).double())

    def without(
        self, group: int | None, names: Sequence[str], slope: Params
    ) -> tuple[float, float]:
        """The product of a slope with the trend, and the squared length of that, without bias."""
        kept = torch.ones(GROUPS, dtype=torch.bool)
        if group is not None:
            kept[group] = False
        count = float(self.counts[kept].sum())
        product = square = 0.0
        for name in names:
            total = self.sums[name][kept].double().sum(0)
            product += float(total @ slope[name].flatten().double()) / count
            square += float(total.square().sum() - self.squares[name][kept].double().sum())
        return product, square / (count * (count - 1))


def _compared(
    trend: _Trend, slope: Params
) -> tuple[dict[str, float], dict[str, float], float, tuple[float, ...]]:
    """Cosines and errors by layer and for all, how steep a slope is, and cosines left out."""
    cosines, errors, apart = {}, {}, {}
    for label, names in _layers(slope).items():
        long = _length({name: slope[name] for name in names})
        found = [trend.without(g, names, slope) for g in range(GROUPS)]
        whole = trend.without(None, names, slope)
        lost = whole[1] < 2 * _jackknifed([square for _, square in found])
        cosines[label] = math.nan if lost else _cosine(whole, long)
        apart[label] = tuple(math.nan if lost else _cosine(own, long) for own in found)
        errors[label] = _jackknifed(apart[label])
    long, (_, square) = _length(slope), trend.without(None, list(slope), slope)
    return cosines, errors, long / math.sqrt(square) if square > 0 else math.nan, apart[ALL]


def _layers(params: Params) -> dict[str, list[str]]:
    """All names, and those of each module."""
    layers: dict[str, list[str]] = {ALL: list(params)}
    for name in params:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return layers


def _length(slope: Params) -> float:
    return math.sqrt(sum(float(own.double().square().sum()) for own in slope.values()))


def _cosine(found: tuple[float, float], long: float) -> float:
    product, square = found
    if long == 0:
        return 0.0
    return product / (math.sqrt(square) * long) if square > 0 else math.nan


def _jackknifed(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values)
    return math.sqrt(spread * (len(values) - 1) / len(values))


@contextmanager
def _put_back(model: nn.Module, found: Mapping[str, tuple[Any, Surrogate]]) -> Iterator[None]:
    buffers = [(held, held.clone()) for held in model.buffers()]
    try:
        yield
    finally:
        for module, own in found.values():
            module.surrogate = own
        with torch.no_grad():
            for held, was in buffers:
                held.copy_(was)


def _put(
    model: nn.Module, found: Mapping[str, tuple[Any, Surrogate]], one: Candidate, x: Any,
    dt: float | None,
) -> dict[str, float]:  # fmt: skip
    """Give all cells a surrogate; the widths in mV where it is a share."""
    for module, own in found.values():
        module.surrogate = own if isinstance(one, float | int) else one
    return scale_surrogates(model, x, share=one, dt=dt) if isinstance(one, float | int) else {}


def _chosen(
    best: Candidate, widths: Mapping[Candidate, Mapping[str, float]], name: str, own: Surrogate
) -> Surrogate:
    if not isinstance(best, float | int):
        return best
    return of_width(name, own, widths[best][name]) if name in widths[best] else own


def _told(cosine: float, error: float) -> str:
    return LOST if math.isnan(cosine) else f"{cosine:.2f}+-{error:.2f}"


def _named(candidate: Candidate) -> str:
    return f"share {candidate:g}" if isinstance(candidate, float | int) else repr(candidate)
