"""Scales learned so that one step of the optimizer lowers the loss most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from amphid.learning.starting.order import WeightLayer
from amphid.learning.starting.scales import Started, scaled

LEAST = 0.01  # factors stay above it


@dataclass(frozen=True)
class GradInit:
    """One factor for each level of weights, learned on a few batches before training starts.

    They lower the loss after one step of SGD of rate `lr` on the same batch; where the gradient is
    longer than `most`, they shorten it first.

    loss: of outputs and targets. batches: pairs of inputs and targets. lr, most: of that step.
    steps: of Adam at rate `pace` on the factors.
    Reference: Zhu et al. 2021, doi 10.48550/arXiv.2102.08098. Theirs has a factor for each
    parameter; here levels share one, as in `Emergence`, with which it is compared.
    """

    loss: Callable[[Any, Any], Tensor]
    batches: Iterable[tuple[Tensor, Tensor]]
    lr: float = 0.1
    most: float = 1.0
    steps: int = 50
    pace: float = 0.01

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Learn the factors and scale the weights of those layers."""
        size = layers[-1].level + 1
        before = scaled(model, layers, [1.0] * size)  # without what an earlier rule scaled
        with torch.enable_grad():
            factors = torch.ones_like(layers[0].weight.flatten()[:1]).repeat(size).requires_grad_()
            mover = torch.optim.Adam([factors], lr=self.pace)
            for batch in islice(cycle(self.batches), self.steps):
                (gradient,) = torch.autograd.grad(
                    self._judged(model, layers, factors, batch), factors
                )
                factors.grad = gradient
                mover.step()
                factors.data.clamp_(min=LEAST)
        found = factors.detach().tolist()
        for layer in layers:
            layer.weight.mul_(found[layer.level])
        told = {layer.name: found[layer.level] for layer in layers}
        return Started(told, (), before.kept)

    def _judged(
        self,
        model: nn.Module,
        layers: Sequence[WeightLayer],
        factors: Tensor,
        batch: tuple[Tensor, Tensor],
    ) -> Tensor:
        """The length of the gradient where it is too long, else the loss after one step."""
        held = {layer.name: layer.weight.detach() * factors[layer.level] for layer in layers}
        loss = self._loss(model, held, batch)
        slopes = torch.autograd.grad(loss, list(held.values()), create_graph=True)
        length = torch.stack([slope.square().sum() for slope in slopes]).sum().sqrt()
        if float(length.detach()) > self.most:
            return length
        moved = {
            name: own - self.lr * slope
            for (name, own), slope in zip(held.items(), slopes, strict=True)
        }
        return self._loss(model, moved, batch)

    def _loss(
        self, model: nn.Module, held: dict[str, Tensor], batch: tuple[Tensor, Tensor]
    ) -> Tensor:
        inputs, targets = batch
        return self.loss(functional_call(model, held, (inputs,)), targets)
