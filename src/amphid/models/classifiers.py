"""Spiking networks that tell still inputs apart, in units in which a threshold is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from amphid.dynamics import LIF, Arctan, Neuron
from amphid.dynamics.surrogate import Surrogate
from amphid.models.coding import Repeat
from amphid.models.dropout import Dropout
from amphid.models.norm import BatchNorm
from amphid.models.readouts import TimeMean
from amphid.models.sequential import Sequential

Cells = Callable[[], Neuron[Any]]


def unit_lif(
    tau: float = 10.0,
    *,
    surrogate: Surrogate = Arctan(0.5),  # noqa: B008  frozen
    dt: float = 1.0,
) -> LIF:
    """A LIF between 0 and 1 to which a current of 1 in one step of dt ms adds 1.

    Weights are then around one, as those of torch's layers are. A spike takes 1 off, so that what
    is above the threshold is kept. tau: ms.
    """
    return LIF(
        tau=tau, resistance=1 / (1 - math.exp(-dt / tau)), v_rest=0.0, v_threshold=1.0,
        v_reset=None, surrogate=surrogate,
    )  # fmt: skip


def dense_classifier(
    features: int,
    hidden: Sequence[int],
    classes: int,
    *,
    steps: float = 10.0,
    cells: Cells = unit_lif,
    readout: Cells | None = None,
    dropout: float = 0.0,
    batch_norm: bool = False,
    generator: torch.Generator | None = None,
) -> Sequential:
    """Layers of spiking cells, all to all, from inputs [B, ...] to one value a class [B, classes].

    The input is a constant current for `steps` ms. What the last cells fire is weighed for every
    class and averaged over time, or drives one more cell for every class, whose spikes in a step of
    1 ms are the value. Weights start as those of `nn.Linear` do, uniform within 1 / sqrt(inputs).

    features: values of an input, whose axes are flattened. hidden: cells of each layer. cells:
    makes those of a layer. readout: makes the cells of the classes, where there are some. dropout:
    share of cells that is silenced in training. batch_norm: currents of a layer are normalized.
    generator: draws weights and dropout.
    """
    if not hidden or any(not isinstance(count, int) or count < 1 for count in hidden):
        raise ValueError(f"hidden must be numbers of cells, at least one layer, got {hidden!r}.")
    layers: list[nn.Module] = [nn.Flatten()]
    for number, (before, count) in enumerate(zip((features, *hidden), hidden, strict=False)):
        layers.append(_drawn(nn.Linear, generator, before, count))
        if batch_norm:
            layers.append(BatchNorm(count))
        if not number:
            layers.append(Repeat(steps))
        layers.append(cells())
        if dropout:
            layers.append(Dropout(dropout, generator=generator))
    layers.append(_drawn(nn.Linear, generator, hidden[-1], classes))
    if readout:
        layers.append(readout())
    return Sequential(*layers, TimeMean())


def convolutional_classifier(
    side: int,
    classes: int,
    *,
    maps: tuple[int, int] = (12, 24),
    steps: float = 5.0,
    cells: Cells = unit_lif,
    dropout: float = 0.2,
    generator: torch.Generator | None = None,
) -> Sequential:
    """Two layers of spiking feature maps, from square images [B, H, W] to [B, classes].

    Kernels of 5 x 5, batch norm, pooling by 2 after each layer. The first layer sees a still image,
    so that its products are computed once and pooled before they drive cells for `steps` ms.

    side: H = W, pixels. maps: feature maps of either layer. The rest as in `dense_classifier`.
    """
    first = (side - 4) // 2
    second = (first - 4) // 2
    if second < 1:
        raise ValueError(f"side must be at least 16 pixels for two kernels of 5 x 5, got {side!r}.")
    return Sequential(
        nn.Unflatten(-2, (1, side)),
        _drawn(nn.Conv2d, generator, 1, maps[0], 5),
        nn.MaxPool2d(2),
        BatchNorm(maps[0], axis=-3),
        Repeat(steps),
        cells(),
        _drawn(nn.Conv2d, generator, *maps, 5),
        BatchNorm(maps[1], axis=-3),
        cells(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        Dropout(dropout, generator=generator),
        _drawn(nn.Linear, generator, maps[1] * second**2, classes),
        TimeMean(),
    )


def _drawn(kind: type[nn.Module], generator: torch.Generator | None, *sizes: int) -> nn.Module:
    """A layer of torch with its usual first weights, drawn by the generator."""
    layer: Any = nn.utils.skip_init(kind, *sizes)
    bound = 1 / math.sqrt(layer.weight[0].numel())
    for held in (layer.weight, layer.bias):
        nn.init.uniform_(held, -bound, bound, generator=generator)
    made: nn.Module = layer
    return made
