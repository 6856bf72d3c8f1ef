"""Batch norm for currents into spiking cells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from amphid.models.layer import Layer, check_sequence, nothing


class BatchNorm(nn.Module):
    r"""Currents normalized over time, batch and space alike, one mean and variance per feature.

    .. math:: y = \gamma s \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    features: how many. axis: where they stand, counted from the end: -1 in [T, *B, N], -3 in
    [T, *B, C, H, W]. scale: s in pA. gamma is learned and starts at one, beta, in pA, at zero.
    momentum, eps: as in `nn.BatchNorm1d`. With the current that takes a cell to its threshold as
    scale it is tdBN, see `threshold_dependent`; with 1 pA it is the batch norm of images.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        features: int,
        *,
        axis: int = -1,
        scale: float = 1.0,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        _check_axis(self, axis)
        self.features, self.axis, self.scale = features, axis, scale
        self.momentum, self.eps = momentum, eps
        self.gamma = nn.Parameter(torch.ones(features))
        self.beta = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    @classmethod
    def threshold_dependent(
        cls, features: int, *, threshold: float, alpha: float = 1.0, **settings: Any
    ) -> BatchNorm:
        """Threshold-dependent batch norm (tdBN): a standard deviation takes a cell to threshold.

        threshold: the current in pA that just does, (v_threshold - v_rest) / resistance of a LIF,
        150 for `LIF()`. alpha: how many of them. settings: as of `BatchNorm`.
        Reference: Zheng et al. 2021, doi 10.1609/aaai.v35i12.17320.
        """
        return cls(features, scale=alpha * threshold, **settings)

    def extra_repr(self) -> str:
        """What it was given."""
        return f"{self.features}, axis={self.axis}, scale={self.scale:g}, eps={self.eps:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T, *B, N] in pA, normalized."""
        _check_features(self, x, self.axis, self.features)
        rows = x.movedim(self.axis, -1)
        flat = rows.reshape(-1, self.features)
        _check_examples(self, len(flat))
        y = batch_norm(
            flat,
            self.running_mean,
            self.running_var,
            self.gamma * self.scale,
            self.beta,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return y.reshape(rows.shape).movedim(-1, self.axis)


class BatchNormThroughTime(Layer):
    r"""Batch norm with statistics and a gain of its own for every time step (BNTT).

    .. math:: y_t = \gamma_t s \frac{x_t - \mu_t}{\sqrt{\sigma_t^2 + \epsilon}}

    features, axis, scale, momentum, eps: as of `BatchNorm`. steps: T, the most steps that a
    sequence may have. The state is the number of steps taken.
    Reference: Kim & Panda 2021, doi 10.3389/fnins.2021.773954.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        features: int,
        steps: int,
        *,
        axis: int = -1,
        scale: float = 1.0,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        _check_axis(self, axis)
        self.features, self.steps, self.axis, self.scale = features, steps, axis, scale
        self.momentum, self.eps = momentum, eps
        self._values += ("features", "steps", "axis", "scale", "momentum", "eps")
        self.gamma = nn.Parameter(torch.ones(steps, features))
        self.register_buffer("running_mean", torch.zeros(steps, features))
        self.register_buffer("running_var", torch.ones(steps, features))

    def run(
        self, x: Tensor, state: Tensor | tuple[()] | None = None, dt: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Currents [T, *B, N] in pA, normalized, and the number of steps taken so far."""
        check_sequence(self, x)
        _check_features(self, x, self.axis, self.features)
        first = int(state) if isinstance(state, Tensor) and not nothing(state) else 0
        last = first + len(x)
        if last > self.steps:
            raise ValueError(
                f"BatchNormThroughTime has statistics for {self.steps} steps, but this sequence "
                f"has {last}: raise `steps`."
            )
        rows = x.movedim(self.axis, -1)
        flat = rows.reshape(len(x), -1, self.features)
        mean, variance = self._statistics(flat, first, last)
        gain = self.gamma[first:last] * self.scale * torch.rsqrt(variance + self.eps)
        y = (flat - mean[:, None]) * gain[:, None]
        after = torch.tensor(last, device=x.device)
        return y.reshape(rows.shape).movedim(-1, self.axis), after

    def _statistics(self, flat: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Mean and variance [T, N] of each step: of the batch while training, else as learned."""
        if not self.training:
            return self.running_mean[first:last], self.running_var[first:last]
        examples = flat.shape[1]
        _check_examples(self, examples)
        variance, mean = torch.var_mean(flat, 1, correction=0)
        with torch.no_grad():
            unbiased = variance * (examples / (examples - 1))
            self.running_mean[first:last].lerp_(mean.detach(), self.momentum)
            self.running_var[first:last].lerp_(unbiased.detach(), self.momentum)
        return mean, variance


def _check_axis(layer: nn.Module, axis: int) -> None:
    if not (isinstance(axis, int) and axis < 0):
        raise ValueError(
            f"{type(layer).__name__}: axis must count from the end, -1 for [T, *B, N] or -3 for "
            f"[T, *B, C, H, W], got {axis!r}."
        )


def _check_features(layer: nn.Module, x: Tensor, axis: int, features: int) -> None:
    if x.dim() < -axis or x.shape[axis] != features:
        there = "no such axis" if x.dim() < -axis else f"{x.shape[axis]}"
        raise ValueError(
            f"{type(layer).__name__} takes {features} features along axis {axis}, but there are "
            f"{there}: the input has shape {list(x.shape)}."
        )


def _check_examples(layer: nn.Module, examples: int) -> None:
    if layer.training and examples < 2:
        raise ValueError(
            f"{type(layer).__name__} needs more than one value for a variance while training: give "
            "a larger batch, or call eval()."
        )
