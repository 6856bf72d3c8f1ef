"""Layers scaled one after another until what they give out has a variance of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from amphid.learning.starting.draws import OrthogonalWeights
from amphid.learning.starting.listening import followed, parameters_in_use, root_of
from amphid.learning.starting.order import WeightLayer
from amphid.learning.starting.scales import Started
from amphid.measures.emerging.calls import Call
from amphid.measures.emerging.connecting import WEIGHING


@dataclass(frozen=True)
class LSUV:
    """Orthogonal weights, then each layer scaled until its outputs have unit variance on a batch.

    Layer-sequential: the first before the second. What a weight sums is heard where it is used
    first; recurrent layers of torch, which do not give it out, stay orthogonal.
    tolerance: of the variance. rounds: the most that a layer is tried. generator: draws. Needs the
    inputs of `initialize`.
    Reference: Mishkin & Matas 2016, doi 10.48550/arXiv.1511.06422.
    """

    tolerance: float = 0.02
    rounds: int = 10
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.rounds, int) or self.rounds < 1:
            raise ValueError(f"LSUV: rounds must be a number of them, got {self.rounds!r}.")
        if not isinstance(self.tolerance, Real) or not 0 < self.tolerance < float("inf"):
            raise ValueError(f"LSUV: tolerance must be above zero, got {self.tolerance!r}.")

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Draw and scale the weights of those layers."""
        if inputs is None:
            raise ValueError(
                "LSUV scales layers by what they give out: initialize(model, LSUV(), inputs)."
            )
        base = OrthogonalWeights(1.0, self.generator)(model, layers, inputs)
        factors = {layer.name: self._scaled(model, layer, inputs) for layer in layers}
        return Started(factors, base.drawn, base.kept)

    def _scaled(self, model: nn.Module, layer: WeightLayer, inputs: Any) -> float:
        factor = 1.0
        for _ in range(self.rounds):
            deviation = _deviation(model, layer, inputs)
            if deviation is not None and not math.isfinite(deviation):
                raise ValueError(
                    f"LSUV: what {layer.name} gives out on these inputs is not finite everywhere."
                )
            if not deviation or abs(deviation**2 - 1) < self.tolerance:
                break
            layer.weight.div_(deviation)
            factor /= deviation
        return factor


def _deviation(model: nn.Module, layer: WeightLayer, inputs: Any) -> float | None:
    """Standard deviation of what a weight gives out; None where that cannot be heard."""
    heard: list[tuple[Tensor, float]] = []

    def hear(call: Call, tensors: list[Tensor]) -> None:
        if call.name in WEIGHING:
            spread = float(tensors[0].double().std(correction=0))
            heard.extend((root_of(held), spread) for held in call.held if held.dim() > 1)

    followed(model, inputs, hear)
    owners = parameters_in_use(model)
    own = (spread for held, spread in heard if owners.get(id(held)) is layer.weight)
    return next(own, None)
