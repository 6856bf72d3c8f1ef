"""The slope of the plane that fits losses sampled around the parameters best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.learning.gradients.credit import Credit, credit_of
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.population import losses_of
from amphid.learning.gradients.weak.calls import Asked, Calls
from amphid.learning.gradients.weak.designs import Design, Factors, Gaussian
from amphid.learning.gradients.weak.report import WeakReport, reported
from amphid.learning.gradients.weak.sampling import Sampling
from amphid.learning.gradients.weak.schedules import Radius
from amphid.learning.gradients.weak.scopes import Alternating, Everything, Scope
from amphid.learning.gradients.weak.settings import check_settings
from amphid.learning.gradients.weak.solvers import MinimumNorm, Ridge, Solver


@dataclass(frozen=True)
class Memory:
    """Samples of past calls that take part in a fit, each call less than the one after it.

    calls: how many past ones. forgetting: the weight of a call's squares beside those of the next.
    """

    calls: int
    forgetting: float = 0.8

    def __post_init__(self) -> None:
        if self.calls < 1 or not 0 < self.forgetting <= 1:
            raise ValueError(
                "calls must be at least 1 and forgetting above 0, at most 1, got "
                f"{self.calls!r} and {self.forgetting!r}."
            )


class _Call(NamedTuple):
    """The samples of one call: rows are drawn again from the key."""

    at: Params
    units: dict[str, float]
    radius: float
    key: int
    answers: Tensor  # [K, *owners]
    level: Tensor  # [*owners], the loss that answers are seen from


@dataclass(eq=False)
class Regression:
    r"""The slope of a least-squares plane through losses at points around the parameters.

    .. math:: L(\theta + d_s) - L_0 \approx m \cdot d_s, \qquad s = 1 \dots S

    It needs no derivative of the loss. The price of ridge keeps it from taking noise for slope;
    plain least squares with about as many samples as parameters is at its worst.

    generator: a new key is drawn from it at each call. samples: evaluations of the loss per call.
    radius: of the perturbation of each entry, root mean square, in units of the root mean square
        of its parameter tensor, or `Annealed(...)`. absolute: in units of the entry itself.
    design: of the directions. solver: `Ridge()`, `LeastSquares()` or `MinimumNorm()`.
    intercept: whether :math:`L_0` is fitted; else it is the loss at the parameters themselves,
        which is one of the samples.
    memory: which past samples take part. With an intercept each call has its own, as batches
        differ; without, they are seen from the parameters and the loss of now.
    credit: for parameters by name, the axis whose entry j only sees owner j of the loss; told by
        the model when None. scope: which parameters are perturbed at a call.
    Reference: Hazelden, github.com/meeree/LossLandscapesBNN (regression sampling).
    """

    generator: torch.Generator = field(repr=False)
    samples: int = 32
    radius: Radius = 0.3
    absolute: bool = False
    design: Design = Gaussian()  # noqa: RUF009  frozen
    solver: Solver = Ridge()  # noqa: RUF009  frozen
    intercept: bool = True
    memory: Memory | None = None
    credit: Credit | None = None
    scope: Scope = Everything()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        check_settings(self)
        self._calls = Calls()
        self._past: list[_Call] = []

    @classmethod
    def published(
        cls, generator: torch.Generator, samples: int = 900, std: float = 0.15
    ) -> Regression:
        """The published recipe: through the origin, of least norm, and one layer at each call.

        std: of the perturbation, in units of the parameters.
        """
        return cls(
            generator, samples, std, absolute=True, solver=MinimumNorm(), intercept=False,
            credit={}, scope=Alternating(),
        )  # fmt: skip

    @torch.no_grad()
    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The loss at the parameters, or around them with an intercept, and the slope."""
        sampling = self._calls.sampling(self, params, self.samples - (not self.intercept))
        losses = sampling.losses(loss, (1.0,))
        level = losses[0].mean(0) if self.intercept else self._here(loss, sampling)
        now = _Call(
            {name: sampling.params[name].clone() for name in sampling.moving},
            dict(sampling.units), sampling.radius, sampling.key, losses[0], level,
        )  # fmt: skip
        rows, answers = self._gathered(sampling, now)
        credit = {
            name: axis
            for name, axis in credit_of(loss, params, self.credit).items()
            if name in sampling.moving
        }
        fit = partial(self.solver, taken=self.intercept / self.samples)
        found, explained = _fits(fit, sampling, rows, answers.to(rows), credit)
        gradients = {name: torch.zeros_like(held) for name, held in sampling.params.items()}
        gradients |= {name: slope for name, (slope, _) in found.items()}
        errors = [error for _, error in found.values()]
        error = float(torch.stack([own.double().norm() for own in errors]).norm())
        known = None if math.isnan(error) else error
        self._remember(now)
        self._calls.done(Asked(sampling, losses, None, credit, gradients, explained, known))
        self._calls.evaluations += not self.intercept
        return level.mean(), gradients

    def report(self, against: Params | None = None) -> WeakReport:
        """What the last call tells of its slope, compared with another gradient where given."""
        return reported(self._calls, against)

    def state_dict(self) -> dict[str, Any]:
        """The past samples, and how often it was called."""
        return self._calls.state_dict() | {"past": [call._asdict() for call in self._past]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember those."""
        self._calls.load_state_dict(state)
        self._past = [_Call(**call) for call in state["past"]]

    def _here(self, loss: Loss, sampling: Sampling) -> Tensor:
        return losses_of(loss, {name: held[None] for name, held in sampling.params.items()})[0]

    def _remember(self, call: _Call) -> None:
        if self.memory is not None:
            self._past = [*self._past, call][-self.memory.calls :]

    def _gathered(self, sampling: Sampling, now: _Call) -> tuple[Tensor, Tensor]:
        """Rows [S, P] and answers [S, *owners] of this call and those that are remembered.

        Rows are in units of the perturbations of this call.
        """
        rows, answers = [], []
        past = [call for call in self._past if set(call.at) == set(sampling.moving)]
        for age, call in enumerate([now, *reversed(past)]):
            own = _rows(sampling, call, shifted=not self.intercept)
            given = call.answers - (now.level if not self.intercept else call.level)
            if self.intercept:
                own = own - own.mean(0)
            weight = self.memory.forgetting ** (age / 2) if self.memory else 1.0
            rows.append(own * weight)
            answers.append(given * weight)
        return torch.cat(rows), torch.cat(answers)


def _rows(sampling: Sampling, call: _Call, *, shifted: bool) -> Tensor:
    """Offsets [S, P] of the samples of a call, from the present parameters where shifted."""
    count, shapes = len(call.answers), sampling.shapes
    directions = sampling.design(call.key, 0, count, shapes)
    parts = []
    for name, shape in shapes.items():
        each = directions[name]
        whole = each.dense(shape) if isinstance(each, Factors) else each
        unit = sampling.radius * sampling.units[name]
        here = sampling.params[name]
        offset = whole.to(here) * (call.radius * call.units[name] / unit)
        if shifted:
            offset = offset + (call.at[name] - here) / unit
        parts.append(offset.reshape(count, -1))
    return torch.cat(parts, 1)


def _fits(
    solver: Solver, sampling: Sampling, rows: Tensor, answers: Tensor, credit: Credit
) -> tuple[dict[str, tuple[Tensor, Tensor]], float | None]:
    """Gradients with their errors by name, and how much of the answers is explained on average.

    One fit of the mean of all owners, or one for each owner where there is credit.
    """
    columns = _columns(sampling)
    own = answers.flatten(1).mean(1, keepdim=True) if answers.dim() > 1 else answers[:, None]
    if credit and answers.dim() > 1:
        own = answers.flatten(1, -2).mean(1) if answers.dim() > 2 else answers
    whole, shares = torch.zeros(2, rows.shape[1]).to(rows), list[float]()
    for owner, answer in enumerate(own.T):
        seen = torch.cat([_seen(columns[n], credit.get(n), owner).flatten() for n in columns])
        fit = solver(rows[:, seen] if credit else rows, answer)
        error = torch.full_like(fit.slope, math.nan) if fit.error is None else fit.error
        # owners are asked at the same points: their errors may be of one sign
        whole[:, seen] += torch.stack((fit.slope, error)) / own.shape[1]
        shares += [] if fit.explained is None else [fit.explained]
    gradients = {}
    for name, places in columns.items():
        unit = sampling.radius * sampling.units[name]
        slope, error = whole[:, places.flatten()] / unit
        gradients[name] = slope.view(places.shape), error.view(places.shape)
    return gradients, sum(shares) / len(shares) if shares else None


def _columns(sampling: Sampling) -> dict[str, Tensor]:
    """Where the entries of each parameter stand in a row."""
    places = torch.arange(sampling.size).split([s.numel() for s in sampling.shapes.values()])
    return {
        name: own.view(shape)
        for (name, shape), own in zip(sampling.shapes.items(), places, strict=True)
    }


def _seen(columns: Tensor, axis: int | None, owner: int) -> Tensor:
    """Those columns of a parameter that an owner sees."""
    return columns if axis is None else columns.select(axis, owner)
