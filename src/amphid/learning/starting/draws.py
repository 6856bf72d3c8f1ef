"""Weights drawn anew, by the size of their layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from amphid.learning.starting.order import WeightLayer
from amphid.learning.starting.scales import Started


@dataclass(frozen=True)
class Xavier:
    """Uniform weights with a variance of 2 / (inputs + outputs); biases zero.

    generator: draws; torch's own when None.
    Reference: Glorot & Bengio 2010, proceedings.mlr.press/v9/glorot10a.
    """

    generator: torch.Generator | None = None

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Draw the weights of those layers."""
        return drawn(model, layers, lambda w: nn.init.xavier_uniform_(w, generator=self.generator))


@dataclass(frozen=True)
class Kaiming:
    """Normal weights with a variance of 2 / inputs, for rectified units; biases zero.

    generator: draws; torch's own when None.
    Reference: He et al. 2015, doi 10.1109/ICCV.2015.123.
    """

    generator: torch.Generator | None = None

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Draw the weights of those layers."""
        draw = self.generator

        def normal(weight: Tensor) -> Tensor:
            return nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=draw)

        return drawn(model, layers, normal)


@dataclass(frozen=True)
class OrthogonalWeights:
    """Random weights whose rows, or columns, are orthogonal and of length `gain`; biases zero.

    gain: 2 ** 0.5 for rectified units. generator: draws; torch's own when None.
    Reference: Saxe et al. 2014, doi 10.48550/arXiv.1312.6120.
    """

    gain: float = 2**0.5
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.gain, Real) or not 0 < self.gain < float("inf"):
            raise ValueError(f"OrthogonalWeights: gain must be above zero, got {self.gain!r}.")

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Draw the weights of those layers."""
        draw = self.generator

        def orthogonal(weight: Tensor) -> Tensor:
            if weight.is_complex():
                raise ValueError(
                    f"OrthogonalWeights draws no complex weights, got {list(weight.shape)} of "
                    "them: take Kaiming() or Xavier()."
                )
            exact = weight.float() if weight.dtype.itemsize < 4 else weight  # QR of no half
            return weight.copy_(nn.init.orthogonal_(exact, self.gain, generator=draw))

        return drawn(model, layers, orthogonal)


def drawn(
    model: nn.Module, layers: Sequence[WeightLayer], draw: Callable[[Tensor], Tensor]
) -> Started:
    """Weights of layers drawn, their biases zero, everything else as it was."""
    changed = []
    for layer in layers:
        for matrix in layer.weight if layer.laid.stacked else [layer.weight]:
            draw(matrix.mT if layer.laid.turned else matrix)
        changed.append(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
            changed.append(layer.bias)
    named = list(model.named_parameters())
    own = {id(held) for held in changed}
    return Started(
        {},
        tuple(name for name, held in named if id(held) in own),
        tuple(name for name, held in named if id(held) not in own),
    )
