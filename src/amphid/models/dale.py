"""Layers whose cells either excite or inhibit."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class DaleLinear(nn.Module):
    r"""A linear layer in which all inputs excite, and cells of its own inhibit in between.

    .. math:: y = |W_E| x - |W_{EI}| \, |W_{IE}| x + b

    Inputs [*B, N] come from cells that excite, so they must not be negative: spikes, or rectified.
    The inhibitory cells are linear and without delay, and each inhibits a group of outputs of its
    own: where all inhibit all, as published, their shares blend into one and the layer learns less
    well. Weights are kept by their magnitude: the sign of a cell holds whatever an optimizer does.
    At the start each output gets as much inhibition as excitation, and either alone spreads as a
    linear layer with Kaiming's start does: together they have twice its variance.

    inputs, outputs: N and K. inhibitory: how many cells in between, a quarter of the outputs when
    None, which makes a fifth of the layer's cells. bias: whether outputs have one, zero at first.
    generator: draws.
    Reference: Cornford et al. 2021, openreview.net/forum?id=eU776ZYxEpz. Their correction of
    gradients is left to the optimizer.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        inhibitory: int | None = None,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check(inputs=inputs, outputs=outputs, inhibitory=1 if inhibitory is None else inhibitory)
        cells = max(1, outputs // 4) if inhibitory is None else inhibitory
        self.inputs, self.outputs, self.inhibitory = inputs, outputs, cells
        scale = math.sqrt(2 / inputs)  # an exponential variable has its mean for its deviation
        self.excite = nn.Parameter(_exponential((outputs, inputs), generator) * scale)
        self.recruit = nn.Parameter(_exponential((cells, inputs), generator) * scale)
        self.inhibit = nn.Parameter(_groups(outputs, cells))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def extra_repr(self) -> str:
        """Its sizes."""
        return f"{self.inputs}, {self.outputs}, inhibitory={self.inhibitory}"

    @property
    def weight(self) -> Tensor:
        """[K, N] of the linear layer that it amounts to."""
        return self.excite.abs() - self.inhibit.abs() @ self.recruit.abs()

    def forward(self, x: Tensor) -> Tensor:
        """Currents [*B, K] of inputs [*B, N]."""
        if x.shape[-1:] != (self.inputs,):
            raise ValueError(
                f"DaleLinear takes {self.inputs} cells along the last axis, but there are "
                f"{x.shape[-1] if x.dim() else 'no axes'}: the input has shape {list(x.shape)}."
            )
        excited = linear(x, self.excite.abs(), self.bias)
        return excited - linear(linear(x, self.recruit.abs()), self.inhibit.abs())


def _check(**sizes: Any) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"DaleLinear: {name} must be a number of cells, got {size!r}.")


def _groups(outputs: int, cells: int) -> Tensor:
    """Shares [K, M] of inhibition: each cell in one group of outputs, each output whole."""
    place = torch.arange(max(outputs, cells))
    shares = torch.zeros(outputs, cells)
    shares[place % outputs, place % cells] = 1.0
    return shares / shares.sum(1, keepdim=True)


def _exponential(shape: tuple[int, int], generator: Any) -> Tensor:
    """Draws with a mean and a deviation of one."""
    return torch.empty(shape).exponential_(generator=generator)
