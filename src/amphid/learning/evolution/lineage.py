"""Who descends from whom, exactly: effective numbers of parents, and last common ancestors."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_parents(descent: Tensor) -> float:
    r"""Effective number of parents of candidates with given descent [S, M].

    .. math:: 1 / \sum_i p_i^2

    :math:`p_i` is the share of all candidates' genes that comes of parent i: k parents that give
    alike make k.
    """
    return float(1.0 / descent.double().mean(0).square().sum())


class Lineage:
    r"""How many generations back those who live have their common ancestors.

    .. math:: A'_{ij} = 1 + \sum_{ab} D_{ia} D_{jb} A_{ab}, \qquad A'_{ii} = 0

    for candidates of descent D: the mean over genes, each followed back to the parent that it comes
    of. The first to live count as one individual, so nothing is further back than the start.
    Reference: Kingman 1982, doi 10.1016/0304-4149(82)90011-4 (time to a common ancestor).
    """

    def __init__(self, apart: Tensor) -> None:
        self.apart = apart  # A of those who live [M, M]

    def ancestor(self, descent: Tensor) -> float:
        """Generations back to the last common ancestor of candidates: of the pair most apart."""
        own = descent.to(self.apart)
        return float((1.0 + own @ self.apart @ own.T).fill_diagonal_(0.0).max())

    def passed(self, descent: Tensor, kept: Tensor) -> None:
        """A generation has passed; kept: who lives on, of the candidates and then of the living."""
        own, kept = descent.to(self.apart), kept.cpu()
        half = own @ self.apart
        above, below = torch.cat([half @ own.T, half], dim=1), torch.cat([half.T, self.apart], 1)
        apart = 1.0 + torch.cat([above, below])[kept][:, kept]
        self.apart = apart.masked_fill(kept[:, None] == kept, 0.0)


def founded(living: int) -> Lineage:
    """The lineage of those who live first."""
    return Lineage(torch.zeros(living, living, dtype=torch.float64))
