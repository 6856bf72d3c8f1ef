"""Logistic regression for classes some of which are rare."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.wiring import checks

STEPS = 100  # of the quasi-Newton method, far more than it needs


class Logistic(nn.Module):
    r"""Logistic regression in which every class counts the same: features [*B, F] to [*B, K].

    .. math:: \min_w \; \frac{1}{K} \sum_k \langle -\log p_k \rangle_k
        + \tfrac{1}{2} \text{ridge} \, |w|^2

    with the mean over the examples of class k in brackets, of features scaled to unit spread. The
    minimum is unique, so nothing is drawn.
    """

    weight: Tensor  # [K, F]
    bias: Tensor  # [K]

    def __init__(self, features: int, classes: int = 2, *, ridge: float = 1e-3) -> None:
        super().__init__()
        checks.whole("features", features)
        checks.whole("classes", classes, least=2)
        checks.positive("ridge, for a unique minimum,", ridge)
        self.ridge = ridge
        self.register_buffer("weight", torch.zeros(classes, features))
        self.register_buffer("bias", torch.zeros(classes))

    def fit(self, features: Tensor, classes: Tensor, *, around: Self | None = None) -> Self:
        """Learn from features [B, F] of the classes [B], every one of which must occur.

        around: a regression towards whose weights the ridge pulls, instead of towards zero.
        """
        _check_examples(features, classes, self.weight.shape[1])
        if around is not None:
            checks.instance("around", around, Logistic, "another Logistic")
            if around.weight.shape != self.weight.shape:
                raise ValueError(
                    f"around must have weights {list(self.weight.shape)} as this one has, got "
                    f"{list(around.weight.shape)}."
                )
        counts = classes.bincount(minlength=len(self.bias))
        if len(counts) != len(self.bias) or int(counts.min()) < 1:
            raise ValueError(
                f"classes must be 0 to {len(self.bias) - 1} and all occur, got "
                f"{counts.tolist()} examples of each."
            )
        rows = features.double()
        scale = rows.std(0)
        scale = torch.where(scale > 0, scale, 1.0)
        center = 0 * scale if around is None else around.weight.double() * scale
        bias = self.bias.double() * 0 if around is None else around.bias.double()
        weight, bias = self._minimum(rows / scale, classes, 1 / counts.double(), (center, bias))
        self.weight.copy_(weight / scale)
        self.bias.copy_(bias)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Log odds [*B, K], up to a constant of the row, of features [*B, F]."""
        width = self.weight.shape[1]
        if not checks.reals("features", features).dim() or features.shape[-1] != width:
            raise ValueError(f"features must be [*B, {width}], got {list(features.shape)}.")
        return features @ self.weight.to(features).T + self.bias.to(features)

    def _minimum(
        self, rows: Tensor, classes: Tensor, share: Tensor, start: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        center = start[0].expand(len(self.bias), rows.shape[1])
        weight, bias = (held.clone().requires_grad_() for held in (center, start[1]))
        descent = torch.optim.LBFGS(
            [weight, bias], max_iter=STEPS, tolerance_change=1e-10, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            descent.zero_grad()
            told = functional.cross_entropy(rows @ weight.T + bias, classes, weight=share)
            away = (weight - center).square().sum() + 1e-6 * (bias - start[1]).square().sum()
            value = told + self.ridge * away / 2
            value.backward()
            return value

        with torch.enable_grad():
            descent.step(loss)
        return weight.detach(), bias.detach()


def _check_examples(features: Tensor, classes: Tensor, width: int) -> None:
    """Raise TypeError or ValueError, in a sentence, for what are no examples with classes."""
    for name, given in (("features", features), ("classes", classes)):
        if not isinstance(given, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(given).__name__}.")
    if features.shape != (len(classes), width) or classes.dim() != 1 or not len(classes):
        raise ValueError(
            f"features must be [B, {width}] and classes [B], of at least one example, got "
            f"{list(features.shape)} and {list(classes.shape)}."
        )
    if classes.dtype != torch.int64 or int(classes.min()) < 0:
        raise ValueError(f"classes must be int64 from 0 on, got {classes.dtype}.")
    if features.is_complex() or not bool(features.isfinite().all()):
        raise ValueError("features must be real and finite, some are not.")
