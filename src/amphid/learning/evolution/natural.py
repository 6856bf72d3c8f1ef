"""Schemes that keep a normal distribution, and climb along the ranks of what they draw from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.values import is_number
from amphid.learning.evolution.scheme import (
    Brood,
    Scheme,
    Spread,
    Told,
    check_counts,
    check_spread,
    normal,
    spread_at,
)


class Normal(NamedTuple):
    """Independent normal genes, and which of the last candidates made them so."""

    mean: Tensor  # [P]
    log_spread: Tensor  # [P]
    shares: Tensor  # [M], of the candidates in the step; they add up to 1


@dataclass(frozen=True)
class SNES(Scheme):
    r"""Separable natural evolution: mean and spread of every gene follow the natural gradient.

    .. math:: \mu \leftarrow \mu + \sigma \textstyle\sum_k u_k z_k, \qquad
              \ln \sigma \leftarrow \ln \sigma + \tfrac{\eta}{2} \sum_k u_k (z_k^2 - 1), \qquad
              \eta = \frac{3 + \ln P}{5 \sqrt P}

    with utilities u of the ranks. Its cost and memory grow with the number of parameters alone.
    samples: candidates of a generation. spread: standard deviation at the start, in units of each
    gene; it adapts. Candidates descend from those of the generation before in proportion to their
    utilities, before these are centered.
    Reference: Schaul et al. 2011, doi 10.1145/2001576.2001692.
    """

    samples: int = 60
    spread: float = 0.3

    def __post_init__(self) -> None:
        check_counts(2, samples=self.samples)
        if callable(self.spread):
            raise ValueError("spread of SNES is a number, that at the start: it adapts by itself.")
        check_spread(self.spread)

    def begin(self, start: Tensor) -> Normal:
        """A distribution around the start."""
        whole = torch.ones(1, dtype=torch.float64, device=start.device)
        return Normal(start, torch.full_like(start, math.log(self.spread)), whole)

    def ask(self, state: Normal, generator: torch.Generator) -> Brood:
        """Draws of the distribution."""
        drawn = normal((self.samples, len(state.mean)), state.mean, generator)
        genes = state.mean + state.log_spread.exp() * drawn
        return Brood(genes, state.shares.expand(self.samples, -1))

    def tell(self, state: Normal, brood: Brood, told: Told) -> tuple[Normal, Tensor]:
        """A step along the natural gradient."""
        order = told.losses.argsort(stable=True)
        shares = self._shares(order)
        spread = state.log_spread.exp()
        z = (brood.genes - state.mean) / spread
        weights = (shares - 1 / self.samples).to(z)
        count = len(state.mean)
        rate = (3 + math.log(count)) / (5 * math.sqrt(count))
        mean = state.mean + spread * (weights @ z)
        log_spread = state.log_spread + rate / 2 * (weights @ (z.square() - 1))
        return Normal(mean, log_spread, shares), torch.arange(self.samples, device=order.device)

    def answer(self, state: Normal) -> Tensor:
        """The mean."""
        return state.mean

    def restored(self, saved: Any) -> Normal:
        """The state that was saved."""
        return Normal(*saved)

    def _shares(self, order: Tensor) -> Tensor:
        """Utilities by place among the candidates, not centered."""
        ranks = torch.arange(1, self.samples + 1, dtype=torch.float64, device=order.device)
        raw = (math.log(self.samples / 2 + 1) - ranks.log()).clamp(min=0)
        return torch.zeros_like(raw).index_copy(0, order, raw / raw.sum())


class Climbing(NamedTuple):
    """A mean, the moments of its steps, and which of the last candidates made the last one."""

    mean: Tensor  # [P]
    first: Tensor  # [P], running mean of the slopes
    second: Tensor  # [P], running mean of their squares
    shares: Tensor  # [M]
    generation: int


@dataclass(frozen=True)
class OpenAIES(Scheme):
    r"""Evolution strategy of antithetic pairs, centered ranks and steps of Adam.

    .. math:: g = \frac{1}{S \sigma} \sum_k r_k z_k, \qquad \mu \leftarrow \mu - \text{Adam}(g)

    samples: candidates of a generation, in pairs. spread: :math:`\sigma`, in units of each gene, or
    a function of the generation. learning_rate: of Adam, in the same units. Candidates descend from
    those of the generation before in proportion to the magnitude of their ranks.
    Reference: Salimans et al. 2017, doi 10.48550/arXiv.1703.03864.
    """

    samples: int = 60
    spread: Spread = 0.1
    learning_rate: float = 0.05

    def __post_init__(self) -> None:
        check_counts(2, samples=self.samples)
        check_spread(self.spread)
        if self.samples % 2:
            raise ValueError(f"samples must be even, since they are pairs, got {self.samples}.")
        if not (is_number(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be above zero, got {self.learning_rate!r}.")

    def begin(self, start: Tensor) -> Climbing:
        """At the start, without a step."""
        whole = torch.ones(1, dtype=torch.float64, device=start.device)
        nothing = torch.zeros_like(start)
        return Climbing(start, nothing, nothing, whole, 0)

    def ask(self, state: Climbing, generator: torch.Generator) -> Brood:
        """Pairs on both sides of the mean; the second half mirrors the first."""
        drawn = normal((self.samples // 2, len(state.mean)), state.mean, generator)
        step = spread_at(self.spread, state.generation) * drawn
        genes = torch.cat([state.mean + step, state.mean - step])
        return Brood(genes, state.shares.expand(self.samples, -1))

    def tell(self, state: Climbing, brood: Brood, told: Told) -> tuple[Climbing, Tensor]:
        """A step of Adam along the slope of the ranks."""
        ranks = told.losses.argsort(stable=True).argsort().to(state.mean)
        ranks = ranks / (self.samples - 1) - 0.5
        spread = spread_at(self.spread, state.generation)
        slope = ranks @ (brood.genes - state.mean) / (self.samples * spread**2)
        first = 0.9 * state.first + 0.1 * slope
        second = 0.999 * state.second + 0.001 * slope.square()
        steps = state.generation + 1
        size = (second / (1 - 0.999**steps)).sqrt() + 1e-8
        mean = state.mean - self.learning_rate * first / (1 - 0.9**steps) / size
        shares = ranks.double().abs()
        after = Climbing(mean, first, second, shares / shares.sum(), steps)
        return after, torch.arange(self.samples, device=mean.device)

    def answer(self, state: Climbing) -> Tensor:
        """The mean."""
        return state.mean

    def restored(self, saved: Any) -> Climbing:
        """The state that was saved."""
        return Climbing(*saved)
