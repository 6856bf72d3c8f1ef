"""Gaussian-process factor analysis: few factors, each smooth in time at its own scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor
from torch.nn import functional

from amphid.models.latents.factors import Factors
from amphid.models.latents.model import LatentModel, check_shown, check_trials
from amphid.models.latents.poisson import PoissonReadout
from amphid.wiring import checks

OWN = 1e-3  # share of a factor's variance that is independent from bin to bin
LEAST = 1e-3  # share of the mean variance of a cell that is its own noise at least
STRETCHES = (-0.3, -0.1, -0.03, -0.01, -0.001, 0.0, 0.001, 0.01, 0.03, 0.1, 0.3)
"""Logarithms of factors by which a step tries to change a time scale."""
SHORTEST, LONGEST = 0.3, 300.0  # time scales, bins


@dataclass(frozen=True, eq=False)
class Within:
    """What is the same of the factors of all trials of one length.

    prior: [L, T, T]. covariance: given the values of a trial, [L T, L T]. size: logarithm of the
    determinants of the prior and of the inverse covariance.
    """

    prior: Tensor
    covariance: Tensor
    size: float


@dataclass(frozen=True, eq=False)
class Inferred:
    """What trials of one length tell of their factors.

    mean: [B, L, T]. covariance: of the factors of a trial, the same for all, [L, T, L, T].
    likelihood: logarithm of the probability density of all values, nats.
    """

    mean: Tensor
    covariance: Tensor
    likelihood: float


@dataclass(frozen=True, eq=False)
class SmoothFactors:
    r"""Values :math:`y_t = C x_t + d + \epsilon_t` whose factors are Gaussian processes in time.

    .. math:: \text{Cov}(x_t, x_s) = (1 - \sigma^2) e^{-(t - s)^2 / 2 \tau^2} + \sigma^2 \delta_{ts}

    loading: C, [N, L]. level: d, [N]. noise: variance of each cell's own noise [N]. tau: [L] bins.
    Reference: Yu et al. 2009, doi 10.1152/jn.90941.2008.
    """

    loading: Tensor
    level: Tensor
    noise: Tensor
    tau: Tensor

    def of(self, values: Tensor, *, ahead: int = 0, within: Within | None = None) -> Tensor:
        """Expected factors [B, T + ahead, L] of trials of values [B, T, N].

        within: of their length, where it is known already.
        """
        within = within or self.within(values.shape[1])
        mean = self.inferred(values, within).mean
        if not ahead:
            return mean.transpose(1, 2)
        steps = values.shape[1]
        prior = kernels(self.tau, steps + ahead)
        now = torch.linalg.solve(within.prior, mean[..., None])
        later = (prior[:, steps:, :steps] @ now)[..., 0]
        return torch.cat((mean, later), 2).transpose(1, 2)

    def within(self, steps: int) -> Within:
        """What is the same of all trials of so many bins."""
        prior = kernels(self.tau, steps)
        told = self.loading.T @ (self.loading / self.noise[:, None])
        precision = torch.block_diag(*torch.linalg.inv(prior))
        precision += torch.kron(told, torch.eye(steps).to(told))
        root = torch.linalg.cholesky(precision)
        size = torch.logdet(prior).sum() + 2 * root.diagonal().log().sum()
        return Within(prior, torch.cholesky_inverse(root), float(size))

    def inferred(self, values: Tensor, within: Within) -> Inferred:
        """The factors of trials of one length [B, T, N]."""
        trials, steps, cells = values.shape
        factors = len(self.tau)
        apart = values - self.level
        drive = (apart @ (self.loading / self.noise[:, None])).transpose(1, 2).flatten(1)
        mean = drive @ within.covariance
        misfit = (apart.square() / self.noise).sum() - (drive * mean).sum()
        own = steps * (cells * math.log(2 * math.pi) + float(self.noise.log().sum()))
        return Inferred(
            mean.view(trials, factors, steps),
            within.covariance.view(factors, steps, factors, steps),
            -0.5 * (trials * (own + within.size) + float(misfit)),
        )

    def improved(self, trials: Sequence[Tensor]) -> tuple[SmoothFactors, float]:
        """After one step of expectation-maximization; and the log-likelihood before it, nats.

        trials: values [B, T, N], all of a length together.
        """
        found = [self.inferred(values, self.within(values.shape[1])) for values in trials]
        again = replace(self, tau=_stretched(self.tau, found))
        return _regressed(again, trials, found), sum(one.likelihood for one in found)

    @classmethod
    def fitted(
        cls, trials: Sequence[Tensor], factors: int, *, tau: float, steps: int
    ) -> SmoothFactors:
        """The factors that make trials [T, N] likeliest, beginning with those without time.

        tau: bins, to begin with, spread from half to twice of it so that factors come apart.
        steps: of expectation-maximization.
        """
        still = Factors.fitted(torch.cat(list(trials)), factors, steps=20)
        spread = tau * 2 ** torch.linspace(-1.0, 1.0, factors).to(still.noise)
        model = cls(still.loading, still.level, still.noise, spread)
        alike = by_length(trials)
        for _ in range(steps):
            model, _ = model.improved(alike)
        return model


def kernels(tau: Tensor, steps: int) -> Tensor:
    """Covariances [*, T, T] over bins of factors of time scales tau [*] in bins."""
    place = torch.arange(steps).to(tau)
    apart = (place[:, None] - place) ** 2
    smooth = (-0.5 * apart / tau[..., None, None] ** 2).exp()
    return (1 - OWN) * smooth + OWN * torch.eye(steps).to(tau)


def by_length(trials: Sequence[Tensor]) -> list[Tensor]:
    """Trials [T, N] as one [B, T, N] for each length, in rising order."""
    lengths = sorted({len(trial) for trial in trials})
    return [torch.stack([x for x in trials if len(x) == length]) for length in lengths]


def _regressed(
    model: SmoothFactors, trials: Sequence[Tensor], found: Sequence[Inferred]
) -> SmoothFactors:
    """Loading, level and noise that fit the factors best."""
    factors, rows = model.loading.shape[1], torch.cat([values.flatten(0, 1) for values in trials])
    square = model.loading.new_zeros(factors + 1, factors + 1)
    means = []
    for values, one in zip(trials, found, strict=True):
        means.append(one.mean.transpose(1, 2).flatten(0, 1))
        square[:-1, :-1] += len(values) * one.covariance.diagonal(dim1=1, dim2=3).sum(-1)
    mean = functional.pad(torch.cat(means), (0, 1), value=1.0)
    square += mean.T @ mean
    across = rows.T @ mean
    weight = torch.linalg.solve(square, across.T).T
    noise = (rows.square().sum(0) - (weight * across).sum(1)) / len(rows)
    noise = noise.clamp(min=LEAST * float(rows.var(0).mean()))
    return replace(model, loading=weight[:, :-1], level=weight[:, -1], noise=noise)


def _stretched(tau: Tensor, found: Sequence[Inferred]) -> Tensor:
    """The likeliest of some time scales around each [L], the own one among them."""
    tried = (tau * tau.new_tensor(STRETCHES)[:, None].exp()).clamp(SHORTEST, LONGEST)
    score = torch.zeros_like(tried)
    for one in found:
        trials, _, steps = one.mean.shape
        second = torch.einsum("blt,bls->lts", one.mean, one.mean)
        own = one.covariance.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        root = torch.linalg.cholesky(kernels(tried, steps))
        inside = torch.cholesky_solve((second + trials * own).expand_as(root), root)
        size = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        score -= 0.5 * (trials * size + inside.diagonal(dim1=-2, dim2=-1).sum(-1))
    return tried.gather(0, score.argmax(0)[None])[0]


@final
class GPFA(LatentModel):
    """Gaussian-process factor analysis of square roots of counts; rates exponential in the factors.

    factors: how many. tau: time scale to begin with, from half of it to twice, ms. bin: ms.
    steps: of expectation-maximization. penalty: of the squared weights of the Poisson regression of
    all cells on the factors. ahead: the factors go on as their processes do.
    Reference: Yu et al. 2009, doi 10.1152/jn.90941.2008.
    """

    def __init__(
        self,
        factors: int = 15,
        *,
        tau: float = 150.0,
        bin: float = 50.0,
        steps: int = 30,
        penalty: float = 3.0,
    ) -> None:
        checks.whole("factors", factors)
        checks.whole("steps", steps, least=0)
        checks.positive("tau", tau)
        checks.positive("bin", bin)
        checks.least("penalty", penalty)
        self.count, self.tau, self.steps, self.penalty = factors, tau / bin, steps, penalty
        self.cells: int | None = None
        self.factors: SmoothFactors | None = None
        self.readout: PoissonReadout | None = None
        self._within: dict[int, Within] = {}

    def fit(self, shown: Sequence[Tensor], hidden: Sequence[Tensor]) -> Self:
        """Find the factors of the shown cells, then regress all cells on them."""
        check_trials(shown, hidden)
        if self.count >= (cells := shown[0].shape[1]):
            raise ValueError(f"factors must be fewer than the {cells} cells, got {self.count}.")
        if not any(bool(trial.any()) for trial in shown):
            raise ValueError("shown must hold at least one spike: there is nothing to factor.")
        values = [trial.double().sqrt() for trial in shown]
        self.factors = SmoothFactors.fitted(values, self.count, tau=self.tau, steps=self.steps)
        self._within = {}
        features = torch.cat([self._expected(trial) for trial in values])
        counts = torch.cat((torch.cat(list(shown)), torch.cat(list(hidden))), 1)
        self.readout = PoissonReadout.fitted(features, counts, penalty=self.penalty)
        self.cells = cells
        return self

    def latents(self, shown: Tensor, *, ahead: int = 0) -> Tensor:
        """Factors [T + ahead, L] of a trial [T, K]."""
        shown = check_shown(shown, self.cells, ahead)
        return self._expected(shown.double().sqrt(), ahead=ahead)

    def rates(self, shown: Tensor, *, ahead: int = 0) -> Tensor:
        """Expected counts [T + ahead, K + H] of a trial [T, K]."""
        shown = check_shown(shown, self.cells, ahead)
        assert self.readout is not None
        return self.readout(self.latents(shown, ahead=ahead)).to(shown)

    def _expected(self, values: Tensor, *, ahead: int = 0) -> Tensor:
        """Factors of a trial of values [T, K]; what trials of its length share is kept."""
        assert self.factors is not None
        steps = len(values)
        if steps not in self._within:
            self._within[steps] = self.factors.within(steps)
        return self.factors.of(values[None], ahead=ahead, within=self._within[steps])[0]
