"""The gradient itself, by going back through time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.learning.gradients.estimator import check_objective, gradients_of, leaf, over_parts
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.walking import walked


@dataclass(frozen=True)
class Backprop:
    r"""Backpropagation through time: what autograd says.

    clip_norm: where the gradient of all parameters together is longer, it is shortened to this.
    clip_value: no entry of a gradient is further from zero than this; the norm is clipped after.
    clip_state: no entry of what passes back from step to step through the state of the cells is
        further from zero than this: it cannot explode on its way. clip_every: steps after which it
        is clipped; more take less time, a divisor of `truncate` where both are given.
    truncate: steps after which no gradient passes back through time. The forward is the same.
    checkpoint: keep the state at every so many steps only, and compute what lies between again on
        the way back: the same gradients, bit for bit where a step is, for memory that grows with
        :math:`\sqrt T` when it is about that many. True takes the square root of the number of
        steps. False keeps everything.

    `clip_state`, `truncate` and `checkpoint` need a model with `run(x, state, dt) -> (y, state)`. A
    layer that looks at all of time at once, such as batch norm in training, then sees one stretch
    at a time.
    Reference: Williams & Peng 1990, doi 10.1162/neco.1990.2.4.490 (truncation);
    Chen et al. 2016, doi 10.48550/arXiv.1604.06174 (checkpoints).
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    clip_state: float | None = None
    clip_every: int = 1
    truncate: int | None = None
    checkpoint: bool | int = False

    def __post_init__(self) -> None:
        for name in ("clip_norm", "clip_value", "clip_state"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} must be above zero, or None for none, got {value!r}.")
        for name in ("truncate", "checkpoint", "clip_every"):
            if (value := getattr(self, name)) and (value != int(value) or value < 1):
                raise ValueError(f"{name} must be a number of steps, at least 1, got {value!r}.")
        if self.truncate == 0 or self.truncate is True:
            raise ValueError(f"truncate must be a number of steps, got {self.truncate!r}.")
        if self.clip_state and (self.clip_every < 1 or (self.truncate or 0) % self.clip_every):
            raise ValueError(
                f"clip_every must be a number of steps that divides truncate={self.truncate}, got "
                f"{self.clip_every!r}."
            )

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the loss and its gradients."""
        leaves = {name: leaf(value) for name, value in params.items()}

        def one(part: Loss) -> tuple[Tensor, Iterable[Tensor]]:
            with torch.enable_grad():
                value = self._value(part, leaves)
                value = value.mean() if value.dim() else value
            return value, gradients_of(value, leaves.values())

        value, gradients = over_parts(loss, params, one)
        return value, self._clipped(gradients)

    def _value(self, loss: Loss, leaves: Params) -> Tensor:
        if not (self.checkpoint or self.truncate or self.clip_state):
            return loss(leaves)
        return walked(
            check_objective(loss, "Backprop with clip_state, truncate or checkpoint"),
            leaves,
            checkpointed=self.checkpoint,
            truncate=self.truncate,
            clipping=(self.clip_state, self.clip_every) if self.clip_state else None,
        )

    def _clipped(self, gradients: Params) -> Params:
        if self.clip_value is not None:
            limit = self.clip_value
            gradients = {name: g.clamp(-limit, limit) for name, g in gradients.items()}
        if self.clip_norm is None or not gradients:
            return gradients
        norm = torch.stack([g.norm() for g in gradients.values()]).norm()
        scale = (self.clip_norm / norm).clamp(max=1.0)
        return {name: g * scale for name, g in gradients.items()}
