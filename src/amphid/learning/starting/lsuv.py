"""Layers scaled one after another until what they give out has a variance of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amphid.learning.starting.draws import OrthogonalWeights
from amphid.learning.starting.order import WeightLayer
from amphid.learning.starting.scales import Started


@dataclass(frozen=True)
class LSUV:
    """Orthogonal weights, then each layer scaled until its outputs have unit variance on a batch.

    Layer-sequential: the first before the second. tolerance: of the variance. rounds: the most that
    a layer is tried. generator: draws. Needs the inputs of `initialize`.
    Reference: Mishkin & Matas 2016, doi 10.48550/arXiv.1511.06422.
    """

    tolerance: float = 0.02
    rounds: int = 10
    generator: torch.Generator | None = None

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
            if deviation is None or deviation == 0 or abs(deviation**2 - 1) < self.tolerance:
                break
            layer.weight.div_(deviation)
            factor /= deviation
        return factor


def _deviation(model: nn.Module, layer: WeightLayer, inputs: Any) -> float | None:
    """Standard deviation of what a layer gives out; None where it is no module of its own."""
    heard: list[Tensor] = []
    module = model.get_submodule(layer.name.rpartition(".")[0])

    def hear(_: nn.Module, given: Any, output: Any) -> None:
        heard.append(output[0] if isinstance(output, tuple) else output)

    hook = module.register_forward_hook(hear)
    try:
        model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    finally:
        hook.remove()
    return float(heard[0].double().std(correction=0)) if heard else None
