"""CMA-ES, by the library of its authors: needs `pip install 'amphid[search]'`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from amphid.learning.evolution.scheme import Brood, Scheme, Told, check_counts, check_spread, normal

LARGEST = 3000
"""Genes with a full covariance matrix: beyond, its eigenvectors take minutes a generation."""

MOVING = {
    "": ("mean", "mean_old", "sigma", "pc", "countiter", "countevals"),
    "sm": ("C", "B", "D", "last_update", "count_tell", "count_eigen", "_corr_condition"),
    "adapt_sigma": ("ps", "_ps_updated_iteration", "delta"),
    "sigma_vec": ("scaling", "is_identity"),
    "fit": ("median_previous", "median_got_worse"),
}
"""What a generation changes in an evolution strategy of pycma, by the part that holds it."""


class Covariance(NamedTuple):
    """A normal distribution with its paths, and which of the last candidates made it so."""

    start: Tensor  # [P]
    strategy: Any  # of pycma, which moves on when it is told
    shares: Tensor  # [M], of the candidates in the mean


@dataclass(frozen=True)
class CMAES(Scheme):
    """Covariance matrix adaptation: the distribution takes the shape of the landscape.

    samples: candidates of a generation. spread: standard deviation at the start, in units of each
    gene; it adapts. diagonal: variances only, for many parameters: a full matrix takes their square
    in memory, and the cube in time. Candidates descend from those of the generation before by their
    weights in the mean.
    Reference: Hansen & Ostermeier 2001, doi 10.1162/106365601750190398.
    """

    samples: int = 60
    spread: float = 0.3
    diagonal: bool = False

    def __post_init__(self) -> None:
        check_counts(4, samples=self.samples)
        if callable(self.spread):
            raise ValueError("spread of CMAES is a number, that at the start: it adapts by itself.")
        check_spread(self.spread)

    def begin(self, start: Tensor) -> Covariance:
        """A distribution around the start."""
        if not self.diagonal and len(start) > LARGEST:
            raise ValueError(
                f"CMAES keeps a covariance matrix of {len(start)} x {len(start)} genes, which "
                f"takes too long beyond {LARGEST}: give diagonal=True, or take SNES."
            )
        if len(start) < 2:
            raise ValueError("CMAES needs at least two genes, got 1.")
        whole = torch.ones(1, dtype=torch.float64)
        return Covariance(start, self._strategy(start), whole)

    def ask(self, state: Covariance, generator: torch.Generator) -> Brood:
        """Draws of the distribution."""

        def drawn(*shape: int) -> Any:
            return normal(shape, torch.empty(0, dtype=torch.float64), generator).numpy()

        state.strategy.sm.randn = drawn
        genes = torch.as_tensor(np.stack(state.strategy.ask())).to(state.start)
        return Brood(genes, state.shares.expand(self.samples, -1))

    def tell(self, state: Covariance, brood: Brood, told: Told) -> tuple[Covariance, Tensor]:
        """Mean, paths, covariance and step size by the ranks of the losses."""
        strategy = state.strategy
        losses = told.losses.double().cpu()
        losses = losses.nan_to_num(posinf=float(losses[losses.isfinite()].max()))
        genes = list(brood.genes.double().cpu().numpy())
        strategy.tell(genes, losses.tolist(), check_points=False)
        if not self.diagonal:
            strategy.sm.update_now()
        _put(strategy, dict(_moved(strategy)))  # as a strategy that was saved would hold it
        weights = torch.zeros(self.samples, dtype=torch.float64)
        positive = torch.as_tensor(np.array(strategy.sp.weights.positive_weights))
        weights[losses.argsort(stable=True)[: len(positive)]] = positive / positive.sum()
        living = torch.arange(self.samples, device=told.losses.device)
        return state._replace(shares=weights), living

    def answer(self, state: Covariance) -> Tensor:
        """The mean."""
        return torch.as_tensor(np.array(state.strategy.mean)).to(state.start)

    def saved(self, state: Covariance) -> Any:
        """The state as a tree of tensors and plain values."""
        return state.start, dict(_moved(state.strategy)), state.shares

    def restored(self, saved: Any) -> Covariance:
        """The state that was saved."""
        start, moved, shares = saved
        strategy = self._strategy(start)
        strategy.ask()  # of a new one: it starts its clock; what it gives is not looked at
        _put(strategy, moved)
        return Covariance(start, strategy, shares)

    def _strategy(self, start: Tensor) -> Any:
        """A new strategy of pycma."""
        from amphid.learning.evolution.cma_found import cma

        return cma.CMAEvolutionStrategy(
            start.double().cpu().numpy(),
            self.spread,
            {
                "verbose": -9,
                "verb_disp": 0,
                "verb_log": 0,
                "seed": np.nan,  # leaves the seed of NumPy alone
                "popsize": self.samples,
                "randn": lambda *shape: np.zeros(shape),
                "CMA_diagonal": self.diagonal,
                "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
            },
        )


def _moved(strategy: Any) -> Iterator[tuple[str, Any]]:
    """What generations have changed, by dotted names."""
    for part, names in MOVING.items():
        owner = getattr(strategy, part) if part else strategy
        for name in names:
            if (value := getattr(owner, name, None)) is None:
                continue
            plain = isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)
            held = value if plain else torch.as_tensor(np.array(value, order="C"))
            yield f"{part}.{name}", held


def _put(strategy: Any, moved: Mapping[str, Any]) -> None:
    for name, value in moved.items():
        part, attribute = name.split(".")
        held = value.numpy().copy() if isinstance(value, Tensor) else value
        setattr(getattr(strategy, part) if part else strategy, attribute, held)
