"""Layers of cells one behind another, and weights for them to begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.models.gain import Gain
from amphid.models.sequential import Sequential

Weights = Callable[[int, int], Tensor]
"""From numbers of cells before and behind to weights [behind, before]."""


def cell_layers(
    sizes: Sequence[int],
    cells: Sequence[Neuron[Any]],
    weights: Sequence[Weights],
    *,
    gain: float,
    bias: bool = False,
) -> Sequential:
    """A `Sequential` of Linear, Gain and cells, for each pair of neighboring sizes.

    sizes: channels of the input, then cells of each layer. cells, weights: one of each for a layer.
    gain: pA for a unit of weight. bias: whether each cell has one, zero at first.
    Raises ValueError where there are not as many cells and weights as layers.
    """
    if not len(sizes) - 1 == len(cells) == len(weights) > 0:
        raise ValueError(
            f"cell_layers needs cells and weights for each of {len(sizes) - 1} layers, got "
            f"{len(cells)} and {len(weights)}."
        )
    layers: list[nn.Module] = []
    for before, behind, own, drawn in zip(sizes, sizes[1:], cells, weights, strict=False):
        layer = nn.Linear(before, behind, bias=bias)
        with torch.no_grad():
            layer.weight.copy_(drawn(before, behind))
            if bias:
                layer.bias.zero_()
        layers += [layer, Gain(gain), own]
    return Sequential(*layers)


def dense_weights(generator: torch.Generator) -> Weights:
    """Normal weights of both signs, of variance one over the number of cells before."""

    def drawn(before: int, behind: int) -> Tensor:
        return torch.randn(behind, before, generator=generator) * before**-0.5

    return drawn


def permuted_weights(generator: torch.Generator, noise: float = 0.1) -> Weights:
    """One weight of 1 into each cell, from cells used equally often, and normal weights to all.

    Which cell it comes from is drawn: what comes in is kept apart, but it is not known where.
    noise: standard deviation of the normal weights.
    """

    def drawn(before: int, behind: int) -> Tensor:
        found = noise * torch.randn(behind, before, generator=generator)
        source = torch.arange(behind) % before
        order = torch.randperm(behind, generator=generator)
        found[torch.arange(behind), source[order]] += 1.0
        return found

    return drawn


def relay_weights(channels: int) -> Weights:
    """Weights that keep so many channels apart: a cell takes the mean of those of its own channel.

    Cells of a layer belong to channels in blocks, the first of them to the first.
    """

    def drawn(before: int, behind: int) -> Tensor:
        own, other = (torch.arange(count) * channels // count for count in (behind, before))
        same = (own[:, None] == other).float()
        return same / same.sum(1, keepdim=True)

    return drawn
