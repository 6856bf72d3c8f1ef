"""By which weights errors come back to hidden cells: their own, random ones, or ones that learn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class Feedback(Protocol):
    """Chooses the weights by which an error passes back through a `Linear`."""

    def weights(self, name: str, weight: Tensor) -> Tensor:
        """The weights [K, N] for a layer by its name, whose own are `weight` [K, N]."""

    def learn(self, gradients: Mapping[str, Tensor]) -> None:
        """Told of the gradient [K, N] that the weights of each layer got."""

    def state_dict(self) -> dict[str, Tensor]:
        """What it remembers."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Remember that."""


class SymmetricFeedback:
    """Errors come back by the very weights by which activity went out."""

    def weights(self, name: str, weight: Tensor) -> Tensor:
        """The same weights."""
        return weight

    def learn(self, gradients: Mapping[str, Tensor]) -> None:
        """There is nothing to learn."""

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Nothing."""


class RandomFeedback:
    r"""Errors come back by random weights, drawn once and for all: feedback alignment.

    Normal, of standard deviation `scale` :math:`/ \sqrt N` for N cells; scale is 1 as the weights
    of a `Linear` are about. generator: what draws.
    Reference: Lillicrap et al. 2016, doi 10.1038/ncomms13276.
    """

    def __init__(self, generator: torch.Generator, *, scale: float = 1.0) -> None:
        if not isinstance(generator, torch.Generator):
            raise TypeError(f"generator must be a torch.Generator, got {generator!r}.")
        self.generator, self.scale = generator, scale
        self.held: dict[str, Tensor] = {}

    def weights(self, name: str, weight: Tensor) -> Tensor:
        """Those drawn when the layer was first seen."""
        if name not in self.held:
            place = self.generator.device
            drawn = torch.randn(weight.shape, generator=self.generator, device=place)
            self.held[name] = drawn * (self.scale / math.sqrt(weight.shape[1]))
        if self.held[name].shape != weight.shape:
            raise ValueError(
                f"feedback of layer {name!r} has shape {list(self.held[name].shape)}, but its "
                f"weights have {list(weight.shape)}: it belongs to another model."
            )
        self.held[name] = self.held[name].to(weight)
        return self.held[name]

    def learn(self, gradients: Mapping[str, Tensor]) -> None:
        """They stay as they are."""

    def state_dict(self) -> dict[str, Tensor]:
        """The weights by layer."""
        return dict(self.held)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take these weights."""
        self.held = dict(state)


class AdaptiveFeedback:
    r"""Errors come back by weights that start at random and learn as the forward weights do.

    .. math:: B \leftarrow B - \eta (\nabla_W + \lambda B)

    Where the forward weights step by the same rate, with the same decay (SGD with `lr` and
    `weight_decay`), the two become alike.

    start: where they start. rate: :math:`\eta`. decay: :math:`\lambda`.
    Reference: Kolen & Pollack 1994, doi 10.1109/ICNN.1994.374486; in e-prop: Bellec et al. 2020,
    doi 10.1038/s41467-020-17236-y.
    """

    def __init__(self, start: RandomFeedback, *, rate: float, decay: float) -> None:
        self.start, self.rate, self.decay = start, rate, decay

    def weights(self, name: str, weight: Tensor) -> Tensor:
        """Those learned so far."""
        return self.start.weights(name, weight)

    def learn(self, gradients: Mapping[str, Tensor]) -> None:
        """Step as the forward weights are about to."""
        for name, held in self.start.held.items():
            if name in gradients:
                step = gradients[name] + self.decay * held
                self.start.held[name] = held - self.rate * step

    def state_dict(self) -> dict[str, Tensor]:
        """The weights by layer."""
        return self.start.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take these weights."""
        self.start.load_state_dict(state)


class _Aligned(torch.autograd.Function):
    """A linear map whose error goes back by other weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(x, back)
        return functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> tuple[Tensor, Tensor, None]:
        x, back = ctx.saved_tensors
        (error,) = errors
        return error @ back, error.flatten(0, -2).T @ x.flatten(0, -2), None


@contextmanager
def aligned(layers: Mapping[str, nn.Linear], feedback: Feedback) -> Iterator[None]:
    """Within the block errors pass through these layers by the weights of a feedback."""
    for name, layer in layers.items():
        back = feedback.weights(name, layer.weight.detach())
        layer.__dict__["forward"] = _mapped(layer, back)
    try:
        yield
    finally:
        for layer in layers.values():
            layer.__dict__.pop("forward", None)


def _mapped(layer: nn.Linear, back: Tensor) -> Any:
    def forward(x: Tensor) -> Tensor:
        y: Tensor = _Aligned.apply(x, layer.weight, back)  # type: ignore[no-untyped-call]
        return y if layer.bias is None else y + layer.bias

    return forward
