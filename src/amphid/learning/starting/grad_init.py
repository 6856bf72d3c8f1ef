"""Scales learned so that one step of the optimizer lowers the loss most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from amphid.learning.starting.listening import untouched
from amphid.learning.starting.order import WeightLayer
from amphid.learning.starting.scales import Started, base_drawn, scaled
from amphid.measures.emerging.calls import asked, takes_by_name

LEAST = 0.01  # factors stay above it


@dataclass(frozen=True)
class GradInit:
    """One factor for each level of weights, learned on a few batches before training starts.

    They lower the loss after one step of SGD of rate `lr` on the same batch; where the gradient is
    longer than `most`, they shorten it first.

    loss: of outputs and targets. batches: pairs of inputs, as of `initialize`, and targets. lr,
    most: of that step. steps: of Adam at rate `pace` on the factors. base: drawn first, such as
    `Kaiming()`; what the weights are when None.
    Reference: Zhu et al. 2021, doi 10.48550/arXiv.2102.08098. Theirs has a factor for each
    parameter; here levels share one, as in `Emergence`, with which it is compared.
    """

    loss: Callable[[Any, Any], Tensor]
    batches: Iterable[tuple[Tensor, Tensor]]
    lr: float = 0.1
    most: float = 1.0
    steps: int = 50
    pace: float = 0.01
    base: Any = None

    def __post_init__(self) -> None:
        if not callable(self.loss) or not isinstance(self.batches, Iterable):
            raise TypeError(
                "GradInit: loss must be a function of outputs and targets, and batches pairs of "
                f"inputs and targets, got {self.loss!r} and a {type(self.batches).__name__}."
            )
        for name in ("lr", "most", "steps", "pace"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 < float(value) < float("inf"):
                raise ValueError(f"GradInit: {name} must be above zero, got {value!r}.")

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Learn the factors and scale the weights of those layers."""
        base = base_drawn(self.base, model, layers, inputs)
        levels = [1.0] * (layers[-1].level + 1)
        before = scaled(model, layers, levels, base)  # without what an earlier rule scaled
        # attention by parts: the fused one has no second derivative
        with torch.enable_grad(), untouched(model), sdpa_kernel(SDPBackend.MATH):
            found = self._learned(model, layers, len(levels))
        for layer in layers:
            layer.weight.mul_(found[layer.level])
        told = {layer.name: found[layer.level] for layer in layers}
        return Started(told, before.drawn, before.kept)

    def _learned(self, model: nn.Module, layers: Sequence[WeightLayer], levels: int) -> list[float]:
        """The factor of every level."""
        factors = (
            torch.ones_like(layers[0].weight.flatten()[:1].abs()).repeat(levels).requires_grad_()
        )
        mover = torch.optim.Adam([factors], lr=self.pace)
        for batch in islice(cycle(self.batches), self.steps):
            judged = self._judged(model, layers, factors, batch)
            if not judged.isfinite():
                raise ValueError("GradInit: the loss of a batch, or its gradient, is not finite.")
            (factors.grad,) = torch.autograd.grad(judged, factors)
            mover.step()
            factors.data.clamp_(min=LEAST)
        if factors.grad is None:
            raise ValueError("GradInit: there are no batches to learn from.")
        found: list[float] = factors.detach().tolist()
        return found

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
        slopes = torch.autograd.grad(
            loss, list(held.values()), create_graph=True, materialize_grads=True
        )  # what a loss does not hang on has a slope of zero
        length = torch.stack([slope.abs().square().sum() for slope in slopes]).sum().sqrt()
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
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(
                "GradInit: batches must be pairs of inputs and targets, got a "
                f"{type(batch).__name__}."
            )
        inputs, targets = batch
        held = held | {name: own.clone() for name, own in model.named_buffers()}  # cells at rest
        by_name = isinstance(inputs, Mapping) and takes_by_name(model, inputs)
        named: dict[str, Any] = dict(inputs) if by_name else {}
        given = () if named else tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        called = partial(functional_call, model, held, kwargs=named)
        return self.loss(asked(called, [given]), targets)
