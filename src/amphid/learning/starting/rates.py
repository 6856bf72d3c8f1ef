"""A learning rate for every layer: the safe form of scales."""

from __future__ import annotations

from itertools import accumulate
from numbers import Real
from operator import mul
from typing import Any

import torch
from torch import nn

from amphid.learning.starting.order import depth_of, weight_layers
from amphid.learning.starting.scales import USUAL, scales


def layer_rates(
    model: nn.Module,
    lr: float,
    *,
    alpha: float = USUAL,
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
    weight_decay: float = 0.0,
    eps: float = 1e-8,
    exact: bool = False,
    inputs: Any = None,
) -> list[dict[str, Any]]:
    r"""Parameter groups in which early layers learn faster than late ones.

    With s the factor that `Emergence` would scale a layer by, its rate is lr / s^2 for SGD, with or
    without momentum, and lr / s for Adam and AdamW, whose eps becomes s * eps; decay takes away as
    much in each step as with one rate for all. Biases move with their layer, everything else at lr.

    Which of the two to take: scaling the weights of a net of rectified layers and then training it
    with one rate *is* training the net as it was with these rates, step by step (bit for bit for
    powers of two), so nothing is gained by touching the weights. Two things differ, and both speak
    for rates. The scaled net moves biases by lr / c^2, c being the product of the factors so far,
    which in the middle of a net of 10 layers is 800 times lr at alpha 1.25; and after norms its
    outputs start alpha^(L/2) times too large. Scale the weights (`Emergence`) to reproduce what was
    published, or where units are not rectified, so that scales do something that no rate can.

    What it buys is small. Each at its best rate, the ten nets of `emergence-init` (`--full`, seed
    0) have steps to a training loss at 0.99 (0.92 to 1.07) of those at one rate for alpha 1.1, and
    at 0.98 (0.91 to 1.12) for 1.25: 0.81 for 1.1 in a dense net of 20 layers and 0.66 in a
    convolutional one, both without norms, but 1.61 in 20 layers with batch norm: leave it out
    there.

    alpha: 1 gives one rate. optimizer: the class that the groups are for: SGD, Adam or AdamW.
    exact: True gives biases the rates, and eps, that make it the scaled net exactly.
    inputs: as of `initialize`.

        torch.optim.SGD(layer_rates(model, 0.1), momentum=0.9)
    """
    power, decay = _kind(optimizer)
    if not isinstance(lr, Real) or not 0 <= lr < float("inf"):
        raise ValueError(f"lr must be a learning rate, not negative, got {lr!r}.")
    for name, value in (("weight_decay", weight_decay), ("eps", eps)):
        if not isinstance(value, Real) or not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be a number, not negative, got {value!r}.")
    layers = weight_layers(model, inputs)
    factors = scales(alpha, depth_of(layers))
    so_far = list(accumulate(factors, mul)) if exact else factors
    of = {layer.weight: factors[layer.level] for layer in layers}
    for layer in layers:
        if layer.bias is not None:
            of.setdefault(layer.bias, so_far[layer.level])
    groups: dict[float, list[nn.Parameter]] = {}
    for own in model.parameters():
        if own.requires_grad:
            groups.setdefault(of.get(own, 1.0), []).append(own)
    named = power == 1
    return [
        {
            "params": held,
            "lr": lr / s**power,
            "weight_decay": weight_decay * s**decay,
            **({"eps": eps * s} if named else {}),
        }
        for s, held in groups.items()
    ]


def _kind(optimizer: type[torch.optim.Optimizer]) -> tuple[int, int]:
    """The power of s by which a rate is divided, and that by which decay is multiplied."""
    if isinstance(optimizer, type):
        if issubclass(optimizer, torch.optim.AdamW):
            return 1, 1
        if issubclass(optimizer, torch.optim.Adam):
            return 1, 2
        if issubclass(optimizer, torch.optim.SGD):
            return 2, 2
    raise TypeError(
        "layer_rates knows how SGD, Adam and AdamW scale with their gradients: optimizer must be "
        f"one of these classes, got {optimizer!r}."
    )
