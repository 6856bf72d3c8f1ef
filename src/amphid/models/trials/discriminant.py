"""Linear discriminant analysis for few examples of many features."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from amphid.models.trials.checks import check_classes, check_real
from amphid.wiring import checks


class Discriminant(nn.Module):
    r"""Linear discriminant whose covariance is shrunk by as much as the examples demand.

    .. math:: w_k = \Sigma^{-1} \mu_k, \qquad b_k = -\tfrac{1}{2} \mu_k^\top \Sigma^{-1} \mu_k

    with :math:`\Sigma` the covariance within classes of features of unit spread, shrunk towards
    the unit matrix by the intensity of Ledoit and Wolf. Classes are taken to be equally frequent.
    features [B, F] to one value a class [B, K], which is a log odds up to a constant of the row.
    Reference: Ledoit and Wolf 2004, doi 10.1016/S0047-259X(03)00096-4; Blankertz et al. 2011, doi
    10.1016/j.neuroimage.2010.06.048.
    """

    weight: Tensor  # [K, F]
    bias: Tensor  # [K]

    def __init__(self, features: int, classes: int = 2) -> None:
        super().__init__()
        checks.whole("features", features)
        checks.whole("classes", classes, least=2)
        self.register_buffer("weight", torch.zeros(classes, features))
        self.register_buffer("bias", torch.zeros(classes))

    def fit(self, features: Tensor, classes: Tensor) -> Self:
        """Learn from features [B, F] of the classes [B], in closed form."""
        kinds, width = self.weight.shape
        check_real("features", features)
        if features.dim() != 2 or features.shape[1] != width:
            raise ValueError(f"features must be [B, {width}], got shape {list(features.shape)}.")
        check_classes(features, classes, kinds)
        rows = features.double()
        scale = rows.std(0).clamp_min(torch.finfo(torch.float64).tiny)
        rows = rows / scale
        means = torch.stack([rows[classes == kind].mean(0) for kind in range(kinds)])
        solved = torch.linalg.solve(shrunk_covariance(rows - means[classes.long()]), means.T).T
        self.weight.copy_(solved / scale)
        self.bias.copy_(-(solved * means).sum(1) / 2)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """One value a class [*B, K] of features [*B, F]."""
        width = self.weight.shape[1]
        if not checks.reals("features", features).dim() or features.shape[-1] != width:
            raise ValueError(f"features must be [*B, {width}], got {list(features.shape)}.")
        return features @ self.weight.to(features).T + self.bias.to(features)


def shrunk_covariance(centered: Tensor) -> Tensor:
    """Covariance [F, F] of rows [B, F] around zero, shrunk towards a multiple of the unit matrix.

    Reference: Ledoit and Wolf 2004, doi 10.1016/S0047-259X(03)00096-4.
    """
    samples, width = centered.shape
    plain = centered.T @ centered / samples
    unit = torch.eye(width).to(plain) * (plain.diagonal().sum() / width)
    noise = (centered.square().sum(1).square().sum() / samples - plain.square().sum()) / samples
    apart = (plain - unit).square().sum()
    share = float((noise / apart).clamp(0, 1)) if float(apart) > 0 else 1.0
    return (1 - share) * plain + share * unit
